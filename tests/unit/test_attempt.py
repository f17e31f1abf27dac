"""Guarded commands on real shells: each runs at most once, and whoever asks again is told what became of it."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from opsrunner.attempt import cleanup_line
from opsrunner.launch import kill_line, prepare
from opsrunner.remote import (
    GUARD_REFUSED_MESSAGE,
    GUARD_REFUSED_RC,
    GUARD_UNKNOWN_MESSAGE,
    GUARD_UNKNOWN_RC,
    NO_DIRECTORY_MESSAGE,
    NO_DIRECTORY_RC,
    Command,
)

SHELLS = [found for name in ("dash", "bash", "busybox") if (found := shutil.which(name))]
BASE = Path(f"/var/tmp/opsrunner-{os.getuid()}")


class Asker:
    """Somebody who asks for a command, as a worker would: in a session of its own, over pipes."""

    def __init__(self, command: Command, *, shell: str = "/bin/sh", stdin: bytes | None = None, **started: object):
        self.nonce = secrets.token_hex(4)
        launch = prepare(command, self.nonce)
        word = f"{shell} sh" if shell.endswith("busybox") else shell
        line = launch.line.replace("/bin/sh -c", f"{word} -c")
        self.input = launch.script + command.stdin if stdin is None else stdin
        self.process = subprocess.Popen(
            ["/bin/sh", "-c", line],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,  # what is read ahead would be hidden from communicate
            **{"start_new_session": True, **started},  # type: ignore[call-overload]
        )

    def heard(self) -> bytes:
        """The next line on stdout."""
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def group(self) -> int:
        """What the marker names; read before the answer."""
        assert self.heard() == f"{self.nonce} s {self.process.pid}\n".encode()
        word, kind, group = self.heard().split()
        assert (word, kind) == (self.nonce.encode(), b"i")
        return int(group)

    def answer(self, timeout: float = 30) -> tuple[int, bytes, bytes]:
        """rc, stdout without the markers, stderr."""
        stdout, stderr = self.process.communicate(self.input, timeout=timeout)
        said = re.sub(rb"\A(?:%b [si] \d+\n)*" % self.nonce.encode(), b"", stdout)
        return self.process.returncode, said, stderr

    def cut(self) -> None:
        """The link breaks off; the processes on the host are nobody's then."""
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            assert pipe is not None
            pipe.close()

    def __enter__(self) -> Asker:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.cut_if_open()
        self.process.wait()

    def cut_if_open(self) -> None:
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            if pipe is not None and not pipe.closed:
                pipe.close()


def ask(command: Command, shell: str = "/bin/sh", **more: object) -> tuple[int, bytes, bytes]:
    with Asker(command, shell=shell, **more) as asker:  # type: ignore[arg-type]
        return asker.answer()


