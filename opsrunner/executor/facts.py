"""Facts as variables: ``ansible_facts.x`` and ``ansible_x``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from opsrunner.ledger.records import Result
from opsrunner.plan.check import NO_FACT

#: The variable that holds all facts of a host; in the ledger, too, where they are one value.
FACTS = "ansible_facts"


class FactVariables(Mapping[str, Any]):
    """The variables that a host's facts are, by the names that modules gave them.

    What a host says never becomes a variable that tells how to reach it.
    """

    def __init__(self, facts: Mapping[str, Any]) -> None:
        self._facts = facts

    def __getitem__(self, name: str) -> Any:
        if name == FACTS:
            return {_bare(fact): value for fact, value in self._facts.items()}
        if not self._is_fact(name):
            raise KeyError(name)
        return self._facts[name]

    def __contains__(self, name: object) -> bool:
        return name == FACTS or self._is_fact(name)

    def __iter__(self) -> Iterator[str]:
        yield FACTS
        yield from filter(self._is_fact, self._facts)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def _is_fact(self, name: object) -> bool:
        return name in self._facts and not NO_FACT.fullmatch(str(name))


def _bare(name: str) -> str:
    """A fact's name in ansible_facts; of all, ansible_local keeps its beginning, as in Ansible."""
    return name if name == "ansible_local" else name.removeprefix("ansible_")


def cleared() -> dict[str, Any]:
    """The values that a step gives a host to forget all facts of it."""
    return {FACTS: {}}


def without_facts(result: Result) -> Result:
    """What is shown of a result that holds facts, which are many, and may hold what is nobody's business."""
    shown = {key: value for key, value in result.items() if key != FACTS}
    if isinstance(shown.get("results"), list):
        shown["results"] = [without_facts(one) if isinstance(one, dict) else one for one in shown["results"]]
    return shown
