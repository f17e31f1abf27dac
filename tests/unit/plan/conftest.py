"""A folder with an inventory, in which playbooks are written and compiled."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from opsrunner import inventory
from opsrunner.errors import InputError, InputErrors
from opsrunner.plan.compile import compile_playbook
from opsrunner.plan.model import Compiled, Options, Play, Step

HOSTS = """\
all:
  vars: {from_inventory: 1}
  children:
    web: {hosts: {"web[1:4]": }}
    db: {hosts: {"db[1:2]": {ansible_custom: x}}}
"""


class Project:
    """A folder with an inventory, in which playbooks are written and compiled."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.write("hosts.yml", HOSTS)

    def write(self, name: str, text: str) -> Path:
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    def inventory(self) -> inventory.Inventory:
        return inventory.load([str(self.directory / "hosts.yml")], base=self.directory)

    def compile(
        self, text: str, extra_vars: dict[str, Any] | None = None, *, allow_empty: bool = False, **options: Any
    ) -> Compiled:
        path = self.write("site.yml", text)
        return compile_playbook(path, self.inventory(), Options(**options), extra_vars or {}, allow_empty=allow_empty)

    def play(self, text: str, **options: Any) -> Play:
        return self.compile(text, **options).plan.plays[0]

    def steps(self, tasks: str, **options: Any) -> tuple[Step, ...]:
        """The steps of a play for all hosts whose ``tasks`` and further keywords the text holds."""
        return self.play(f"- hosts: all\n  gather_facts: false\n{tasks}", **options).steps

    def faults(self, text: str, **options: Any) -> list[InputError]:
        with pytest.raises(InputError) as caught:
            self.compile(text, **options)
        return list(caught.value.errors) if isinstance(caught.value, InputErrors) else [caught.value]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


@pytest.fixture(scope="session")
def make_project(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Project]:
    """Makes projects by the hundred, for tests that try many playbooks."""
    return lambda: Project(tmp_path_factory.mktemp("project"))
