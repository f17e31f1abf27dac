"""Commands that take turns at one long-lived shell, over a real sshd; what both ways promise is in test_ssh_exec."""

from __future__ import annotations

import os
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from opsrunner.errors import ConnectionLost, RemoteTimeout
from opsrunner.remote import Become, Command, Remote
from opsrunner.ssh import shell
from opsrunner.ssh.pool import Pool, PoolLimits
from opsrunner.ssh.target import Target
from tests.fleet import Fleet
from tests.integration.ssh.conftest import MakeTarget, People
from tests.integration.ssh.test_ssh_exec import gone


@pytest.fixture
def way() -> str:
    return "shell"


def parent(remote: Remote) -> int:
    """Who runs the commands there: the shell, or sshd itself."""
    return int(remote.exec(Command("echo $PPID")).stdout)


def steady(remote: Remote) -> int:
    """The same, the shell having served twice: what else a busy machine begins meanwhile may end one before."""
    for _ in range(20):
        if (found := parent(remote)) == parent(remote):
            return found
    raise AssertionError("no shell serves twice")


#: Prints the command line of who runs it.
WHO = "tr '\\0' ' ' </proc/$PPID/cmdline"
BASH, SH = b"/bin/bash -p -s opsrunner", b"/bin/sh -s opsrunner"


def by_shell(remote: Remote, command: Command | None = None, shell: bytes = BASH) -> bool:
    """Whether a command, which prints :data:`WHO`, is run by the shell."""
    return shell in remote.exec(command or Command(WHO)).stdout


def soon_by_shell(remote: Remote, shell: bytes = BASH) -> bool:
    """Whether one of the next few commands is run by the shell."""
    return any(by_shell(remote, shell=shell) for _ in range(4))


def test_commands_take_turns_at_one_shell(pool: Pool, target: MakeTarget) -> None:
    remote = pool.remote(target())
    assert steady(remote)
    assert soon_by_shell(remote)
    count = pool.count()
    assert count.connects == 1 and count.execs >= 3


def test_the_first_commands_of_a_connection_need_no_shell_unless_many_follow(target: MakeTarget) -> None:
    limits = PoolLimits()
    pool = Pool(limits=limits)
    try:
        remote = pool.remote(target())
        assert not any(by_shell(remote) for _ in range(limits.shell_after))
        assert soon_by_shell(remote)
        assert not by_shell(pool.remote(target("127.1.5.3"), following=limits.shell_after - 1))
        assert by_shell(pool.remote(target("127.1.5.4"), following=limits.shell_after))
    finally:
        pool.close()


def test_a_host_whose_commands_leave_somebody_behind_gets_no_shell_at_once(target: MakeTarget) -> None:
    pool = Pool(limits=PoolLimits(), grace=0.5)
    try:
        remote = pool.remote(target(), following=9)
        assert by_shell(remote, Command(f"sleep 0.2 & {WHO}"))
        assert not by_shell(remote)
    finally:
        pool.close()


@pytest.mark.parametrize(
    "command",
    [
        Command(WHO, raw=True),
        Command(f"cat >/dev/null; {WHO}", stdin=b"in\0put"),
        Command(f"cat >/dev/null; {WHO}", stdin=b"x" * 100_000),
        Command(f"{WHO} #" + "x" * 150_000),
    ],
    ids=["raw", "binary", "much", "long"],
)
def test_what_goes_over_a_channel_of_its_own(pool: Pool, target: MakeTarget, command: Command) -> None:
    remote = pool.remote(target())
    assert by_shell(remote)
    assert not by_shell(remote, command)
    assert soon_by_shell(remote)


def test_a_little_input_goes_with_the_line(pool: Pool, target: MakeTarget) -> None:
    remote = pool.remote(target())
    told, who = remote.exec(Command(f"cat; {WHO}", stdin="it's ä secret\n".encode())).stdout.splitlines()
    assert (told.decode(), who) == ("it's ä secret", BASH + b" ")


def test_both_ways_give_a_command_the_same_surroundings(pool: Pool, target: MakeTarget) -> None:
    line = (
        "env | sort; pwd; umask; ulimit -a; trap; cat /proc/self/oom_score_adj; "
        "grep -E 'Sig(Blk|Ign|Cgt)|Groups|Cap|Seccomp|NoNew' /proc/self/status; "
        "ls -l /proc/self/fd | sed 's/.* \\([0-9]* ->\\)/\\1/; s/[0-9]\\{3,\\}/N/'"
    )
    told = [pool.remote(target(shell=way)).exec(Command(line)) for way in (False, True)]
    kept = [b"\n".join(row for row in one.stdout.splitlines() if b"SSH_" not in row) for one in told]
    assert kept[0] == kept[1]


