"""Containers whose templates are rendered when they are first looked at.

``cfg.b`` must work although ``cfg.a`` refers to something undefined, and ``cfg.b`` may even refer
to ``cfg.a``. So a dict or list that may hold templates is handed to Jinja as a :class:`LazyDict` or
:class:`LazyList`: real dicts and lists to every filter, which render an item on first access.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from typing import Any, Final, NamedTuple, Protocol, SupportsIndex

from opsrunner.tagged import Verbatim
from opsrunner.templating import bounds
from opsrunner.templating.markers import (
    OMIT,
    SCALARS,
    Marker,
    TemplateFailure,
    UndefinedVariable,
    is_plain_undefined,
    type_name,
)

#: How a first line begins that changes how the rest is read.
HEADER: Final = "#jinja2:"

#: Where a value stands: the variable's name, then keys and indexes.
Path = tuple[Any, ...]


class Source(Protocol):
    """What renders the items: a scope."""

    def rendered(self, path: Path, value: Any) -> Any:
        """The value of a raw item, possibly a marker."""
        ...

    @property
    def strict(self) -> bool:
        """Whether whoever reads now cannot deal with markers."""
        ...


class _Pending(NamedTuple):
    """An item nobody has looked at yet."""

    value: Any


def possibly_template(text: str) -> bool:
    """Whether ``text`` looks like it holds a template, even a broken one."""
    found = "{{" in text or "{%" in text or "{#" in text or text.startswith(HEADER)
    return found and not isinstance(text, Verbatim)


class LazyDict(dict[Any, Any]):
    """A dict over raw values that renders each when it is read.

    Names begin with an underscore so that templates see a dict's attributes and no others.
    """

    __slots__ = ("_path", "_source")

    def __init__(self, source: Source, path: Path, values: Mapping[Any, Any], *, settled: bool = False) -> None:
        super().__init__(values if settled else {key: _Pending(value) for key, value in values.items()})
        self._source = source
        self._path = path

    def _settle(self, key: Any, value: Any) -> Any:
        if type(value) is _Pending:
            value = self._source.rendered((*self._path, key), value.value)
            dict.__setitem__(self, key, value)
        if isinstance(value, Marker) and self._source.strict:
            value._trip()
        return value

    def _whole(self) -> dict[Any, Any]:
        return {key: self._settle(key, value) for key, value in list(dict.items(self))}

    def __getitem__(self, key: Any) -> Any:
        return self._settle(key, super().__getitem__(key))

    def __iter__(self) -> Iterator[Any]:
        # Overriding it at all keeps dict() and ** from copying the raw items behind our back.
        return super().__iter__()

    def get(self, key: Any, default: Any = None) -> Any:
        if key not in self:
            return default
        return self[key]

    def items(self) -> Any:
        return list(self._whole().items())

    def values(self) -> Any:
        return list(self._whole().values())

    def copy(self) -> dict[Any, Any]:
        return self._whole()

    def pop(self, key: Any, *default: Any) -> Any:
        if key not in self:
            return super().pop(key, *default)
        value = self[key]
        del self[key]
        return value

    def popitem(self) -> tuple[Any, Any]:
        for key in reversed(self):
            return key, self.pop(key)
        raise KeyError("popitem(): dictionary is empty")

    def setdefault(self, key: Any, default: Any = None) -> Any:
        if key not in self:
            self[key] = default
        return self[key]

    def __eq__(self, other: object) -> bool:
        return self._whole() == (other._whole() if isinstance(other, LazyDict) else other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __or__(self, other: Any) -> Any:
        return self._whole() | dict(other) if isinstance(other, dict) else NotImplemented

    def __ror__(self, other: Any) -> Any:
        return dict(other) | self._whole() if isinstance(other, dict) else NotImplemented

    def __repr__(self) -> str:
        return repr(self._whole())

    def __copy__(self) -> dict[Any, Any]:
        return self._whole()

    def __deepcopy__(self, memo: dict[int, Any]) -> LazyDict:
        twin = LazyDict(self._source, self._path, {})
        for key, value in dict.items(self):
            dict.__setitem__(twin, key, value if type(value) is _Pending else deepcopy(value, memo))
        return twin

    def __reduce_ex__(self, protocol: SupportsIndex) -> Any:
        return dict, (plain(self),)


class LazyList(list[Any]):
    """A list over raw values that renders each when it is read."""

    __slots__ = ("_path", "_source")

    def __init__(self, source: Source, path: Path, values: Iterable[Any], *, settled: bool = False) -> None:
        super().__init__(values if settled else [_Pending(value) for value in values])
        self._source = source
        self._path = path

    def _settle(self, index: int, value: Any) -> Any:
        if type(value) is _Pending:
            value = self._source.rendered((*self._path, index), value.value)
            list.__setitem__(self, index, value)
        if isinstance(value, Marker) and self._source.strict:
            value._trip()
        return value

    def _whole(self) -> list[Any]:
        return list(self)

    def __iter__(self) -> Iterator[Any]:
        index = 0
        while index < len(self):
            yield self._settle(index, super().__getitem__(index))
            index += 1

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[position] for position in range(*index.indices(len(self)))]
        value = super().__getitem__(index)
        return self._settle(index + len(self) if index < 0 else index, value)

    def __reversed__(self) -> Iterator[Any]:
        return iter(self._whole()[::-1])

    def __contains__(self, item: object) -> bool:
        return item in self._whole()

    def __add__(self, other: Any) -> Any:
        return self._whole() + list(other) if isinstance(other, list) else NotImplemented

    def __radd__(self, other: Any) -> Any:
        return list(other) + self._whole() if isinstance(other, list) else NotImplemented

    def __mul__(self, times: SupportsIndex) -> list[Any]:
        return self._whole() * times

    __rmul__ = __mul__

    def __eq__(self, other: object) -> bool:
        return self._whole() == _listed(other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __lt__(self, other: Any) -> bool:
        return self._whole() < _listed(other)

    def __le__(self, other: Any) -> bool:
        return self._whole() <= _listed(other)

    def __gt__(self, other: Any) -> bool:
        return self._whole() > _listed(other)

    def __ge__(self, other: Any) -> bool:
        return self._whole() >= _listed(other)

    def __repr__(self) -> str:
        return repr(self._whole())

    def index(self, value: Any, *bounds: SupportsIndex) -> int:
        return self._whole().index(value, *bounds)

    def count(self, value: Any) -> int:
        return self._whole().count(value)

    def copy(self) -> list[Any]:
        return self._whole()

    def pop(self, index: SupportsIndex = -1) -> Any:
        value = self[index]
        del self[index]
        return value

    def remove(self, value: Any) -> None:
        del self[self.index(value)]

    def sort(self, **options: Any) -> None:
        self[:] = sorted(self._whole(), **options)

    def __copy__(self) -> list[Any]:
        return self._whole()

    def __deepcopy__(self, memo: dict[int, Any]) -> LazyList:
        twin = LazyList(self._source, self._path, ())
        for value in list.__iter__(self):
            list.append(twin, value if type(value) is _Pending else deepcopy(value, memo))
        return twin

    def __reduce_ex__(self, protocol: SupportsIndex) -> Any:
        return list, (plain(self),)


def _listed(value: Any) -> list[Any]:
    return value._whole() if isinstance(value, LazyList) else value


def plain(value: Any, *, keep_omit: bool = False, lenient: bool = False) -> Any:
    """``value`` as plain data: dicts, lists and scalars, every template in it rendered.

    Items that are :data:`OMIT` are dropped unless ``keep_omit``. Raises the failure of any marker
    met, and TemplateFailure for what cannot be stored (a range, a function) unless ``lenient``.
    """
    kind = type(value)
    if kind in SCALARS or value is OMIT:
        return value
    if isinstance(value, (Mapping, list, tuple)):
        bounds.spend(len(value))  # few containers that hold each other many times are many once written out
    if isinstance(value, Mapping):
        return {
            _plain_key(key): plain(item, keep_omit=keep_omit, lenient=lenient)
            for key, item in value.items()
            if item is not OMIT or keep_omit
        }
    if isinstance(value, (list, tuple)) or (not lenient and _is_collection(value)):
        return [plain(item, keep_omit=keep_omit, lenient=lenient) for item in value if item is not OMIT or keep_omit]
    return _plain_scalar(value, lenient)


def shown(value: Any) -> tuple[Any, list[str]]:
    """``value`` as plain data to be looked at, and what of it is undefined: that is said in its place, too.

    Raises TemplateFailure for what :func:`plain` refuses, and for what could not be had for another reason.
    """
    errors: list[str] = []
    return _shown(value, errors), errors


def _shown(value: Any, errors: list[str]) -> Any:
    if isinstance(value, Marker):
        failure = value._failure()
        if not isinstance(failure, UndefinedVariable):
            raise failure
        errors.append(f"error {len(errors) + 1} - {failure.message}")
        return f"<< {errors[-1]} >>"
    if isinstance(value, Mapping):
        bounds.spend(len(value))
        return {_plain_key(key): _shown(item, errors) for key, item in value.items() if item is not OMIT}
    if isinstance(value, (list, tuple)):
        bounds.spend(len(value))
        return [_shown(item, errors) for item in value if item is not OMIT]
    return plain(value)


def _plain_key(key: Any) -> Any:
    if type(key) is str:
        return key
    settled = plain(key)
    if settled is OMIT or isinstance(settled, list):
        raise TemplateFailure(f"Error rendering template: Type {type_name(key)!r} is unsupported for a key.")
    return settled


def _is_collection(value: Any) -> bool:
    return isinstance(value, (Sequence, set, frozenset)) and not isinstance(value, (str, bytes, range))


def _plain_scalar(value: Any, lenient: bool) -> Any:
    if isinstance(value, Marker):
        value._trip()
    if isinstance(value, str):
        return str.__str__(value)
    for base in (float, int):
        if isinstance(value, base):
            return base(value)
    if lenient:
        return value
    if is_plain_undefined(value):
        raise UndefinedVariable(value._undefined_message)
    raise TemplateFailure(f"Error rendering template: Type {type_name(value)!r} is unsupported for variable storage.")


def written(value: Any) -> str:
    """``value`` as it stands inside text: containers settled, and OMIT dropped from them."""
    if type(value) is str:
        return value
    if isinstance(value, (Mapping, list, tuple)):
        value = plain(value, lenient=True)
    elif isinstance(value, bytes):
        return value.decode(errors="surrogateescape")
    return str(value)
