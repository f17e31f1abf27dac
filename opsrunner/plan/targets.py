"""A play's ``hosts:`` and ``--limit`` as hosts of the inventory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from opsrunner.errors import InputError, InputErrors, Place
from opsrunner.inventory import Inventory, patterns
from opsrunner.inventory.patterns import PatternError
from opsrunner.plan.late import Makes
from opsrunner.plan.model import Options
from opsrunner.plan.scope import PlayScope
from opsrunner.playbook import Faults
from opsrunner.playbook import Play as WrittenPlay
from opsrunner.playbook.values import described
from opsrunner.yamlsource import place_of_value


class Targets:
    """The hosts of one play: its ``pattern`` as rendered, the ``hosts`` it and ``--limit`` leave, ``warnings``.

    What is wrong with the pattern is noted in ``faults``; there are no hosts then. ``makes`` is what the plays
    before may add to the inventory: where that may touch the pattern, or the limit, the play is ``late``.
    """

    def __init__(
        self,
        written: WrittenPlay,
        scope: PlayScope,
        inventory: Inventory,
        options: Options,
        faults: Faults,
        *,
        allow_empty: bool,
        makes: Makes,
    ) -> None:
        self._written = written
        self._makes = makes
        self._scope = scope
        self._faults = faults
        self._allow_empty = allow_empty
        self.pattern = ",".join(written.hosts.value)
        self.hosts: list[str] = []
        #: What the run adds to the inventory before may change who they are.
        self.late = False
        self.patterns: list[str] = []
        self.limit: tuple[str, ...] | None = None
        self.warnings: list[str] = []
        before = len(faults)
        rendered = list(self._rendered())
        if any(value is None for value, _ in rendered) or len(faults) > before:
            return
        self.pattern = ",".join(value for value, _ in rendered)
        if rendered and self._is_readable(rendered):
            self._match(rendered, inventory, options)
        elif not rendered and allow_empty:
            self._warn_of_nobody(inventory)
        elif not rendered:
            faults.add("hosts is an empty list", written.hosts.place, remedy="--allow-empty accepts it")

    def _rendered(self) -> Iterator[tuple[Any, Place]]:
        """Each single pattern and its place; None where a template gives nothing, which is told elsewhere."""
        keyword = self._written.hosts
        for index, one in enumerate(keyword.value):
            place = place_of_value(keyword.source, index, keyword.place) or keyword.place
            before = len(self._faults)
            value = self._scope.render(one, place, "hosts")
            if value is None and (len(self._faults) > before or self._scope.is_broken(one)):
                yield None, place
                continue
            alone = isinstance(value, list) and not isinstance(keyword.source, list)
            for item in value if alone else [value]:
                if isinstance(item, str) and item.strip():
                    yield item, place
                else:
                    remedy = "write one flat list of them" if isinstance(item, list) else None
                    self._faults.add(f"hosts takes patterns, not {described(item)}", place, remedy=remedy)

    def _is_readable(self, rendered: list[tuple[str, Place]]) -> bool:
        before = len(self._faults)
        for text, place in rendered:
            try:
                parts = patterns.split(text)
            except PatternError as error:
                self._faults.add(error.what, place, why=error.why, remedy=error.remedy)
                continue
            if not parts:
                self._faults.add(f"the pattern {text!r} says nothing", place, remedy="all hosts are all")
            for part in parts:
                if part.lstrip("&!").startswith("@"):
                    self._faults.add(f"{part} stands in --limit only, not in a playbook", place, remedy=f"-l {part!r}")
        return len(self._faults) == before

    def _match(self, rendered: list[tuple[str, Place]], inventory: Inventory, options: Options) -> None:
        pattern = self.patterns = [text for text, _ in rendered]
        if self._is_late(inventory, options):
            return
        try:
            hosts = patterns.match(inventory, pattern, allow_empty=self._allow_empty)
        except InputError as error:
            self._note(error, rendered)
            return
        with suppress(InputError):  # what is wrong with the limit is told once, not for each play
            self.hosts = patterns.match(
                inventory, pattern, limit=options.limit, allow_empty=True, selections=options.selections
            )
        if not hosts:
            self._warn_of_nobody(inventory)
        elif not self.hosts:
            self.warnings.append(
                f"{self._written.place}: --limit {options.limit!r} leaves none of the hosts of {self.pattern!r};"
                " the play is skipped"
            )

    def _is_late(self, inventory: Inventory, options: Options) -> bool:
        """Whether the run decides; ``hosts`` are those that it would be now."""
        limit = None
        with suppress(InputError):
            limit = patterns.limit_parts(options.limit, selections=options.selections) if options.limit else None
        parts = [*patterns.split(self.patterns), *(limit or ())]
        self.late = self._makes.may_touch(parts, inventory)
        if self.late:
            self.limit = None if limit is None else tuple(limit)
            self.hosts = patterns.within(inventory, self.patterns, limit, options.selections)
        return self.late

    def _note(self, error: InputError, rendered: list[tuple[str, Place]]) -> None:
        """Each fault at the place of the list's item that it is about."""
        for one in error.errors if isinstance(error, InputErrors) else (error,):
            part = one.part if isinstance(one, PatternError) else ""
            places = [place for text, place in rendered if part in text]
            place = places[0] if places else self._written.hosts.place
            self._faults.add(one.what, place, why=one.why, remedy=one.remedy)

    def _warn_of_nobody(self, inventory: Inventory) -> None:
        if not inventory.hosts:
            return  # whoever asks without any host knows that
        self.warnings.append(f"{self._written.place}: no host matches {self.pattern!r}; the play is empty")
