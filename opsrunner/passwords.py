"""Vault passwords: from files, from scripts that print them, and from who types."""

from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from opsrunner.errors import InputError, raise_all
from opsrunner.vault import DEFAULT_LABEL, HEADER, Secret, Vault, VaultError, using

#: Asks with these words and gives what was typed. Raises InputError where nobody can be asked.
Ask = Callable[[str], str]

#: Bytes of a password at most, as a file or a script may never end.
LIMIT = 64 * 1024
#: What stands in the place of a file for a password that is asked for.
_PROMPT = "prompt"


def secrets(vault_ids: Sequence[str], files: Sequence[str], ask: Ask, *, asked: bool = False) -> tuple[Secret, ...]:
    """The secrets of ``--vault-id`` (``[LABEL@]FILE``, ``[LABEL@]prompt``) and password files; and one ``asked`` for.

    Raises InputError, or all of them together.
    """
    found: list[Secret] = []
    faults: list[InputError] = []
    for text in vault_ids:
        label, source = text.split("@", 1) if "@" in text else ("", text)
        try:
            if source == _PROMPT:
                found.append(_typed(label, f"Vault password ({label or DEFAULT_LABEL}): ", ask))
            else:
                found.append(from_file(source, label, known=found))
        except InputError as error:
            faults.append(error)
    for path in files:
        try:
            found.append(from_file(path, DEFAULT_LABEL, known=found))
        except InputError as error:
            faults.append(error)
    raise_all(faults)
    if asked:
        found.append(_typed(DEFAULT_LABEL, "Vault password: ", ask))
    return tuple(found)


def from_file(path: str, label: str = "", *, known: Sequence[Secret] = ()) -> Secret:
    """The password in a file, or the one that it prints where it is executable.

    A script whose name ends in ``-client`` is told the ``label``. A file may itself be encrypted with a secret that
    is ``known``. Raises InputError where it is missing, empty, or fails.
    """
    # Links stay as they are written: a script may look for its configuration beside itself.
    file = Path(os.path.abspath(os.path.expandvars(os.path.expanduser(path))))  # noqa: PTH100, PTH111
    try:
        mode = file.stat().st_mode
        if stat.S_ISDIR(mode):
            raise InputError(f"the vault password file {path!r} is a folder", remedy="name a file")
        password = _printed(file, label) if mode & 0o111 else _stored(file, known)
    except OSError as error:
        remedy = "name a file that is there; a label goes before it: LABEL@FILE, LABEL@prompt"
        raise InputError(f"cannot read the vault password file {path!r}", why=error.strerror, remedy=remedy) from None
    except ValueError as error:  # a NUL in the path
        raise InputError(f"cannot read the vault password file {path!r}", why=str(error)) from None
    if len(password) > LIMIT:
        raise InputError(f"the vault password file {path!r} gives more than {LIMIT} bytes", remedy="name another")
    if not password:
        raise InputError(f"no password in the vault password file {path!r}", why="it is empty")
    return Secret(label or DEFAULT_LABEL, password)


def of_setting(path: str) -> tuple[Secret, ...]:
    """The secret in the file that the setting names; none where it names none. Raises InputError."""
    return (from_file(path),) if path else ()


def using_setting(path: str) -> AbstractContextManager[None]:
    """Open encrypted texts inside with the secret of :func:`of_setting`, which is read when the first one is met."""
    return using(Vault(more=lambda: of_setting(path)))


def _stored(file: Path, known: Sequence[Secret]) -> bytes:
    with file.open("rb") as opened:  # also a pipe of the shell: <(pass show vault)
        data = opened.read(LIMIT + 1).strip()
    if data.startswith(HEADER.encode()):
        try:
            data = Vault(known).open(data.decode("ascii", "replace"))
        except VaultError as error:
            what = f"the vault password file {str(file)!r} is encrypted itself"
            raise InputError(what, why=error.why, remedy="give its own password first") from None
    return data.strip(b"\r\n")


def _printed(file: Path, label: str) -> bytes:
    is_client = file.stem.endswith("-client")
    command = [str(file), *(["--vault-id", label] if is_client and label else [])]
    try:
        # What it says on stderr is for who types; a script may ask there.
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            assert process.stdout
            printed = process.stdout.read(LIMIT + 1)
            if len(printed) > LIMIT:
                process.kill()
                return printed
    except OSError as error:
        raise InputError(
            f"cannot run the vault password script {str(file)!r}",
            why=error.strerror,
            remedy="begin it with #!/bin/sh or the like; where it holds the password itself: chmod -x",
        ) from None
    if process.returncode:
        unknown = f": it knows no secret for {label}" if is_client and process.returncode == 2 else ""
        raise InputError(f"the vault password script {str(file)!r} ended with {process.returncode}{unknown}")
    return printed.strip(b"\r\n")


def _typed(label: str, words: str, ask: Ask) -> Secret:
    password = ask(words).strip()
    if not password:
        raise InputError("no vault password was typed")
    return Secret(label or DEFAULT_LABEL, password.encode("utf-8", "surrogateescape"))
