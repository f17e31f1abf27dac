"""Transitions packed into few calls of scripts.lua: those that differ in their hosts alone are one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterator, Sequence

from msgspec import Struct

from opsrunner.ledger.transitions import Arguments

#: Transitions of which one script carries out many; the others go as they are.
_TOGETHER = frozenset(("start", "finish"))
#: How many arguments a start has that takes no slots, and a finish that gives no variable.
_START, _FINISH = 10, 15


class Pack(Struct, frozen=True):
    """One call, and how many transitions of the batch it carries out, in their order."""

    call: Arguments
    count: int
    #: One answer is everybody's; it may be ``mixed``, and then nothing was done.
    alike: bool = False


def packs(batch: Sequence[Arguments]) -> list[Pack]:
    """The same transitions, in the same order, as few calls."""
    found: list[Pack] = []
    mixed: list[Arguments] = []
    for some in _runs(batch):
        if len(some) > 1:
            found += _mixed(mixed)
            mixed = []
            found.append(Pack(_starts(some) if some[0][0] == "start" else _finishes(some), len(some), True))
        elif some[0][0] in _TOGETHER:
            mixed += some
        else:
            found += [*_mixed(mixed), Pack(some[0], 1)]
            mixed = []
    return [*found, *_mixed(mixed)]


def together(transitions: Sequence[Arguments]) -> Arguments:
    """One call that carries them out one after the other, each as if it were alone."""
    return ("many", *(part for one in transitions for part in (len(one), *one)))


def likeness(arguments: Arguments) -> Hashable:
    """Equal for transitions that can be one call, None for one that is a call by itself."""
    if arguments[0] == "start" and len(arguments) == _START:
        _, run, step, _, token, boot, prefix, _, guard, _ = arguments
        return run, step, token, boot, prefix, guard
    if arguments[0] == "finish" and len(arguments) == _FINISH:
        _, run, step, _, token, _, _, score, position, _, bad, ended, once, prefix, additions = arguments
        return None if bad or ended or once or additions else (run, step, token, score, position, prefix)
    return None


def _runs(batch: Sequence[Arguments]) -> Iterator[list[Arguments]]:
    """Neighbours that are alike. A host-step that is in the batch twice goes alone.

    A pack of which nothing was done is done anew behind the batch, and must come behind none of its own.
    """
    some: list[Arguments] = []
    likeness_before: Hashable = None
    twice = _twice(batch)
    for one in batch:
        key = likeness(one) if one[1:4] not in twice else None
        if key is None or key != likeness_before:
            if some:
                yield some
            some = []
        some.append(one)
        likeness_before = key
    if some:
        yield some


def _twice(batch: Sequence[Arguments]) -> set[Arguments]:
    """Run, step and host of those that stand in the batch more than once."""
    places = [one[1:4] for one in batch]
    if len(set(places)) == len(places):
        return set()
    return {place for place, count in Counter(places).items() if count > 1}


def _mixed(transitions: Sequence[Arguments]) -> Iterator[Pack]:
    if len(transitions) == 1:
        yield Pack(transitions[0], 1)
    elif transitions:
        yield Pack(together(transitions), len(transitions))


def _starts(some: Sequence[Arguments]) -> Arguments:
    _, run, step, _, token, boot, prefix, _, guard, _ = some[0]
    known = max(one[7] for one in some)
    hosts = (one[3] for one in some)
    return ("starts", run, step, token, boot, prefix, known, guard, _events(some), *hosts)


def _finishes(some: Sequence[Arguments]) -> Arguments:
    _, run, step, _, token, _, _, score, position, *_ = some[0]
    outcomes = (part for one in some for part in (one[3], one[5], one[6]))
    return ("finishes", run, step, token, score, position, _events(some), *outcomes)


def _events(some: Sequence[Arguments]) -> str:
    """The events of some transitions, a JSON text each, as one list."""
    return f"[{','.join(str(one[9]) for one in some)}]"