def test_a_shell_that_a_command_kills_is_lost_and_nothing_runs_twice(
    pool: Pool, target: MakeTarget, tmp_path: Path
) -> None:
    remote = pool.remote(target())
    with pytest.raises(ConnectionLost, match=r"the shell on the host was lost.*may still be running"):
        line = f"echo begun; echo x >>{tmp_path}/ran; kill -KILL $PPID; sleep 0.1; echo y >>{tmp_path}/ran"
        remote.exec(Command(line))
    assert remote.exec(Command("echo on")).stdout == b"on\n"
    time.sleep(0.2)
    assert (tmp_path / "ran").read_text() == "x\ny\n"


def test_what_goes_on_talking_when_the_shell_was_killed(
    pool: Pool, target: MakeTarget, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("opsrunner.ssh.execution.LINGER_MOST", 0.5)
    with pytest.raises(ConnectionLost, match="the shell on the host was lost") as caught:
        pool.remote(target()).exec(Command("echo first; kill -KILL $PPID; exec yes", timeout=30))
    assert caught.value.stdout.startswith(b"first\ny\ny\n")


def test_a_shell_that_died_in_between_harms_nobody(pool: Pool, target: MakeTarget) -> None:
    remote = pool.remote(target())
    first = parent(remote)
    os.kill(first, signal.SIGKILL)
    time.sleep(0.3)  # until it is known here
    assert parent(remote) != first
    assert pool.count().connects == 1


def test_a_shell_that_does_not_answer_is_left(pool: Pool, target: MakeTarget, monkeypatch: pytest.MonkeyPatch) -> None:
    remote = pool.remote(target())
    monkeypatch.setattr(shell, "FRESH", 0.0)
    first = steady(remote)  # it was greeted, and answered
    monkeypatch.setattr(shell, "GREETING_TIMEOUT", 0.3)
    os.kill(first, signal.SIGSTOP)
    try:
        assert parent(remote) != first
    finally:
        os.kill(first, signal.SIGKILL)


def test_a_command_that_a_shell_has_not_begun_is_not_said_to_have_ended(
    pool: Pool, target: MakeTarget, tmp_path: Path
) -> None:
    remote = pool.remote(target())
    first = steady(remote)
    os.kill(first, signal.SIGSTOP)
    try:
        with pytest.raises(RemoteTimeout) as caught:
            remote.exec(Command(f"touch {tmp_path}/ran", timeout=0.2))
        assert caught.value.fate.startswith("could not be killed")
        assert not (tmp_path / "ran").exists()
    finally:
        os.kill(first, signal.SIGKILL)
    assert remote.exec(Command("echo on")).stdout == b"on\n"


@pytest.mark.parametrize("line", ["exec sleep 60", "sleep 60; :", "trap '' TERM; sleep 60; sleep 61"])
def test_a_command_at_the_shell_is_killed(pool: Pool, target: MakeTarget, line: str) -> None:
    remote = pool.remote(target())
    steady(remote)
    with pytest.raises(RemoteTimeout) as caught:
        remote.exec(Command(line, timeout=0.3, program=line.startswith("exec")))
    assert caught.value.fate == "killed"
    assert remote.exec(Command("echo on")).stdout == b"on\n"


def test_what_is_left_behind_cannot_speak_into_the_next_command(
    pool: Pool, target: MakeTarget, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("opsrunner.ssh.execution.LINGER", 0.3)
    remote = pool.remote(target())
    # It speaks while the next command runs, however long that takes to come.
    stray = f"trap '' PIPE; echo late; until [ -e {tmp_path}/go ]; do sleep 0.02; done; echo stray; echo stray >&2"
    (tmp_path / "stray").write_text(stray + f"; touch {tmp_path}/said")
    done = remote.exec(Command(f"setsid sh {tmp_path}/stray & sleep 0.1"))
    assert (done.rc, done.stdout) == (0, b"late\n")
    done = remote.exec(Command(f"touch {tmp_path}/go; until [ -e {tmp_path}/said ]; do sleep 0.02; done; echo clean"))
    assert (done.stdout, done.stderr) == (b"clean\n", b"")


def test_an_idle_shell_ends_and_the_connection_stays(target: MakeTarget) -> None:
    pool = Pool(limits=PoolLimits(shell_after=0, shell_idle=0.2, sweep=0.1))
    try:
        remote = pool.remote(target())
        first = parent(remote)
        deadline = time.monotonic() + 10
        while not gone(first):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert parent(remote) != first
        assert pool.count().connects == 1
    finally:
        pool.close()


@pytest.mark.parametrize("line", ["echo $PPID", "echo $PPID; until [ -e @FILE@ ]; do sleep 0.05; done"])
def test_no_shell_outlives_its_connection(
    fleet: Fleet, pool: Pool, target: MakeTarget, tmp_path: Path, line: str
) -> None:
    remote = pool.remote(target("127.1.5.2"))
    before, told = set(fleet.sessions()), threading.Event()
    shells: list[int] = []

    def heard(stream: str, data: bytes) -> None:
        shells.append(int(data))
        told.set()

    def work() -> None:
        with suppress(ConnectionLost):
            remote.exec(Command(line.replace("@FILE@", f"{tmp_path}/go")), on_output=heard)

    worker = threading.Thread(target=work)
    worker.start()
    assert told.wait(30)
    for session in set(fleet.sessions()) - before:
        os.kill(session, signal.SIGKILL)
    worker.join()
    (tmp_path / "go").touch()  # a command that still runs is let go on to its end
    deadline = time.monotonic() + 60
    while not gone(shells[0]):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_commands_at_once(pool: Pool, target: MakeTarget) -> None:
    remote = pool.remote(target())
    begun = threading.Event()
    slow = threading.Thread(
        target=lambda: remote.exec(Command("echo; sleep 0.5"), on_output=lambda stream, data: begun.set())
    )
    slow.start()
    assert begun.wait(10)
    assert not by_shell(remote)  # nobody waits for a turn
    slow.join()
    assert soon_by_shell(remote)


def test_somebody_else(pool: Pool, target: MakeTarget, people: People) -> None:
    mine = target(user=people.login)
    remote = pool.remote(mine)
    line = "id -un; sed -n 's/^PPid:.//p' /proc/$PPID/status; echo err >&2"
    told = [remote.exec(Command(line, become=Become())) for _ in range(3)]
    assert {one.stdout.split()[0] for one in told} == {b"root"}
    assert {one.stderr for one in told} == {b"err\n"}
    assert remote.exec(Command("id -un")).stdout.decode() == f"{people.login}\n"


# ---------------------------------------------------------------- servers that are not as usual
AS_ASKED = 'exec sh -c "$SSH_ORIGINAL_COMMAND"'


def when_asked(instead: str) -> str:
    """What a login shell runs that does something else when it is asked for our shell."""
    return f"case $SSH_ORIGINAL_COMMAND in *opsrunner) {instead} ;; esac; {AS_ASKED}"


#: What the login shell of each address does with a command line, and the shell that comes of it.
LOGINS = {
    "127.1.0.1": ('exec dash -c "$SSH_ORIGINAL_COMMAND"', BASH),
    "127.1.0.2": ('exec bash -c "$SSH_ORIGINAL_COMMAND"', BASH),
    "127.1.0.3": ('exec busybox sh -c "$SSH_ORIGINAL_COMMAND"', BASH),
    "127.1.0.4": (f'echo welcome; echo news >&2; printf "no end of line"; {AS_ASKED}', BASH),
    "127.1.0.5": (when_asked("exec /bin/sh -s opsrunner"), SH),  # as where there is no bash
    # None of these gives us a shell, and each does so in its own way.
    "127.1.0.6": (when_asked("exit 1"), None),
    "127.1.0.7": (when_asked("exec cat"), None),
    "127.1.0.8": (when_asked("exec yes"), None),
    "127.1.0.9": (when_asked("exec sleep 9"), None),
    "127.1.0.10": (
        when_asked("mkdir -p bin; ln -sf /bin/false bin/setsid; PATH=$PWD/bin:$PATH; exec /bin/sh -s opsrunner"),
        None,
    ),
}


@pytest.fixture(scope="module")
def odd() -> Iterator[Callable[[str], Target]]:
    with tempfile.TemporaryDirectory(prefix="opsrunner-odd-") as name:
        folder = Path(name)
        cases = "\n".join(f"*' {address} '*) {line} ;;" for address, (line, _) in LOGINS.items())
        (folder / "login").write_text(f'case " $SSH_CONNECTION " in\n{cases}\nesac\n')
        running = Fleet.start(folder / "sshd", options={"ForceCommand": f"/bin/sh {folder}/login", "MaxSessions": "2"})

        def make(address: str) -> Target:
            key, known = str(running.key), (str(running.known_hosts),)
            return Target("web1", address, running.port, private_key_file=key, known_hosts_files=known, shell=True)

        yield make
        running.stop()


@pytest.mark.parametrize("address", LOGINS)
def test_login_shells_of_all_kinds(
    pool: Pool, odd: Callable[[str], Target], address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shell, "GREETING_TIMEOUT", 1.0)
    remote = pool.remote(odd(address))
    for _ in range(3):
        done = remote.exec(Command("echo mine; echo err >&2; exit 3"))
        assert (done.rc, done.stdout, done.stderr.replace(b"news\n", b"")) == (3, b"mine\n", b"err\n")
    expected = LOGINS[address][1]
    assert [found for found in (BASH, SH) if soon_by_shell(remote, found)] == ([expected] if expected else [])


def test_a_shell_makes_room_where_sessions_are_few(pool: Pool, odd: Callable[[str], Target]) -> None:
    remote = pool.remote(odd("127.1.0.1"))
    first = parent(remote)
    results: list[bytes] = []

    def work() -> None:
        results.append(remote.exec(Command("cat; sleep 0.1", stdin=b"in\0")).stdout)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [b"in\0"] * 4
    assert gone(first)
    assert pool.count().connects == 1
