"""Values that stand for what could not be had, and the errors they turn into.

A *marker* takes the place of an undefined variable, or of a value whose rendering failed, until
somebody needs it. So ``{{ a.b | default('x') }}`` works however deep the missing part is, and one
bad value in a dictionary does not spoil its neighbours. Touching a marker raises its failure.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any, Final, NoReturn

from jinja2 import StrictUndefined, TemplateSyntaxError, Undefined, UndefinedError
from jinja2.utils import missing

from opsrunner.errors import InputError
from opsrunner.tagged import Encrypted

#: What rendered results may hold besides dicts and lists.
SCALARS: Final = frozenset(
    {str, int, float, bool, bytes, type(None), datetime.datetime, datetime.date, datetime.time},
)


class TemplateFailure(InputError):
    """A template or expression could not be rendered; ``message`` is fit to be a result's ``msg``."""

    def __init__(self, message: str, *, marker: Marker | None = None) -> None:
        super().__init__(message)
        self.marker = marker

    @property
    def message(self) -> str:
        """What went wrong, in one line."""
        return self.what


class UndefinedVariable(TemplateFailure):
    """A variable, attribute or item that does not exist was used."""


class Omit:
    """The type of :data:`OMIT`."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "<<Omit>>"

    def __reduce__(self) -> str:
        return "OMIT"  # copies and pickles of it are the very same


#: What ``omit`` renders to: whatever holds it, drops it.
OMIT: Final = Omit()


class Marker(StrictUndefined):
    """A stand-in for a missing value; any use but passing it on raises."""

    __slots__ = ()

    def _failure(self) -> TemplateFailure:
        raise NotImplementedError

    def _trip(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise self._failure()

    def __getattr__(self, name: str) -> Any:
        # Python asks objects for dunder names to learn what they can do: those must be absent.
        if name.startswith("__") and name.endswith("__"):
            raise AttributeError(name)
        return self

    def __getitem__(self, key: Any) -> Marker:  # type: ignore[override]
        return self

    def __copy__(self) -> Marker:
        return self

    def __deepcopy__(self, memo: Any) -> Marker:
        return self


def _trip_on_use() -> None:
    operators = (
        "add sub mul truediv floordiv mod pow radd rsub rmul rtruediv rfloordiv rmod rpow neg pos "
        "lt le gt ge eq ne hash bool int float complex str repr format iter len contains call setitem"
    )
    for name in operators.split():
        setattr(Marker, f"__{name}__", Marker._trip)


_trip_on_use()


class UndefinedMarker(Marker):
    """Nothing of that name was found."""

    __slots__ = ()

    def __init__(
        self,
        hint: str | None = None,
        obj: Any = missing,
        name: str | None = None,
        exc: type[Exception] = UndefinedError,
    ) -> None:
        if not hint and name is not None and obj is not missing:
            hint = f"object of type {type_name(obj)!r} has no attribute {name!r}"
        super().__init__(hint, obj, name, UndefinedError)

    def _failure(self) -> TemplateFailure:
        return UndefinedVariable(self._undefined_message, marker=self)


class FailureMarker(Marker):
    """Rendering failed, and nobody has needed the value so far."""

    __slots__ = ("_error",)

    def __init__(self, error: TemplateFailure) -> None:
        super().__init__(error.what)
        self._error = error

    def _failure(self) -> TemplateFailure:
        return self._error


def first_marker(arguments: Iterable[Any]) -> Marker | None:
    """The first marker among ``arguments``, if there is one."""
    for argument in arguments:
        if isinstance(argument, Marker):
            return argument
    return None


def marked(error: Exception, *, kind: str = "template") -> Marker:
    """The marker for what was raised while rendering a ``kind``; the very one that was tripped, if any."""
    if isinstance(error, TemplateFailure):
        return FailureMarker(error) if error.marker is None else error.marker
    if isinstance(error, RecursionError):
        return FailureMarker(TemplateFailure(f"Recursive loop detected in {kind}"))
    if isinstance(error, TemplateSyntaxError):
        return FailureMarker(syntax_failure(error, kind=kind))
    return FailureMarker(TemplateFailure(f"Error rendering {kind}: {error}"))


def decrypted(value: Encrypted) -> str:
    """The text of an encrypted value. Raises TemplateFailure, which names the value's place."""
    try:
        return value.read()
    except InputError as error:
        raise TemplateFailure(str(error)) from None


def syntax_failure(error: TemplateSyntaxError, *, kind: str, remark: str = "") -> TemplateFailure:
    """The failure for a syntax error; the line is told when the text has several."""
    line = f" (line {error.lineno})" if error.lineno > 1 else ""
    return TemplateFailure(f"Syntax error in {kind}{remark}: {error.message}{line}")


def explained(failure: TemplateFailure, names: Iterable[str]) -> TemplateFailure:
    """``failure`` with the nearest existing name added, where one is near; ``names`` are the variables."""
    marker = failure.marker
    if not isinstance(failure, UndefinedVariable) or marker is None:
        return failure
    wanted = marker._undefined_name
    if not isinstance(wanted, str):
        return failure
    if marker._undefined_obj is missing:
        candidates = list(names)
    elif isinstance(marker._undefined_obj, Mapping):
        candidates = [key for key in marker._undefined_obj if isinstance(key, str)]
    else:
        return failure
    near = nearest(wanted, candidates)
    return UndefinedVariable(f"{failure.what}. Did you mean {near!r}?", marker=marker) if near else failure


def nearest(name: str, candidates: Iterable[str]) -> str | None:
    """The candidate most like ``name``, if any is like it at all."""
    return next(iter(get_close_matches(name, list(candidates), n=1, cutoff=0.7)), None)


def type_name(value: Any) -> str:
    """The type of ``value`` as an operator knows it: our own kinds of dict, list and str are just those."""
    kind = type(value)
    if kind in SCALARS or not kind.__module__.startswith("opsrunner."):
        return kind.__name__
    return next((base.__name__ for base in (dict, list, str) if issubclass(kind, base)), kind.__name__)


def is_plain_undefined(value: Any) -> bool:
    """Whether ``value`` is what ``x if y`` without an else gives: empty inside text, unusable alone."""
    return isinstance(value, Undefined) and not isinstance(value, Marker)
