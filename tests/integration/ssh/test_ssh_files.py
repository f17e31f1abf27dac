"""Files over a real sshd."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from opsrunner.errors import ConnectionLost, RemoteTimeout
from opsrunner.remote import Become, Command
from opsrunner.ssh.pool import Pool
from tests.fleet import Fleet
from tests.integration.ssh.conftest import BOTH_WAYS, MakeTarget, People

pytestmark = BOTH_WAYS


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_there_and_back(pool: Pool, target: MakeTarget, tmp_path: Path) -> None:
    remote = pool.remote(target())
    data = os.urandom(3_000_000)
    path = tmp_path / "a 'quoted' $name @MODE@\n"
    remote.put(data, str(path), mode=0o640)
    assert path.read_bytes() == data
    assert mode(path) == 0o640
    assert remote.get(str(path)) == data


@pytest.mark.parametrize("data", [b"", b"\n\n", b"no end of line", bytes(range(256))])
def test_every_byte_survives(pool: Pool, target: MakeTarget, tmp_path: Path, data: bytes) -> None:
    remote = pool.remote(target())
    remote.put(data, str(tmp_path / "file"))
    assert remote.get(str(tmp_path / "file")) == data
    assert mode(tmp_path / "file") == 0o600


def test_an_old_file_is_replaced_in_one_go(pool: Pool, target: MakeTarget, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    held = path.open()
    pool.remote(target()).put(b"new", str(path), mode=0o400)
    assert held.read() == "old"
    held.close()
    assert path.read_bytes() == b"new"
    assert mode(path) == 0o400
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_a_name_of_the_greatest_length(pool: Pool, target: MakeTarget, tmp_path: Path) -> None:
    path = tmp_path / ("n" * 255)
    pool.remote(target()).put(b"x", str(path))
    assert path.read_bytes() == b"x"


def test_home_and_relative_paths(fleet: Fleet, pool: Pool, target: MakeTarget) -> None:
    remote = pool.remote(target())
    remote.put(b"x", "~/it's here")
    home = fleet.directory / "home" / "it's here"
    assert home.read_bytes() == b"x"
    assert remote.get("~/it's here") == b"x"
    home.unlink()


def test_missing_and_directories(pool: Pool, target: MakeTarget, tmp_path: Path) -> None:
    remote = pool.remote(target())
    with pytest.raises(FileNotFoundError):
        remote.put(b"", str(tmp_path / "nope" / "file"))
    with pytest.raises(IsADirectoryError):
        remote.put(b"", str(tmp_path))
    with pytest.raises(FileNotFoundError):
        remote.get(str(tmp_path / "nope"))
    with pytest.raises(IsADirectoryError):
        remote.get(str(tmp_path))


def test_a_disk_that_takes_no_file(pool: Pool, target: MakeTarget) -> None:
    with pytest.raises(OSError, match=r"/proc/sys/"):
        pool.remote(target()).put(b"x", "/proc/sys/new")


def test_a_link_that_breaks_replaces_nothing(fleet: Fleet, target: MakeTarget, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    pool = Pool()
    before = set(fleet.sessions())
    remote = pool.remote(target())
    remote.connect()
    (session,) = set(fleet.sessions()) - before
    watcher = subprocess.Popen(
        ["sh", "-c", f"while ! ls -A {tmp_path} | grep -q '^\\.file'; do sleep 0.01; done; kill -9 {session}"]
    )
    try:
        with pytest.raises(ConnectionLost):
            remote.put(b"x" * 300_000_000, str(path))
    finally:
        watcher.wait(10)
        pool.close()
    subprocess.run(
        ["sh", "-c", f"for i in $(seq 100); do ls -A {tmp_path} | grep -q '^\\.file' || exit 0; sleep 0.1; done"]
    )
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_a_deadline_for_get(pool: Pool, target: MakeTarget, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(RemoteTimeout) as caught:
        pool.remote(target()).get(str(tmp_path / "fifo"), timeout=0.5)
    assert caught.value.fate == "killed"


@pytest.fixture
def shelf(people: People) -> Iterator[Path]:
    """A directory that only ``people.other`` may use, in one that all may enter."""
    directory = Path("/tmp") / f"opsrunner-shelf-{people.other}"
    directory.mkdir(mode=0o700)
    shutil.chown(directory, people.other)
    yield directory
    shutil.rmtree(directory)


def test_files_of_whoever_we_become(pool: Pool, target: MakeTarget, people: People, shelf: Path) -> None:
    remote = pool.remote(target(user=people.login))
    become = Become("sudo", user=people.other, password=people.password)
    remote.put(b"secret", str(shelf / "file"), mode=0o644, become=become)
    assert (shelf / "file").owner() == people.other
    assert mode(shelf / "file") == 0o644
    assert remote.get(str(shelf / "file"), become=become) == b"secret"
    with pytest.raises(PermissionError):
        remote.get(str(shelf / "file"))
    with pytest.raises(PermissionError):
        remote.put(b"", str(shelf / "file"))
    with pytest.raises(PermissionError):
        remote.put(b"", "/etc/opsrunner-test", become=become)
    assert remote.exec(Command(f"ls {shelf}", become=become)).stdout == b"file\n"
