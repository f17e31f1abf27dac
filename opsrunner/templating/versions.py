"""Comparing versions as Ansible's ``version`` test does: loose, strict, semantic or PEP 440."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from typing import Any

from opsrunner.templating.plugins import text

_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {}
for _words, _function in (
    ("== = eq", operator.eq),
    ("< lt", operator.lt),
    ("<= le", operator.le),
    ("> gt", operator.gt),
    (">= ge", operator.ge),
    ("!= <> ne", operator.ne),
):
    _OPERATORS.update(dict.fromkeys(_words.split(), _function))

_LOOSE_PART = re.compile(r"\d+|[a-z]+|\.")
_STRICT = re.compile(r"(\d+)\.(\d+)(?:\.(\d+))?(?:([ab])(\d+))?", re.ASCII)
_NUMBER = r"(?:0|[1-9]\d*)"
_LABEL = rf"(?:{_NUMBER}|\d*[a-zA-Z-][0-9a-zA-Z-]*)"
_SEMANTIC = re.compile(
    rf"({_NUMBER})\.({_NUMBER})\.({_NUMBER})(?:-({_LABEL}(?:\.{_LABEL})*))?(?:\+[0-9a-zA-Z-]+(?:\.[0-9a-zA-Z-]+)*)?",
)


def compare(
    value: Any,
    version: Any,
    operator: str = "eq",
    strict: Any = None,
    version_type: str | None = None,
) -> bool:
    """Whether ``value`` stands to ``version`` as ``operator`` says; ValueError when they do not compare."""
    if strict is not None and version_type is not None:
        raise ValueError("Cannot specify both 'strict' and 'version_type'")
    if not value:
        raise ValueError("Input version value cannot be empty")
    if not version:
        raise ValueError("Version parameter to compare against cannot be empty")
    key = _key_function("strict" if strict else version_type or "loose")
    if operator not in _OPERATORS:
        known = ", ".join(map(repr, _OPERATORS))
        raise ValueError(f"Invalid operator type ({operator}). Must be one of {known}")
    try:
        return _OPERATORS[operator](_order(key(text(value)), key(text(version))), 0)
    except Exception as error:
        raise ValueError(f"Version comparison failed: {error}") from error


def _order(left: Any, right: Any) -> int:
    """-1, 0 or 1; TypeError when a number meets a word, even where only equality is asked for."""
    if left == right:
        return 0
    return -1 if left < right else 1


def _key_function(version_type: str) -> Callable[[str], Any]:
    kinds = {"loose": _loose, "strict": _strict, "semver": _semantic, "semantic": _semantic, "pep440": _pep440}
    if version_type not in kinds:
        raise ValueError(f"Invalid version type ({version_type}). Must be one of {', '.join(map(repr, kinds))}")
    return kinds[version_type]


def _loose(version: str) -> list[Any]:
    """Numbers and words; what is between them counts as a word, dots do not count."""
    parts: list[str] = []
    end = 0
    for match in _LOOSE_PART.finditer(version):
        parts += [version[end : match.start()], match.group()]
        end = match.end()
    parts.append(version[end:])
    return [int(part) if part.isdecimal() else part for part in parts if part and part != "."]


def _strict(version: str) -> Any:
    match = _STRICT.fullmatch(version)
    if not match:
        raise ValueError(f"invalid version number {version!r}")
    major, minor, patch, letter, number = match.groups()
    release = (int(major), int(minor), int(patch or 0))
    # A release comes after its alphas and betas.
    return release, (letter, int(number)) if letter else ("z", 0)


def _semantic(version: str) -> Any:
    match = _SEMANTIC.fullmatch(version)
    if not match:
        raise ValueError(f"invalid semantic version {version!r}")
    core = tuple(int(number) for number in match.group(1, 2, 3))
    if match.group(4) is None:
        return core, 1, ()
    # Numbers come before words, and both before the release.
    labels = [(0, int(label), "") if label.isdecimal() else (1, 0, label) for label in match.group(4).split(".")]
    return core, 0, tuple(labels)


def _pep440(version: str) -> Any:
    try:
        from packaging.version import Version
    except ImportError:
        raise ValueError("The pep440 version_type requires the Python 'packaging' library") from None
    return Version(version)
