"""What the paths that steps name may come to, before any host is reached, and what a file is called in the plan."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any

from opsrunner.errors import InputError
from opsrunner.modules.contract import STILL_ENCRYPTED, ModuleFailure
from opsrunner.modules.inline import split
from opsrunner.modules.script import script_words
from opsrunner.plan.model import Step
from opsrunner.plan.role_variables import Around
from opsrunner.plan.scope import PlayScope
from opsrunner.playbook import Task
from opsrunner.playbook.values import is_template
from opsrunner.templating import Scope, Templar, TemplateFailure


def key_of(search: int, folder: str, path: str) -> str:
    """What a file is called in the plan; steps that look beside the playbook have number 0."""
    return f"{search}/{folder}/{path}" if search else f"{folder}/{path}"


class Where:
    """What a step's paths are rendered with, where they are looked for, and whether what lies there is opened."""

    def __init__(
        self,
        scope: PlayScope,
        step: Step,
        around: Around,
        scopes: Iterable[Scope],
        likely: Iterable[str],
        *,
        decrypt: bool,
        whole_folders: bool,
        anybody: bool,
        needed: bool,
    ) -> None:
        self.anybody = anybody
        self.needed = needed
        self.whole_folders = whole_folders
        self.scope = scope
        self.scopes = scopes
        self.likely = likely
        self.search = step.search
        self.decrypt = decrypt
        self.around = around
        self.vars = {**around.vars, **step.vars}

    def key(self, folder: str, path: str) -> str:
        """What a file is called in the plan."""
        return key_of(self.search, folder if self.decrypt else STILL_ENCRYPTED, path)

    def rendered(self, path: str, more: Mapping[str, Any]) -> Iterator[Any]:
        """What the path may come to, as far as it is known."""
        around = self.around
        params = {**around.params, **more}
        for scope in self.scope.possibilities():
            with suppress(TemplateFailure):
                yield scope.try_render(path, self.vars, lowest=around.defaults, params=params, search=around.search)


def renderings(path: str, task: Task, where: Where) -> Iterator[str]:
    """What the template of a path gives now, with each item of a loop that is written out."""
    over = task.loop.over.value if task.loop else None
    items = over if isinstance(over, list) else []
    if task.loop and task.loop.kind == "items":
        items = [one for item in items for one in (item if isinstance(item, list) else [item])]
    for more in [{task.loop.variable: item} for item in items] if task.loop and items else [{}]:
        yield from (one for one in where.rendered(path, more) if isinstance(one, str) and one)


def with_lookups(path: str, templar: Templar, scopes: Iterable[Scope]) -> Iterator[str]:
    """What the template of a path gives for each host, where it looks something up."""
    for scope in scopes:
        try:
            found = templar.render(path, scope)
        except TemplateFailure:
            continue
        if isinstance(found, str) and found:
            yield found


def first_word(text: str) -> str:
    """The script of ``script: name.sh argument …``, without its quotes; a template in it is one word."""
    if not is_template(text):
        try:
            return script_words(text)[0]
        except ModuleFailure:
            return text
    try:
        word = next(iter(split(text)), "").strip()
    except InputError:
        return text
    return word[1:-1] if len(word) > 1 and word[0] == word[-1] and word[0] in "\"'" else word
