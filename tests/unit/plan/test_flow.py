"""Where hosts go: blocks, rescues, always parts and handlers."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsrunner.plan import flow
from opsrunner.plan.flow import Position
from opsrunner.plan.model import Play, Step


def play(*paths: tuple[tuple[int, str], ...] | str, force_handlers: bool = False) -> Play:
    """A play of steps named s0, s1 … ; a string instead of a path makes a handler of that name."""
    steps = []
    for index, path in enumerate(paths):
        if isinstance(path, str):
            steps.append(
                Step(index, path, "debug", f"p.yml:{path}:1", handler=True, section="handlers", known_as=(path,))
            )
        else:
            steps.append(Step(index, f"s{index}", "debug", f"p.yml:{index}:1", path=path))  # type: ignore[arg-type]
    return Play(0, "p", "p.yml:1:1", "all", ("h",), (("h",),), tuple(steps), force_handlers=force_handlers)


def walk(
    of: Play, fails: set[int] = frozenset(), notifies: Mapping[int, tuple[str, ...]] = {}
) -> tuple[list[int], Position]:  # type: ignore[assignment]
    """Indexes of the steps a host goes through when those of ``fails`` fail, and where it ends."""
    position, seen = flow.start(of), []
    while not flow.ended(of, position):
        index = position.next
        seen.append(index)
        assert len(seen) <= len(of.steps), "a host never comes back to a step"
        if index in fails:
            position, _ = flow.fail(of, position)
        else:
            position = flow.succeed(of, position, flow.notified_by(of, notifies.get(index, ())))
    return seen, position


B, R, A = (1, "block"), (1, "rescue"), (1, "always")


@pytest.mark.parametrize(
    ("paths", "fails", "seen", "failed"),
    [
        pytest.param([(), (), ()], set(), [0, 1, 2], False, id="straight on"),
        pytest.param([(), (), ()], {1}, [0, 1], True, id="a failure ends the host"),
        pytest.param([(B,), (B,), (R,), (A,), ()], set(), [0, 1, 3, 4], False, id="no rescue without a failure"),
        pytest.param([(B,), (B,), (R,), (A,), ()], {0}, [0, 2, 3, 4], False, id="rescued, always runs, goes on"),
        pytest.param(
            [(B,), (B,), (R,), (A,), ()], {0, 2}, [0, 2, 3], True, id="the rescue fails: always, then the end"
        ),
        pytest.param([(B,), (A,), ()], {0}, [0, 1], True, id="always without rescue"),
        pytest.param([(B,), (A,), ()], {0, 1}, [0, 1], True, id="always fails too"),
        pytest.param([(B,), (A,), ()], {1}, [0, 1], True, id="only always fails"),
        pytest.param(
            [(B, (2, "block")), (B, (2, "always")), (R,), ()], {0}, [0, 1, 2, 3], False, id="inner always, outer rescue"
        ),
        pytest.param(
            [(B, (2, "block")), (B, (2, "rescue")), (B,), (R,), ()],
            {0},
            [0, 1, 2, 4],
            False,
            id="inner rescue suffices",
        ),
        pytest.param(
            [(B, (2, "block")), (B, (2, "rescue")), (B,), (R,), ()],
            {0, 1},
            [0, 1, 3, 4],
            False,
            id="inner rescue fails",
        ),
        pytest.param(
            [(B,), (R, (2, "block")), (R, (2, "rescue")), (A,), ()],
            {0, 1},
            [0, 1, 2, 3, 4],
            False,
            id="rescue in rescue",
        ),
    ],
)
def test_blocks(paths: list[tuple[tuple[int, str], ...]], fails: set[int], seen: list[int], failed: bool) -> None:
    visited, end = walk(play(*paths), fails)
    assert (visited, end.failed) == (seen, failed)


def test_rescued_tells_whether_a_rescue_follows() -> None:
    of = play((B, (2, "block")), (B, (2, "always")), (R,), ())
    moved, rescued = flow.fail(of, flow.start(of))
    assert (moved.next, rescued) == (1, True)
    of = play((B,), (A,), ())
    moved, rescued = flow.fail(of, flow.start(of))
    assert (moved.next, rescued) == (1, False)


def test_handlers_run_once_when_notified_in_their_own_order() -> None:
    of = play((), (), "first", "second", (), "first", "second")
    assert walk(of)[0] == [0, 1, 4]
    assert walk(of, notifies={0: ("second", "first"), 1: ("first",)})[0] == [0, 1, 2, 3, 4]
    assert walk(of, notifies={4: ("second",)})[0] == [0, 1, 4, 6]


def test_a_handler_may_notify_a_later_one() -> None:
    of = play((), "first", "second")
    assert walk(of, notifies={0: ("first",), 1: ("second",)})[0] == [0, 1, 2]


def test_failed_hosts_run_no_handlers_unless_forced() -> None:
    paths = ((), (), "handler")
    assert walk(play(*paths), {1}, {0: ("handler",)})[0] == [0, 1]
    seen, end = walk(play(*paths, force_handlers=True), {1}, {0: ("handler",)})
    assert seen == [0, 1, 2]
    assert end.failed


def test_handlers_that_nobody_defined_are_named() -> None:
    of = play((), "known")
    assert flow.unknown_handlers(of, ("known", "other")) == ["other"]


@given(
    st.builds(
        Position,
        st.integers(0, 10**6),
        st.frozensets(st.integers(0, 99)),
        st.frozensets(st.integers(0, 99)),
        st.frozensets(st.integers(0, 99)),
        st.frozensets(st.text(max_size=20)),
        st.booleans(),
    )
)
def test_positions_survive_the_ledger(position: Position) -> None:
    assert Position.decode(position.encode()) == position


def test_included_tasks_are_for_those_who_entered() -> None:
    of = play((), ((1, "included"),), ((1, "included"), (2, "included")), ((3, "included"),), ())
    first = flow.start(of)
    assert flow.succeed(of, first).next == 4
    inside = flow.succeed(of, first, entered=frozenset((1,)))
    assert inside.next == 1
    assert flow.succeed(of, inside).next == 4
    assert flow.succeed(of, inside, entered=frozenset((2,))).next == 2
    both = flow.succeed(of, first, entered=frozenset((1, 3)))
    assert flow.succeed(of, both).next == 3


def test_a_failure_in_included_tasks_goes_on_outward() -> None:
    of = play(((1, "block"),), ((1, "block"), (2, "included")), ((1, "rescue"),), ((1, "rescue"), (3, "included")), ())
    inside = flow.succeed(of, flow.start(of), entered=frozenset((2,)))
    rescued, by = flow.fail(of, inside)
    assert (rescued.next, by) == (2, True)
    assert flow.succeed(of, rescued).next == 4
    assert flow.succeed(of, rescued, entered=frozenset((3,))).next == 3


SECTIONS = ("block", "rescue", "always")


@st.composite
def nested(draw: st.DrawFn) -> list[tuple[tuple[int, str], ...]]:
    """Paths of a random tree of blocks, flattened as the compiler flattens."""
    counter = iter(range(1, 1000))

    def part(path: tuple[tuple[int, str], ...], depth: int) -> list[tuple[tuple[int, str], ...]]:
        flat: list[tuple[tuple[int, str], ...]] = []
        for _ in range(draw(st.integers(1, 3))):
            if depth < 3 and draw(st.booleans()):
                number = next(counter)
                flat += part((*path, (number, "block")), depth + 1)
                for section in ("rescue", "always"):
                    if draw(st.booleans()):
                        flat += part((*path, (number, section)), depth + 1)
            else:
                flat.append(path)
        return flat

    return part((), 0)


@given(nested(), st.data())
def test_every_walk_goes_forward_and_always_parts_are_met(
    paths: list[tuple[tuple[int, str], ...]], data: st.DataObject
) -> None:
    of = play(*paths)
    fails = data.draw(st.sets(st.integers(0, len(paths) - 1)))
    seen, _ = walk(of, fails)
    assert seen == sorted(set(seen))
    # Whoever entered a block's block or rescue part meets the first step of its always part.
    for block in {block for index in seen for block, part in paths[index] if part != "always"}:
        always = [index for index, path in enumerate(paths) if (block, "always") in path]
        if always:
            assert always[0] in seen


@given(nested())
def test_without_failures_no_rescue_is_entered(paths: list[tuple[tuple[int, str], ...]]) -> None:
    seen, end = walk(play(*paths))
    assert seen == [index for index, path in enumerate(paths) if all(part != "rescue" for _, part in path)]
    assert not end.failed
