"""Permission bits: what an octal or symbolic mode makes of the bits that are there."""

from __future__ import annotations

import re
import stat

_OPERATION = re.compile(r"([-+=])([rwxXstugo]*)")
_SHIFT = {"u": 6, "g": 3, "o": 0}
_SPECIAL = {("u", "s"): stat.S_ISUID, ("g", "s"): stat.S_ISGID, ("o", "t"): stat.S_ISVTX}
_OWN_SPECIAL = {"u": stat.S_ISUID, "g": stat.S_ISGID, "o": stat.S_ISVTX}


def resolve(mode: str, current: int, *, umask: int = 0o022) -> int:
    """Permission bits after ``mode``, a value that ``conversion.to_mode`` let through.

    ``current`` is a whole st_mode, for ``X`` asks whether it is a directory. The umask limits the
    r, w and x of parts that name nobody (``+x``).
    """
    if mode.isdigit():
        return int(mode, 8)
    is_directory = stat.S_ISDIR(current)
    bits = stat.S_IMODE(current)
    for part in mode.split(","):
        who = re.match(r"[ugoa]*", part)
        named = who.group() if who else ""
        users = "ugo" if not named or "a" in named else named
        for sign, permissions in _OPERATION.findall(part[len(named) :]):
            for user in users:
                given = _bits(user, permissions, bits, is_directory, 0 if named else umask)
                bits = _applied(user, sign, given, bits)
    return bits


def _bits(user: str, permissions: str, bits: int, is_directory: bool, umask: int) -> int:
    shift = _SHIFT[user]
    found = 0
    for permission in permissions:
        if permission in _SHIFT:
            found |= (bits >> _SHIFT[permission] & 0o7) << shift
        elif permission == "X":
            found |= 0o1 << shift if is_directory or bits & 0o111 else 0
        elif permission in "st":
            found |= _SPECIAL.get((user, permission), 0)
        else:
            found |= {"r": 0o4, "w": 0o2, "x": 0o1}[permission] << shift & ~umask
    return found


def _applied(user: str, sign: str, given: int, bits: int) -> int:
    if sign == "+":
        return bits | given
    if sign == "-":
        return bits & ~given
    return bits & ~(0o7 << _SHIFT[user] | _OWN_SPECIAL[user]) | given


def octal(mode: int) -> str:
    """``0644``, as Ansible shows permission bits."""
    return f"0{stat.S_IMODE(mode):03o}"


def for_chmod(mode: int) -> str:
    """Digits that make chmod set all bits: GNU keeps a directory's setgid for four digits or fewer."""
    return f"{stat.S_IMODE(mode):05o}"
