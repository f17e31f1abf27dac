"""Every way in which a connection can fail has words of its own."""

from __future__ import annotations

import shutil
import socket
import subprocess
import threading
import time
from pathlib import Path

import pytest

from opsrunner.errors import Unreachable
from opsrunner.remote import Command
from opsrunner.ssh.pool import Pool
from opsrunner.ssh.target import Target
from tests.fleet import Fleet, free_port, make_key
from tests.integration.ssh.conftest import MakeTarget, People
from tests.integration.ssh.faults import (
    Behaviour,
    FaultServer,
    banner_only,
    dribbling,
    hanging_up,
    silent,
    web_server,
)


def refusal(pool: Pool, target: Target) -> Unreachable:
    with pytest.raises(Unreachable) as caught:
        pool.remote(target).connect()
    assert caught.value.host == target.host
    return caught.value


def test_refused(pool: Pool, target: MakeTarget) -> None:
    error = refusal(pool, target(port=free_port()))
    assert error.what == "connection refused"
    assert "ansible_port" in str(error.remedy)


def test_no_such_name(pool: Pool, target: MakeTarget) -> None:
    assert "cannot find the address of nowhere.invalid" in str(refusal(pool, target("nowhere.invalid")))


@pytest.mark.parametrize("name", ["a" * 70 + ".example", "x..y"])
def test_a_name_that_cannot_be_one(pool: Pool, target: MakeTarget, name: str) -> None:
    assert "cannot find the address" in str(refusal(pool, target(name)))


@pytest.mark.parametrize("behaviour", [silent, dribbling, banner_only])
def test_the_deadline_holds_against(pool: Pool, target: MakeTarget, behaviour: Behaviour) -> None:
    threads = threading.active_count()
    before = time.monotonic()
    with FaultServer(behaviour) as server:
        error = refusal(pool, target("127.0.0.1", port=server.port, timeout=1.0))
        assert 0.9 < time.monotonic() - before < 20
    assert error.what.startswith("timed out after 1 s exchanging keys")
    # No transport's thread is left behind: the watchdog's is the one that may stay.
    deadline = time.monotonic() + 5
    while threading.active_count() > threads + 1 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert threading.active_count() <= threads + 1


