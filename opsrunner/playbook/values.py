"""Checks keyword values and brings each into one shape; templates stay as they are."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from opsrunner.playbook.keywords import Kind
from opsrunner.tagged import Encrypted, Verbatim

#: Words that are no names of variables, as they are values in Jinja.
_RESERVED = frozenset(("true", "false", "none", "True", "False", "None", "not", "and", "or", "in", "is", "if", "else"))
_TRUE = frozenset(("y", "yes", "on", "1", "true", "t", "1.0"))
_FALSE = frozenset(("n", "no", "off", "0", "false", "f", "0.0"))
#: The largest number any keyword takes: as seconds, 31 years; beyond that clocks overflow.
_LARGEST = 10**9
_METHODS = ("sudo", "su", "doas")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
#: Under host_pinned hosts go on their own as under free; how many are at work at once is for forks to say.
_STRATEGIES = {"linear": "linear", "free": "free", "host_pinned": "free"}
_CONNECTIONS = {"ssh": "ssh", "smart": "ssh", "paramiko": "ssh", "paramiko_ssh": "ssh", "local": "local"}
_ORDERS = ("inventory", "reverse_inventory", "sorted", "reverse_sorted", "shuffle")
#: Collections that opsrunner's modules stand for.
COLLECTIONS = ("ansible.builtin", "ansible.legacy")


class Wrong(ValueError):
    """A value that a keyword does not take. ``inside`` is the key or index of the faulty part."""

    def __init__(self, what: str, *, remedy: str | None = None, inside: Any = None) -> None:
        super().__init__(what)
        self.what = what
        self.remedy = remedy
        self.inside = inside


def is_template(value: Any) -> bool:
    """Whether a text holds something that Jinja would render."""
    found = isinstance(value, str) and any(mark in value for mark in ("{{", "{%", "{#"))
    return found and not isinstance(value, Verbatim)


def is_identifier(name: object) -> bool:
    """Whether that is the name of a variable, by Ansible's rule."""
    return isinstance(name, str) and name.isidentifier() and name.isascii() and name not in _RESERVED


def described(value: Any) -> str:
    """A value's type in the words of YAML, with the value where it is short."""
    if value is None:
        return "nothing"
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, Encrypted):
        return "an encrypted value"
    shown = repr(value)
    return shown if len(shown) <= 60 else f"{shown[:57]}..."


def text(value: Any) -> str:
    """A text; a number becomes the text that Ansible makes of it."""
    if isinstance(value, str):
        return value
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return str(value)
    raise Wrong(f"takes a text, not {described(value)}", remedy="quote it" if isinstance(value, bool) else None)


def boolean(value: Any) -> Any:
    """True, False, or a template."""
    if isinstance(value, bool) or is_template(value):
        return value
    word = str(value).strip().lower() if isinstance(value, (str, int, float)) else ""
    if word in _TRUE:
        return True
    if word in _FALSE:
        return False
    raise Wrong(f"takes true or false, not {described(value)}")


def whole(value: Any) -> Any:
    """A whole number from 0, or a template."""
    if is_template(value):
        return value
    if isinstance(value, (str, float)) and re.fullmatch(r"\s*\+?[0-9]{1,20}(\.0+)?\s*", str(value), re.ASCII):
        value = int(float(value))
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return _not_too_large(value)
    raise Wrong(f"takes a whole number, not {described(value)}")


def number(value: Any) -> Any:
    """A finite number from 0, or a template."""
    if is_template(value):
        return value
    try:
        found = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        found = math.nan
    if math.isfinite(found) and found >= 0:
        return _not_too_large(int(found) if found.is_integer() else found)
    raise Wrong(f"takes a number, not {described(value)}")


def _not_too_large(value: float) -> float:
    if value > _LARGEST:
        raise Wrong(f"takes a number up to {_LARGEST}, not {described(value)}")
    return value


def percent(value: Any) -> Any:
    """A number from 0 to 100, with or without a percent sign; or a template."""
    found = number(value.replace("%", "") if isinstance(value, str) and not is_template(value) else value)
    if isinstance(found, (int, float)) and found > 100:
        raise Wrong(f"takes a percentage from 0 to 100, not {described(value)}")
    return found


def expressions(value: Any) -> tuple[Any, ...]:
    """Conditions: texts and true/false, one or a list of them."""
    several = value if isinstance(value, list) else [value]
    for index, one in enumerate(several):
        if not isinstance(one, (str, bool)) or one == "":
            raise Wrong(f"takes expressions, not {described(one)}", inside=index)
        if isinstance(one, Verbatim):
            raise Wrong("takes expressions; !unsafe text is never evaluated", inside=index)
    return tuple(several)


def names(value: Any) -> tuple[str, ...]:
    """One name or a list of them."""
    several = value if isinstance(value, list) else [] if value is None else [value]
    for index, one in enumerate(several):
        if not isinstance(one, str) or not one.strip():
            raise Wrong(f"takes a name or a list of names, not {described(one)}", inside=index)
    return tuple(several)