def wait_for(condition: Callable[[], object], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture
def run() -> Iterator[str]:
    """The name of a run whose attempts are removed in the end."""
    name = f"test-{secrets.token_hex(4)}"
    yield name
    subprocess.run(["/bin/sh", "-c", cleanup_line(name)], check=True)
    assert not list(BASE.glob(f"{name}*"))


LINES = {
    "out=$(printf 'a%.0s' 1 2 3); echo $out; echo err >&2; exit 3": (3, b"aaa\n", b"err\n"),
    "printf 'no newline'; printf 'nor here' >&2": (0, b"no newline", b"nor here"),
    "exit 1": (1, b"", b""),
    "/no/such/program 2>/dev/null": (127, b"", b""),
    "echo before; kill -9 $$": (137, b"before\n", b""),
    "kill $$": (143, b"", b""),
    "cat; exit 9": (9, b"input", b""),
}


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("line", LINES)
def test_it_runs_once_and_answers_twice(run: str, shell: str, line: str, tmp_path: Path) -> None:
    command = Command(f"echo x >>{tmp_path}/ran; {line}", stdin=b"input", guard=f"{run}.0")
    for _ in range(2):
        assert ask(command, shell) == LINES[line]
    assert (tmp_path / "ran").read_text() == "x\n"


@pytest.mark.parametrize("shell", SHELLS)
def test_megabytes_of_any_bytes_on_both_streams(run: str, shell: str, tmp_path: Path) -> None:
    (tmp_path / "out").write_bytes(out := os.urandom(3_000_001))
    (tmp_path / "err").write_bytes(err := os.urandom(2_000_003))
    command = Command(f"cat {tmp_path}/err >&2 & cat {tmp_path}/out; wait; exit 5", guard=f"{run}.0")
    for _ in range(2):
        assert ask(command, shell) == (5, out, err)


@pytest.mark.parametrize("shell", SHELLS)
def test_who_comes_while_it_runs_follows_it(run: str, shell: str, tmp_path: Path) -> None:
    line = f"echo one; until [ -e {tmp_path}/go ]; do sleep 0.02; done; echo two; exit 4"
    command = Command(line, guard=f"{run}.0")
    with Asker(command, shell=shell) as first, Asker(command, shell=shell) as second:
        # One of them runs it, and both know who.
        groups = {first.group(), second.group()}
        assert groups < {first.process.pid, second.process.pid}
        assert (first.heard(), second.heard()) == (b"one\n", b"one\n")
        (tmp_path / "go").touch()
        assert first.answer() == second.answer() == (4, b"two\n", b"")


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("when", ["before", "meanwhile"])
def test_a_command_that_was_killed_is_not_run_again(run: str, shell: str, when: str, tmp_path: Path) -> None:
    command = Command(f"echo x >>{tmp_path}/ran; printf so-far; printf err >&2; sleep 60", guard=f"{run}.0")
    with Asker(command, shell=shell) as first:
        group = first.group()
        wait_for(lambda: (BASE / f"{run}.0" / "err").read_bytes() == b"err")
        if when == "before":
            os.killpg(group, signal.SIGKILL)
            first.process.wait()
        with Asker(command, shell=shell) as second:
            if when == "meanwhile":
                assert second.group() == group
                os.killpg(group, signal.SIGKILL)
                # Not reaped by us: a zombie is dead as well.
            rc, stdout, stderr = second.answer()
    assert (rc, stdout) == (GUARD_UNKNOWN_RC, b"so-far")
    said = f"{GUARD_UNKNOWN_MESSAGE}: its processes were killed, or the host was restarted ({BASE}/{run}.0)\n"
    assert stderr == b"err" + said.encode()
    assert (tmp_path / "ran").read_text() == "x\n"


@pytest.mark.parametrize("change", ["boot", "start"])
def test_another_process_with_the_same_number_is_not_taken_for_it(run: str, change: str) -> None:
    command = Command("sleep 60", guard=f"{run}.0")
    with Asker(command) as first:
        first.group()
        file = BASE / f"{run}.0" / "pid"
        pid, group, who, digest = file.read_text().splitlines()
        boot, start = who.split()
        who = f"{boot[::-1]} {start}" if change == "boot" else f"{boot} {int(start) - 1}"
        file.write_text(f"{pid}\n{group}\n{who}\n{digest}\n")
        with Asker(command) as second:
            assert second.group() == second.process.pid  # a cancellation must not kill the stranger
            assert second.answer()[0] == GUARD_UNKNOWN_RC


def test_an_attempt_that_left_no_trace(run: str, tmp_path: Path) -> None:
    BASE.mkdir(mode=0o700, exist_ok=True)
    (BASE / f"{run}.0").mkdir()
    before = time.monotonic()
    rc, _, stderr = ask(Command(f"touch {tmp_path}/ran", guard=f"{run}.0"))
    assert (rc, stderr.decode().startswith(GUARD_UNKNOWN_MESSAGE)) == (GUARD_UNKNOWN_RC, True)
    assert time.monotonic() - before < 10
    assert not (tmp_path / "ran").exists()


def test_another_command_does_not_get_its_answer(run: str, tmp_path: Path) -> None:
    assert ask(Command("echo one", guard=f"{run}.0"))[0] == 0
    for other in (
        Command(f"touch {tmp_path}/ran", guard=f"{run}.0"),
        Command("echo one", stdin=b"x", guard=f"{run}.0"),
        Command("echo one", environment={"A": "b"}, guard=f"{run}.0"),
    ):
        rc, stdout, stderr = ask(other)
        assert (rc, stdout) == (GUARD_UNKNOWN_RC, b"")
        assert "another command" in stderr.decode()
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("shell", SHELLS)
def test_input_that_was_cut_short_runs_nothing(run: str, shell: str, tmp_path: Path) -> None:
    data = os.urandom(1_500_000)
    command = Command(f"echo x >>{tmp_path}/ran; cat", stdin=data, guard=f"{run}.0")
    rc, _, stderr = ask(command, shell, stdin=data[:-1])
    assert (rc, stderr.decode().startswith(GUARD_REFUSED_MESSAGE)) == (GUARD_REFUSED_RC, True)
    assert not list(BASE.glob(f"{run}*"))
    for _ in range(2):
        assert ask(command, shell) == (0, data, b"")
    assert (tmp_path / "ran").read_text() == "x\n"
    assert [path.name for path in BASE.glob(f"{run}*")] == [f"{run}.0"]
    assert sorted(path.name for path in (BASE / f"{run}.0").iterdir()) == ["err", "out", "pid", "rc"]


@pytest.mark.parametrize("shell", SHELLS)
def test_a_cut_link_does_not_hurt_it(run: str, shell: str, tmp_path: Path) -> None:
    line = f"echo one; until [ -e {tmp_path}/go ]; do sleep 0.02; done; echo two; echo err >&2; exit 6"
    command = Command(line, guard=f"{run}.0")
    with Asker(command, shell=shell) as first:
        first.group()
        first.cut()
        (tmp_path / "go").touch()
        assert ask(command, shell) == (6, b"one\ntwo\n", b"err\n")
        assert first.process.wait(10) is not None


@pytest.mark.parametrize("shell", SHELLS)
def test_a_link_that_is_cut_as_it_begins_leaves_no_half_attempt(run: str, shell: str, tmp_path: Path) -> None:
    slow = (
        f'#!/bin/sh\n/bin/mkdir "$@" || exit\ntouch {tmp_path}/made\nuntil [ -e {tmp_path}/go ]; do sleep 0.02; done\n'
    )
    (tmp_path / "mkdir").write_text(slow)
    (tmp_path / "mkdir").chmod(0o755)
    command = Command(f"echo x >>{tmp_path}/ran", guard=f"{run}.0")
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    with Asker(command, shell=shell, env=environment) as first:
        wait_for((tmp_path / "made").exists)
        first.cut()
        (tmp_path / "go").touch()
        assert first.process.wait(10) == 0
    assert ask(command, shell) == (0, b"", b"")
    assert (tmp_path / "ran").read_text() == "x\n"


def test_two_at_once_run_it_once(run: str, tmp_path: Path) -> None:
    for number in range(25):
        command = Command(f"echo {number} >>{tmp_path}/ran; cat", stdin=b"in", guard=f"{run}.{number}")
        with Asker(command) as first, Asker(command) as second:
            assert first.answer() == second.answer() == (0, b"in", b"")
    assert (tmp_path / "ran").read_text().split() == [str(number) for number in range(25)]


# ------------------------------------------------------------------ what the command sees


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    "line",
    [
        "umask",
        "pwd; env | grep -v -e ^_= -e ^SHLVL= | sort",
        # Without 33, which glibc has for itself, and sets when it forks.
        "grep ^Sig /proc/self/status | grep -v SigQ | sed 's/........\\(........\\)$/\\1/'",
        "set -- /proc/self/fd/*; echo $#",
        "readlink /proc/self/fd/0",
        "ps -o pgid= -p $$ | wc -l; echo $# $0 | sed 's,.*/,,'; trap",
    ],
)
def test_the_command_sees_the_same_as_without_a_guard(run: str, shell: str, line: str) -> None:
    environment = {"group": "web", "rc": "7", "A": "it's"}
    plain = Command(line, environment=environment, directory="/usr")
    old = os.umask(0o027)
    try:
        words = [shell, "sh"] if shell.endswith("busybox") else [shell]
        text = prepare(plain, "N").line.replace("/bin/sh -c", f"{' '.join(words)} -c")
        done = subprocess.run([*words, "-c", text], capture_output=True, stdin=subprocess.DEVNULL, check=False)
        guarded = ask(Command(line, environment=environment, directory="/usr", guard=f"{run}.0"), shell)
    finally:
        os.umask(old)
    assert (done.returncode, done.stdout.partition(b"\n")[2], done.stderr) == guarded


