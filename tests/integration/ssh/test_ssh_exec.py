"""Commands over a real sshd."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import pytest

from opsrunner.errors import ConnectionLost, RemoteCancelled, RemoteTimeout, Unreachable
from opsrunner.remote import NO_DIRECTORY_MESSAGE, NO_DIRECTORY_RC, Command
from opsrunner.ssh.pool import Pool
from tests.fleet import Fleet
from tests.integration.ssh.conftest import BOTH_WAYS, MakeTarget

pytestmark = BOTH_WAYS


def gone(pid: int) -> bool:
    """No such process, or only its zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return True


def test_status_and_both_streams(pool: Pool, target: MakeTarget) -> None:
    done = pool.remote(target()).exec(Command("echo out; echo err >&2; exit 3"))
    assert (done.rc, done.stdout, done.stderr, done.signal) == (3, b"out\n", b"err\n", None)
    assert (done.stdout_size, done.stderr_size) == (4, 4)
    assert done.started < done.ended and done.started.tzinfo is not None


def test_large_streams_both_ways_at_once(pool: Pool, target: MakeTarget) -> None:
    payload = os.urandom(4_000_000)
    done = pool.remote(target()).exec(Command("tee /dev/stderr", stdin=payload))
    assert done.rc == 0
    assert done.stdout == payload
    assert done.stderr == payload


def test_a_full_window_on_either_stream_blocks_nothing(pool: Pool, target: MakeTarget) -> None:
    line = "head -c 5000000 /dev/zero >&2; head -c 5000000 /dev/zero; head -c 3000000 /dev/zero >&2"
    done = pool.remote(target()).exec(Command(line))
    assert (done.rc, done.stdout_size, done.stderr_size) == (0, 5_000_000, 8_000_000)