def tags(value: Any) -> tuple[str, ...]:
    """A list of tags, or a text with commas between them."""
    if value is None:
        return ()
    if isinstance(value, str):
        return tuple(tag.strip() for tag in value.split(",")) if not is_template(value) else (value,)
    if not isinstance(value, list):
        raise Wrong(f"takes a list of tags, not {described(value)}")
    for index, tag in enumerate(value):
        if not isinstance(tag, str):
            remedy = f'quote it: "{tag}"' if isinstance(tag, int) else None
            raise Wrong(f"takes texts, not {described(tag)}", remedy=remedy, inside=index)
    return tuple(value)


def environment(value: Any) -> tuple[Any, ...]:
    """Mappings of variables, one or a list of them; an entry may be a template of one."""
    several = value if isinstance(value, list) else [] if value is None else [value]
    for index, one in enumerate(several):
        if is_template(one):
            continue
        if not isinstance(one, Mapping):
            raise Wrong(f"takes a mapping of names to values, not {described(one)}", inside=index)
        for key, content in one.items():
            if not isinstance(key, str) or not key or "=" in key or "\0" in key:
                raise Wrong(f"{key!r} is no name of an environment variable", inside=index)
            if isinstance(content, (Mapping, list)):
                raise Wrong(f"{key} takes one value, not {described(content)}", inside=index)
    return tuple(several)


def serial(value: Any) -> tuple[Any, ...]:
    """Sizes of batches: whole numbers, ``"30%"`` or templates, one or a list of them."""
    several = value if isinstance(value, list) else [value]
    for index, one in enumerate(several):
        if is_template(one) or (isinstance(one, int) and not isinstance(one, bool)):
            continue
        if not isinstance(one, str) or not re.fullmatch(r"\s*[+-]?[0-9]{1,9}%?", one):
            raise Wrong(
                f"takes a number of hosts or a percentage, not {described(one)}",
                remedy='write serial: 2, serial: "30%" or a list of them',
                inside=index,
            )
    return tuple(several)


def budget(value: Any) -> str:
    """A number of hosts or a percentage of them, as a text; or a template."""
    found = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if is_template(found):
        return str(found)
    if not isinstance(found, str) or not re.fullmatch(r"[0-9]{1,9}|([0-9]{1,2}|100)%", found, re.ASCII):
        raise Wrong(
            f"takes a number of hosts or a percentage, not {described(value)}",
            remedy='write 3, "3" or "5%", of all hosts of the run',
        )
    return found


def duration(value: Any) -> Any:
    """Seconds, or ``30s``, ``10m``, ``2h``, ``1d``; or a template."""
    unit = _UNITS.get(value[-1:]) if isinstance(value, str) and not is_template(value) else None
    try:
        found = number(value if unit is None else value[:-1])
        return found if unit is None else _not_too_large(found * unit)
    except Wrong:
        raise Wrong(f"takes a time, not {described(value)}", remedy="write 90, 30s, 10m or 2h") from None


def _choice(word: str, choices: tuple[str, ...], why: str) -> Callable[[Any], Any]:
    def check(value: Any) -> Any:
        if is_template(value):
            return value
        short = value.removeprefix("ansible.builtin.").removeprefix("ansible.legacy.") if isinstance(value, str) else ""
        if short not in choices:
            raise Wrong(f"takes {word} ({', '.join(choices)}), not {described(value)}", remedy=why or None)
        return short

    return check


def _connection(value: Any) -> Any:
    checked = _choice("a connection", tuple(_CONNECTIONS), "opsrunner reaches hosts by SSH, or runs locally")(value)
    return _CONNECTIONS.get(checked, checked)


def _strategy(value: Any) -> Any:
    why = "debug needs a terminal, which workers have not; others are plugins, which opsrunner does not load"
    checked = _choice("a strategy", tuple(_STRATEGIES), why)(value)
    return _STRATEGIES.get(checked, checked)


def _identifier(value: Any) -> str:
    if is_identifier(value):
        return str(value)
    raise Wrong(f"takes the name of a variable, not {described(value)}", remedy="letters, digits and underscores")


#: How each kind of value is read: gives the shaped value or raises Wrong.
READERS: dict[Kind, Callable[[Any], Any]] = {
    "text": text,
    "bool": boolean,
    "whole": whole,
    "number": number,
    "percent": percent,
    "expressions": expressions,
    "names": names,
    "tags": tags,
    "environment": environment,
    "serial": serial,
    "budget": budget,
    "duration": duration,
    "method": _choice("a way to become", _METHODS, "other ways are Ansible's, opsrunner does not have them"),
    "connection": _connection,
    "strategy": _strategy,
    "order": _choice("an order", _ORDERS, ""),
    "identifier": _identifier,
    "rerun": _choice("an answer", ("safe", "never"), "safe: may be run again after its outcome was lost"),
    "collections": names,
}
#: Kinds for which no value at all is an empty one.
NULLABLE: frozenset[Kind] = frozenset(("names", "tags", "environment", "collections"))
