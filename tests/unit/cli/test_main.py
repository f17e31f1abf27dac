"""The command line's front door: verbs, exit codes, and what is imported for them."""

from __future__ import annotations

import gc
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from opsrunner import errors
from opsrunner.cli import main
from opsrunner.errors import InputError, InputErrors, OpsrunnerError, Place
from opsrunner.version import VERSION

ROOT = Path(__file__).parents[3]
#: What takes long to import; no help and no version needs it.
HEAVY = ("celery", "kombu", "paramiko", "jinja2", "yaml", "rich")
#: What verbs that read the ledger import anyway, and ``--version`` does not.
LEDGER = ("redis", "cryptography")

_IMPORTS = """\
from opsrunner.cli import main
code = main.run(sys.argv[1:])
print("imported", *sorted(set(sys.modules) & set({looked_for!r})), "after", code, file=sys.stderr)
"""


def in_new_process(
    *words: str, looked_for: tuple[str, ...] = HEAVY, folder: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run the verb in a new interpreter, which tells on stderr what it imported and the exit code."""
    code = f"import sys\nsys.path.insert(0, {str(ROOT)!r})\n{_IMPORTS.format(looked_for=looked_for)}"
    return subprocess.run(
        [sys.executable, "-c", code, *words], capture_output=True, text=True, timeout=60, check=True, cwd=folder
    )


def failing(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    """Let the verb ``status`` end with that error."""

    @click.command()
    def broken() -> None:
        raise error

    monkeypatch.setattr("opsrunner.cli.status.command", broken)


def test_help_imports_nothing_heavy() -> None:
    """One interpreter shows the help of every verb, and has imported nothing heavy at the end of it."""
    calls = f"for verb in {list(main.VERBS)!r}:\n    print('shown', verb, main.run([verb, '--help']))\n"
    looked = f"print('imported', *sorted(set(sys.modules) & set({HEAVY!r})))"
    code = f"import sys\nfrom opsrunner.cli import main\n{calls}{looked}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    for verb in main.VERBS:
        assert f"Usage: opsrunner {verb}" in done.stdout
        assert f"\nshown {verb} 0\n" in done.stdout
    assert done.stdout.endswith("\nimported\n"), done.stdout[-200:]
    assert done.stderr == ""


def test_version_imports_nothing_heavy() -> None:
    done = in_new_process("--version", looked_for=(*HEAVY, *LEDGER))
    assert (done.stdout, done.stderr) == (f"opsrunner {VERSION}\n", "imported after 0\n")


def test_what_is_imported_is_seen(tmp_path: Path) -> None:
    playbook = tmp_path / "site.yml"
    playbook.write_text("- hosts: all\n  tasks:\n    - ping:\n", encoding="utf-8")
    done = in_new_process("plan", str(playbook), "-i", "web1,")
    assert re.fullmatch(r"imported .*jinja2.* after 0\n", done.stderr)
    assert "celery" not in done.stderr  # a plan needs no broker


def test_a_command_imports_templates_only_for_an_inventory_that_has_some(tmp_path: Path) -> None:
    """It gets as far as the broker, which is not there: the hosts and variables are known by then."""
    (tmp_path / "celeryconfig.py").write_text(f"broker_url = 'redis+socket://{tmp_path}/nobody.sock'\n")
    hosts = tmp_path / "hosts.yml"
    words = ("exec", "all", "-i", str(hosts), "-e", "a=1", "--", "{{ no template }}")
    wanted = ("jinja2", "celery", "paramiko", "opsrunner.playbook", "redis")
    for variable, imported in (("plain", "redis"), ("'{{ 1 }}'", "jinja2 opsrunner.playbook redis")):
        hosts.write_text(f"all: {{hosts: {{web1: {{deep: [{{er: {variable}}}]}}}}}}\n")
        done = in_new_process(*words, looked_for=wanted, folder=tmp_path)
        assert done.stderr.endswith(f"\nimported {imported} after 69\n"), done.stderr


def test_python_m(tmp_path: Path) -> None:
    line = [sys.executable, "-m", "opsrunner", "inventory", "hosts", "nobody", "-i", "web1,"]
    done = subprocess.run(line, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 65
    assert done.stdout == ""
    assert "nobody" in done.stderr


def test_help_lists_every_verb(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["--help"]) == 0
    said = capsys.readouterr().out
    for verb, (_, line) in main.VERBS.items():
        assert re.search(rf"^  {verb} +{re.escape(line[:30])}", said, re.MULTILINE)


@pytest.mark.parametrize(
    ("typed", "meant"), [("rnu", "run"), ("inventroy", "inventory"), ("wrokers", "workers"), ("scheduel", "schedule")]
)
def test_unknown_verb_gives_the_nearest(typed: str, meant: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run([typed]) == 64
    said = capsys.readouterr()
    assert f"No such verb '{typed}'. Did you mean '{meant}'?" in said.err
    assert said.out == ""


def test_unknown_verb_like_no_other(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["xyzzy"]) == 64
    assert "`opsrunner --help` lists them" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words", [["run"], ["run", "site.yml", "--nope"], ["inventory", "nope"], ["run", "p.yml", "--forks", "0"]]
)
def test_wrong_words_are_usage(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(words) == 64
    said = capsys.readouterr().err
    assert "Usage: opsrunner" in said
    assert "Traceback" not in said


def test_a_missing_playbook_is_bad_input(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main.run(["plan", str(tmp_path / "nope.yml"), "-i", "web1,"]) == 65
    assert "nope.yml" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (OpsrunnerError("x"), 1),
        (errors.UsageError("x"), 64),
        (InputError("x"), 65),
        (InputErrors([InputError("x"), InputError("y")]), 65),
        (errors.RunNotFound("x"), 65),
        (errors.BrokerUnavailable("x"), 69),
        (errors.NoWorker("x"), 69),
        (errors.RunInterrupted("x"), 99),
        (click.UsageError("x"), 64),
        (click.Abort(), 99),
        (KeyboardInterrupt(), 99),
        (click.exceptions.Exit(6), 6),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else str(value),
)
def test_errors_become_exit_codes(
    error: BaseException, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    failing(monkeypatch, error)
    assert main.run(["status"]) == code
    said = capsys.readouterr()
    assert said.out == ""
    assert "Traceback" not in said.err
    assert bool(said.err.strip()) == (not isinstance(error, click.exceptions.Exit))


def test_an_error_says_where_why_and_what_to_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    place = Place("site.yml", 3, 5)
    failing(
        monkeypatch, InputError("no such thing", place=place, why="it is gone", remedy="look", excerpt="    thing: 1")
    )
    assert main.run(["status"]) == 65
    assert capsys.readouterr().err == (
        "site.yml:3:5: no such thing\n        thing: 1\n        ^\n  why: it is gone\n  try: look\n"
    )


def test_a_defect_of_ours_leaves_a_file(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    failing(monkeypatch, ZeroDivisionError("division by zero"))
    assert main.run(["status"]) == 1
    said = capsys.readouterr().err
    assert "Traceback" not in said
    assert said.startswith("unexpected error: ZeroDivisionError: division by zero\n")
    (log,) = tmp_path.iterdir()
    assert str(log) in said
    assert "Traceback (most recent call last)" in log.read_text(encoding="utf-8")
    assert log.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("name", "said"), [("redis.exceptions", "the Python package redis is missing"), (None, "unex")]
)
def test_a_package_that_is_missing_is_named(
    name: str | None, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    failing(monkeypatch, ModuleNotFoundError("No module named 'x'", name=name))
    assert main.run(["status"]) == 1
    assert capsys.readouterr().err.startswith(said)


@pytest.fixture
def garbage_as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What :func:`main.main` sets for the process that it ends is not for ours, which goes on."""
    monkeypatch.setattr(os, "_exit", sys.exit)
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)


