"""Records of which some fields are not for showing: secrets, and what is too much to read."""

from __future__ import annotations

from typing import Any, ClassVar

from msgspec import Struct


class Redacted(Struct, frozen=True):
    """A record whose representation, in tracebacks and logs as well, leaves the fields named in ``HIDDEN`` out."""

    HIDDEN: ClassVar[frozenset[str]] = frozenset()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in self.__rich_repr__())})"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        """What rich shows of it, in place of all that a Struct would have it show."""
        return [(name, getattr(self, name)) for name in self.__struct_fields__ if name not in self.HIDDEN]
