"""What fuzzing found, one by one, so that none of it comes back."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from opsrunner import inventory, settings, yamlsource
from opsrunner.cli import main
from opsrunner.errors import InputError, LedgerDamaged
from opsrunner.inventory import match
from opsrunner.ledger.encoding import decode_terminal, encode_terminal
from opsrunner.ledger.records import Outcome
from opsrunner.ledger.results import decode_result
from opsrunner.modules.conversion import to_int
from opsrunner.plan.compile import compile_playbook
from opsrunner.plan.model import Options
from opsrunner.playbook.values import READERS, Wrong
from opsrunner.schedule.load import load as load_schedules
from opsrunner.templating import LookupContext, Templar, TemplateFailure


def _no_file(path: str) -> str:
    raise FileNotFoundError(path)


TEMPLAR = Templar(lookups=LookupContext(environment={}, read_file=_no_file, directory="/"))


@pytest.mark.parametrize(
    "scalar",
    [
        '!!int ""',
        '!!float ""',
        "!!bool maybe",
        "!!timestamp noon",
        "!!binary é",
        "0x" + "f" * 300,
        "9" * 5000,
        "1:" * 200 + "1",
    ],
    ids=lambda text: text[:20],
)
def test_a_scalar_that_is_none_names_its_place(scalar: str) -> None:
    with pytest.raises(InputError, match=r"^x\.yml:1:4: "):
        yamlsource.load(f"a: {scalar}", "x.yml")


@pytest.mark.parametrize("tag", ["seq", "map", "set", "omap", "pairs"])
def test_a_scalar_tagged_as_a_collection_is_no_empty_collection(tag: str) -> None:
    with pytest.raises(InputError, match="unknown tag"):
        yamlsource.load(f"a: !!{tag} text", "x.yml")


@pytest.mark.parametrize("key", ["(1, 2)", "omit"])
def test_a_key_that_cannot_be_stored_fails_the_template(key: str) -> None:
    with pytest.raises(TemplateFailure, match="unsupported for a key"):
        TEMPLAR.render(f"{{{{ {{{key}: 1}} }}}}", {})


def test_names_are_found_without_working_out_constants() -> None:
    assert TEMPLAR.expression_names("a is abs({[]: 1})") == {"a"}


def test_a_hint_of_undef_may_be_anything() -> None:
    with pytest.raises(TemplateFailure, match=r"\{'a': 1\}"):
        TEMPLAR.render("{{ undef({'a': 1}) }}", {})


@pytest.mark.parametrize(
    "pair", ["trim_blocks:[]", "variable_start_string:[]", "variable_start_string:''", "block_end_string:1"]
)
def test_a_header_of_a_wrong_type_fails_the_template(pair: str) -> None:
    with pytest.raises(TemplateFailure, match="must be"):
        TEMPLAR.render_text(f"#jinja2: {pair}\nx", {})


@pytest.mark.parametrize(
    "expression", ["(" * 3000 + "1" + ")" * 3000, "9" * 5000, "-" * 5000 + "1", "not " * 5000 + "x"], ids=len
)
def test_an_expression_that_python_cannot_read_fails_the_template(expression: str) -> None:
    assert TEMPLAR.check(f"{{{{ {expression} }}}}")
    assert TEMPLAR.check_condition(expression)
    with pytest.raises(TemplateFailure):
        TEMPLAR.render(f"{{{{ {expression} }}}}", {})


def test_a_number_that_python_cannot_write_fails_the_template() -> None:
    with pytest.raises(TemplateFailure):
        TEMPLAR.render("{{ 0x" + "f" * 50_000 + " }}", {})


@pytest.mark.parametrize(
    "host",
    [
        "web[1:" + "9" * 5000 + "]",
        "web[0:99999999999999999999]",
        "web:" + "9" * 5000,
        "x" * 1025,
        "0" * 1000 + "[1:2]" * 9,
    ],
    ids=lambda text: text[:12],
)
def test_a_name_that_stands_for_too_much_is_refused(tmp_path: Path, host: str) -> None:
    (tmp_path / "hosts.yml").write_text(f'all: {{hosts: {{"{host}": }}}}\n')
    try:
        assert list(inventory.load([str(tmp_path / "hosts.yml")], base=tmp_path).hosts) == [host]
    except InputError as error:
        assert "hosts.yml:1:" in str(error)


@pytest.mark.parametrize(
    "pattern", ["~a{99999999999}", "~" + "(" * 5000, "web[" + "9" * 5000 + "]"], ids=lambda text: text[:12]
)
def test_a_pattern_that_cannot_be_read_is_refused(tmp_path: Path, pattern: str) -> None:
    with pytest.raises(InputError):
        match(inventory.load(["web1,"], base=tmp_path), pattern)


def test_a_pattern_that_a_later_python_may_read_otherwise_warns_nobody(tmp_path: Path) -> None:
    assert match(inventory.load(["web1,"], base=tmp_path), "~[[a]") == ["web1"]  # of all


@pytest.mark.parametrize("source", ["~nobody-here/hosts", "a" * 300, "a/" * 3000, "x\0y"], ids=lambda text: text[:12])
def test_a_source_that_no_path_leads_to_is_refused(tmp_path: Path, source: str) -> None:
    with pytest.raises(InputError, match="no inventory"):
        inventory.load([source], base=tmp_path)
    (tmp_path / "site.yml").write_text("[]")
    (tmp_path / "schedules.yml").write_text(
        f'- {{name: a, every: 1h, playbook: site.yml, inventory: "{source}"}}'.replace("\0", "\\0")
    )
    with pytest.raises(InputError, match="no inventory"):
        load_schedules(tmp_path / "schedules.yml")


def test_a_folder_that_contains_itself_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "inventory"
    (folder / "group_vars" / "all").mkdir(parents=True)
    (folder / "hosts.yml").write_text("all: {hosts: {web1: }}\n")
    (folder / "group_vars" / "all" / "one").symlink_to(".")
    with pytest.raises(InputError, match="contains itself"):
        inventory.load([str(folder)], base=tmp_path)
    (folder / "group_vars" / "all" / "one").unlink()
    for name in ("a", "b"):
        (folder / name).symlink_to("..")
    with pytest.raises(InputError, match="contains itself"):
        inventory.load([str(folder)], base=tmp_path)


@pytest.mark.parametrize("place", ["hosts", "group_vars/all", "host_vars/web1/x"])
def test_a_pipe_in_a_folder_is_not_waited_for(tmp_path: Path, place: str) -> None:
    (tmp_path / "inventory").mkdir()
    (tmp_path / "inventory" / "hosts.yml").write_text("all: {hosts: {web1: }}\n")
    pipe = tmp_path / "inventory" / place
    pipe.parent.mkdir(parents=True, exist_ok=True)
    os.mkfifo(pipe)
    try:
        inventory.load([str(tmp_path / "inventory")], base=tmp_path)
    except InputError as error:
        assert "no regular file" in str(error)


@pytest.mark.parametrize("path", ["/dev/zero", "/dev/null", "a" * 300])
@pytest.mark.parametrize(
    "task", ["copy: {{src: {0}, dest: /x}}", "script: {0}", "debug: {{msg: x}}\n      vars: {{a: 1}}"]
)
def test_a_file_that_never_ends_does_not_travel(tmp_path: Path, path: str, task: str) -> None:
    site = tmp_path / "site.yml"
    site.write_text(f"- hosts: all\n  vars_files: [{path}]\n  tasks:\n    - {task.format(path)}\n")
    with pytest.raises(InputError):
        compile_playbook(site, inventory.load(["web1,"], base=tmp_path), Options(), {})


def test_a_script_in_quotes_is_the_file_that_runs(tmp_path: Path) -> None:
    (tmp_path / "a b.sh").write_text("true\n")
    site = tmp_path / "site.yml"
    site.write_text("- hosts: all\n  gather_facts: false\n  tasks: [{script: 'a\\ b.sh --x'}]\n")
    plan = compile_playbook(site, inventory.load(["web1,"], base=tmp_path), Options(), {}).plan
    assert list(plan.files) == ["files/a b.sh"]


@pytest.mark.parametrize("kind", ["whole", "number", "percent", "serial"])
@pytest.mark.parametrize(
    "value", ["9" * 400, "9" * 5000, 10**30, 1e308, "1e999999999"], ids=lambda value: str(value)[:9]
)
def test_a_number_no_clock_can_wait_for_is_refused(kind: Any, value: Any) -> None:
    if kind == "serial" and not isinstance(value, str):
        return
    with pytest.raises(Wrong):
        READERS[kind](value)


def test_a_number_is_not_written_out_in_a_billion_digits() -> None:
    with pytest.raises(ValueError, match="cannot be converted"):
        to_int("1e999999999")
    with pytest.raises(TemplateFailure):
        TEMPLAR.render("{{ lookup('sequence', 'start=1 end=1e999999999') }}", {})


@pytest.mark.parametrize("time", ["nan", "inf", "-5", "1e999", "400d"])
def test_a_time_that_is_none_is_a_usage_error(time: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["exec", "web1", "-i", "web1,", "--timeout", time, "--", "true"]) == 64
    assert "is no time" in capsys.readouterr().err


def test_a_setting_of_thousands_of_digits_is_refused(tmp_path: Path) -> None:
    (tmp_path / "celeryconfig.py").write_text("opsrunner = {'forks': 10 ** 5000}\n")
    with pytest.raises(InputError, match="a very large number"):
        settings.load({"HOME": "/"}, tmp_path)
    (tmp_path / "celeryconfig.py").write_text("opsrunner = {10 ** 5000: 1}\n")
    with pytest.raises(InputError, match="a very large number"):
        settings.load({"HOME": "/"}, tmp_path)
    (tmp_path / "celeryconfig.py").write_text("broker_url = 10 ** 5000\n")
    with pytest.raises(InputError, match="a very large number"):
        settings.load({"HOME": "/"}, tmp_path)


@pytest.mark.parametrize("file", [".", "/", "a" * 300])
def test_a_key_needs_a_file(file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert main.run(["keygen", "--file", file]) == 65


def test_a_name_that_is_no_text_is_shown_as_an_escape() -> None:
    line = [sys.executable, "-m", "opsrunner", "inventory", "hosts", "all", "-i", b"\xffhost,"]
    done = subprocess.run(line, capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, b"\\udcffhost\n")


@pytest.mark.parametrize("words", ["exec all -i a, -- \udcff", "exec all -i \udcff, -- id", "run \udcff.yml -i a,"])
def test_a_run_is_named_by_texts(
    words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "\udcff.yml").write_text("- hosts: all\n  tasks: [{ping: }]\n")
    assert main.run(words.split()) == 65
    assert "is no UTF-8" in capsys.readouterr().err


def test_thousands_of_faults_are_told_in_time(tmp_path: Path) -> None:
    lines = "".join(f"    web{number}: []\n" for number in range(20_000))
    (tmp_path / "hosts.yml").write_text("all:\n  hosts:\n" + lines.replace("[]", "[1]"))
    with pytest.raises(InputError) as caught:
        inventory.load([str(tmp_path / "hosts.yml")], base=tmp_path)
    assert len(caught.value.lines()) > 20_000


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"x",
        b"j",
        b"j5",
        b"j[]",
        b"j{",
        b"j\xff",
        b"z\0",
        b"zabc",
        b"l",
        b"l" + b"\xff" * 20,
        b"j" + b"[" * 100_000,
    ],
    ids=len,
)
def test_a_result_that_cannot_be_read_says_so(data: bytes) -> None:
    with pytest.raises(LedgerDamaged, match="a result cannot be read"):
        decode_result(data)


@pytest.mark.parametrize(
    "state", ["T|", "T|ok", "T|ok||a|b|w", "T|good||1|2|w", "T|ok|mended|1|2|w", "T|ok||nan|1|w", "T|ok||1|1e300|w"]
)
def test_an_outcome_that_cannot_be_read_says_so(state: str) -> None:
    with pytest.raises(LedgerDamaged, match="the outcome of step 3 on web1"):
        decode_terminal(3, "web1", state, {})


def test_a_worker_may_have_a_bar_in_its_name() -> None:
    outcome = Outcome(3, "web1", "ok", {}, None, 1.0, 2.0, "a|b")
    assert decode_terminal(3, "web1", encode_terminal(outcome), {}) == outcome