def test_environment_and_directory_cannot_hurt_the_guard(run: str, tmp_path: Path) -> None:
    here = tmp_path / "here"
    here.mkdir()
    command = Command(
        f"PATH=/bin:/usr/bin; rmdir {here}; echo done",
        environment={"PATH": "/nowhere"},
        directory=str(here),
        guard=f"{run}.0",
    )
    for _ in range(2):
        assert ask(command) == (0, b"done\n", b"")


def test_a_directory_that_is_not_there_is_an_answer_like_any_other(run: str) -> None:
    for _ in range(2):
        rc, _, stderr = ask(Command("x", directory="/no/such", guard=f"{run}.0"))
        assert (rc, stderr.decode().startswith(NO_DIRECTORY_MESSAGE)) == (NO_DIRECTORY_RC, True)


@pytest.mark.parametrize("shell", SHELLS)
def test_a_child_left_behind_does_not_keep_it(run: str, shell: str) -> None:
    before = time.monotonic()
    rc, stdout, _ = ask(Command("sleep 30 & echo $!; exit 2", guard=f"{run}.0"), shell)
    os.kill(int(stdout), signal.SIGKILL)
    assert rc == 2
    assert time.monotonic() - before < 15


def test_other_shells_and_long_scripts(run: str) -> None:
    assert ask(Command("echo $0", executable="/bin/bash", guard=f"{run}.0")) == (0, b"/bin/bash\n", b"")
    command = Command("# " + "x" * 150_000 + '\ncat; echo " it\'s done"', stdin=b"payload", guard=f"{run}.1")
    for _ in range(2):
        assert ask(command) == (0, b"payload it's done\n", b"")


