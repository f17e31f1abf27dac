"""Guarded commands over a real sshd: links that are cut, two that ask at once, other users."""

from __future__ import annotations

import contextlib
import os
import pwd
import secrets
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from opsrunner.attempt import cleanup_line
from opsrunner.engine.guard import Guard
from opsrunner.errors import ConnectionLost, RemoteCancelled, RemoteTimeout
from opsrunner.remote import GUARD_UNKNOWN_MESSAGE, GUARD_UNKNOWN_RC, Become, Command, Completed, Remote
from opsrunner.ssh.pool import Pool
from tests.fleet import Fleet, children
from tests.integration.ssh.conftest import BOTH_WAYS, MakeTarget, People
from tests.integration.ssh.test_ssh_exec import gone


@pytest.fixture
def run(pool: Pool, target: MakeTarget) -> Iterator[str]:
    """The name of a run whose attempts are removed in the end."""
    name = f"test-{secrets.token_hex(4)}"
    yield name
    pool.remote(target()).exec(Command(cleanup_line(name)))


@pytest.fixture
def places(people: People) -> Iterator[None]:
    """Made-up people leave nothing behind: the next user may get their number."""
    yield
    for user in (people.login, people.other):
        shutil.rmtree(f"/var/tmp/opsrunner-{pwd.getpwnam(user).pw_uid}", ignore_errors=True)


@pytest.fixture
def cut(fleet: Fleet) -> Callable[[], None]:
    """Ends every connection that was made since."""
    before = set(fleet.sessions())

    def end() -> None:
        for pid in set(fleet.sessions()) - before:
            # Where others than root log in, the connection is held by a process behind this one.
            for one in (*children(pid), pid):
                with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                    if b"sshd" in Path(f"/proc/{one}/cmdline").read_bytes():
                        os.kill(one, signal.SIGKILL)

    return end


def in_background(work: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=work)
    thread.start()
    return thread


def wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@BOTH_WAYS
def test_a_link_cut_in_mid_command_is_mended(
    pool: Pool, target: MakeTarget, run: str, tmp_path: Path, cut: Callable[[], None]
) -> None:
    line = f"echo x >>{tmp_path}/ran; echo one; until [ -e {tmp_path}/go ]; do sleep 0.02; done; echo two; exit 3"
    heard: list[bytes] = []

    def on_output(stream: str, data: bytes) -> None:
        heard.append(data)
        if len(heard) == 1:
            cut()
            (tmp_path / "go").touch()

    guard = Guard(run)
    remote = pool.remote(target())
    done = guard.around(remote).exec(Command(line, timeout=60), on_output=on_output)
    assert (done.rc, done.stdout, b"".join(heard)) == (3, b"one\ntwo\n", b"one\ntwo\n")
    assert (tmp_path / "ran").read_text() == "x\n"
    guard.tidy()
    assert remote.exec(Command(f"ls -d /var/tmp/opsrunner-*/{run}.* 2>/dev/null")).stdout == b""


@BOTH_WAYS
def test_the_next_worker_takes_over_what_still_runs(
    pool: Pool, target: MakeTarget, run: str, tmp_path: Path, cut: Callable[[], None]
) -> None:
    line = (
        f"echo x >>{tmp_path}/ran; until [ -e {tmp_path}/go ]; do sleep 0.02; done; head -c 2000000 /dev/zero; exit 3"
    )
    command = Command(line, guard=f"{run}.0")
    errors: list[Exception] = []

    def first() -> None:
        try:
            pool.remote(target()).exec(command)
        except ConnectionLost as error:
            errors.append(error)

    thread = in_background(first)
    wait_for((tmp_path / "ran").exists)
    cut()
    thread.join()
    assert len(errors) == 1
    second = Pool(grace=0.5)
    try:
        (tmp_path / "go").touch()
        done = second.remote(target()).exec(command)
    finally:
        second.close()
    assert (done.rc, done.stdout) == (3, bytes(2_000_000))
    assert (tmp_path / "ran").read_text() == "x\n"


def test_input_cut_on_its_way_runs_nothing(
    pool: Pool, target: MakeTarget, run: str, tmp_path: Path, cut: Callable[[], None]
) -> None:
    # More than a window: the rest is still here when the link breaks, at any point of its way.
    data = os.urandom(20_000_000)
    command = Command(f"echo x >>{tmp_path}/ran; sha256sum", stdin=data, guard=f"{run}.0")
    pool.remote(target()).connect()
    thread = in_background(lambda: (time.sleep(0.1), cut()))
    try:
        first: Completed | None = pool.remote(target()).exec(command)
    except ConnectionLost:
        first = None
    thread.join()
    done = pool.remote(target()).exec(command)
    assert first is None or first.stdout == done.stdout
    plain = pool.remote(target()).exec(Command("sha256sum", stdin=data))
    assert (done.rc, done.stdout) == (0, plain.stdout)
    assert (tmp_path / "ran").read_text() == "x\n"


