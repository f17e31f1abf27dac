"""The live view, on a terminal of memory."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator

import pytest
from rich.console import Console

from opsrunner.ledger.records import Event, Outcome, RunRecord
from opsrunner.output.follow import follow
from opsrunner.output.terminal import Terminal
from tests.unit.output.samples import BEGAN, WEB, Tape, calls, linear_events, outcome, play, record, stats_of, step

_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Screen:
    """A terminal whose clock stands until it is moved, and what was written to it."""

    def __init__(self, *, width: int = 80, tty: bool = True, verbosity: int = 0) -> None:
        self.now = 0.0
        self.stream = io.StringIO()
        console = Console(
            file=self.stream, force_terminal=tty, width=width, height=24, highlight=False, _environ={"TERM": "xterm"}
        )
        self.view = Terminal(
            self.stream,
            verbosity=verbosity,
            monotonic=lambda: self.now,
            wall=lambda: BEGAN + self.now,
            console=console,
        )

    def play(self, run: RunRecord, outcomes: list[Outcome]) -> str:
        self.view.begin(run)
        follow(linear_events(run, outcomes), self.view, monotonic=lambda: self.now)
        self.view.end(run, stats_of(run, outcomes))
        return self.text()

    def text(self) -> str:
        return _CONTROL.sub("", self.stream.getvalue())


def sample() -> tuple[RunRecord, list[Outcome]]:
    run = record(play(step(0, "look"), step(1, "mend")), status="failed", exit_code=2)
    outcomes = [outcome(0, host) for host in WEB]
    outcomes += [
        outcome(1, "web01", "changed"),
        outcome(1, "web02", "failed", msg="no"),
        outcome(1, "web03", "changed"),
    ]
    return run, outcomes


@pytest.mark.parametrize("width", [80, 20, 3, 1])
@pytest.mark.parametrize("tty", [True, False])
def test_it_stands_any_width_and_no_terminal(width: int, tty: bool) -> None:
    text = Screen(width=width, tty=tty).play(*sample())
    assert "look: ok web[01-03] (3)" in text
    assert "failed web02" in text
    assert "exit code 2" in text


def test_the_cursor_comes_back() -> None:
    screen = Screen()
    screen.play(*sample())
    written = screen.stream.getvalue()
    assert written.rindex("\x1b[?25h") > written.rindex("\x1b[?25l")


def test_the_cursor_comes_back_when_nobody_looks_any_more() -> None:
    screen = Screen()
    screen.view.abandon()
    screen.view.begin(sample()[0])
    screen.view.abandon()
    screen.view.abandon()
    written = screen.stream.getvalue()
    assert written.rindex("\x1b[?25h") > written.rindex("\x1b[?25l")


def test_no_control_codes_where_there_is_no_terminal() -> None:
    screen = Screen(tty=False)
    screen.play(*sample())
    assert "\x1b" not in screen.stream.getvalue()


def test_the_last_lines_tell_how_far_it_is_and_whom_it_waits_for() -> None:
    screen, tape = Screen(), Tape()
    hosts = [f"web{number:02d}" for number in range(1, 21)]
    screen.view.begin(record(play(step(0, "restart"), hosts=hosts)))
    screen.view.event(tape.event("batch_started", play=0, batch=0, batches=1, hosts=hosts))
    screen.view.event(tape.event("step_started", play=0, batch=0, step=0, hosts=hosts))
    for host in hosts:
        screen.view.event(tape.event("host_started", step=0, host=host, worker="w"))
    for host in hosts[:5]:
        screen.view.event(tape.done(outcome(0, host, "changed")))
    screen.now = 12.0
    lines = screen.view.status().plain.split("\n")
    assert lines[0] == "━━━━╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌ 5/20 restart  changed 5"
    assert lines[1] == "waiting for web[06-20] (15) (12 s) in 'restart'"
    assert all(len(line) < 80 for line in lines)
    screen.view.tick(screen.now)
    screen.view.abandon()
    assert "5/20 restart" in screen.text()


def test_output_of_hosts_cannot_steer_the_terminal() -> None:
    evil = "\x1b[2J\x1b]0;gotcha\x07[bold red]no markup[/]"
    run = record(play(step(0, evil)), status="failed", exit_code=2)
    screen = Screen(verbosity=1)
    text = screen.play(run, [outcome(0, "web01", stdout=evil), outcome(0, "web02", "failed", msg=evil)])
    assert "\x1b[2J" not in screen.stream.getvalue()
    assert "\x1b]0" not in screen.stream.getvalue()
    assert "[bold red]no markup[/]" in text


def calls_per_event(number_of_hosts: int) -> float:
    hosts = [f"web{number:04d}" for number in range(number_of_hosts)]
    steps = [step(number) for number in range(10)]
    run = record(play(*steps, hosts=hosts))
    outcomes = [outcome(one.number, host, "changed", stdout="up") for one in steps for host in hosts]
    events = list(linear_events(run, outcomes))
    screen = Screen()
    screen.view.begin(run)

    def coming() -> Iterator[Event]:
        for event in events:
            screen.now += 50e-6  # the clock runs, so that the last lines are drawn as often as they would be
            yield event

    counted = calls(lambda: follow(coming(), screen.view, monotonic=lambda: screen.now))
    screen.view.end(run, stats_of(run, outcomes))
    return counted / len(events)


def test_an_event_costs_no_more_with_many_hosts() -> None:
    few, many = calls_per_event(100), calls_per_event(2000)
    assert many < 1.5 * few < 60