def test_output_is_seen_as_it_comes(pool: Pool, target: MakeTarget, tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    seen: list[tuple[str, bytes]] = []

    def heard(stream: str, data: bytes) -> None:
        seen.append((stream, data))
        if data == b"first\n":
            fifo.write_text("go\n")  # the command waits for this: output held back would hang it

    done = pool.remote(target()).exec(
        Command(f"echo first; read x < {fifo}; echo second >&2", timeout=20), on_output=heard
    )
    assert done.rc == 0
    assert seen == [("stdout", b"first\n"), ("stderr", b"second\n")]


def test_capture_is_capped_but_counted(pool: Pool, target: MakeTarget) -> None:
    done = pool.remote(target()).exec(Command("head -c 100000 /dev/zero; echo end", output_limit=1000))
    assert done.stdout_size == 100_004
    assert len(done.stdout) < 1100
    assert done.stdout.endswith(b"end\n")


def test_environment_directory_and_executable(pool: Pool, target: MakeTarget, tmp_path: Path) -> None:
    directory = tmp_path / "a b'c"
    directory.mkdir()
    value = 'it\'s $HOME "x"\nnext'
    done = pool.remote(target()).exec(
        Command(
            'printf "%s|%s|%s" "$VALUE" "$PWD" "${BASH_VERSION:+bash}"',
            environment={"VALUE": value},
            directory=str(directory),
            executable="/bin/bash",
        )
    )
    assert done.stdout.decode() == f"{value}|{directory}|bash"


def test_a_missing_directory_keeps_the_command_from_running(pool: Pool, target: MakeTarget, tmp_path: Path) -> None:
    done = pool.remote(target()).exec(Command(f"touch {tmp_path}/ran", directory=str(tmp_path / "nope")))
    assert done.rc == NO_DIRECTORY_RC
    assert done.stderr.decode().startswith(f"{NO_DIRECTORY_MESSAGE} {tmp_path}/nope")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(("name", "number"), [("KILL", 9), ("TERM", 15), ("SEGV", 11)])
def test_a_signal_is_reported(pool: Pool, target: MakeTarget, way: str, name: str, number: int) -> None:
    done = pool.remote(target()).exec(Command(f"kill -s {name} $$"))
    # A shell tells no name: it says the same of a command that ended with 128 + N by itself.
    assert (done.rc, done.signal) == (128 + number, name if way == "exec" else None)


def test_commands_get_the_end_of_an_empty_stdin(pool: Pool, target: MakeTarget) -> None:
    assert pool.remote(target()).exec(Command("cat; echo end", timeout=10)).stdout == b"end\n"


def test_stdin_that_nobody_reads(pool: Pool, target: MakeTarget) -> None:
    done = pool.remote(target()).exec(Command("echo done", stdin=b"x" * 5_000_000, timeout=20))
    assert (done.rc, done.stdout) == (0, b"done\n")


def test_a_line_longer_than_an_argument_may_be(pool: Pool, target: MakeTarget) -> None:
    line = "# " + "x'" * 200_000 + "\ncat; echo done"
    assert pool.remote(target()).exec(Command(line, stdin=b"input ")).stdout == b"input done\n"


def test_raw_goes_to_the_login_shell_as_it_is(pool: Pool, target: MakeTarget) -> None:
    done = pool.remote(target()).exec(Command("echo $0; cat", raw=True, stdin=b"payload"))
    assert done.stdout.splitlines()[0] in (b"bash", b"-bash", b"/bin/bash", b"sh", b"/bin/sh")
    assert done.stdout.endswith(b"\npayload")


def test_login_noise_is_dropped(fleet: Fleet, pool: Pool, target: MakeTarget) -> None:
    # bash reads ~/.bashrc when sshd starts it; HOME is the fleet's.
    noisy = fleet.directory / "home" / ".bashrc"
    noisy.write_text("echo welcome to $HOSTNAME; printf 'no end of line'\n")
    try:
        remote = pool.remote(target("127.1.9.1"))
        assert b"welcome" in remote.exec(Command("true", raw=True)).stdout
        assert remote.exec(Command("echo mine")).stdout == b"mine\n"
    finally:
        noisy.unlink()


def test_a_shell_that_runs_nothing_is_unreachable(fleet: Fleet, pool: Pool, target: MakeTarget) -> None:
    closed = fleet.directory / "home" / ".bashrc"
    closed.write_text("echo this account is closed; exit 1\n")
    try:
        with pytest.raises(Unreachable, match=r"did not run the command.*this account is closed"):
            pool.remote(target("127.1.9.2")).exec(Command("true"))
    finally:
        closed.unlink()


def test_the_deadline_kills_the_whole_group(pool: Pool, target: MakeTarget) -> None:
    with pytest.raises(RemoteTimeout, match="timed out after 2 s") as caught:
        pool.remote(target()).exec(Command("sleep 60 & echo $! $$; wait", timeout=2))
    assert caught.value.fate == "killed"
    child, leader = (int(word) for word in caught.value.stdout.split())
    assert gone(child) and gone(leader)


def test_what_ignores_term_is_killed_after_the_grace(pool: Pool, target: MakeTarget) -> None:
    with pytest.raises(RemoteTimeout) as caught:
        pool.remote(target()).exec(Command("trap '' TERM; echo $$; while :; do sleep 1; done", timeout=2))
    assert caught.value.fate == "killed"
    assert gone(int(caught.value.stdout.split()[0]))


def test_last_words_after_term_are_kept(pool: Pool, target: MakeTarget) -> None:
    line = "trap 'head -c 4000000 /dev/zero; echo bye; exit' TERM; echo ready; while :; do sleep 0.1; done"
    slow = Pool(grace=10)
    try:
        with pytest.raises(RemoteTimeout) as caught:
            slow.remote(target()).exec(Command(line, timeout=2))
    finally:
        slow.close()
    assert caught.value.stdout.endswith(b"bye\n")
    assert len(caught.value.stdout) > 4_000_000


def test_cancelling_kills(pool: Pool, target: MakeTarget) -> None:
    stop = threading.Event()
    pids: list[int] = []

    def heard(stream: str, data: bytes) -> None:
        pids.append(int(data))
        stop.set()

    with pytest.raises(RemoteCancelled) as caught:
        pool.remote(target()).exec(Command("echo $$; exec sleep 60"), on_output=heard, stop=stop)
    assert caught.value.fate == "killed"
    assert gone(pids[0])


def test_cancelled_before_it_began(pool: Pool, target: MakeTarget, tmp_path: Path) -> None:
    stop = threading.Event()
    stop.set()
    with pytest.raises(RemoteCancelled) as caught:
        pool.remote(target()).exec(Command(f"touch {tmp_path}/ran"), stop=stop)
    assert caught.value.fate == "not started"
    assert not (tmp_path / "ran").exists()


def test_a_raw_command_cannot_be_killed_and_that_is_said(pool: Pool, target: MakeTarget, tmp_path: Path) -> None:
    with pytest.raises(RemoteTimeout) as caught:
        pool.remote(target()).exec(Command(f"echo $$ > {tmp_path}/pid; exec sleep 60", raw=True, timeout=2))
    assert caught.value.fate == "could not be killed (pid unknown)"
    os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)


def test_a_background_child_that_holds_the_streams_does_not_hang_us(pool: Pool, target: MakeTarget) -> None:
    before = time.monotonic()
    done = pool.remote(target()).exec(Command("sleep 30 & echo $!"))
    os.kill(int(done.stdout), signal.SIGKILL)
    assert done.rc == 0
    assert time.monotonic() - before < 25


def test_a_background_child_that_talks_on_does_not_hang_us(
    pool: Pool, target: MakeTarget, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("opsrunner.ssh.execution.LINGER_MOST", 1.0)
    done = pool.remote(target()).exec(Command("(while sleep 0.1; do echo tick; done) & echo $!"))
    os.kill(int(done.stdout.split()[0]), signal.SIGKILL)
    assert b"tick" in done.stdout


def test_a_link_lost_in_mid_command(fleet: Fleet, pool: Pool, target: MakeTarget) -> None:
    before = set(fleet.sessions())

    def heard(stream: str, data: bytes) -> None:
        for pid in set(fleet.sessions()) - before:
            os.kill(pid, signal.SIGKILL)

    with pytest.raises(ConnectionLost, match="while the command ran") as caught:
        pool.remote(target("127.1.5.1")).exec(Command("echo started; exec sleep 5"), on_output=heard)
    assert caught.value.stdout == b"started\n"


def test_many_commands_over_one_connection(pool: Pool, target: MakeTarget) -> None:
    remote = pool.remote(target())
    results: list[bytes] = []
    threads = [
        threading.Thread(target=lambda n=n: results.append(remote.exec(Command(f"sleep 0.2; echo {n}")).stdout))
        for n in range(20)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(int(result) for result in results) == list(range(20))
    assert pool.count().connects == 1
