"""Where the roles that a play names lie: beside the playbook, where ansible.cfg says, in collections."""

from __future__ import annotations

from pathlib import Path

from opsrunner.plan import roles
from opsrunner.plan.role_paths import RolePaths, collection_of
from opsrunner.playbook import Faults, RoleEntry


class RoleSearch:
    """Finds roles for the plays in ``directory``; ``beside`` is the folder of the role that asks, if one does."""

    def __init__(self, directory: Path, elsewhere: RolePaths, faults: Faults) -> None:
        self._directory = directory
        self._elsewhere = elsewhere
        self._faults = faults

    def find(self, entry: RoleEntry, beside: Path | None) -> Path | None:
        """The folder of a role; None, and a fault, where there is none."""
        path = self.located(entry.name, beside)
        if path is not None:
            return path
        looked = [folder / entry.name for folder in self.folders(beside)]
        remedy = None
        if roles.is_of_collection(entry.name):
            looked = roles.of_collection(entry.name, self._collection_folders())
            remedy = "install its collection with ansible-galaxy, or set collections_path in ansible.cfg"
        elif self._directory.parent.joinpath("roles", entry.name).is_dir():
            remedy = "set roles_path in an ansible.cfg where you give the command, or ANSIBLE_ROLES_PATH"
        told = ", ".join(map(str, looked))
        self._faults.add(f"role {entry.name} not found", entry.place, why=f"looked for {told}", remedy=remedy)
        return None

    def located(self, name: str, beside: Path | None) -> Path | None:
        """The folder of a role, None where there is none."""
        if roles.is_of_collection(name):
            places = roles.of_collection(name, self._collection_folders())
            if found := next((path for path in places if path.is_dir()), None):
                return found
        return roles.found_role(name, self.folders(beside))

    def folders(self, beside: Path | None) -> list[Path]:
        """The folders that hold roles, in the order in which they are looked into."""
        siblings = [beside.parent] if beside is not None else []
        # A role of a collection finds those of its own collection first.
        first = [folder for folder in siblings if collection_of(folder / "any")]
        return list(
            dict.fromkeys((*first, self._directory / "roles", *self._elsewhere.roles, *siblings, self._directory))
        )

    def _collection_folders(self) -> tuple[Path, ...]:
        return (self._directory / "collections", *self._elsewhere.collections)
