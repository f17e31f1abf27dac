"""command, shell, raw and script against a real shell."""

from __future__ import annotations

import datetime
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from opsrunner.modules.running import duration
from opsrunner.remote import Command, Completed
from tests.unit.modules.shell_host import Host


@pytest.mark.parametrize(
    ("text", "stdout"),
    [
        ("echo hello", "hello"),
        ("echo 'a  b' \"c d\"", "a  b c d"),
        (r"printf %s a\ b", "a b"),
        (r"echo 'a\nb'", r"a\nb"),  # the program echo, not a shell's
        ("echo * ; ls | wc > x", "* ; ls | wc > x"),
        ("echo $(id) `id` <in >out &", "$(id) `id` <in >out &"),
        ("echo $GREETING ${GREETING}! $NOT_SET ${NOT_SET}", "good day good day! $NOT_SET ${NOT_SET}"),
        ("echo $IFS $1 $$ $", "$IFS $1 $$ $"),
        ("echo 'a\nb'", "a\nb"),
    ],
)
def test_command_gives_its_words_to_the_program_untouched(host: Host, text: str, stdout: str) -> None:
    result = host.run("command", {"_raw_params": text}, environment={"GREETING": "good day"})
    assert (result["stdout"], result["rc"], result["changed"]) == (stdout, 0, True)
    assert result["stdout_lines"] == stdout.splitlines()


def test_command_expands_home_and_can_be_told_not_to(host: Host) -> None:
    assert (
        host.run("command", {"cmd": "echo ~ ~/x a~ ~/'y z'"})["stdout"]
        == f"{host.home} {host.home}/x a~ {host.home}/y z"
    )
    untouched = host.run("command", {"argv": ["echo", "~", "$HOME"], "expand_argument_vars": False})
    assert untouched["stdout"] == "~ $HOME"
    assert untouched["cmd"] == ["echo", "~", "$HOME"]


def test_a_result_has_what_ansible_promises(host: Host) -> None:
    result = host.run("shell", {"_raw_params": "echo out; echo err >&2; exit 3"})
    assert result["failed"] is True
    assert result["msg"] == "non-zero return code"
    assert (result["rc"], result["stdout"], result["stderr"]) == (3, "out", "err")
    assert result["stderr_lines"] == ["err"]
    assert result["cmd"] == "echo out; echo err >&2; exit 3"
    for key in ("start", "end"):
        assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}", result[key])
    assert re.fullmatch(r"0:00:\d\d\.\d{6}", result["delta"])


def test_a_command_that_is_not_there_is_127(host: Host) -> None:
    result = host.run("command", {"_raw_params": "no-such-program-anywhere"})
    assert (result["rc"], result["failed"]) == (127, True)


@pytest.mark.parametrize(
    ("arguments", "stdout"),
    [
        ({"stdin": "text"}, "text\n"),
        ({"stdin": "text", "stdin_add_newline": False}, "text"),
        ({"stdin": ""}, "\n"),
        ({}, ""),
    ],
)
def test_standard_input(host: Host, arguments: dict[str, Any], stdout: str) -> None:
    result = host.run("command", {"_raw_params": "cat", "strip_empty_ends": False, **arguments})
    assert result["stdout"] == stdout


def test_strip_empty_ends(host: Host) -> None:
    assert host.run("shell", {"_raw_params": r"printf 'a\r\n\n'"})["stdout"] == "a"
    assert host.run("shell", {"_raw_params": r"printf 'a\n\n'", "strip_empty_ends": False})["stdout"] == "a\n\n"


def test_output_that_is_no_utf8_is_replaced(host: Host) -> None:
    assert host.run("shell", {"_raw_params": r"printf 'a\377b'"})["stdout"] == "a\ufffdb"


