"""Where vault passwords come from."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import time
from pathlib import Path

import pytest

from opsrunner import passwords
from opsrunner.errors import InputError, InputErrors
from tests.vaulted import encrypted


def never(words: str) -> str:
    raise AssertionError(words)


def script(path: Path, text: str) -> str:
    path.write_text(text)
    path.chmod(0o700)
    return str(path)


def test_files_and_labels(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).write_text(f"  pass {name}\t\r\n\n")
    found = passwords.secrets([f"prod@{tmp_path}/one", f"{tmp_path}/two"], [f"{tmp_path}/one"], never)
    assert [(secret.label, secret.password) for secret in found] == [
        ("prod", b"pass one"),
        ("default", b"pass two"),
        ("default", b"pass one"),
    ]


def test_passwords_that_are_asked_for() -> None:
    asked: list[str] = []

    def ask(words: str) -> str:
        asked.append(words)
        return f" typed {len(asked)} "

    found = passwords.secrets(["prompt", "prod@prompt"], [], ask, asked=True)
    assert asked == ["Vault password (default): ", "Vault password (prod): ", "Vault password: "]
    assert [(secret.label, secret.password) for secret in found] == [
        ("default", b"typed 1"),
        ("prod", b"typed 2"),
        ("default", b"typed 3"),
    ]
    with pytest.raises(InputError, match="no vault password was typed"):
        passwords.secrets([], [], lambda words: " ", asked=True)


def test_an_executable_file_prints_the_password(tmp_path: Path) -> None:
    path = script(tmp_path / "ask.sh", "#!/bin/sh\nprintf ' %s \\r\\n' \"pw$#\"\n")
    assert passwords.from_file(path, "prod").password == b" pw0 "


@pytest.mark.parametrize("name", ["keyring-client", "keyring-client.py"])
def test_a_client_script_is_told_the_label(tmp_path: Path, name: str) -> None:
    path = script(tmp_path / name, '#!/bin/sh\necho "$@"\n')
    assert passwords.secrets([f"prod@{path}"], [], never)[0].password == b"--vault-id prod"
    assert passwords.secrets([], [path], never)[0].password == b"--vault-id default"


def test_a_password_file_may_be_encrypted_with_a_secret_before_it(tmp_path: Path) -> None:
    (tmp_path / "first").write_text("one")
    (tmp_path / "second").write_text(encrypted("two\n", "one"))
    first, second = passwords.secrets([], [f"{tmp_path}/first", f"{tmp_path}/second"], never)
    assert (first.password, second.password) == (b"one", b"two")
    with pytest.raises(InputError, match="is encrypted itself"):
        passwords.from_file(f"{tmp_path}/second")


def test_what_gives_no_password_is_told_all_at_once(tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "folder").mkdir()
    script(tmp_path / "fails", "#!/bin/sh\necho pw; exit 3\n")
    script(tmp_path / "silent", "#!/bin/sh\n")
    script(tmp_path / "unknown-client", "#!/bin/sh\nexit 2\n")
    (tmp_path / "none").write_text("password")
    (tmp_path / "none").chmod(0o700)
    names = ["missing", "empty", "folder", "fails", "silent", "unknown-client", "none", "\0"]
    with pytest.raises(InputErrors) as caught:
        passwords.secrets([f"x@{tmp_path}/{name}" for name in names], [], never)
    told = [str(error) for error in caught.value.errors]
    for one, words in zip(
        told,
        ["No such file", "it is empty", "is a folder", "ended with 3", "it is empty", "no secret for x", "cannot run"],
        strict=False,
    ):
        assert words in one
    assert len(told) == len(names)
    assert "chmod -x" in str(caught.value.errors[6].remedy)


def test_a_password_comes_to_an_end(tmp_path: Path) -> None:
    endless = script(tmp_path / "endless", "#!/bin/sh\nexec yes\n")
    for path in ("/dev/zero", endless):
        with pytest.raises(InputError, match="more than 65536 bytes"):
            passwords.from_file(path)


def test_the_setting_names_one_file_or_none(tmp_path: Path) -> None:
    (tmp_path / "pw").write_text("x")
    assert passwords.of_setting("") == ()
    assert [secret.password for secret in passwords.of_setting(f"{tmp_path}/pw")] == [b"x"]


# ------------------------------------------------------------------ typed


def typed(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OPSRUNNER_STATE_DIR": str(folder / "state"), "PYTHONPATH": str(Path.cwd())}
    return subprocess.run(
        [sys.executable, "-m", "opsrunner", *words],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def test_without_a_terminal_nobody_is_asked(tmp_path: Path) -> None:
    done = typed(tmp_path, "inventory", "list", "-i", "h,", "-J")
    assert done.returncode == 65
    assert "nobody can be asked" in done.stderr


def test_what_is_typed_opens_the_inventory(tmp_path: Path) -> None:
    (tmp_path / "hosts.yml").write_text(encrypted("all: {hosts: {web1: }}", "typed in"))
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "opsrunner", "inventory", "hosts", "all", "-i", "hosts.yml", "--ask-vault-pass"],
        cwd=tmp_path,
        env={**os.environ, "OPSRUNNER_STATE_DIR": str(tmp_path / "state"), "PYTHONPATH": str(Path.cwd())},
        stdin=follower,
        stdout=subprocess.PIPE,
        stderr=follower,
        text=True,
        start_new_session=True,
    )
    os.close(follower)
    said = b""
    deadline = time.monotonic() + 30
    while b"Vault password: " not in said and time.monotonic() < deadline:
        said += os.read(leader, 1000)
    os.write(leader, b"typed in\n")
    output, _ = process.communicate(timeout=30)
    os.close(leader)
    assert (process.returncode, output) == (0, "web1\n")
    assert b"typed in" not in said
