"""Filters and tests that look at the disk: at that of the machine that submits, as Ansible's look at its controller."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Mapping
from typing import Any, Final

from jinja2 import pass_environment

#: The tests by what the status of a path (:meth:`Machine.status`) says of it.
_TESTED: Final = {
    "directory": ("directory", "is_dir"),
    "file": ("file", "is_file"),
    "link": ("link", "is_link"),
    "exists": ("exists",),
    "link_exists": ("link_exists",),
    "mount": ("mount", "is_mount"),
}


def _status(environment: Any, path: Any) -> Mapping[str, Any]:
    if not isinstance(path, str):
        raise TypeError(f"a path is a text, not {type(path).__name__}")
    lookups = environment.templar.lookups
    if lookups.machine is None:
        raise ValueError("there are no files to look at here")
    found: Mapping[str, Any] = lookups.machine.status(posixpath.join(lookups.directory, path) if path else "")
    return found


def _tester(what: str) -> Callable[..., bool]:
    @pass_environment
    def test(environment: Any, path: Any) -> bool:
        return bool(_status(environment, path)[what])

    return test


@pass_environment
def same_file(environment: Any, path: Any, other: Any) -> bool:
    """Whether both paths lead to the same file."""
    found = [_status(environment, one)["identity"] for one in (path, other)]
    if None in found:
        raise FileNotFoundError(f"No such file or directory: {(path, other)[found.index(None)]!r}")
    return bool(found[0] == found[1])


@pass_environment
def vaulted_file(environment: Any, path: Any) -> bool:
    """Whether the file is encrypted."""
    vaulted = _status(environment, path)["vaulted"]
    if vaulted is None:
        raise ValueError(f"Cannot test if the file {path!r} is a vault.")
    return bool(vaulted)


@pass_environment
def realpath(environment: Any, path: Any) -> str:
    """The path made absolute, its symbolic links followed."""
    return str(_status(environment, "." if path == "" else path)["real"])


@pass_environment
def fileglob(environment: Any, pattern: Any) -> list[str]:
    """The files that match, in order."""
    if not isinstance(pattern, str):
        raise TypeError(f"a pattern is a text, not {type(pattern).__name__}")
    lookups = environment.templar.lookups
    if lookups.machine is None:
        raise ValueError("there are no files to look at here")
    within = "" if pattern.startswith("/") else lookups.directory.rstrip("/") + "/"
    return [path.removeprefix(within) for path in lookups.machine.matching(within + pattern)]


FILTERS: Final[dict[str, Callable[..., Any]]] = {"fileglob": fileglob, "realpath": realpath}
TESTS: Final[dict[str, Callable[..., Any]]] = {
    **{name: _tester(what) for what, names in _TESTED.items() for name in names},
    **dict.fromkeys(("same_file", "is_same_file"), same_file),
    "vaulted_file": vaulted_file,
}
