"""What lookups ask of the machine that submits: answered there, written down, and read again on the workers."""

from __future__ import annotations

import glob
import json
import os
import stat
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from opsrunner import vault, yamlsource
from opsrunner.errors import InputError
from opsrunner.plan.vars_files import candidates
from opsrunner.templating import LookupContext, random_passwords

#: What is asked, in words: ``env HOME``, ``read files motd``. None where there is nothing of that name. What is a
#: relative path is followed by the folders in which it is looked for, where they are others than the playbook's own.
Ask = Callable[..., Any]
#: Characters that an answer may have: it travels with the plan.
LIMIT = 16 * 1024 * 1024


class Here:
    """This machine."""

    def __init__(
        self,
        directory: Path,
        environment: Mapping[str, str] = os.environ,
        run: Callable[..., subprocess.CompletedProcess[bytes]] = subprocess.run,
    ) -> None:
        self.directory = directory
        self.environment = environment
        self.run_program = run

    def ask(self, question: str, about: str, *search: str) -> Any:
        """The answer. Raises ValueError."""
        folders = [Path(one) for one in search] or [self.directory]
        kind, _, folder = question.partition(" ")
        if kind == "env":
            return self.environment.get(about)
        if kind == "read":
            return self.read(about, folder, folders)
        if kind == "find":
            return self.find(about, folder, folders)
        if kind == "like":
            return self.like(about, folder, folders)
        if kind == "status":
            return self.status(about)
        if kind == "password":
            return self.password(about, json.loads(folder))
        if kind == "fetch":
            from opsrunner.plan import fetching

            return _not_too_long(fetching.fetched(about, json.loads(folder)).decode("utf-8", "replace"), about)
        if kind == "matching":
            return sorted(path for path in glob.glob(about) if os.path.isfile(path))  # noqa: PTH113, PTH207 -- as Ansible has it
        return self.glob(about, folders) if kind == "glob" else self.run(about)

    def read(self, path: str, folder: str, search: Sequence[Path]) -> str | None:
        found = next((one for one in _places(search, folder, path) if os.path.isfile(one)), None)  # noqa: PTH113 -- a name too long is no file, where Path raises
        if found is None:
            return None
        try:
            data = found.read_bytes()
            yamlsource.note(found, data)
            text = yamlsource.open_file(data, path).decode()
        except OSError as error:
            raise ValueError(f"cannot read {path}: {error.strerror}") from None
        except UnicodeDecodeError:
            raise ValueError(f"{path} is not UTF-8") from None
        except InputError as error:
            raise ValueError(f"{error.what}: {error.why}" if error.why else error.what) from None
        return _not_too_long(text, path)

    def find(self, path: str, folder: str, search: Sequence[Path]) -> str | None:
        found = next((one for one in _places(search, folder, path) if os.path.exists(one)), None)  # noqa: PTH110 -- as above
        return None if found is None else os.path.normpath(found)

    def like(self, pattern: str, folder: str, search: Sequence[Path]) -> dict[str, str]:
        """Every file that a name with ``*`` for what is not known may mean: the name, and where the file lies."""
        found: dict[str, str] = {}
        for place in _places(search, folder, pattern):
            for path in sorted(glob.glob(str(place))):  # noqa: PTH207 -- as above
                name = _name_of(path, pattern)
                if os.path.isfile(path):  # noqa: PTH113 -- as above
                    found.setdefault(name, os.path.normpath(path))
        return found

    def glob(self, pattern: str, search: Sequence[Path]) -> list[str]:
        folder, name = os.path.split(pattern)
        if folder:
            places = [place for place in _places(search, "files", folder) if place.exists()][:1]
        else:
            places = [place for one in search for place in (one / "files", one)]
        for place in places:
            paths = [path for path in glob.glob(str(place / name)) if os.path.isfile(path)]  # noqa: PTH113, PTH207 -- no ** and no hidden files, as Ansible has it
            if paths:
                return sorted(paths)
        return []

    def status(self, path: str) -> dict[str, Any]:
        """What there is at that path; where it cannot be seen there is nothing, as in Ansible."""
        try:
            found = os.stat(path)  # noqa: PTH116 -- a path that is empty is none, where Path takes it for the folder
        except (OSError, ValueError):
            found = None
        return {
            "exists": found is not None,
            "link_exists": os.path.lexists(path),
            "file": found is not None and stat.S_ISREG(found.st_mode),
            "directory": found is not None and stat.S_ISDIR(found.st_mode),
            "link": os.path.islink(path),  # noqa: PTH114 -- as above
            "mount": os.path.ismount(path),
            "real": os.path.realpath(path),
            "identity": None if found is None else [found.st_dev, found.st_ino],
            "vaulted": self._is_vaulted(path),
        }

    @staticmethod
    def _is_vaulted(path: str) -> bool | None:
        try:
            if not os.path.isfile(path):  # noqa: PTH113 -- as above
                return None
            with open(path, "rb") as file:  # noqa: PTH123 -- as above
                return file.read(len(vault.HEADER)) == vault.HEADER.encode()
        except (OSError, ValueError):
            return None

    def password(self, path: str, wanted: Mapping[str, Any]) -> str:
        """The password that a file of this machine keeps; the file is made where there is none."""
        place = self.directory / Path(path).expanduser()
        try:
            content = place.read_text(encoding="utf-8").rstrip() if place.exists() else None
            kept = random_passwords.kept(content, wanted)
            if kept.content != content and not _keep(place, kept.content, anew=content is None):
                return self.password(path, wanted)
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(f"cannot keep a password in {path}: {error}") from None
        return kept.given

    def run(self, line: str) -> list[Any]:
        done = self.run_program(
            line, shell=True, cwd=self.directory, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=False
        )
        return [done.returncode, _not_too_long(done.stdout.decode("utf-8", "replace"), line)]


