"""Becoming somebody else with the real sudo, su and doas."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from opsrunner.errors import BecomeFailed, RemoteTimeout
from opsrunner.remote import Become, Command, Remote
from opsrunner.ssh.pool import Pool
from tests.integration.ssh.conftest import MakeTarget, People
from tests.integration.ssh.test_ssh_exec import gone


@pytest.fixture
def remote(pool: Pool, target: MakeTarget, people: People) -> Remote:
    return pool.remote(target(user=people.login))


def failure(remote: Remote, become: Become, tmp_path: Path) -> BecomeFailed:
    with pytest.raises(BecomeFailed) as caught:
        remote.exec(Command(f"touch {tmp_path}/ran", stdin=b"payload\n" * 3, become=become, timeout=30))
    assert not (tmp_path / "ran").exists()
    if become.password:
        assert become.password not in repr(caught.value.lines())
    return caught.value


def test_sudo_without_a_password_gets_none(remote: Remote, people: People) -> None:
    # The rule says NOPASSWD: a password sent all the same would be read by cat.
    become = Become("sudo", password=people.password)
    done = remote.exec(Command("id -un; cat; echo err >&2", stdin=b"payload\n", become=become))
    assert (done.rc, done.stdout, done.stderr) == (0, b"root\npayload\n", b"err\n")


def test_sudo_with_a_password(remote: Remote, people: People) -> None:
    become = Become("sudo", user=people.other, password=people.password)
    payload = os.urandom(3_000_000)
    done = remote.exec(Command("id -un >&2; cat", stdin=payload, become=become))
    assert (done.rc, done.stdout, done.stderr) == (0, payload, f"{people.other}\n".encode())


@pytest.mark.parametrize("flags", ["-H -S -n", "-Hn", "-H", ""])
def test_sudo_flags_of_ones_own(remote: Remote, people: People, flags: str) -> None:
    become = Become("sudo", user=people.other, password=people.password, flags=flags)
    assert remote.exec(Command("id -un", become=become)).stdout.decode().strip() == people.other


def test_sudo_with_a_wrong_password(remote: Remote, people: People, tmp_path: Path) -> None:
    error = failure(remote, Become("sudo", user=people.other, password="wrong"), tmp_path)
    assert error.what == f"incorrect sudo password for becoming {people.other}"


@pytest.mark.parametrize("flags", [None, "-H -S", "-H"])
def test_sudo_that_wants_a_password_we_have_not(
    remote: Remote, people: People, tmp_path: Path, flags: str | None
) -> None:
    error = failure(remote, Become("sudo", user=people.other, flags=flags), tmp_path)
    assert error.what == f"missing sudo password for becoming {people.other}"
    assert "ansible_become_password" in str(error.remedy)


def test_sudo_that_is_not_allowed(remote: Remote, people: People, tmp_path: Path) -> None:
    error = failure(remote, Become("sudo", user="daemon", password=people.password), tmp_path)
    assert "would not become daemon" in error.what
    assert "not allowed" in str(error.why)


def test_su_with_a_password(remote: Remote, people: People) -> None:
    become = Become("su", user=people.other, password=people.password)
    done = remote.exec(Command("id -un; cat", stdin=b"payload", become=become))
    assert (done.stdout.decode(), done.stderr) == (f"{people.other}\npayload", b"")


def test_su_with_a_wrong_and_with_no_password(remote: Remote, people: People, tmp_path: Path) -> None:
    wrong = failure(remote, Become("su", user=people.other, password="wrong"), tmp_path)
    assert "would not become" in wrong.what or "incorrect" in wrong.what
    assert "failure" in str(wrong.why).lower()
    missing = failure(remote, Become("su", user=people.other), tmp_path)
    assert missing.what == f"missing su password for becoming {people.other}"


@pytest.fixture
def doas(people: People) -> Iterator[None]:
    configuration = Path("/etc/doas.conf")
    before = configuration.read_text() if configuration.exists() else None
    configuration.write_text(
        f"{before or ''}\npermit nopass {people.login} as root\npermit {people.login} as {people.other}\n"
    )
    yield
    if before is None:
        configuration.unlink()
    else:
        configuration.write_text(before)


@pytest.mark.usefixtures("doas")
def test_doas(remote: Remote, people: People, tmp_path: Path) -> None:
    done = remote.exec(Command("id -un; cat", stdin=b"payload", become=Become("doas")))
    assert (done.stdout, done.stderr) == (b"root\npayload", b"")
    missing = failure(remote, Become("doas", user=people.other), tmp_path)
    assert missing.what == f"missing doas password for becoming {people.other}"
    given = failure(remote, Become("doas", user=people.other, password=people.password), tmp_path)
    assert "from a terminal only" in str(given.remedy)


def test_environment_and_directory_are_the_other_users(remote: Remote, people: People) -> None:
    become = Become("sudo", user=people.other, password=people.password)
    done = remote.exec(Command('echo "$COLOUR $PWD"', environment={"COLOUR": "b'lue"}, directory="/", become=become))
    assert done.stdout == b"b'lue /\n"


@pytest.mark.parametrize("method", ["sudo", "su"])
def test_what_runs_as_another_user_is_killed(remote: Remote, people: People, method: str) -> None:
    become = Become(method, user=people.other, password=people.password)  # type: ignore[arg-type]
    with pytest.raises(RemoteTimeout) as caught:
        remote.exec(Command("trap '' TERM; sleep 60 & echo $! $$; wait; sleep 60", become=become, timeout=1.0))
    assert caught.value.fate == "killed"
    pids = [int(word) for word in caught.value.stdout.split()]
    assert len(pids) == 2
    assert all(gone(pid) for pid in pids)


def test_a_long_script_with_a_password(remote: Remote, people: People) -> None:
    become = Become("sudo", user=people.other, password=people.password)
    line = "# " + "x" * 200_000 + "\nid -un; cat"
    assert remote.exec(Command(line, stdin=b"in", become=become)).stdout.decode() == f"{people.other}\nin"


def test_raw_with_become(remote: Remote, people: People) -> None:
    done = remote.exec(Command("id -un", raw=True, become=Become("sudo")))
    assert (done.stdout, done.stderr) == (b"root\n", b"")
