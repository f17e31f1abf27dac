"""What Ansible takes for a host name or address, with or without ranges and a port."""

from __future__ import annotations

import re
from functools import lru_cache

#: ``[begin:end]`` or ``[begin:end:step]``; the bounds differ by where the range stands.
_RANGE = r"\[(?:{bounds})(?::[0-9]+)?\]"
_NUMBERS = _RANGE.format(bounds=r"[0-9]+:[0-9]+")
_HEXADECIMALS = _RANGE.format(bounds=r"[0-9a-f]+:[0-9a-f]+")
_LETTERS_OR_NUMBERS = _RANGE.format(bounds=r"[a-z]:[a-z]|[0-9]+:[0-9]+")

_OCTET = rf"(?:25[0-5]|2[0-4][0-9]|[01]?[0-9]{{1,2}}|{_NUMBERS})"
_IPV4 = re.compile(rf"(?:{_OCTET}\.){{3}}{_OCTET}", re.IGNORECASE)

#: 16 bits of an IPv6 address.
_PIECE = re.compile(rf"[0-9a-f]{{1,4}}|{_HEXADECIMALS}", re.IGNORECASE)

_LABEL = rf"(?:\w|{_LETTERS_OR_NUMBERS})(?:[\w-]|{_LETTERS_OR_NUMBERS})*(?<![_-])"
_HOSTNAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*", re.IGNORECASE)

_BRACKETED_PORT = re.compile(r"\[(.+)\]:([0-9]{1,18})")
_PORT = re.compile(r"((?:[^:\[\]]|\[[^\]]*\])*):([0-9]{1,18})")


def is_ipv4(text: str) -> bool:
    """Whether ``text`` is an IPv4 address, ranges allowed in each part."""
    return _IPV4.fullmatch(text) is not None


def is_ipv6(text: str) -> bool:
    """Whether ``text`` is an IPv6 address as Ansible knows them: no zone, ranges allowed."""
    if text.count("::") > 1 or ":::" in text:
        return False
    if "." in text:
        return _is_embedded_ipv4(text)
    if "::" not in text:
        return _pieces(text) == 8
    before, after = (_pieces(side) if side else 0 for side in text.split("::"))
    # "::" alone stands for at least one piece on either side that is written.
    return before >= 0 and after >= 0 and before + after <= (7 if before and after else 6)


def _pieces(text: str) -> int:
    """How many pieces ``a:b:c`` has; -100 when one of them is none (so that a sum stays negative)."""
    parts = _outside_brackets(text)
    return len(parts) if all(_PIECE.fullmatch(part) for part in parts) else -100


def _outside_brackets(text: str) -> list[str]:
    """``text`` cut at its colons, but not at those inside of brackets."""
    return re.split(r":(?![^\[\]]*\])", text)


def _is_embedded_ipv4(text: str) -> bool:
    """``::ffff:192.0.2.3``, ``::192.0.2.3`` and their spellings in full."""
    head, _, tail = text.rpartition(":")
    if head.lower() not in (":", "::ffff", "0:0:0:0:0:0", "0:0:0:0:0:ffff"):
        return False
    parts = tail.split(".")
    return len(parts) == 4 and all(_PIECE.fullmatch(part) for part in parts)


@lru_cache(maxsize=200_000)
def parse(text: str) -> tuple[str, int | None] | None:
    """``name``, ``name:port`` or ``[address]:port`` as name and port; None when it is neither.

    Ranges are allowed in the name and stay in it.
    """
    name, port = text, None
    for shape in (_BRACKETED_PORT, _PORT):
        found = shape.fullmatch(name)
        if found:
            name, port = found[1], int(found[2])
    if is_ipv4(name) or is_ipv6(name) or _HOSTNAME.fullmatch(name):
        return name, port
    return None


def short_name(name: str) -> str:
    """``inventory_hostname_short``: up to the first dot, but an address stays whole."""
    return name if is_ipv4(name) or is_ipv6(name) else name.split(".")[0]
