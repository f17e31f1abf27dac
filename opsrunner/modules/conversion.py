"""Values as a playbook writes them, turned into the types that modules declare, by Ansible's rules.

Every function raises ValueError with the reason when a value does not fit.
"""

from __future__ import annotations

import ast
import decimal
import json
import re
import warnings
from collections.abc import Callable, Mapping
from typing import Any

from opsrunner.modules.contract import ArgumentType
from opsrunner.tagged import Encrypted

TRUE_WORDS = frozenset(("y", "yes", "on", "1", "true", "t"))
FALSE_WORDS = frozenset(("n", "no", "off", "0", "false", "f"))

#: Digits of the largest number taken; Python would write 1e999999999 out in full.
_MAX_DIGITS = 300

_SYMBOLIC_PART = re.compile(r"[ugoa]*([-+=][rwxXstugo]*)+")


def to_string(value: Any) -> str:
    """Text of anything; null is the empty text."""
    if value is None:
        return ""
    return value if isinstance(value, str) else str(value)


def to_bool(value: Any) -> bool:
    """True for yes, on, true, y, t, 1 in any case; False for their opposites."""
    if isinstance(value, bool):
        return value
    if isinstance(value, (str, int, float)):
        word = value.strip().lower() if isinstance(value, str) else str(int(value)) if value in (0, 1) else ""
        if word in TRUE_WORDS:
            return True
        if word in FALSE_WORDS:
            return False
        raise ValueError(f"{value!r} is not a valid boolean: use true or false")
    raise ValueError(f"{_type_name(value)} cannot be converted to a bool")


def to_int(value: Any) -> int:
    """A whole number; text and floats only when nothing is lost."""
    if isinstance(value, int):
        return int(value)
    try:
        number = decimal.Decimal(value)
        if number.adjusted() > _MAX_DIGITS:
            raise ValueError
        whole = int(number)
    except (decimal.DecimalException, TypeError, ValueError, OverflowError):
        raise ValueError(f"{value!r} cannot be converted to an int") from None
    if number != whole:
        raise ValueError(f"{value!r} cannot be converted to an int: it has a decimal part")
    return whole


def to_float(value: Any) -> float:
    """A number, also from text."""
    try:
        return float(value)
    except (TypeError, ValueError):
        raise ValueError(f"{value!r} cannot be converted to a float") from None


def to_list(value: Any) -> list[Any]:
    """A list as it is, text cut at commas, a number as a list of its text."""
    if isinstance(value, (list, tuple)):
        return list(value)
    if isinstance(value, str):
        return value.split(",")
    if isinstance(value, (int, float)):
        return [str(value)]
    raise ValueError(f"{_type_name(value)} cannot be converted to a list")


def to_dict(value: Any) -> dict[Any, Any]:
    """A mapping, its JSON text, or ``key=value, key=value`` text."""
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, str) and value.startswith("{"):
        return _dict_from_braces(value)
    if isinstance(value, str) and "=" in value:
        pairs = [field.partition("=") for field in _fields(value)]
        if all(sign for _, sign, _ in pairs):
            return {key: text for key, _, text in pairs}
        raise ValueError("the text holds a field without '='")
    if isinstance(value, str):
        raise ValueError("dictionary requested, could not parse JSON or key=value")
    raise ValueError(f"{_type_name(value)} cannot be converted to a dict")


def to_mode(value: Any) -> str:
    """A file mode as four octal digits or symbolic text (``u=rw,g=r``), or the word ``preserve``.

    A number is taken for what YAML made of it: unquoted ``0644`` is 420 and means 0644, unquoted
    ``644`` means 01204.
    """
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        raise ValueError(f"mode must be in octal or symbolic form, not {value!r}")
    if value == "preserve":
        return "preserve"
    if isinstance(value, str):
        try:
            number = int(value, 8)
        except ValueError:
            if all(_SYMBOLIC_PART.fullmatch(part) for part in value.split(",")):
                return value
            raise ValueError(f"mode must be in octal or symbolic form, not {value!r}") from None
    else:
        number = value
    if not 0 <= number <= 0o7777:
        raise ValueError(f"invalid mode {value!r}: only permission bits (0 to 07777) are allowed")
    return f"{number:04o}"


def to_regex(value: Any) -> str:
    """Text that Python's ``re`` takes for a regular expression."""
    text = to_string(value)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what a later Python may read otherwise is no business of the operator's
            re.compile(text)
    except (re.error, RecursionError, OverflowError) as error:
        raise ValueError(f"{text!r} is no regular expression: {error}") from None
    return text


CONVERTERS: Mapping[ArgumentType, Callable[[Any], Any]] = {
    "str": to_string,
    "path": to_string,
    "int": to_int,
    "float": to_float,
    "bool": to_bool,
    "list": to_list,
    "dict": to_dict,
    "mode": to_mode,
    "regex": to_regex,
    "raw": lambda value: value,
}


def holds_template(value: Any) -> bool:
    """Whether the value is a template, or encrypted, so that nothing can be said about it yet."""
    if isinstance(value, str):
        return "{{" in value or "{%" in value or "{#" in value
    if isinstance(value, Mapping):
        return any(holds_template(part) for pair in value.items() for part in pair)
    if isinstance(value, (list, tuple)):
        return any(holds_template(part) for part in value)
    return isinstance(value, Encrypted)


def _dict_from_braces(text: str) -> dict[Any, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        try:
            found = ast.literal_eval(text)
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            found = None
    if isinstance(found, dict):
        return found
    raise ValueError("unable to evaluate string as dictionary")


def _fields(text: str) -> list[str]:
    """``a=1, b='x y'`` cut at commas and blanks outside quotes, quotes and backslashes taken away."""
    fields, current, quote, escaped = [], "", "", False
    for character in text.strip():
        if escaped:
            current, escaped = current + character, False
        elif character == "\\":
            escaped = True
        elif not quote and character in "'\"":
            quote = character
        elif quote and character == quote:
            quote = ""
        elif not quote and character in ", ":
            fields.append(current)
            current = ""
        else:
            current += character
    return [field for field in (*fields, current) if field]


def _type_name(value: Any) -> str:
    return "null" if value is None else type(value).__name__