@pytest.mark.parametrize(("verb", "seldom"), [("status", True), ("worker", False)])
def test_garbage_is_looked_for_as_usual_where_it_gathers(
    monkeypatch: pytest.MonkeyPatch, garbage_as_before: None, verb: str, seldom: bool
) -> None:
    usual = gc.get_threshold()[0]
    command = click.Command(verb, callback=lambda: int(gc.get_threshold()[0] > usual))
    monkeypatch.setattr(f"opsrunner.cli.{verb}.command", command)
    with pytest.raises(SystemExit) as stop:
        main.main([verb])
    assert stop.value.code == int(seldom)


def test_a_code_that_a_verb_returns_is_the_exit_code(monkeypatch: pytest.MonkeyPatch, garbage_as_before: None) -> None:
    monkeypatch.setattr("opsrunner.cli.status.command", click.Command("status", callback=lambda: 12))
    assert main.run(["status"]) == 12
    with pytest.raises(SystemExit) as stop:
        main.main(["status"])
    assert stop.value.code == 12


def test_what_was_said_without_an_end_of_line_is_written_before_the_process_ends(tmp_path: Path) -> None:
    code = """
import click, sys
from opsrunner.cli import main, status
def callback():
    click.echo("out", nl=False)
    print("err", end="", file=sys.stderr)
    return 3
status.command = click.Command("status", callback=callback)
main.main(["status"])
"""
    with (tmp_path / "out").open("w") as out, (tmp_path / "err").open("w") as err:
        done = subprocess.run([sys.executable, "-c", code], stdout=out, stderr=err, timeout=60, check=False)
    assert (done.returncode, (tmp_path / "out").read_text(), (tmp_path / "err").read_text()) == (3, "out", "err")


def test_a_reader_that_leaves_is_no_error(tmp_path: Path) -> None:
    hosts = tmp_path / "hosts.yml"
    hosts.write_text("all: {hosts: {'web[1:30000]': {a: 1}}}\n", encoding="utf-8")
    line = f"{sys.executable} -m opsrunner inventory list -i {hosts} | head -c 1"
    done = subprocess.run(line, shell=True, capture_output=True, text=True, timeout=60, check=True)
    assert (done.stdout, done.stderr) == ("{", "")


def test_each_command_of_one_process_reads_the_settings_anew(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OPSRUNNER_INVENTORY", "one,")
    assert main.run(["inventory", "hosts", "all"]) == 0
    monkeypatch.setenv("OPSRUNNER_INVENTORY", "two,")
    assert main.run(["inventory", "hosts", "all"]) == 0
    assert capsys.readouterr().out == "one\ntwo\n"