def test_two_that_race_run_it_once(pool: Pool, target: MakeTarget, run: str, tmp_path: Path) -> None:
    other = Pool(grace=0.5)
    remotes = (pool.remote(target()), other.remote(target("127.1.0.2")))
    try:
        for number in range(100):
            command = Command(f"echo {number} >>{tmp_path}/ran; echo done {number}", guard=f"{run}.{number}")
            barrier = threading.Barrier(2)
            answers: list[Completed] = []

            def ask(remote: Remote, command: Command = command, barrier: threading.Barrier = barrier) -> None:
                barrier.wait()
                answers.append(remote.exec(command))  # noqa: B023 -- joined before the next round

            threads = [in_background(lambda remote=remote, ask=ask: ask(remote)) for remote in remotes]
            for thread in threads:
                thread.join()
            assert [answer.stdout for answer in answers] == [f"done {number}\n".encode()] * 2
    finally:
        other.close()
    assert (tmp_path / "ran").read_text().split() == [str(number) for number in range(100)]


@pytest.mark.usefixtures("places")
@pytest.mark.parametrize("method", ["sudo", "su"])
def test_behind_become(pool: Pool, target: MakeTarget, people: People, run: str, method: str, tmp_path: Path) -> None:
    remote = pool.remote(target(user=people.login))
    become = Become(method, user=people.other, password=people.password)  # type: ignore[arg-type]
    tmp_path.chmod(0o755)
    for line, stdin in (("id -un; cat; exit 4", b"payload"), ("# " + "x" * 150_000 + "\nid -un; cat; exit 4", b"more")):
        command = Command(line, stdin=stdin, become=become, guard=f"{run}.{len(stdin)}")
        for _ in range(2):
            done = remote.exec(command)
            assert (done.rc, done.stdout.decode(), done.stderr) == (4, f"{people.other}\n{stdin.decode()}", b"")
    listed = remote.exec(Command(f"cd /var/tmp/opsrunner-$(id -u) && stat -c %U:%a . {run}.*", become=become))
    assert listed.stdout.decode().split() == [f"{people.other}:700"] * 3
    guard = Guard(run)
    guard.around(remote).exec(Command("true", become=become))
    guard.tidy()
    assert remote.exec(Command("ls /var/tmp/opsrunner-$(id -u)", become=become)).stdout == b""


@pytest.mark.usefixtures("places")
@pytest.mark.parametrize("method", [None, "sudo", "su"])
@pytest.mark.parametrize("how", ["time-out", "cancellation"])
def test_who_joined_can_end_it(
    pool: Pool, target: MakeTarget, people: People, run: str, method: str | None, how: str, cut: Callable[[], None]
) -> None:
    remote = pool.remote(target(user=people.login))
    become = Become(method, user=people.other, password=people.password) if method else None  # type: ignore[arg-type]
    command = Command("trap '' TERM; sleep 60 & echo $! $$; wait; sleep 60", become=become, guard=f"{run}.0")
    said: list[bytes] = []

    def first() -> None:
        with pytest.raises(ConnectionLost):
            remote.exec(command, on_output=lambda stream, data: said.append(data) if stream == "stdout" else None)

    thread = in_background(first)
    wait_for(lambda: b"\n" in b"".join(said))
    cut()
    thread.join()
    stop = threading.Event()
    timeout = 1.0 if how == "time-out" else None

    def on_output(stream: str, data: bytes) -> None:
        if how == "cancellation":
            stop.set()

    ended = Command(command.line, become=become, guard=command.guard, timeout=timeout)
    with pytest.raises(RemoteTimeout if how == "time-out" else RemoteCancelled) as caught:
        remote.exec(ended, on_output=on_output, stop=stop)
    assert caught.value.fate == "killed"
    pids = [int(word) for word in b"".join(said).split()]
    assert len(pids) == 2
    assert all(gone(pid) for pid in pids)
    done = remote.exec(command)
    assert (done.rc, GUARD_UNKNOWN_MESSAGE in done.stderr.decode()) == (GUARD_UNKNOWN_RC, True)
