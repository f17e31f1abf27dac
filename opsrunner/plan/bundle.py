"""Finds the files that steps need and takes them along: workers share no disk with this machine."""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from opsrunner import modules
from opsrunner.errors import InputError, Place
from opsrunner.modules.contract import LISTING, WAS_ENCRYPTED, Argument, Spec
from opsrunner.plan import folders as trees
from opsrunner.plan.model import Step
from opsrunner.plan.paths import Where, first_word, key_of, renderings, with_lookups
from opsrunner.plan.role_variables import Around
from opsrunner.plan.scope import PlayScope
from opsrunner.plan.vars_files import candidates
from opsrunner.playbook import Faults, Task
from opsrunner.playbook.values import READERS, Wrong, is_template
from opsrunner.templating import LOOKUPS_OF_THE_MACHINE, Scope
from opsrunner.yamlsource import load, open_file

#: Bytes that the files of one run may have together: they travel through Redis to every bastion.
LIMIT = 64 * 1024 * 1024

#: Arguments of the template module that change how Jinja reads the file.
JINJA_RULES = frozenset(
    f"{what}_{end}_string" for what in ("block", "variable", "comment") for end in ("start", "end")
) | {"trim_blocks", "lstrip_blocks"}

_LOOKUP = re.compile(r"\b(?:lookup|query|q)\s*\(")
#: A key of a file of variables: the number of its search, if it has one, and its folder.
_OF_VARIABLES = re.compile(r"((?:\d+/)?)vars/")

Folder = Literal["files", "templates", "vars"]


