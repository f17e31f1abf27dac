"""Where what a task or an include names is looked for: files of tasks, roles, and what the tasks there name."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct, field

from opsrunner.plan.choices import Candidates, Chosen
from opsrunner.plan.role_search import RoleSearch
from opsrunner.plan.role_variables import Placed
from opsrunner.playbook import Include


class Where(Struct, frozen=True):
    """What an include finds around it."""

    #: Folder of the file that it stands in.
    folder: Path
    #: Files that are being read, outermost first.
    stack: tuple[Path, ...]
    #: Numbers of the roles it stands in, outermost first.
    chain: tuple[int, ...] = ()
    search: int = 0
    vars: Mapping[str, Any] = field(default_factory=dict)
    params: Mapping[str, Any] = field(default_factory=dict)
    handlers: bool = False
    #: Only hosts that entered an include come here.
    entered: bool = False
    #: A host may never come here, or go on when it fails here.
    avoidable: bool = False

    @property
    def role(self) -> int | None:
        return self.chain[-1] if self.chain else None


class TaskSearch:
    """Looks for the plays in ``directory``; ``placed`` are the roles so far, ``searches`` is the plan's list."""

    def __init__(
        self, directory: Path, roles: RoleSearch, placed: Sequence[Placed], searches: list[tuple[str, ...]]
    ) -> None:
        self._directory = directory
        self._roles = roles
        self._placed = placed
        self._searches = searches

    def is_there(self, include: Include, one: Chosen, where: Where) -> bool:
        if include.of_role:
            return self._roles.located(one.name, self.beside(where)) is not None
        return any(map(os.path.isfile, self.places(one.name, where)))

    def places(self, name: str, where: Where) -> list[Path]:
        """Where a file of tasks may lie, the first that is there is taken."""
        if name.startswith(("/", "~")):
            return [Path(os.path.expanduser(name))]  # noqa: PTH111 -- leaves ~nobody as it is, where Path raises
        return list(dict.fromkeys(Path(os.path.normpath(folder / name)) for folder in self._folders(where)))

    def _folders(self, where: Where) -> list[Path]:
        folders = [where.folder]
        if where.role is not None:
            role = self._placed[where.role].path
            folders += [role / ("handlers" if where.handlers else "tasks"), role]
        return [*folders, self._directory]

    def folders_of(self, chain: tuple[int, ...], folder: Path) -> int:
        """Number of the list of folders in which a task there looks for files and templates."""
        of_roles = [str(self._placed[one].path) for one in reversed(chain)]
        folders = tuple(dict.fromkeys((*of_roles, str(folder), str(self._directory))))
        if folders not in self._searches:
            self._searches.append(folders)
        return self._searches.index(folders)

    def candidates(self, include: Include, where: Where) -> Candidates:
        """What a name with unknown parts may stand for."""
        folders = self._roles.folders(self.beside(where)) if include.of_role else self._folders(where)
        return Candidates(folders, of_roles=include.of_role, without=where.stack)

    def beside(self, where: Where) -> Path | None:
        """The folder of the role that the include stands in."""
        return self._placed[where.role].path if where.role is not None else None
