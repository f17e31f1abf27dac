"""Key files."""

from __future__ import annotations

import getpass
import os
import subprocess
from pathlib import Path

import paramiko
import pytest

from opsrunner.ssh.auth import Agent, KeyFiles, KeyUnusable
from opsrunner.ssh.target import Target


def make(path: Path, *options: str) -> Path:
    subprocess.run(["ssh-keygen", "-q", "-N", "", "-f", str(path), *options], check=True, capture_output=True)
    return path


@pytest.mark.parametrize(
    "options",
    [("-t", "ed25519"), ("-t", "rsa"), ("-t", "ecdsa"), ("-t", "rsa", "-m", "PEM"), ("-t", "ecdsa", "-m", "PEM")],
)
def test_every_format_that_ssh_keygen_writes(tmp_path: Path, options: tuple[str, ...]) -> None:
    path = make(tmp_path / "key", *options)
    (key,) = KeyFiles().load(path)
    assert key.get_base64() == (tmp_path / "key.pub").read_text().split()[1]
    assert key.can_sign()


def test_a_key_is_read_again_only_when_it_has_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make(tmp_path / "key")
    loads: list[str] = []
    from_path = paramiko.PKey.from_path
    monkeypatch.setattr(paramiko.PKey, "from_path", lambda path: loads.append(str(path)) or from_path(path))
    files = KeyFiles()
    first = files.load(path)
    assert files.load(path) is first
    path.unlink()
    make(path)
    assert files.load(path)[0].get_base64() != first[0].get_base64()
    assert len(loads) == 2


def test_a_certificate_beside_the_key_comes_first(tmp_path: Path) -> None:
    path = make(tmp_path / "key", "-t", "ed25519")
    make(tmp_path / "ca")
    sign = ["ssh-keygen", "-q", "-s", str(tmp_path / "ca"), "-I", "me", f"{path}.pub"]
    subprocess.run(sign, check=True, capture_output=True)
    certified, bare = KeyFiles().load(path)
    assert certified.public_blob.key_type == "ssh-ed25519-cert-v01@openssh.com"
    assert bare.public_blob is None
    assert bare.can_sign()


@pytest.mark.parametrize("options", [("-t", "ed25519"), ("-t", "rsa", "-m", "PEM")])
def test_encrypted_keys(tmp_path: Path, options: tuple[str, ...]) -> None:
    path = make(tmp_path / "key", *options)
    subprocess.run(["ssh-keygen", "-q", "-p", "-N", "secret", "-f", str(path)], check=True, capture_output=True)
    with pytest.raises(KeyUnusable, match="encrypted") as caught:
        KeyFiles().load(path)
    assert caught.value.encrypted


@pytest.mark.parametrize("content", [b"", b"rubbish", b"-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n", b"\xff\xfe\x00"])
def test_what_is_no_key(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "key").write_bytes(content)
    with pytest.raises(KeyUnusable, match="no private key") as caught:
        KeyFiles().load(tmp_path / "key")
    assert not caught.value.encrypted


def test_a_directory_is_no_key(tmp_path: Path) -> None:
    with pytest.raises(KeyUnusable, match="directory"):
        KeyFiles().load(tmp_path)
    with pytest.raises(FileNotFoundError):
        KeyFiles().load(tmp_path / "nope")


@pytest.mark.parametrize("address", [None, "", "/nonexistent/agent"])
def test_without_an_agent_there_are_no_keys(address: str | None) -> None:
    assert tuple(Agent(address, 1.0).get_keys()) == ()


def test_targets(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    target = Target("web1", "Web1.Example.ORG", password="hunter2")
    assert target.known_as == "web1.example.org"
    assert Target("web1", "10.0.0.1", 2222).known_as == "[10.0.0.1]:2222"
    assert target.login == getpass.getuser()
    assert target.known_hosts[0] == tmp_path / ".ssh" / "known_hosts"
    assert "hunter2" not in repr(target)
    assert os.sep in str(target.known_hosts[-1])