class Bundle:
    """The files of one plan: ``keys`` maps ``<folder>/<path as written>`` to a SHA-256, ``contents`` that to bytes."""

    def __init__(self, searches: list[tuple[str, ...]], faults: Faults) -> None:
        #: Lists of folders, beside which ``files`` and ``templates`` lie; grows while the plan is made.
        self.searches = searches
        self.keys: dict[str, str] = {}
        self.contents: dict[str, bytes] = {}
        #: Files that lie encrypted on disk.
        self.encrypted: set[Path] = set()
        #: Permission bits here, by the same keys as ``keys``: ``mode: preserve`` wants them there.
        self.modes: dict[str, int] = {}
        #: Template files that steps name outright, with the rules that the steps give for their Jinja.
        self.templates: list[tuple[Path, str, Mapping[str, Any]]] = []
        self._faults = faults
        self._size = 0
        #: Told of files of a whole folder that could not be taken along.
        self.warnings: list[str] = []
        self._read: dict[tuple[Path, bool, bool], str | None] = {}
        self._trees: set[tuple[int, Folder, bool]] = set()

    def add_task(
        self,
        task: Task,
        scope: PlayScope,
        step: Step,
        around: Around,
        scopes: Iterable[Scope] = (),
        likely: Iterable[str] = (),
        *,
        anybody: bool = True,
        needed: bool = True,
    ) -> None:
        """Take along what the task's arguments name; what is missing is noted.

        ``scopes`` are the task's variables for each host and item, as far as they are known before the run; ``likely``
        are files that its loop may find only then. Without ``anybody`` who runs it no template is missed. What a task
        misses that is not ``needed``, as a run may do without it, is a warning.
        """
        spec = modules.get(task.module).SPEC
        decrypt = "decrypt" not in spec.arguments or self._decrypts(task)
        folders = task.module in ("assemble", "copy")
        where = Where(
            scope, step, around, scopes, likely, decrypt=decrypt, whole_folders=folders, anybody=anybody, needed=needed
        )
        if task.module == "include_vars" and "dir" in task.arguments:
            self._add_folder_of_variables(task, where, in_role=step.role is not None)
        for name, argument in spec.arguments.items():
            if argument.bundled_from is None or _is_remote(spec, task.arguments):
                continue
            written = next((word for word in (name, *argument.aliases) if word in task.arguments), None)
            value = task.arguments.get(written) if written else None
            if not isinstance(value, str) or not value.strip():
                continue
            place = task.argument_places.get(written or name, task.place)
            # script is given a command line, of which the file is the first word.
            path = first_word(value) if task.module == "script" else value.strip()
            before = len(self.templates)
            self._add(path, argument, task, place, where)
            rules = {name: value for name, value in task.arguments.items() if name in JINJA_RULES}
            self.templates[before:] = [(found, digest, rules) for found, digest, _ in self.templates[before:]]

    def template_texts(self, step: Step) -> Iterator[str]:
        """The texts of the template files that a step may render."""
        if step.module != "template":
            return
        key = key_of(step.search, "templates", str(step.arguments.get("src")))
        below = key_of(step.search, "templates", "")
        keys = [key] if key in self.keys else [one for one in self.keys if one.startswith(below)]
        for digest in dict.fromkeys(self.keys[one] for one in keys):
            yield self.contents[digest].decode("utf-8", "replace")

    def variables(self) -> Iterator[Mapping[str, Any]]:
        """What is in the files that include_vars may read."""
        digests = (self.keys[key] for key in self.keys if _OF_VARIABLES.match(key) and not key.endswith(LISTING))
        for digest in dict.fromkeys(digests):
            try:
                found = load(self.contents[digest].decode(errors="replace"), "")
            except InputError:
                continue  # which fails the step that reads it
            if isinstance(found, Mapping):
                yield found

    def _add_folder_of_variables(self, task: Task, where: Where, *, in_role: bool) -> None:
        """All files below the folder that ``dir`` of include_vars names, and a list of them."""
        place = task.argument_places.get("dir", task.place)
        around = where.around
        written = where.scope.render(
            task.arguments["dir"], place, "dir", more=where.vars, lowest=around.defaults, params=around.params
        )
        if written is None:
            return
        beside = Path(self.searches[where.search][0])
        root = beside / ("vars" if in_role and str(written).split("/")[0] != "vars" else "") / str(written)
        if not os.path.isdir(root):  # noqa: PTH112 -- a name too long is no folder, where Path raises
            self._missing(f"include_vars: there is no folder {root}", place, where)
            return
        paths = [path.relative_to(root).as_posix() for path in _files_below(root)]
        for path in paths:
            self._take(where.key("vars", f"{written}/{path}"), root / path, place, wanted=False, decrypt=True)
        listing = json.dumps(paths).encode()
        digest = hashlib.sha256(listing).hexdigest()
        self.contents[digest] = listing
        self.keys[where.key("vars", f"{written}{LISTING}")] = digest

    def _decrypts(self, task: Task) -> bool:
        """Whether files that are encrypted with Ansible Vault are opened, as they are unless ``decrypt`` says no."""
        given = task.arguments.get("decrypt", True)
        if is_template(given):
            place = task.argument_places.get("decrypt", task.place)
            self._faults.add("decrypt cannot be a template: files are opened before any host is known", place)
            return False
        try:
            return READERS["bool"](given) is not False
        except Wrong:
            return True

    def _add(self, path: str, argument: Argument, task: Task, place: Place, where: Where) -> None:
        folder = argument.bundled_from
        assert folder is not None
        if not is_template(path):
            self._add_written(path, folder, place, where, wanted=True)
            return
        before = len(self.keys)
        # What lookups find may lie anywhere, and is all that is named; else the folder is taken along as well.
        found = task.loop is not None and task.loop.kind in LOOKUPS_OF_THE_MACHINE
        scopes = where.scopes if found or _LOOKUP.search(path) else ()
        known = (*renderings(path, task, where), *with_lookups(path, where.scope.templar, scopes))
        for rendered in dict.fromkeys(known):
            self._add_written(rendered, folder, place, where, wanted=False)
        if found:
            for one in where.likely:
                self._add_written(one, folder, place, where, wanted=False)
            return
        self._add_tree(folder, place, where)
        if where.anybody and len(self.keys) == before and (where.search, folder, where.decrypt) not in self._trees:
            beside = self.searches[where.search][0]
            self._faults.add(
                f"{path}: no file can be taken along for this template",
                place,
                why=f"it cannot be rendered yet, and there is no folder {Path(beside, folder)}",
                remedy=f"put the files that it may name into {Path(beside, folder)}",
            )

    def _add_written(self, path: str, folder: Folder, place: Place, where: Where, *, wanted: bool) -> None:
        """One file, by the path as a step names it; ``wanted`` makes it a fault when it is missing."""
        folders = self.searches[where.search]
        tried = list(dict.fromkeys(one for beside in folders for one in candidates(Path(beside), folder, path)))
        found = next((one for one in tried if os.path.exists(one)), None)  # noqa: PTH110 -- long names, where Path raises
        if found is None:
            if wanted:
                why = f"looked for {', '.join(map(str, tried))}"
                self._missing(f"{path} not found", place, where, why=why, remedy="create it")
        elif found.is_dir():
            if where.whole_folders:
                self._add_folder(path, found, folder, place, where)
            else:
                self._faults.add(f"{path} is a folder", place, remedy="name a file: only copy takes whole folders")
        elif not found.is_file():
            self._faults.add(f"{path} is no regular file", place, why="a pipe or a device may never end")
        else:
            digest = self._take(where.key(folder, path), found, place, wanted=wanted, decrypt=where.decrypt)
            if folder == "templates" and digest is not None and wanted:
                self.templates.append((found, digest, {}))

    def _missing(
        self, what: str, place: Place, where: Where, *, why: str | None = None, remedy: str | None = None
    ) -> None:
        if where.needed:
            self._faults.add(what, place, why=why, remedy=remedy)
        else:
            self.warnings.append(f"{place}: {what}: a host that comes to it will fail there")

    def _add_folder(self, path: str, root: Path, folder: Folder, place: Place, where: Where) -> None:
        """All files of a folder, below the path as a step names it, and beside them a listing."""
        name = path.rstrip(trees.SLASH)
        try:
            found = trees.listing(root)
        except OSError as error:
            self._faults.add(f"cannot read {error.filename or root}", place, why=error.strerror or str(error))
            return
        for relative in found["files"]:
            key = where.key(folder, f"{name}/{relative}")
            self._take(key, root / relative, place, wanted=True, decrypt=where.decrypt)
        self._keep_listing(where.key(folder, name + trees.SLASH), found)

    def _keep_listing(self, key: str, found: trees.Listing) -> None:
        data = trees.encoded(found)
        digest = hashlib.sha256(data).hexdigest()
        if digest not in self.contents:
            self._size += len(data)
            self.contents[digest] = data
        self.keys.setdefault(key, digest)

    def _add_tree(self, folder: Folder, place: Place, where: Where) -> None:
        """Every file in the folders, by each way in which a rendered path may name it."""
        if (where.search, folder, where.decrypt) in self._trees:
            return
        for root in (Path(beside, folder) for beside in self.searches[where.search]):
            if not root.is_dir():
                continue
            self._trees.add((where.search, folder, where.decrypt))
            for path in _files_below(root):
                relative = path.relative_to(root).as_posix()
                for spelled in (relative, f"{folder}/{relative}", str(path)):
                    key = where.key(folder, spelled)
                    self._take(key, path, place, wanted=False, decrypt=where.decrypt)
            if where.whole_folders:
                self._add_listings(root, folder, where)

    def _add_listings(self, root: Path, folder: Folder, where: Where) -> None:
        for path in (root / relative for relative in trees.listing(root)["folders"]):
            relative = path.relative_to(root).as_posix()
            for spelled in (relative, f"{folder}/{relative}", str(path)):
                self._keep_listing(where.key(folder, spelled + trees.SLASH), trees.listing(path))

    def _take(self, key: str, path: Path, place: Place, *, wanted: bool, decrypt: bool) -> str | None:
        if (path, wanted, decrypt) not in self._read:
            self._read[path, wanted, decrypt] = self._content(path, place, wanted=wanted, decrypt=decrypt)
        digest = self._read[path, wanted, decrypt]
        if digest is not None and _OF_VARIABLES.match(key) and not self._is_fit(digest, path, place, wanted):
            return None
        if digest is not None:
            self.keys.setdefault(key, digest)
            if path in self.encrypted and _OF_VARIABLES.match(key):
                self.keys[_OF_VARIABLES.sub(rf"\1{WAS_ENCRYPTED}/", key, count=1)] = digest
            self.modes.setdefault(key, stat.S_IMODE(path.stat().st_mode))
        return digest

    def _is_fit(self, digest: str, path: Path, place: Place, wanted: bool) -> bool:
        """Whether a file of variables can be read by a worker, which has no vault passwords."""
        if b"!vault" in self.contents[digest]:
            what = f"{path} holds !vault values, which include_vars cannot read"
            if wanted:
                self._faults.add(what, place, remedy="encrypt the file as a whole, or name it in vars_files")
            else:
                self.warnings.append(f"{place}: {what}: it is not taken along")
            return False
        if wanted:
            try:
                load(self.contents[digest].decode(errors="replace"), str(path))
            except InputError as error:
                self._faults.take(error)
                return False
        return True

    def _content(self, path: Path, place: Place, *, wanted: bool, decrypt: bool) -> str | None:
        """Read a file into ``contents``; None and a fault when that cannot be."""
        try:
            if self._size + path.stat().st_size > LIMIT:
                raise InputError(f"the files of the run are larger than {LIMIT // 1024 // 1024} MiB together")
            data = path.read_bytes()
        except OSError as error:
            self._faults.add(f"cannot read {path}", place, why=error.strerror or str(error))
            return None
        except InputError as error:
            self._faults.add(error.what, place, remedy="let the hosts fetch large files themselves")
            return None
        digest = hashlib.sha256(data).hexdigest()
        if decrypt:
            try:
                opened = open_file(data, str(path))
            except InputError as error:
                self._closed(error, place, wanted)
                return None
            if opened is not data:
                # Files are stored by these digests, and that of a short secret would give it away.
                digest, data = hashlib.sha256(b"decrypted\0" + data).hexdigest(), opened
                self.encrypted.add(path)
        if digest not in self.contents:
            self._size += len(data)
            self.contents[digest] = data
        return digest

    def _closed(self, error: InputError, place: Place, wanted: bool) -> None:
        """A file that no secret opens: of a whole folder it may be one that no step will ask for."""
        if wanted:
            self._faults.add(error.what, place, why=error.why, remedy=error.remedy)
        else:
            self.warnings.append(f"{place}: {error.what}: it is not taken along ({error.why})")


def _is_remote(spec: Spec, arguments: Mapping[str, Any]) -> bool:
    """Whether ``remote_src`` (or ``copy``, which is older) says that the file lies on the host already."""
    default = spec.arguments["remote_src"].default if "remote_src" in spec.arguments else False
    try:
        remote = READERS["bool"](arguments.get("remote_src", default)) is True
        return remote or READERS["bool"](arguments.get("copy", True)) is False
    except Wrong:
        return False


def _files_below(root: Path) -> Iterator[Path]:
    for folder, folders, names in os.walk(root):
        folders.sort()
        for name in sorted(names):
            path = Path(folder) / name
            if path.is_file():
                yield path
