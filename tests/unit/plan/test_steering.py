"""What meta means for where hosts go."""

from __future__ import annotations

from opsrunner.plan import flow, steering
from opsrunner.plan.flow import Position
from opsrunner.plan.model import Play, Step


def _play(*steps: Step) -> Play:
    return Play(0, "play", "p.yml:1:1", "all", ("a",), (("a",),), steps)


FLUSH = Step(0, "meta", "meta", "p.yml:2:1", {"_raw_params": "flush_handlers"})
HANDLER = Step(1, "told", "debug", "p.yml:9:1", handler=True)
AFTER = Step(2, "after", "debug", "p.yml:3:1")


def test_a_flush_that_is_skipped_leaves_its_handlers_to_a_later_one() -> None:
    play = _play(FLUSH, HANDLER, AFTER)
    before = Position(0, notified=frozenset((HANDLER.place,)))
    done, skipped = (steering.steered(play, before, flow.succeed(play, before), status) for status in ("ok", "skipped"))
    assert (done.next, skipped.next) == (1, 2)
    assert skipped.notified == before.notified


def test_the_end_for_a_host_keeps_a_failure_that_was_on_its_way() -> None:
    play = _play(FLUSH, HANDLER, AFTER)
    for action in ("end_host", "end_batch", "end_play"):
        assert steering.end(play, Position(0, notified=frozenset(("x",))), action) == Position(3)
        assert steering.end(play, Position(0, pending=frozenset((0,))), action).failed


def test_the_gate_is_not_jumped_over_unless_the_play_ends() -> None:
    play = _play(
        FLUSH,
        AFTER,
        Step(3, "healthy", "ping", HANDLER.place, section="gate"),
        Step(4, "x", "ping", "p:9:9", section="gate"),
    )
    for action in ("end_host", "end_batch"):
        assert steering.end(play, Position(0), action) == Position(2)
        assert steering.end(play, Position(2), action) == Position(4)
        assert steering.end(play, Position(0, failed=True), action).next == 4
    assert steering.end(play, Position(0), "end_play") == Position(4)


def test_a_failed_host_runs_no_handlers_of_a_flush_within_a_section() -> None:
    play = _play(FLUSH, HANDLER, AFTER, Step(3, "told", "debug", HANDLER.place, section="handlers", handler=True))
    failed = Position(0, notified=frozenset((HANDLER.place,)), failed=True)
    assert flow.go_to(play, failed, 1).next == 3