@pytest.mark.parametrize("module", ["command", "shell"])
@pytest.mark.parametrize(
    ("arguments", "runs", "msg"),
    [
        ({"creates": "there"}, False, "Did not run command since 'there' exists"),
        ({"creates": "th*"}, False, "Did not run command since 'th*' exists"),
        ({"creates": "*.missing"}, True, ""),
        ({"creates": "missing"}, True, ""),
        ({"creates": "broken-link"}, False, "Did not run command since 'broken-link' exists"),
        ({"removes": "missing"}, False, "Did not run command since 'missing' does not exist"),
        ({"removes": "th?re"}, True, ""),
        ({"removes": "there", "creates": "missing"}, True, ""),
        ({"chdir": "sub", "creates": "inner file"}, False, "Did not run command since 'inner file' exists"),
        ({"chdir": "~/sub", "creates": "../there"}, False, "Did not run command since '../there' exists"),
    ],
)
def test_creates_removes_and_chdir(host: Host, module: str, arguments: dict[str, Any], runs: bool, msg: str) -> None:
    (host.home / "there").touch()
    (host.home / "broken-link").symlink_to("nowhere")
    (host.home / "sub").mkdir()
    (host.home / "sub/inner file").touch()
    result = host.run(module, {"_raw_params": "touch ran", **arguments})
    place = host.home / ("sub" if "chdir" in arguments else "")
    assert ((place / "ran").exists(), result["changed"], result["msg"]) == (runs, runs, msg)
    assert result["rc"] == 0
    assert host.round_trips == 1
    if not runs:
        assert result["stdout"].startswith("skipped, since ")
        assert host.output == []


def test_chdir_to_nowhere_fails(host: Host) -> None:
    result = host.run("command", {"_raw_params": "touch ran", "chdir": "/no/such"})
    assert result["failed"] is True
    assert result["msg"] == "Unable to change directory before execution."
    assert "/no/such" in result["stderr"]
    assert not (host.home / "ran").exists()


def test_the_guard_leaves_no_trace_in_the_shell(host: Host) -> None:
    plain = host.run("shell", {"_raw_params": 'echo "$0|$#|$IFS|$found"; set -- $(echo a b); echo $#'})
    guarded = host.run(
        "shell", {"_raw_params": 'echo "$0|$#|$IFS|$found"; set -- $(echo a b); echo $#', "creates": "x"}
    )
    assert plain["stdout"] == guarded["stdout"]


def test_output_is_shown_live_behind_a_guard(host: Host) -> None:
    host.run("command", {"_raw_params": "echo seen", "removes": "/"})
    assert host.output == [("stdout", b"seen\n")]


def test_shell_takes_another_shell(host: Host) -> None:
    result = host.run(
        "shell", {"_raw_params": "import sys; print(sys.argv)", "executable": sys.executable, "removes": "/"}
    )
    assert result["stdout"] == "['-c']"


@pytest.mark.parametrize("module", ["command", "shell"])
def test_check_mode_runs_nothing(host: Host, module: str) -> None:
    result = host.run(module, {"_raw_params": "touch ran"}, check=True)
    assert (result["skipped"], result["changed"]) == (True, False)
    predicted = host.run(module, {"_raw_params": "touch ran", "creates": "ran"}, check=True)
    assert (predicted.get("skipped"), predicted["changed"]) == (None, True)
    assert predicted["msg"] == "Command would have run if not in check mode"
    (host.home / "done").touch()
    done = host.run(module, {"_raw_params": "touch ran", "creates": "done"}, check=True)
    assert (done["changed"], done["msg"]) == (False, "Would not run command since 'done' exists")
    assert not (host.home / "ran").exists()


@pytest.mark.parametrize(("module", "text"), [("command", ""), ("command", "'open"), ("shell", "  ")])
def test_no_command_fails(host: Host, module: str, text: str) -> None:
    assert host.run(module, {"_raw_params": text})["failed"] is True
    assert host.round_trips == 0


