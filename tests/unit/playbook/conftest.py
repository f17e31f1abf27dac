"""A registry of a few modules, so that loading is tested without the real ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import pytest

from opsrunner.errors import InputError

_MODULES = {
    "command": {"cmd", "argv", "chdir"},
    "copy": {"src", "dest", "content"},
    "debug": {"msg", "var"},
    "include_tasks": {"file", "apply"},
    "include_role": {"name", "tasks_from", "apply"},
}


class _Problem(NamedTuple):
    text: str
    argument: str | None = None
    remedy: str | None = None


class FewModules:
    """Knows command, copy, debug and the includes, and that Ansible has user."""

    def canonical(self, name: str) -> str | None:
        short = name.removeprefix("ansible.builtin.")
        return short if short in _MODULES else None

    def is_known_elsewhere(self, name: str) -> bool:
        return name.removeprefix("ansible.builtin.") == "user"

    def names(self) -> Sequence[str]:
        return tuple(_MODULES)

    def parse_inline(self, name: str, text: str) -> Mapping[str, Any]:
        if name == "command":
            return {"cmd": text}
        if text.count('"') % 2:
            raise InputError("a quote is missing")
        return dict(pair.split("=", 1) for pair in text.split())

    def problems(self, name: str, arguments: Mapping[str, Any]) -> Sequence[_Problem]:
        return [_Problem(f"there is no argument {key!r}", key) for key in arguments if key not in _MODULES[name]]


@pytest.fixture(scope="session")
def few_modules() -> FewModules:
    return FewModules()
