"""What steps gave a host as later steps see it: what it printed at length is opened when somebody looks at it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from opsrunner.ledger.results import StoredResult
from opsrunner.templating.lazy import LazyDict, Path


class Remembered(Mapping[str, Any]):
    """Variables by name. A result with a long stream is a dict of which each part is made when it is read.

    It is made anew for each look and goes with who looked: kept, the lines of a megabyte take ten.
    """

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = values

    def __getitem__(self, name: str) -> Any:
        value = self._values[name]
        return LazyDict(_Parts(value), (), value.rest) if isinstance(value, StoredResult) else value

    def __contains__(self, name: object) -> bool:
        return name in self._values

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


class _Parts:
    """Makes the parts of a stored result."""

    strict = False

    def __init__(self, result: StoredResult) -> None:
        self._result = result

    def rendered(self, path: Path, value: Any) -> Any:
        return self._result[path[-1]]
