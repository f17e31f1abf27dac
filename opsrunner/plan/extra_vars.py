"""Reads ``-e``: variables given on the command line."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from opsrunner.errors import InputError, raise_all
from opsrunner.plan import datafile
from opsrunner.plan.codec import plain

_FORMS = "write NAME=VALUE, a mapping in JSON or YAML such as '{\"name\": [1, 2]}', or @FILE"


def parse_extra_vars(texts: Sequence[str], base: Path, warn: datafile.Warn) -> dict[str, Any]:
    """The variables of all ``-e`` options; a later one wins.

    ``base`` is the folder that ``@FILE`` is relative to; ``warn`` is told of keys that stand twice.
    Raises InputError, or all of them together.
    """
    found: dict[str, Any] = {}
    errors: list[InputError] = []
    for text in texts:
        try:
            found.update(_one(text, base, warn))
        except InputError as error:
            errors.append(error)
    raise_all(errors)
    return found


def _one(text: str, base: Path, warn: datafile.Warn) -> Mapping[str, Any]:
    if not text:
        return {}
    if text.startswith("@"):
        path = os.path.expanduser(text[1:])  # noqa: PTH111 -- leaves ~nobody as it is, where Path raises
        return _checked(datafile.read(base / path, warn, name=text[1:]), text)
    if text[0] in "/.":
        raise InputError(f"-e {text}: a file needs an @ before it", remedy=f"-e @{text}")
    if text[0] in "[{":
        return _checked(datafile.parse(text, "--extra-vars", warn), text)
    return _pairs(text)


def _checked(data: Any, text: str) -> Mapping[str, Any]:
    if not isinstance(data, Mapping):
        raise InputError(f"-e {text}: these are no variables", why="a mapping is wanted", remedy=_FORMS)
    strange = [key for key in data if not isinstance(key, str)]
    if strange:
        raise InputError(f"-e {text}: {strange[0]!r} is no name of a variable", remedy="quote it")
    return {key: plain(value) for key, value in data.items()}


def _pairs(text: str) -> Mapping[str, Any]:
    """``a=1 b='x y'``, by the rules of a module's inline arguments."""
    from opsrunner.modules.contract import Spec
    from opsrunner.modules.inline import parse_inline

    # Pairs and nothing else: no free form, so that loose words are refused.
    names_and_values = Spec(summary="", any_argument=True)
    try:
        return parse_inline("-e", names_and_values, text)
    except (InputError, UnicodeDecodeError) as error:
        why = error.what if isinstance(error, InputError) and "loose" not in error.what else None
        raise InputError(f"-e {text}: not all of this is NAME=VALUE", why=why, remedy=_FORMS) from None
