"""The registry of modules as the loader of playbooks wants it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from opsrunner import modules
from opsrunner.errors import InputError
from opsrunner.modules import arguments as module_arguments
from opsrunner.modules.arguments import Problem


class Registry:
    """Satisfies :class:`opsrunner.playbook.ModuleCatalogue` with opsrunner's own modules."""

    def canonical(self, name: str) -> str | None:
        return modules.canonical(name)

    def is_known_elsewhere(self, name: str) -> bool:
        return modules.is_known_elsewhere(name)

    def names(self) -> Sequence[str]:
        return tuple(modules.names())

    def parse_inline(self, name: str, text: str) -> Mapping[str, Any]:
        try:
            return module_arguments.parse_inline(name, modules.get(name).SPEC, text)
        except UnicodeDecodeError as error:
            raise InputError("an escape that is no character", why=error.reason) from None

    def problems(self, name: str, arguments: Mapping[str, Any]) -> Sequence[Problem]:
        return module_arguments.check_names(name, modules.get(name).SPEC, arguments)
