"""The text handed to a shell, tried on real shells."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opsrunner.errors import InputError
from opsrunner.launch import kill_line, prepare, quote_path
from opsrunner.remote import Become, Command

SHELLS = [found for name in ("dash", "bash", "busybox", "zsh") if (found := shutil.which(name))]


def run(command: Command, shell: str = "/bin/sh") -> subprocess.CompletedProcess[bytes]:
    launch = prepare(command, "NONCE")
    words = [shell, "sh", "-c"] if shell.endswith("busybox") else [shell, "-c"]
    return subprocess.run(
        [*words, launch.line], input=launch.script + command.stdin, capture_output=True, check=False, timeout=20
    )


@pytest.mark.parametrize("shell", SHELLS)
def test_the_marker_is_the_process_itself(shell: str) -> None:
    done = run(Command("echo $$"), shell)
    marker, pid = done.stdout.split(b"\n")[:2]
    assert marker == b"NONCE i " + pid
    assert done.stderr == b""


@pytest.mark.parametrize("shell", SHELLS)
@settings(max_examples=15, deadline=None)
@given(value=st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=30))
def test_any_value_survives_quoting(shell: str, value: str) -> None:
    done = run(Command('printf %s "$VALUE"', environment={"VALUE": value}), shell)
    assert done.stdout.partition(b"\n")[2].decode() == value


def test_the_line_is_the_rest_of_the_script() -> None:
    line = "cat <<END\nit's $((1 + 1))\nEND\n# a comment at the end"
    assert run(Command(line)).stdout.partition(b"\n")[2] == b"it's 2\n"


@pytest.mark.parametrize("line", ["echo 'open", "if", "$("])
def test_a_broken_line_fails_after_the_marker(line: str) -> None:
    for shell in (None, "/bin/bash"):
        done = run(Command(line, executable=shell))
        assert done.stdout.startswith(b"NONCE i ")
        assert done.returncode != 0
        assert done.stderr


def test_directories_with_odd_names(tmp_path: Path) -> None:
    for name in ("-L", "~", "a b", "it's", "$x"):
        (tmp_path / name).mkdir()
    for name in ("-L", "a b", "it's", "$x"):
        done = subprocess.run(
            ["/bin/sh", "-c", prepare(Command("pwd", directory=name), "N").line],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            check=True,
            env={"CDPATH": "/", "PATH": os.environ["PATH"]},
        )
        assert done.stdout.splitlines()[1:] == [str(tmp_path / name)]


def test_home_is_resolved_by_the_host() -> None:
    assert run(Command("pwd", directory="~")).stdout.splitlines()[1:] == [
        subprocess.run(["/bin/sh", "-c", "cd; pwd"], capture_output=True, check=True).stdout.strip()
    ]
    assert quote_path("~/a b") == "~/'a b'"
    assert quote_path("~root/x") == "~root/x"
    assert quote_path("~weird name") == "'~weird name'"
    assert quote_path("/a/~") == "'/a/~'"


def test_a_long_script_comes_by_stdin() -> None:
    command = Command("# " + "x" * 150_000 + "\ncat; echo ' done'", stdin=b"payload")
    launch = prepare(command, "NONCE")
    assert len(launch.line) < 1000
    assert run(command).stdout.partition(b"\n")[2] == b"payload done\n"


@pytest.mark.parametrize("shell", SHELLS)
def test_a_long_script_that_is_cut_short_does_not_run_in_part(shell: str, tmp_path: Path) -> None:
    launch = prepare(Command(f"touch {tmp_path}/ran\n# " + "x" * 150_000 + "\nexit 3 \\"), "NONCE")
    words = [shell, "sh", "-c"] if shell.endswith("busybox") else [shell, "-c"]
    for size in (20 + len(str(tmp_path)), 150_000, len(launch.script) - 1):
        subprocess.run([*words, launch.line], input=launch.script[:size], capture_output=True, check=False, timeout=20)
        assert not (tmp_path / "ran").exists()
    done = subprocess.run([*words, launch.line], input=launch.script, capture_output=True, check=False, timeout=20)
    assert (done.returncode, (tmp_path / "ran").exists()) == (3, True)


def test_only_commands_without_input_get_dev_null() -> None:
    assert prepare(Command("x"), "N").no_input
    assert prepare(Command("x", become=Become()), "N").no_input
    assert not prepare(Command("x", stdin=b"y"), "N").no_input
    assert not prepare(Command("x", become=Become(password="p")), "N").no_input
    assert not prepare(Command("x", raw=True), "N").no_input


def test_raw_is_sent_as_it_is() -> None:
    launch = prepare(Command("show version", raw=True, environment={"A": "b"}, directory="/"), "N")
    assert (launch.line, launch.marked) == ("show version", False)


@pytest.mark.parametrize("name", ["1A", "A-B", "", "A;rm", "a b"])
def test_a_variable_needs_a_name(name: str) -> None:
    with pytest.raises(InputError, match="no name for a variable"):
        prepare(Command("x", environment={name: "v"}), "N")


def test_nul_bytes_are_refused() -> None:
    with pytest.raises(InputError, match="NUL"):
        prepare(Command("a\0b"), "N")
    with pytest.raises(InputError, match="NUL"):
        prepare(Command("x", environment={"A": "a\0b"}), "N")


def end(groups: list[int], grace: float, shell: str = "/bin/sh") -> str:
    words = [shell, "sh", "-c"] if shell.endswith("busybox") else [shell, "-c"]
    done = subprocess.run([*words, kill_line(tuple(groups), grace=grace)], capture_output=True, text=True, check=False)
    assert done.stderr == ""
    return done.stdout.strip()


def sleeper(script: str) -> subprocess.Popen[bytes]:
    # The child itself says it is there: a signal that comes between a shell's fork and the child's exec
    # is taken by the shell's handler in the child, and lost.
    process = subprocess.Popen(
        ["/bin/sh", "-c", f"{script}\nsh -c 'echo ready; exec sleep 60' & wait; sleep 60"],
        start_new_session=True,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    return process


@pytest.mark.parametrize("shell", [shell for shell in SHELLS if not shell.endswith("zsh")])
@pytest.mark.parametrize(("script", "number"), [("true", signal.SIGTERM), ("trap '' TERM", signal.SIGKILL)])
def test_a_group_is_ended(shell: str, script: str, number: int) -> None:
    with sleeper(script) as process:
        assert end([process.pid], 0.3, shell) == "killed"
        # Not reaped by us until here: a zombie counts as gone.
        assert process.wait(5) == -number


def test_term_alone_leaves_time() -> None:
    before = time.monotonic()
    with sleeper("trap 'sleep 0.5; exit 7' TERM") as process:
        assert end([process.pid], 10) == "killed"
        assert process.wait(5) == 7
    assert time.monotonic() - before < 8


def test_a_group_that_is_gone() -> None:
    with subprocess.Popen(["true"], start_new_session=True) as process:
        process.wait()
    assert end([process.pid], 5) == "ended"


def test_a_stopped_group_is_ended_too() -> None:
    with sleeper("true") as process:
        os.killpg(process.pid, signal.SIGSTOP)
        assert end([process.pid], 5) == "killed"