def _keep(place: Path, content: str, *, anew: bool) -> bool:
    """Whether the file holds ``content`` now; false where somebody else was faster to make it."""
    place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=place.parent)  # which nobody else may read
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(content + "\n")
        if anew:
            os.link(temporary, place)
        else:
            os.replace(temporary, place)  # noqa: PTH105
            return True
    except FileExistsError:
        return False
    finally:
        Path(temporary).unlink(missing_ok=True)
    return True


def _places(search: Sequence[Path], folder: str, path: str) -> list[Path]:
    return [place for one in search for place in candidates(one, folder, path)]


def _name_of(path: str, pattern: str) -> str:
    """What the pattern stands for there: as many of the last parts of the path."""
    parts = pattern.count("/") + 1
    return path if pattern.startswith(("/", "~")) else "/".join(path.split("/")[-parts:])


def _not_too_long(text: str, what: str) -> str:
    if len(text) > LIMIT:
        raise ValueError(f"{what} gives more than {LIMIT // 1024 // 1024} MiB")
    return text


class Recorder:
    """Asks, and keeps every answer: to one question there is one, however often it is asked."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        #: Question → ``{"gave": …}`` or ``{"failed": message}``.
        self.answers: dict[str, Any] = {}
        #: How often anything was asked.
        self.asked = 0

    def ask(self, question: str, about: str, *search: str) -> Any:
        self.asked += 1
        key = _key(question, about, search)
        if key not in self.answers:
            try:
                self.answers[key] = {"gave": self._ask(question, about, *search)}
            except ValueError as error:
                self.answers[key] = {"failed": str(error)}
        return _given(self.answers[key])


def replayed(answers: Mapping[str, Any]) -> Ask:
    """Gives the ``answers`` that a :class:`Recorder` kept."""

    def ask(question: str, about: str, *search: str) -> Any:
        key = _key(question, about, search)
        if key not in answers:
            known = _like(answers, question, about, search)
            if known is not None:
                return known.get(about)
            raise ValueError(
                f"{about!r} was not looked up on the machine that submitted the run: "
                "what a lookup asks for must be known before the first step"
            )
        return _given(answers[key])

    return ask


def _like(answers: Mapping[str, Any], question: str, about: str, search: Sequence[str]) -> Mapping[str, str] | None:
    """The files among which one of that name would be, where a pattern that it fits was looked for."""
    if not question.startswith("find "):
        return None
    beginning = question.replace("find", "like", 1) + " "
    for key in answers:
        pattern, *folders = key.removeprefix(beginning).split("\0")
        if key.startswith(beginning) and folders == list(search) and _fits(about, pattern):
            return dict(_given(answers[key]))
    return None


def _fits(path: str, pattern: str) -> bool:
    """Whether ``*`` in the pattern, which stands for no slash, may be what the path has there."""
    wanted, found = pattern.split("/"), path.split("/")
    return len(wanted) == len(found) and all(map(fnmatchcase, found, wanted))


def _key(question: str, about: str, search: Sequence[str]) -> str:
    return "\0".join((f"{question} {about}", *search))


def _given(answer: Mapping[str, Any]) -> Any:
    if "failed" in answer:
        raise ValueError(answer["failed"])
    return answer["gave"]


def lookups(ask: Ask, directory: str) -> LookupContext:
    """The surroundings of templates that look at whatever ``ask`` speaks for."""
    machine = _Asking(ask, directory)
    return LookupContext(
        environment=_Environment(ask),
        read_file=lambda path: machine.read(path, "files"),
        directory=directory,
        machine=machine,
    )


class _Asking:
    def __init__(self, ask: Ask, directory: str) -> None:
        self._ask = ask
        self._directory = directory

    def read(self, path: str, folder: str, search: Sequence[str] = ()) -> str:
        text = self._ask(f"read {folder}", path, *self._beside(path, search))
        if text is None:
            raise FileNotFoundError(path)
        return str(text)

    def find(self, path: str, folder: str, search: Sequence[str] = ()) -> str | None:
        found = self._ask(f"find {folder}", path, *self._beside(path, search))
        return None if found is None else str(found)

    def like(self, pattern: str, folder: str, search: Sequence[str] = ()) -> dict[str, str]:
        return dict(self._ask(f"like {folder}", pattern, *self._beside(pattern, search)))

    def glob(self, pattern: str, search: Sequence[str] = ()) -> list[str]:
        return list(self._ask("glob", pattern, *self._beside(pattern, search)))

    def _beside(self, path: str, search: Sequence[str]) -> tuple[str, ...]:
        """The folders that count, where they are not those that are looked in anyway."""
        return () if path.startswith(("/", "~")) or list(search) in ([], [self._directory]) else tuple(search)

    def matching(self, pattern: str) -> list[str]:
        return list(self._ask("matching", pattern))

    def status(self, path: str) -> Mapping[str, Any]:
        return dict(self._ask("status", path))

    def password(self, path: str, wanted: Mapping[str, Any]) -> str:
        return str(self._ask(f"password {json.dumps(wanted, sort_keys=True)}", path))

    def fetch(self, url: str, wanted: Mapping[str, Any]) -> str:
        return str(self._ask(f"fetch {json.dumps(wanted, sort_keys=True)}", url))

    def run(self, line: str) -> tuple[int, str]:
        code, output = self._ask("run", line)
        return code, output


class _Environment(Mapping[str, str]):
    """Environment variables, each asked for when it is wanted."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask

    def __getitem__(self, name: str) -> str:
        value = self._ask("env", name)
        if value is None:
            raise KeyError(name)
        return str(value)

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0
