"""What one rendering may cost: time and memory have an end, whatever a template asks for.

A template runs inside a worker that serves a hundred hosts: one that loops for ever, or makes a text of
gigabytes, must fail its own step and nothing else.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterable, Iterator, Sized
from itertools import islice
from typing import Any, Final

from opsrunner.templating.markers import TemplateFailure

#: Seconds of processor time of one rendering; waiting for other threads does not count.
MAX_SECONDS: Final = 3.0
#: Turns of loops, items looked at and calls of one rendering.
MAX_STEPS: Final = 5_000_000
#: Characters of one text.
MAX_TEXT: Final = 64 * 1024 * 1024
#: Items of one list.
MAX_ITEMS: Final = 1_000_000
#: Bits of a whole number. Python writes 4300 digits at most, which is a little more.
MAX_BITS: Final = 14_000
#: Steps between two looks at the clock; calls are fewer, as what is called may work through a whole list.
_LOOK_EVERY: Final = 256
_LOOK_EVERY_CALLS: Final = 8

#: ``%1000000000d`` and ``%*d``: a width that is a size.
_WIDE: Final = re.compile(r"%[^%a-zA-Z]*(?:[0-9]{7}|\*)")
#: Arguments that are sizes: a larger number than :data:`MAX_ITEMS` cannot be meant.
SIZED_FILTERS: Final = (
    *("batch", "center", "comment", "indent", "round", "slice", "wordwrap"),
    *("to_json", "to_nice_json", "to_nice_yaml", "to_yaml", "tojson"),
)
_SIZED_METHODS: Final = frozenset(["__lshift__", "center", "expandtabs", "ljust", "rjust", "to_bytes", "zfill"])


class _Here(threading.local):
    """The rendering of this thread that is under way."""

    rendering = False
    steps = 0
    look_at = 0
    #: When, on the clock on the wall, to look at the processor's; the latter is slow to ask on some systems.
    gate: float | None = None
    #: Processor time of this thread that must not be passed.
    until: float | None = None
    #: The first bound that was met: a failure that a template takes no notice of stays one.
    exceeded: TemplateFailure | None = None


_here = _Here()


class Rendering:
    """The outermost of these is what the bounds are counted for; it raises TemplateFailure when one was met."""

    __slots__ = ("_outermost",)

    def __enter__(self) -> None:
        self._outermost = not _here.rendering
        if self._outermost:
            _here.rendering, _here.steps, _here.look_at = True, 0, _LOOK_EVERY
            _here.gate = _here.until = _here.exceeded = None

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if self._outermost:
            _here.rendering = False
            if error is None and _here.exceeded is not None:
                raise _here.exceeded


def _exceeded(message: str) -> TemplateFailure:
    failure = TemplateFailure(message)
    if _here.rendering:
        _here.exceeded = _here.exceeded or failure
        _here.look_at = 0
    return failure


def spend(steps: int = 1) -> None:
    """Count steps of the rendering under way. Raises TemplateFailure when it has had enough of them, or of time."""
    here = _here
    here.steps += steps
    if here.steps < here.look_at or not here.rendering:
        return
    if here.exceeded is not None:
        raise here.exceeded
    if here.steps > MAX_STEPS:
        raise _exceeded(f"The template does not come to an end: more than {MAX_STEPS} steps.")
    if _time_is_up(here):
        raise _exceeded(f"The template does not come to an end: more than {MAX_SECONDS:g} seconds of work.")
    here.look_at = here.steps + _LOOK_EVERY


def _time_is_up(here: _Here) -> bool:
    now = time.monotonic()
    if here.gate is None:
        here.gate = now + MAX_SECONDS / 10  # most are done by then
    elif now > here.gate:
        worked = time.thread_time()
        if here.until is None:
            here.until = worked + MAX_SECONDS * 0.9
        here.gate = now + max(0.0, here.until - worked)
        return worked > here.until
    return False


def spend_call() -> None:
    """Count a call of a function or filter, as :func:`spend` does."""
    _here.look_at -= _LOOK_EVERY // _LOOK_EVERY_CALLS
    spend()


def turns(values: Iterable[Any]) -> Iterator[Any]:
    """The values of a loop, each counted."""
    for value in values:
        spend()
        yield value


def listed(values: Iterable[Any]) -> list[Any]:
    """All values as a list. Raises TemplateFailure for more than :data:`MAX_ITEMS`."""
    found = list(islice(turns(values), MAX_ITEMS + 1))
    check(found)
    return found


def bounded_range(*bounds: int) -> range:
    """``range``, no longer than a list may be."""
    found = range(*bounds)
    if found and abs((found[-1] - found[0]) // found.step) >= MAX_ITEMS:
        raise _exceeded(
            f"A range of more than {MAX_ITEMS} numbers. For one of them by chance write {{{{ 10**9 | random }}}}."
        )
    return found


def check(value: Any) -> Any:
    """``value``, when it is of a size that may be. Raises TemplateFailure."""
    kind = type(value)
    if kind is int:
        if value.bit_length() > MAX_BITS:
            raise _exceeded(f"A number of more than {MAX_BITS} bits.")
    elif isinstance(value, (str, bytes)):
        if len(value) > MAX_TEXT:
            raise too_long()
    elif isinstance(value, (list, tuple, dict, set)) and len(value) > MAX_ITEMS:
        raise _exceeded(f"A list of more than {MAX_ITEMS} items.")
    return value


def too_long() -> TemplateFailure:
    """What to raise for a text that must not be made."""
    return _exceeded(f"A text of more than {MAX_TEXT} characters.")


def check_product(left: Any, right: Any) -> None:
    """Refuse ``left * right`` where a text or list is repeated too often, before it is made."""
    for repeated, times in ((left, right), (right, left)):
        if isinstance(times, int) and isinstance(repeated, (str, bytes, list, tuple)):
            limit = MAX_TEXT if isinstance(repeated, (str, bytes)) else MAX_ITEMS
            if times > 0 and len(repeated) * times > limit:
                raise _exceeded(f"A value repeated {times} times would be too large.")


def check_power(base: Any, exponent: Any) -> None:
    """Refuse ``base ** exponent`` where the number would be too large, before it is worked out."""
    if isinstance(base, int) and isinstance(exponent, int) and base.bit_length() * exponent > 2 * MAX_BITS:
        raise _exceeded(f"A number of more than {MAX_BITS} bits.")


def check_format(text: Any) -> None:
    """Refuse ``text % values`` where a field is a million characters wide."""
    if isinstance(text, str) and _WIDE.search(text):
        raise _exceeded("A format with a width of millions, or with * for its width.")


def check_sizes(arguments: Iterable[Any]) -> None:
    """Refuse numbers that are sizes and cannot be meant."""
    for argument in arguments:
        if isinstance(argument, int) and abs(argument) > MAX_ITEMS:
            raise _exceeded(f"A size of {argument:.3g} is too large.")


def check_method(function: Any, arguments: tuple[Any, ...]) -> None:
    """Refuse a method of a text or number that would make a value too large, before it is called."""
    name, owner = getattr(function, "__name__", ""), getattr(function, "__self__", None)
    if name in _SIZED_METHODS and isinstance(owner, (str, bytes, int)):
        check_sizes(arguments)
    elif name == "replace" and isinstance(owner, (str, bytes)):
        check_replacement(owner, *arguments[:2])
    elif name == "extend" and isinstance(owner, list) and arguments:
        check_sizes((len(owner) + len(arguments[0]),))
    elif name == "join" and isinstance(owner, str) and arguments:
        check_joint(arguments[0], owner)


def check_replacement(text: Any, old: Any = "", new: Any = "", *_count: Any) -> None:
    """Refuse a replacement that would make a text too large, before it is made."""
    if isinstance(text, str) and isinstance(old, str) and isinstance(new, str):
        times = text.count(old)
        if len(text) + times * len(new) > MAX_TEXT:
            raise too_long()


def check_joint(values: Any, joint: Any = "", *_attribute: Any) -> None:
    """Refuse joining by a text so long that the whole would be too large, before it is made."""
    if isinstance(joint, str) and isinstance(values, Sized) and len(values) * len(joint) > MAX_TEXT:
        raise too_long()
