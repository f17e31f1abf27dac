"""The worker itself as a host."""

from __future__ import annotations

import os
import stat
import threading
import time
from pathlib import Path

import pytest

from opsrunner.errors import BecomeFailed, RemoteCancelled, RemoteTimeout
from opsrunner.local import LocalRemote
from opsrunner.remote import NO_DIRECTORY_RC, Become, Command


@pytest.fixture
def local() -> LocalRemote:
    return LocalRemote("here", grace=0.3)


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return True


def test_status_streams_and_environment(local: LocalRemote, tmp_path: Path) -> None:
    command = Command('echo "$A"; pwd >&2; exit 5', environment={"A": "it's"}, directory=str(tmp_path))
    done = local.exec(command)
    assert (done.rc, done.stdout, done.stderr) == (5, b"it's\n", f"{tmp_path}\n".encode())
    assert done.ended >= done.started


def test_large_streams_both_ways_at_once(local: LocalRemote) -> None:
    payload = os.urandom(3_000_000)
    done = local.exec(Command("tee /dev/stderr", stdin=payload))
    assert done.stdout == done.stderr == payload


def test_input_that_nobody_reads(local: LocalRemote) -> None:
    assert local.exec(Command("exec <&-; echo done", stdin=b"x" * 1_000_000, timeout=10)).stdout == b"done\n"


def test_output_is_seen_as_it_comes(local: LocalRemote, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    seen: list[tuple[str, bytes]] = []

    def heard(stream: str, data: bytes) -> None:
        seen.append((stream, data))
        if data == b"first\n":
            (tmp_path / "fifo").write_text("go\n")

    local.exec(Command(f"echo first; read x < {tmp_path}/fifo; echo second >&2", timeout=20), on_output=heard)
    assert seen == [("stdout", b"first\n"), ("stderr", b"second\n")]


def test_a_missing_directory(local: LocalRemote, tmp_path: Path) -> None:
    assert local.exec(Command("true", directory=str(tmp_path / "nope"))).rc == NO_DIRECTORY_RC


def test_raw_and_executable(local: LocalRemote) -> None:
    assert local.exec(Command("echo $0", raw=True)).stdout == b"/bin/sh\n"
    assert local.exec(Command("echo ${BASH_VERSION:+bash}", executable="/bin/bash")).stdout == b"bash\n"


def test_signals(local: LocalRemote) -> None:
    done = local.exec(Command("kill -s KILL $$"))
    assert (done.rc, done.signal) == (137, "KILL")
    assert local.exec(Command("kill -s 40 $$")).rc == 168  # a real-time signal


def test_the_deadline_kills_the_group(local: LocalRemote) -> None:
    with pytest.raises(RemoteTimeout, match="timed out after 2 s") as caught:
        local.exec(Command("trap '' TERM; sleep 60 & echo $! $$; wait; sleep 60", timeout=2))
    assert caught.value.fate == "killed"
    assert all(gone(int(pid)) for pid in caught.value.stdout.split())


def test_a_raw_command_is_killed_too(local: LocalRemote) -> None:
    with pytest.raises(RemoteTimeout) as caught:
        local.exec(Command("echo $$; exec sleep 60", raw=True, timeout=2))
    assert caught.value.fate == "killed"
    assert gone(int(caught.value.stdout))


def test_cancelling(local: LocalRemote) -> None:
    stop = threading.Event()
    with pytest.raises(RemoteCancelled) as caught:
        local.exec(Command("echo; sleep 60"), on_output=lambda *_: stop.set(), stop=stop)
    assert caught.value.fate == "killed"
    with pytest.raises(RemoteCancelled) as caught:
        local.exec(Command("true"), stop=stop)
    assert caught.value.fate == "not started"


def test_a_background_child_does_not_hang_us(local: LocalRemote, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("opsrunner.local.LINGER", 0.2)
    before = time.monotonic()
    done = local.exec(Command("sleep 30 & echo $!"))
    os.kill(int(done.stdout), 9)
    assert time.monotonic() - before < 25


def test_a_command_that_closes_its_streams_is_waited_for(local: LocalRemote) -> None:
    assert local.exec(Command("exec >&- 2>&-; sleep 0.3; exit 6")).rc == 6


def test_files(local: LocalRemote, tmp_path: Path) -> None:
    path = tmp_path / "a b"
    local.put(b"data", str(path), mode=0o640)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert local.get(str(path)) == b"data"
    with pytest.raises(FileNotFoundError):
        local.get(str(tmp_path / "nope"))
    with pytest.raises(IsADirectoryError):
        local.put(b"", str(tmp_path))
    assert [entry.name for entry in tmp_path.iterdir()] == ["a b"]


def test_become_that_fails(local: LocalRemote, tmp_path: Path) -> None:
    with pytest.raises(BecomeFailed):
        local.exec(Command(f"touch {tmp_path}/ran", become=Become("su", user="no-such-user-here")))
    assert not (tmp_path / "ran").exists()


def test_nothing_is_left_open(local: LocalRemote) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(5):
        local.exec(Command("true", stdin=b"x"))
    assert len(list(Path("/proc/self/fd").iterdir())) == before