# ------------------------------------------------------------------ cancelling


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("who", ["owner", "joiner"])
def test_cancelling_ends_the_command_and_takes_its_last_words(run: str, shell: str, who: str) -> None:
    line = "exec 2>/dev/null; trap 'echo last words; exit 7' TERM; echo ready; while :; do sleep 0.05; done"
    command = Command(line, guard=f"{run}.0")
    with Asker(command, shell=shell) as first:
        group = first.group()
        assert first.heard() == b"ready\n"
        with Asker(command, shell=shell) as second:
            assert second.group() == group
            assert second.heard() == b"ready\n"
            groups = (group,) if who == "owner" else (second.process.pid, group)
            done = subprocess.run(["/bin/sh", "-c", kill_line(groups, grace=10)], capture_output=True, check=True)
            assert done.stdout == b"killed\n"
            assert first.answer() == second.answer() == (7, b"last words\n", b"")


@pytest.mark.parametrize("shell", SHELLS)
def test_cancelling_loses_nothing_that_is_on_its_way(run: str, shell: str, tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(data := os.urandom(1_000_000))
    line = f"cat {tmp_path}/data; trap 'exit 7' TERM; until [ -e {tmp_path}/never ]; do sleep 0.05; done 2>/dev/null"
    with Asker(Command(line, guard=f"{run}.0"), shell=shell) as first:
        group = first.group()
        wait_for(lambda: (BASE / f"{run}.0" / "out").stat().st_size == len(data))
        time.sleep(0.2)  # what copies is stuck in the middle, as nobody reads
        with subprocess.Popen(["/bin/sh", "-c", kill_line((group,), grace=10)], stdout=subprocess.PIPE) as killing:
            time.sleep(0.2)
            assert first.answer()[:2] == (7, data)
            assert killing.communicate()[0] == b"killed\n"


def test_a_group_that_is_shared_with_others_is_not_named(run: str) -> None:
    # A server that gives no group of its own to a command: signalling the group would end the server.
    command = Command("sleep 60", guard=f"{run}.0")
    with (
        subprocess.Popen(["sleep", "60"], process_group=0) as server,
        Asker(command, start_new_session=False, process_group=server.pid) as first,
    ):
        assert first.group() == first.process.pid
        with Asker(command) as second:
            assert second.group() == first.process.pid
        os.killpg(server.pid, signal.SIGKILL)


def test_a_command_that_will_not_go_is_killed(run: str) -> None:
    command = Command("trap '' TERM; sleep 60 & echo $!; wait; sleep 60", guard=f"{run}.0")
    with Asker(command) as first:
        group = first.group()
        child = int(first.heard())
        done = subprocess.run(["/bin/sh", "-c", kill_line((group,), grace=0.3)], capture_output=True, check=True)
        assert done.stdout == b"killed\n"
        assert first.process.wait(5) == -signal.SIGKILL
    wait_for(lambda: not Path(f"/proc/{child}").exists() or "Z" in Path(f"/proc/{child}/stat").read_text())
    assert ask(command)[0] == GUARD_UNKNOWN_RC


# ------------------------------------------------------------------ the directories


@pytest.mark.parametrize("trap", ["file", "link", "somebody else's"])
def test_a_place_that_is_not_ours_is_refused(run: str, trap: str, tmp_path: Path) -> None:
    # Its own made-up user number, so that the real place of this user is left alone.
    number = f"test-{secrets.token_hex(4)}"
    place = Path(f"/var/tmp/opsrunner-{number}")
    (tmp_path / "id").write_text(f"#!/bin/sh\necho {number}\n")
    (tmp_path / "id").chmod(0o755)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    try:
        if trap == "file":
            place.touch()
        elif trap == "link":
            place.symlink_to(elsewhere)
        else:
            if os.getuid() != 0:
                pytest.fail("only root can give a directory to somebody else: run the tests as root, in a container")
            place.mkdir(mode=0o777)
            os.chown(place, 12345, 12345)
        command = Command(f"touch {tmp_path}/ran", guard=f"{run}.0")
        rc, stdout, stderr = ask(command, env=environment)
        assert (rc, stdout) == (GUARD_REFUSED_RC, b"")
        assert stderr.decode() == f"{GUARD_REFUSED_MESSAGE}: {place} is not a directory of this user\n"
        assert not (tmp_path / "ran").exists()
        (elsewhere / f"{run}.0").mkdir()
        subprocess.run(["/bin/sh", "-c", cleanup_line(run)], env=environment, check=True)
        assert (elsewhere / f"{run}.0").exists()
    finally:
        if trap == "somebody else's":
            shutil.rmtree(place)
        else:
            place.unlink(missing_ok=True)


def test_nobody_else_can_look_into_them(run: str) -> None:
    old = os.umask(0)
    try:
        ask(Command("echo secret", guard=f"{run}.0"))
    finally:
        os.umask(old)
    assert [path.stat().st_mode & 0o777 for path in (BASE, BASE / f"{run}.0")] == [0o700, 0o700]


def test_attempts_are_removed_by_prefix(run: str) -> None:
    for name in ("1.0", "1.1", "10.0", "2.0"):
        ask(Command("true", guard=f"{run}.{name}"))
    subprocess.run(["/bin/sh", "-c", cleanup_line(f"{run}.1", f"{run}.7")], check=True)
    assert sorted(path.name for path in BASE.glob(f"{run}*")) == [f"{run}.10.0", f"{run}.2.0"]


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a b", "a;b", "-a", "a*", "a\n", "$(x)", "x" * 201])
def test_a_name_that_is_no_name(name: str) -> None:
    for make in (lambda: prepare(Command("x", guard=name), "N"), lambda: cleanup_line(name)):
        with pytest.raises(ValueError, match="no name for an attempt"):
            make()


def test_raw_text_cannot_be_guarded() -> None:
    with pytest.raises(ValueError, match="raw"):
        prepare(Command("x", raw=True, guard="a"), "N")
