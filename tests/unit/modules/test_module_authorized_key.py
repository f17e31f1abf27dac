"""authorized_key, for the user that runs the tests, in files of its own."""

from __future__ import annotations

import os
import pwd
from typing import Any

import pytest

from tests.unit.modules.shell_host import Host

USER = pwd.getpwuid(os.getuid()).pw_name
ONE = "ssh-ed25519 AAAAone a@x"
TWO = 'from="10.0.0.0/8",command="echo \\"a b\\"" ssh-rsa AAAAtwo b c'


def run(host: Host, key: str, text: str | None = None, **arguments: Any) -> tuple[bool, str]:
    """Whether that changed a file of this text, and its text then."""
    file = host.home / "keys/authorized"
    if text is not None:
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
        file.chmod(0o600)
    options = {"check": arguments.pop("check", False)}
    answer = host.run("authorized_key", {"user": USER, "key": key, "path": str(file), **arguments}, **options)
    assert not answer.get("failed"), answer
    return answer["changed"], file.read_text() if file.exists() else ""


def test_a_new_file(host: Host) -> None:
    assert run(host, ONE, check=True) == (True, "")
    assert run(host, f"# mine\n{ONE}\n\n{TWO}\n") == (True, f"{ONE}\n{TWO}\n")
    assert run(host, f"{ONE}\n{TWO}") == (False, f"{ONE}\n{TWO}\n")
    assert (host.home / "keys").stat().st_mode & 0o777 == 0o700
    assert (host.home / "keys/authorized").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("key", "before", "arguments", "after"),
    [
        (ONE, f"# note\n{TWO}\n", {}, f"# note\n{TWO}\n{ONE}\n"),
        (ONE, f"# note\n{TWO}\n{ONE}\n", {"exclusive": True}, f"# note\n{ONE}\n"),
        (ONE, f"{ONE}\n{TWO}\n", {"state": "absent"}, f"{TWO}\n"),
        ("ssh-ed25519 AAAAone new", f"{ONE}\n{TWO}\n", {}, f"ssh-ed25519 AAAAone new\n{TWO}\n"),
        (ONE, f"{ONE}\n", {"key_options": 'no-pty,from="1.1.1.1 x"'}, f'no-pty,from="1.1.1.1 x" {ONE}\n'),
        (TWO, f"{ONE}\n{TWO}\n", {"state": "absent"}, f"{ONE}\n"),
        (ONE, "", {"comment": "other"}, "ssh-ed25519 AAAAone other\n"),
    ],
)
def test_what_becomes_of_a_file(host: Host, key: str, before: str, arguments: dict[str, Any], after: str) -> None:
    assert run(host, key, before, **arguments) == (True, after)
    assert run(host, key, **arguments) == (False, after)


def test_faults(host: Host) -> None:
    asked = {"user": USER, "key": ONE, "path": "nowhere/keys", "manage_dir": False}
    assert host.run("authorized_key", {**asked, "user": "nobody-of-that-name"})["failed"]
    assert "no public key" in host.run("authorized_key", {**asked, "key": "ssh-ed25519"})["msg"]
    assert host.run("authorized_key", {**asked, "state": "absent"})["changed"] is False
