"""What templates may see beyond the variables: the environment, and the machine that submits the run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from msgspec import Struct

if TYPE_CHECKING:
    from opsrunner.templating.engine import Templar
    from opsrunner.templating.scope import Scope


class Machine(Protocol):
    """The machine that submits, or what was written down of it. Each of these raises ValueError.

    ``folder`` is ``files`` or the like: where a relative path is looked for first, in each of the folders ``search``
    before that folder itself. With no ``search`` it is the playbook's own.
    """

    def read(self, path: str, folder: str, search: Sequence[str] = ()) -> str:
        """The text of a file. Raises FileNotFoundError."""
        ...

    def find(self, path: str, folder: str, search: Sequence[str] = ()) -> str | None:
        """Where a file or folder lies, as an absolute path."""
        ...

    def like(self, pattern: str, folder: str, search: Sequence[str] = ()) -> dict[str, str]:
        """Where each file lies that a name with ``*`` for its unknown parts may mean, by that name."""
        ...

    def glob(self, pattern: str, search: Sequence[str] = ()) -> list[str]:
        """The absolute paths of the files that match."""
        ...

    def matching(self, pattern: str) -> list[str]:
        """The paths of the files that match a pattern that begins with ``/``, in order."""
        ...

    def status(self, path: str) -> Mapping[str, Any]:
        """What there is at an absolute path: ``exists``, ``link_exists``, ``file``, ``directory``, ``link`` and
        ``mount`` say whether, ``real`` where it leads, ``identity`` which file it is, ``vaulted`` whether it is
        encrypted (None where it cannot be read)."""
        ...

    def password(self, path: str, wanted: Mapping[str, Any]) -> str:
        """The password that a file holds, made where there is no file (:mod:`opsrunner.templating.passwords`)."""
        ...

    def fetch(self, url: str, wanted: Mapping[str, Any]) -> str:
        """What is at an address; ``wanted`` are the options of the lookup ``url``."""
        ...

    def run(self, line: str) -> tuple[int, str]:
        """The exit code and output of a line of shell."""
        ...


class LookupContext(Struct, frozen=True):
    """The surroundings that templates may see."""

    #: What ``lookup('env', …)`` looks in.
    environment: Mapping[str, str]
    #: Gives the text of a file for ``lookup('file', …)`` where there is no ``machine``; raises FileNotFoundError.
    read_file: Callable[[str], str]
    #: What relative paths are relative to.
    directory: str
    #: Gives the text of a template that another includes or imports; without it there is no including.
    read_template: Callable[[str], str] | None = None
    #: For the lookups that find files and run programs.
    machine: Machine | None = None


class Call(Struct, frozen=True):
    """Where a lookup was called."""

    surroundings: LookupContext
    scope: Scope
    templar: Templar

    @property
    def machine(self) -> Machine:
        """The machine to look at."""
        if self.surroundings.machine is None:
            raise ValueError("there are no files and programs to look at here")
        return self.surroundings.machine

    def read(self, path: str, folder: str) -> str:
        """The text of a file on the machine. Raises FileNotFoundError and ValueError."""
        if self.surroundings.machine is None and folder == "files":
            return self.surroundings.read_file(path)
        return self.machine.read(path, folder, self.scope.search)
