"""Lookups are carried out when a plan is compiled; workers replay the answers."""

from __future__ import annotations

import subprocess
from pathlib import Path
from random import Random
from typing import Any

import pytest

from opsrunner import inventory
from opsrunner.errors import InputError, InputErrors
from opsrunner.plan import machine
from opsrunner.plan.command import compile_exec
from opsrunner.plan.compile import compile_playbook
from opsrunner.plan.loops import items_of
from opsrunner.plan.model import Loop, Options, Plan
from opsrunner.templating import Scope, Templar, TemplateFailure

HOSTS = """\
all:
  hosts: {h1: {k: one}, h2: {k: two}}
  children:
    idle: {hosts: {h3: }, vars: {i: "{{ lookup('env', 'IDLE') }}"}}
"""
EACH_HOST = {"env one", "env two"}


def compiled(folder: Path, tasks: str, **variables: Any) -> Plan:
    (folder / "hosts.yml").write_text(HOSTS)
    (folder / "site.yml").write_text(f"- hosts: h1:h2\n  gather_facts: false\n  tasks:\n{tasks}")
    hosts = inventory.load([str(folder / "hosts.yml")], base=folder)
    return compile_playbook(folder / "site.yml", hosts, Options(), variables).plan


@pytest.mark.parametrize(
    ("task", "asked"),
    [
        ("debug: {msg: \"{{ lookup('env', 'A') }}\"}", {"env A"}),
        ("debug: {msg: \"{{ lookup('env', k) }} {{ x | default(lookup('env', 'B')) }}\"}", {"env B", *EACH_HOST}),
        ("debug: {msg: \"{{ lookup('env', item) }}\"}\n      loop: [C, '{{ k }}']", {"env C", *EACH_HOST}),
        ("debug: {msg: \"{{ r.x }} {{ lookup('env', 'D') }}\"}", {"env D"}),
        ("debug: {msg: \"{% for n in [1, 2] %}{{ q('env', 'E' ~ n) }}{% endfor %}\"}", {"env E1", "env E2"}),
        ("debug: {msg: x}\n      when: lookup('env', 'F') == ''", {"env F"}),
        ("debug: {var: \"lookup('env', 'G')\"}", {"env G"}),
        ("debug: {msg: x}\n      with_env: [H, '{{ k }}']", {"env H", *EACH_HOST}),
        ("debug: {}\n      loop: [1]\n      loop_control: {break_when: \"lookup('env', 'J')\"}", {"env J"}),
        ("debug: {msg: \"{{ r.x | expanduser }} {{ '$L' | expandvars }}\"}", {"env HOME", "env L"}),
        ("debug: {msg: \"{{ v }}\"}\n      vars: {v: \"{{ lookup('env', 'K') }}\"}", {"env K"}),
        ("debug: {msg: x}\n      when: \"('/etc/' ~ k) is not file\"", {"status /etc/one", "status /etc/two"}),
        ("debug: {msg: \"{{ ['/a', '/b'] | select('ansible.builtin.exists') }}\"}", {"status /a", "status /b"}),
        ("debug: {msg: \"{{ ['/a'] | map('realpath') }} {{ '/x*' | fileglob }}\"}", {"status /a", "matching /x*"}),
        ("debug: {msg: \"{{ lookup('password', '/dev/null', length=r.x) }}\"}", set()),
    ],
)
def test_what_is_asked_before_the_run(task: str, asked: set[str], tmp_path: Path) -> None:
    assert set(compiled(tmp_path, f"    - {task}\n").lookups) == asked


def test_variables_of_the_hosts_that_count(tmp_path: Path) -> None:
    """Those of a host that a step is sent to in another's name are among them, and those of an ad hoc command."""
    assert compiled(tmp_path, "    - debug: {msg: x}\n").lookups == {}
    assert set(compiled(tmp_path, "    - command: id\n      delegate_to: h3\n").lookups) == {"env IDLE"}
    hosts = inventory.load([str(tmp_path / "hosts.yml")], base=tmp_path)
    assert set(compile_exec("h3", ["id"], hosts, Options(), directory=tmp_path).plan.lookups) == {"env IDLE"}