def test_an_address_that_swallows_packets(pool: Pool, target: MakeTarget) -> None:
    # A listener whose queue is full drops the greeting, as a firewall would.
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = listener.getsockname()[1]
        fillers = [socket.socket() for _ in range(3)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
        error = refusal(pool, target("127.0.0.1", port=port, timeout=0.5))
        for filler in fillers:
            filler.close()
    assert error.what == "timed out after 0.5 s connecting"


def test_no_ssh_server(pool: Pool, target: MakeTarget) -> None:
    with FaultServer(web_server) as server:
        error = refusal(pool, target("127.0.0.1", port=server.port, timeout=3.0))
    assert "connection broke" in error.what or "no SSH server" in error.what


def test_a_server_that_hangs_up(pool: Pool, target: MakeTarget) -> None:
    with FaultServer(hanging_up) as server:
        error = refusal(pool, target("127.0.0.1", port=server.port, timeout=3.0))
    assert "the connection broke while exchanging keys" in error.what


def test_unknown_host_key(fleet: Fleet, pool: Pool, target: MakeTarget, tmp_path: Path) -> None:
    error = refusal(pool, target(known_hosts_files=(str(tmp_path / "empty"),)))
    shown = subprocess.run(
        ["ssh-keygen", "-lf", str(fleet.directory / "host_key.pub")], capture_output=True, text=True, check=True
    ).stdout
    assert error.what == f"the host key of [127.1.0.1]:{fleet.port} is unknown"
    assert shown.split()[1] in str(error.why)
    assert f"ssh-keyscan -p {fleet.port} 127.1.0.1 >> {tmp_path}/empty" in str(error.remedy)


def test_the_remedy_for_an_unknown_key_works(fleet: Fleet, pool: Pool, target: MakeTarget, tmp_path: Path) -> None:
    known = tmp_path / "known"
    goal = target(known_hosts_files=(str(known),))
    command = str(refusal(pool, goal).remedy).partition("then: ")[2]
    subprocess.run(command, shell=True, check=True, capture_output=True)
    assert pool.remote(goal).exec(Command("echo in")).stdout == b"in\n"


def changed_key(fleet: Fleet, directory: Path) -> Path:
    make_key(directory / "other")
    known = directory / "known"
    words = (directory / "other.pub").read_text().split()
    known.write_text(f"# old\n[127.1.0.1]:{fleet.port} {words[0]} {words[1]}\n")
    return known


@pytest.mark.parametrize("checking", ["yes", "accept-new"])
def test_changed_host_key(fleet: Fleet, pool: Pool, target: MakeTarget, tmp_path: Path, checking: str) -> None:
    known = changed_key(fleet, tmp_path)
    error = refusal(pool, target(known_hosts_files=(str(known),), host_key_checking=checking))
    assert error.what == f"the host key of [127.1.0.1]:{fleet.port} has changed"
    assert f"{known}:2 holds SHA256:" in str(error.why)
    assert f"ssh-keygen -R '[127.1.0.1]:{fleet.port}' -f {known}" in str(error.remedy)


def test_any_key_will_do_when_told_so(fleet: Fleet, pool: Pool, target: MakeTarget, tmp_path: Path) -> None:
    known = changed_key(fleet, tmp_path)
    pool.remote(target(known_hosts_files=(str(known),), host_key_checking="no")).connect()


def test_a_pinned_type_that_the_server_has_not(fleet: Fleet, pool: Pool, target: MakeTarget, tmp_path: Path) -> None:
    make_key(tmp_path / "rsa", kind="rsa")
    known = tmp_path / "known"
    known.write_text(f"[127.1.0.1]:{fleet.port} {(tmp_path / 'rsa.pub').read_text()}")
    error = refusal(pool, target(known_hosts_files=(str(known),)))
    assert error.what == "no algorithm in common with the server"
    assert "pins a type of key" in str(error.remedy)


def test_a_revoked_key_is_refused_even_unchecked(fleet: Fleet, pool: Pool, target: MakeTarget, tmp_path: Path) -> None:
    known = tmp_path / "known"
    key = (fleet.directory / "host_key.pub").read_text()
    known.write_text(f"@revoked * {key}[127.1.0.1]:{fleet.port} {key}")
    assert refusal(pool, target(known_hosts_files=(str(known),))).what == "the host key is revoked"
    unchecked = target(known_hosts_files=(str(known),), host_key_checking="no")
    assert refusal(pool, unchecked).what == "the host key is revoked"


def test_accept_new_remembers(fleet: Fleet, pool: Pool, target: MakeTarget, tmp_path: Path) -> None:
    known = tmp_path / "new" / "known"
    pool.remote(target(known_hosts_files=(str(known),), host_key_checking="accept-new")).connect()
    key = (fleet.directory / "host_key.pub").read_text().split()
    assert known.read_text() == f"[127.1.0.1]:{fleet.port} {key[0]} {key[1]}\n"
    pool.remote(target(known_hosts_files=(str(known),))).connect()


def test_an_unreadable_known_hosts(pool: Pool, target: MakeTarget, tmp_path: Path) -> None:
    assert refusal(pool, target(known_hosts_files=(str(tmp_path),))).what == "cannot read a known_hosts file"


def test_auth_refused_says_what_was_tried(pool: Pool, target: MakeTarget, tmp_path: Path) -> None:
    make_key(tmp_path / "stranger")
    error = refusal(pool, target(private_key_file=str(tmp_path / "stranger")))
    assert error.what.startswith("the server refused to log in ")
    assert f"tried {tmp_path}/stranger (SHA256:" in str(error.why)


@pytest.mark.parametrize("content", [None, "rubbish"])
def test_a_key_file_that_cannot_be_used(pool: Pool, target: MakeTarget, tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "key"
    if content is not None:
        path.write_text(content)
    error = refusal(pool, target(private_key_file=str(path)))
    assert error.what == f"cannot use the private key {path}"
    assert ("no such file" if content is None else "no private key that can be read") in str(error.why)


def test_an_encrypted_key(pool: Pool, target: MakeTarget, tmp_path: Path) -> None:
    make_key(tmp_path / "key", passphrase="secret")
    error = refusal(pool, target(private_key_file=str(tmp_path / "key")))
    assert "encrypted" in str(error.why)
    assert "ssh-add" in str(error.remedy)


@pytest.fixture
def agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> object:
    """A real ssh-agent, empty."""
    address = tmp_path / "agent"
    process = subprocess.Popen(["ssh-agent", "-D", "-a", str(address)], stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 5
    while not address.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    monkeypatch.setenv("SSH_AUTH_SOCK", str(address))
    yield address
    process.terminate()
    process.wait()


def test_an_encrypted_key_that_the_agent_holds(
    fleet: Fleet, pool: Pool, target: MakeTarget, tmp_path: Path, agent: object
) -> None:
    shutil.copy(fleet.key, tmp_path / "key")
    subprocess.run(["ssh-add", "-q", str(tmp_path / "key")], check=True, capture_output=True)
    subprocess.run(["ssh-keygen", "-q", "-p", "-N", "secret", "-f", str(tmp_path / "key")], check=True)
    shutil.copy(f"{fleet.key}.pub", tmp_path / "key.pub")
    pool.remote(target(private_key_file=str(tmp_path / "key"))).connect()


def test_default_keys_and_then_the_agent(
    fleet: Fleet, pool: Pool, target: MakeTarget, tmp_path: Path, agent: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".ssh").mkdir()
    make_key(tmp_path / ".ssh" / "id_rsa", kind="rsa")
    goal = target(private_key_file="")
    assert "tried ~/.ssh/id_rsa (SHA256:" in str(refusal(pool, goal).why)
    subprocess.run(["ssh-add", "-q", str(fleet.key)], check=True, capture_output=True)
    pool.remote(goal).connect()


@pytest.mark.parametrize("kind", ["rsa", "ecdsa"])
def test_other_kinds_of_keys(fleet: Fleet, pool: Pool, target: MakeTarget, tmp_path: Path, kind: str) -> None:
    make_key(tmp_path / "key", kind=kind)
    authorized = fleet.directory / "authorized_keys"
    before = authorized.read_text()
    authorized.write_text(before + (tmp_path / "key.pub").read_text())
    try:
        pool.remote(target(private_key_file=str(tmp_path / "key"))).connect()
    finally:
        authorized.write_text(before)


@pytest.fixture
def authority(tmp_path: Path) -> Path:
    make_key(tmp_path / "ca")
    return tmp_path / "ca"


def sign(authority: Path, key: Path, *options: str) -> None:
    command = ["ssh-keygen", "-q", "-s", str(authority), "-I", "test", *options, f"{key}.pub"]
    subprocess.run(command, check=True, capture_output=True)


def test_a_user_certificate(fleet: Fleet, pool: Pool, target: MakeTarget, tmp_path: Path, authority: Path) -> None:
    make_key(tmp_path / "key")
    sign(authority, tmp_path / "key", "-n", fleet.user)
    directory = fleet.directory / "with-authority"
    certified = Fleet.start(directory, options={"TrustedUserCAKeys": f"{authority}.pub"})
    try:
        goal = target(
            port=certified.port,
            private_key_file=str(tmp_path / "key"),
            known_hosts_files=(str(certified.known_hosts),),
        )
        pool.remote(goal).connect()
    finally:
        certified.stop()


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        (("-n", "127.1.0.1"), None),
        (("-n", "db1,127.1.*"), None),
        (("-n", "somebody.else"), "it is for somebody.else, not for 127.1.0.1"),
        (("-n", "127.1.0.1", "-V", "20200101:20200102"), "it is not valid at this time"),
    ],
)
def test_host_certificates(
    pool: Pool, target: MakeTarget, tmp_path: Path, authority: Path, options: tuple[str, ...], fault: str | None
) -> None:
    directory = tmp_path / "fleet"
    directory.mkdir()
    make_key(directory / "host_key")
    sign(authority, directory / "host_key", "-h", *options)
    certified = Fleet.start(directory, options={"HostCertificate": str(directory / "host_key-cert.pub")})
    known = tmp_path / "known"
    known.write_text(f"@cert-authority [127.*]:{certified.port} {(tmp_path / 'ca.pub').read_text()}")
    goal = target(port=certified.port, known_hosts_files=(str(known),), private_key_file=str(certified.key))
    try:
        if fault is None:
            pool.remote(goal).connect()
        else:
            assert fault in str(refusal(pool, goal).why)
        # An authority that is not ours vouches for nobody.
        make_key(tmp_path / "rogue")
        known.write_text(f"@cert-authority [127.*]:{certified.port} {(tmp_path / 'rogue.pub').read_text()}")
        other = Pool()
        try:
            assert "no @cert-authority line names" in str(refusal(other, goal).why)
        finally:
            other.close()
    finally:
        certified.stop()


def test_password_login(fleet: Fleet, pool: Pool, target: MakeTarget, people: People, tmp_path: Path) -> None:
    open_to_passwords = Fleet.start(
        tmp_path / "fleet", options={"PasswordAuthentication": "yes", "AuthorizedKeysFile": "none"}
    )
    goal = target(
        port=open_to_passwords.port,
        known_hosts_files=(str(open_to_passwords.known_hosts),),
        user=people.login,
        password=people.password,
    )
    try:
        assert pool.remote(goal).exec(Command("id -un")).stdout.decode().strip() == people.login
        wrong = target(port=goal.port, known_hosts_files=goal.known_hosts_files, user=people.login, password="wrong")
        error = refusal(pool, wrong)
        assert ", password" in str(error.why)
        assert "wrong" not in str(error.lines())
    finally:
        open_to_passwords.stop()


def test_too_many_keys_for_the_server(fleet: Fleet, pool: Pool, target: MakeTarget, tmp_path: Path) -> None:
    strict = Fleet.start(tmp_path / "fleet", options={"MaxAuthTries": "1"})
    make_key(tmp_path / "stranger")
    goal = target(
        port=strict.port,
        known_hosts_files=(str(strict.known_hosts),),
        private_key_file=str(tmp_path / "stranger"),
        password="also wrong",
    )
    try:
        assert "refused to log in" in refusal(pool, goal).what
    finally:
        strict.stop()
