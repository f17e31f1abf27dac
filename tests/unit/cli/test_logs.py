"""``opsrunner logs``: which hosts and steps are meant, and lines as they come."""

from __future__ import annotations

import pytest

from opsrunner.cli import logs
from opsrunner.errors import InputError
from opsrunner.ledger.records import Outcome
from tests.unit.output.samples import WEB, Tape, outcome, play, record, step

RUN = record(play(step(0, "look"), step(1, "mend"), hosts=(*WEB, "odd[1]")))


def following(**more: object) -> tuple[logs.Following, Tape]:
    return logs.Following(**{"hosts": None, "steps": (0, 1), **more}), Tape()  # type: ignore[arg-type]


def printed(one: logs.Following, tape: Tape, text: str, *, number: int = 0, stream: str = "stdout") -> list[str]:
    event = tape.event("output", step=number, host="web01", stream=stream, text=text)
    return [line for line, _ in one.lines(event)]


def done(one: logs.Following, tape: Tape, told: Outcome) -> list[str]:
    return [line for line, _ in one.lines(tape.done(told))]


def test_a_step_the_run_does_not_have_is_refused() -> None:
    assert list(logs._steps(RUN, None)) == [0, 1]
    assert list(logs._steps(RUN, 1)) == [1]
    with pytest.raises(InputError, match="no step 2") as caught:
        logs._steps(RUN, 2)
    assert caught.value.why == "its steps are 0 to 1"


def test_whole_lines_as_they_come_and_each_once() -> None:
    one, tape = following()
    assert printed(one, tape, "a\nb") == ["web01: a"]
    assert printed(one, tape, "b\n") == ["web01: bb"]
    assert printed(one, tape, "hm", stream="stderr") == []
    assert done(one, tape, outcome(0, "web01", stdout="a\nbb\nc", stderr="hmm")) == ["web01: c", "web01: hmm"]


def test_output_that_came_at_the_end_only() -> None:
    one, tape = following()
    assert done(one, tape, outcome(0, "web01", stdout="a\nb")) == ["web01: a", "web01: b"]
    assert done(one, tape, outcome(1, "web01", "failed", rc=3, stdout="c")) == ["web01: c", "web01: failed: rc 3"]


def test_other_hosts_and_steps_are_left_out() -> None:
    one, tape = following(hosts={"web02"}, steps=(1,))
    assert printed(one, tape, "a\n") == []
    assert printed(one, tape, "a\n", number=1) == []
    assert done(one, tape, outcome(0, "web02", stdout="a")) == []
    assert done(one, tape, outcome(1, "web02", stdout="a")) == ["web02: a"]


def test_lines_are_harmless() -> None:
    one, tape = following()
    assert printed(one, tape, "\x1b[2J\n") == [r"web01: \x1b[2J"]
