"""Filters over text: regular expressions, encodings, digests, quoting."""

from __future__ import annotations

import base64
import hashlib
import re
import shlex
from collections.abc import Callable
from typing import Any, Final

from opsrunner.templating.plugins import octets, text

#: What Ansible derives its names' UUIDs from.
_NAMESPACE: Final = "361E6D51-FAEC-444A-9079-341386DA8E2E"

_COMMENT_STYLES: Final[dict[str, dict[str, str]]] = {
    "plain": {"decoration": "# "},
    "erlang": {"decoration": "% "},
    "c": {"decoration": "// "},
    "cblock": {"beginning": "/*", "decoration": " * ", "end": " */"},
    "xml": {"beginning": "<!--", "decoration": " - ", "end": "-->"},
}


def _flags(ignorecase: Any, multiline: Any) -> int:
    return (re.IGNORECASE if ignorecase else 0) | (re.MULTILINE if multiline else 0)


def regex_replace(
    value: Any = "",
    pattern: str = "",
    replacement: str = "",
    ignorecase: Any = False,
    multiline: Any = False,
    count: int = 0,
    mandatory_count: int = 0,
) -> str:
    """Every match of ``pattern`` replaced; fails unless there were ``mandatory_count``, if that is given."""
    value = text(value)
    replaced, times = re.compile(pattern, _flags(ignorecase, multiline)).subn(replacement, value, count=count)
    if mandatory_count and mandatory_count != times:
        raise ValueError(f"{pattern!r} should match {mandatory_count} times, but matches {times} times in {value!r}")
    return replaced


def regex_findall(value: Any, regex: str, multiline: Any = False, ignorecase: Any = False) -> list[Any]:
    """All matches, or all groups of them."""
    return re.findall(regex, text(value), _flags(ignorecase, multiline))


def regex_search(
    value: Any, regex: str, *groups: str, ignorecase: Any = False, multiline: Any = False, **_ignored: Any
) -> Any:
    """The first match, or the wanted groups of it (``'\\\\1'``, ``'\\\\g<name>'``); None without a match."""
    wanted = [_group(group) for group in groups]
    match = re.search(regex, text(value), _flags(ignorecase, multiline))
    if match is None:
        return None
    return [match.group(group) for group in wanted] if wanted else match.group()


def _group(reference: str) -> Any:
    match = re.match(r"\\g<(\S+)>|\\(\d+)", reference)
    if match is None:
        raise ValueError(f"Unknown argument {reference!r}: groups are wanted as '\\1' or '\\g<name>'")
    return match.group(1) or int(match.group(2))


def regex_escape(value: Any, re_type: str = "python") -> str:
    """The text with whatever means something in a regular expression escaped."""
    if re_type == "python":
        return re.escape(text(value))
    if re_type == "posix_basic":
        return re.sub(r"([].[^$*\\])", r"\\\1", text(value))
    raise ValueError(f"Invalid regex type ({re_type}): python and posix_basic are known")


def b64encode(value: Any, encoding: str = "utf-8", urlsafe: Any = False) -> str:
    """Base64 of the text."""
    encode = base64.urlsafe_b64encode if urlsafe else base64.b64encode
    return encode(octets(value, encoding)).decode()


def b64decode(value: Any, encoding: str = "utf-8", urlsafe: Any = False) -> str:
    """The text that Base64 stands for."""
    decode = base64.urlsafe_b64decode if urlsafe else base64.b64decode
    return decode(octets(value)).decode(encoding, errors="surrogateescape")


def digest(value: Any, hashtype: str = "sha1") -> str:
    """The hexadecimal digest of the text, by the name of its algorithm."""
    algorithm = hashlib.new(hashtype)
    algorithm.update(octets(value))
    return algorithm.hexdigest()


def sha1(value: Any) -> str:
    """SHA-1 of the text."""
    return digest(value)


def md5(value: Any) -> str:
    """MD5 of the text."""
    return digest(value, "md5")


def to_uuid(value: Any, namespace: Any = _NAMESPACE) -> str:
    """The UUID (version 5) that the text gives in ``namespace``."""
    import uuid

    try:
        known = namespace if isinstance(namespace, uuid.UUID) else uuid.UUID(namespace)
    except (AttributeError, ValueError) as error:
        raise ValueError(f"Invalid value '{namespace}' for 'namespace': {error}") from None
    return str(uuid.uuid5(known, text(value)))


def quote(value: Any) -> str:
    """The text as one word of a shell's line."""
    return shlex.quote("" if value is None else text(value))


def split(value: str, *arguments: Any, **options: Any) -> list[str]:
    """``str.split``."""
    return str.split(value, *arguments, **options)


def comment(value: str, style: str = "plain", **options: Any) -> str:
    """The text as a comment of a ``style``, whose every part may be overridden."""
    if style not in _COMMENT_STYLES:
        raise ValueError(f"Invalid style {style!r}. Available styles: {', '.join(_COMMENT_STYLES)}")
    chosen = _COMMENT_STYLES[style]
    edge = options.get("decoration", chosen["decoration"]).rstrip()
    parts: dict[str, Any] = {
        "newline": "\n",
        "beginning": "",
        "prefix": edge,
        "prefix_count": 1,
        "postfix": edge,
        "postfix_count": 1,
        "end": "",
        **chosen,
        **options,
    }
    newline, decoration = parts["newline"], parts["decoration"]
    body = decoration + value.replace(newline, newline + decoration)
    # An empty line carries no trailing space.
    body = body.replace(decoration + newline, decoration.rstrip() + newline)
    before = parts["beginning"] + newline if parts["beginning"] else ""
    prefix = parts["prefix"]
    if prefix and prefix != newline:
        prefix += newline
    after: str = newline + parts["end"] if parts["end"] else ""
    postfix = (newline + parts["postfix"]) * parts["postfix_count"]
    return f"{before}{prefix * int(parts['prefix_count'])}{body}{postfix}{after}"


FILTERS: Final[dict[str, Callable[..., Any]]] = {
    "regex_replace": regex_replace,
    "regex_findall": regex_findall,
    "regex_search": regex_search,
    "regex_escape": regex_escape,
    "b64encode": b64encode,
    "b64decode": b64decode,
    "hash": digest,
    "checksum": sha1,
    "sha1": sha1,
    "md5": md5,
    "to_uuid": to_uuid,
    "quote": quote,
    "split": split,
    "comment": comment,
}