def test_true_sizes_of_output_that_was_cut(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    real = host.remote.exec

    def cut(command: Command, **options: Any) -> Completed:
        whole = real(command, **options)
        return Completed(whole.rc, b"ab", b"", whole.started, whole.ended, 70, 0)

    monkeypatch.setattr(host.remote, "exec", cut)
    result = host.run("command", {"_raw_params": "true"})
    assert (result["truncated"], result["stdout_size"], result["stderr_size"]) == (True, 70, 0)


def test_duration_has_its_fraction_always() -> None:
    assert duration(datetime.timedelta(seconds=2)) == "0:00:02.000000"
    assert duration(datetime.timedelta(hours=26, microseconds=7)) == "1 day, 2:00:00.000007"


def test_raw_adds_nothing(host: Host) -> None:
    result = host.run("raw", {"_raw_params": "echo 'a b'; echo c"}, environment={"X": "1"})
    assert (result["stdout"], result["stdout_lines"], result["rc"]) == ("a b\nc\n", ["a b", "c"], 0)
    assert result["warnings"] == ["raw module does not support the environment keyword"]
    command = host.remote.commands[0]
    assert (command.line, command.raw, dict(command.environment)) == ("echo 'a b'; echo c", True, {})


def test_raw_with_a_shell_and_a_failure(host: Host) -> None:
    result = host.run("raw", {"_raw_params": 'echo "it\'s"; exit 4', "executable": "/bin/sh"})
    assert (result["stdout"], result["rc"], result["failed"]) == ("it's\n", 4, True)


def leftovers(host: Host) -> list[Path]:
    return [path for folder in (host.home, host.home / "tmp") if folder.exists() for path in folder.glob(".opsrunner*")]


def test_script_runs_and_is_removed(host: Host) -> None:
    host.files.write("say it.sh", '#!/bin/sh\nprintf "<%s>" "$@"; pwd; cat; exit 5\n')
    (host.home / "tmp").mkdir()
    result = host.run(
        "script", {"_raw_params": "'say it.sh' one 'two words' $((1+2))"}, environment={"TMPDIR": f"{host.home}/tmp"}
    )
    assert result["stdout"] == f"<one><two words><3>{host.home}\n"
    assert (result["rc"], result["failed"], result["changed"]) == (5, True, True)
    assert leftovers(host) == []
    assert host.round_trips == 1


def test_script_without_a_first_line_with_an_interpreter_and_elsewhere(host: Host) -> None:
    host.files.write("plain.sh", "echo plain $1")
    assert host.run("script", {"_raw_params": "plain.sh x"})["stdout"] == "plain x\n"
    host.files.write("p.txt", "import os, sys; print(os.getcwd(), sys.argv[1:])")
    (host.home / "deep").mkdir()
    result = host.run("script", {"cmd": "p.txt a", "executable": f"{sys.executable} -u", "chdir": f"{host.home}/deep"})
    assert result["stdout"] == f"{host.home}/deep ['a']\n"


def test_script_falls_back_when_a_directory_cannot_be_used(host: Host) -> None:
    host.files.write("s.sh", "echo ok")
    result = host.run("script", {"_raw_params": "s.sh"}, environment={"TMPDIR": "/nowhere"})
    assert result["stdout"] == "ok\n"


@pytest.mark.parametrize(
    ("arguments", "check", "mark", "msg"),
    [
        ({"creates": "there"}, False, "skipped", "there exists, matching creates option"),
        ({"removes": "gone"}, True, "skipped", "gone does not exist, matching removes option"),
        ({"creates": "gone"}, True, "changed", None),
        ({}, True, "skipped", "Check mode is not supported for this task."),
        ({"chdir": "sub"}, False, "failed", "chdir sub must be an absolute path for a Unix-aware remote node"),
        ({"_raw_params": "missing.sh"}, False, "failed", "Could not find or access 'missing.sh'"),
    ],
)
def test_script_that_does_not_run(
    host: Host, arguments: dict[str, Any], check: bool, mark: str, msg: str | None
) -> None:
    host.files.write("s.sh", f"touch {host.home}/ran")
    (host.home / "there").touch()
    result = host.run("script", {"_raw_params": "s.sh", **arguments}, check=check)
    assert (result[mark], result.get("msg")) == (True, msg)
    assert not (host.home / "ran").exists()