def test_a_lookup_that_only_a_step_could_name_is_refused_with_its_place(tmp_path: Path) -> None:
    task = "    - debug: {msg: \"{{ lookup('file', r.stdout) }}\"}\n"
    with pytest.raises((InputError, InputErrors)) as caught:
        compiled(tmp_path, task + "    - debug: {msg: x}\n      with_fileglob: '{{ r.stdout }}'\n")
    assert [str(fault.place).rpartition("/")[2] for fault in caught.value.errors] == ["site.yml:4:7", "site.yml:5:7"]  # type: ignore[union-attr]


def test_a_program_runs_once_for_a_run_and_its_failure_is_kept(tmp_path: Path) -> None:
    lines: list[str] = []

    def run(line: str, **_options: Any) -> subprocess.CompletedProcess[bytes]:
        lines.append(line)
        return subprocess.CompletedProcess(line, 3 if line == "bad" else 0, b"out\n")

    recorder = machine.Recorder(machine.Here(tmp_path, {}, run).ask)
    for ask in (recorder.ask, recorder.ask, machine.replayed(recorder.answers)):
        templar = Templar(lookups=machine.lookups(ask, "/"))
        assert templar.render("{{ lookup('pipe', 'good') }}", {}) == "out"
        with pytest.raises(TemplateFailure, match="returned 3"):
            templar.render("{{ lookup('pipe', 'bad') }}", {})
    assert lines == ["good", "bad"]
    with pytest.raises(TemplateFailure, match="was not looked up on the machine that submitted"):
        templar.render("{{ lookup('pipe', 'other') }}", {})


def test_what_is_no_text_fails_where_it_is_used(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    recorder = machine.Recorder(machine.Here(tmp_path, {}).ask)
    for ask in (recorder.ask, machine.replayed(recorder.answers)):
        with pytest.raises(TemplateFailure, match="binary is not UTF-8"):
            Templar(lookups=machine.lookups(ask, "/")).render("{{ lookup('file', 'binary') }}", {})


def test_a_random_choice_is_the_same_when_it_is_made_again() -> None:
    templar = Templar(lookups=machine.lookups(machine.replayed({}), "/"))
    loop = Loop("random_choice", list(range(1000)))
    scope = Scope(templar, ())
    first, again, other = (
        items_of(loop, "debug", templar, scope, Random(seed)) for seed in ("run.1.a", "run.1.a", "run.1.b")
    )
    assert first == again != other


def test_a_password_is_made_once_and_kept(tmp_path: Path) -> None:
    def looked_up(template: str) -> Any:
        plan = compiled(tmp_path, f'    - debug: {{msg: "{template}"}}\n')
        templar = Templar(lookups=machine.lookups(machine.replayed(plan.lookups), str(tmp_path)))
        return templar.render(template, Scope(templar, ()))

    made = looked_up("{{ lookup('password', 'secrets/db length=8 chars=digits') }}")
    file = tmp_path / "secrets" / "db"
    assert len(made) == 8 and made.isdigit() and file.read_text() == made + "\n"
    assert (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    hashed = looked_up("{{ lookup('password', 'secrets/db', encrypt='md5_crypt') }}")
    salt = hashed.split("$")[2]
    assert file.read_text() == f"{made} salt={salt}\n" and hashed == looked_up(
        "{{ lookup('password', 'secrets/db', encrypt='md5_crypt') }}"
    )
    assert looked_up("{{ lookup('password', 'secrets/db') }}") == made
    assert [one.name for one in file.parent.iterdir()] == ["db"]
    with pytest.raises(TemplateFailure, match="cannot keep"):
        looked_up("{{ lookup('password', 'secrets length=1') }}")
    with pytest.raises(InputError, match="cannot be carried out") as told:
        looked_up("{{ lookup('password', 'secrets/db nope=1') }}")
    assert "Unrecognized" in str(told.value.why)


def test_who_comes_second_takes_the_password_of_who_was_faster(tmp_path: Path) -> None:
    wanted = {"length": 4, "chars": "a", "encrypt": None, "ident": None, "seed": None}
    here = machine.Here(tmp_path)
    (tmp_path / "pw").symlink_to(tmp_path / "late")  # what is not there when it is looked at, and is in the way then
    (tmp_path / "late").write_text("first\n")
    assert here.password("pw", wanted) == "first"
