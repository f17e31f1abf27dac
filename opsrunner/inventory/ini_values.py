"""Types the values of an INI inventory as Ansible does: what is written as in Python is that, all else is text."""

from __future__ import annotations

import ast
import re
import warnings
from typing import Any

from opsrunner.errors import InputError
from opsrunner.yamlcomposer import MAX_BITS
from opsrunner.yamlshape import MAX_DEPTH

#: Characters of one value: Python's parser takes a hundred bytes and more for each.
MAX_LENGTH = 100_000

_NO_TEXT = re.compile("[\\0\ud800-\udfff]")
_QUOTED = """put it in quotes; as Ansible reads values twice a host's line wants two pairs: name='"value"'"""


def typed(text: str) -> Any:
    """``text`` as a value that JSON can carry: sets and tuples become lists, bytes and complex numbers text.

    Raises InputError (without a place) for what Ansible breaks off at, and what no plan could carry.
    """
    if len(text) > MAX_LENGTH:
        raise InputError(f"a value of {len(text)} characters", remedy=f"at most {MAX_LENGTH}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # '\d' is text for Ansible, too
            value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        value = text
    except TypeError:
        why = "{ } reads as in Python here: a set or mapping, and these hold no others as keys"
        raise InputError("a value that cannot be read", why=why, remedy=_QUOTED) from None
    except (MemoryError, RecursionError):
        why = "with so many operators or brackets the parser gives up"
        raise InputError("a value that cannot be read", why=why, remedy=_QUOTED) from None
    return _plain(value, 0)


def _plain(value: Any, depth: int) -> Any:
    if depth > MAX_DEPTH:
        raise InputError(f"nested deeper than {MAX_DEPTH} levels")
    if isinstance(value, bytes):
        value = value.decode("utf-8", "surrogateescape")
    elif isinstance(value, complex) or value is ...:
        value = "..." if value is ... else str(value)
    if isinstance(value, str) and (odd := _NO_TEXT.search(value)):
        what = "a NUL" if odd[0] == "\0" else "half a character, or a byte that is no UTF-8,"
        raise InputError(f"a value with {what} in it", remedy="leave it out")
    if isinstance(value, int) and value.bit_length() > MAX_BITS:
        raise InputError(f"a number of more than {MAX_BITS} bits", remedy=_QUOTED)
    if isinstance(value, dict):
        return {_key(key): _plain(item, depth + 1) for key, item in value.items()}
    if isinstance(value, (list, tuple, set)):
        return [_plain(item, depth + 1) for item in _ordered(value)]
    return value


def _ordered(items: list[Any] | tuple[Any, ...] | set[Any]) -> list[Any]:
    # The order of a set of numbers is Python's, as in Ansible; that of all others changes from run to run there.
    if isinstance(items, set) and not all(isinstance(item, (int, float, complex)) for item in items):
        return sorted(items, key=repr)
    return list(items)


def _key(key: Any) -> Any:
    if key is not None and not isinstance(key, (str, int, float)):
        raise InputError(
            f"a mapping with {'...' if key is ... else f'a {type(key).__name__}'} for a key",
            why="JSON knows no such keys",
            remedy="use text",
        )
    return _plain(key, 0)
