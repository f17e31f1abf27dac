"""What loading a playbook needs to know of modules; the modules themselves stand above this room."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol


class Problem(Protocol):
    """What is wrong with a task's arguments; ``argument`` is the name as written, None for all of them."""

    @property
    def text(self) -> str: ...

    @property
    def argument(self) -> str | None: ...

    @property
    def remedy(self) -> str | None: ...


class ModuleCatalogue(Protocol):
    """The registry of modules as a loader sees it."""

    def canonical(self, name: str) -> str | None:
        """The short name of a module (``ansible.builtin.copy`` → ``copy``), None when there is none."""
        ...

    def is_known_elsewhere(self, name: str) -> bool:
        """Whether Ansible has a module of that name and opsrunner has not."""
        ...

    def names(self) -> Sequence[str]:
        """Short names of all modules."""
        ...

    def parse_inline(self, name: str, text: str) -> Mapping[str, Any]:
        """``key=value`` and free-form text as arguments; InputError when the text cannot be read."""
        ...

    def problems(self, name: str, arguments: Mapping[str, Any]) -> Sequence[Problem]:
        """What is wrong with arguments as they are written, as far as that shows before rendering."""
        ...
