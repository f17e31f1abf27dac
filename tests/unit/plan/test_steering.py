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
    assert steering.end(play, Position(0, notified=frozenset(("x",)))) == Position(3)
    assert steering.end(play, Position(0, pending=frozenset((0,)))).failed


def test_a_failed_host_runs_no_handlers_of_a_flush_within_a_section() -> None:
    play = _play(FLUSH, HANDLER, AFTER, Step(3, "told", "debug", HANDLER.place, section="handlers", handler=True))
    failed = Position(0, notified=frozenset((HANDLER.place,)), failed=True)
    assert flow.go_to(play, failed, 1).next == 3
