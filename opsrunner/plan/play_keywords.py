"""What the keywords of a play come to, rendered and checked, and the play that they make of its hosts and steps."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from opsrunner.inventory import Inventory
from opsrunner.plan import partition
from opsrunner.plan.batches import batches, ordered
from opsrunner.plan.model import Late, Options, Play, Step
from opsrunner.plan.scope import PlayScope
from opsrunner.plan.targets import Targets
from opsrunner.playbook import Keyword
from opsrunner.playbook import Play as WrittenPlay
from opsrunner.playbook.keywords import KINDS, Kind
from opsrunner.playbook.values import READERS, Wrong


class PlayKeywords:
    """The keywords of one play; what is wrong with them is noted in the faults of ``scope``."""

    def __init__(
        self,
        written: WrittenPlay,
        scope: PlayScope,
        inventory: Inventory,
        options: Options,
        known_of: Callable[[str], Mapping[str, Any]],
    ) -> None:
        self.scope = scope
        self._written = written
        self._inventory = inventory
        self._options = options
        self._known_of = known_of

    def play(self, number: int, targets: Targets, steps: tuple[Step, ...], own: Mapping[str, Any]) -> Play:
        """The play with that number, for those hosts; ``own`` are its variables."""
        seed = f"{self._options.shuffle_seed}:{number}"
        order, serial_by, serial = self.value("order"), self.value("serial_by"), self._serial()
        late: Late | None = None
        cut: tuple[tuple[str, ...], ...] = ()
        names: tuple[str, ...] = ()
        if targets.late:
            late = Late(tuple(targets.patterns), targets.limit, order, seed, tuple(serial))
            self._refuse_serial_by(serial_by)
        elif serial_by is None:
            cut = batches(ordered(targets.hosts, order, seed), serial)
        else:
            cut, names = self._by_value(ordered(targets.hosts, order, seed), serial_by, serial)
        percentage = self.value("max_fail_percentage")
        forces = self.value("force_handlers")
        return Play(
            number=number,
            name=self._name(targets.pattern),
            place=str(self._written.place),
            pattern=targets.pattern,
            hosts=tuple(targets.hosts),
            batches=cut,
            batch_names=names,
            serial_by=serial_by,
            steps=steps,
            strategy=self.value("strategy") or "linear",
            vars=dict(own),
            max_fail_percentage=None if percentage is None else float(percentage),
            error_budget=self.value("error_budget"),
            unreachable_budget=self.value("unreachable_budget"),
            force_handlers=self._options.force_handlers if forces is None else bool(forces),
            dwell=float(self._rendered("dwell", self._written.dwell, "duration") or 0),
            late=late,
        )

    def value(self, name: str) -> Any:
        """A keyword rendered and checked once more; None when it is not there or wrong."""
        return self._rendered(name, self._written.keywords.get(name), KINDS["play"][name])

    def _rendered(self, name: str, keyword: Keyword | None, kind: Kind) -> Any:
        rendered = None if keyword is None else self.scope.render(keyword.value, keyword.place, name)
        return None if keyword is None or rendered is None else self._checked(name, rendered, keyword, kind)

    def _checked(self, name: str, rendered: Any, keyword: Keyword, kind: Kind) -> Any:
        try:
            return READERS[kind](rendered)
        except Wrong as wrong:
            self.scope.faults.add(f"{name} {wrong.what}", keyword.place, remedy=wrong.remedy)
            return None

    def _name(self, pattern: str) -> str:
        if not self._written.name:
            return pattern
        rendered = self.scope.render(self._written.name, self._written.place, "name")
        return self._written.name if rendered is None else str(rendered)

    def _serial(self) -> Sequence[Any]:
        keyword = self._written.keywords.get("serial")
        if keyword is None:
            return ()
        sizes: list[Any] = []
        for entry in keyword.value:
            rendered = self.scope.render(entry, keyword.place, "serial")
            sizes.extend(rendered if isinstance(rendered, list) else [] if rendered is None else [rendered])
        return self._checked("serial", sizes, keyword, "serial") or ()

    def _by_value(
        self, hosts: list[str], serial_by: str, serial: Sequence[Any]
    ) -> tuple[tuple[tuple[str, ...], ...], tuple[str, ...]]:
        """The batches, and what each is called."""
        place = self._written.keywords["serial_by"].place
        by_value = partition.Partition(serial_by, place, self.scope, self._inventory, self._known_of)
        return partition.cut(by_value.parts(hosts), serial)

    def _refuse_serial_by(self, serial_by: str | None) -> None:
        if serial_by is not None:
            self.scope.faults.add(
                "serial_by needs hosts that are known when the run is submitted",
                self._written.keywords["serial_by"].place,
                why=f"add_host or group_by before may change who {self._written.hosts.value[0]!r} is",
                remedy="use serial",
            )
