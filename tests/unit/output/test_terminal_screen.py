"""What stands on the operator's screen, as a terminal would draw it."""

from __future__ import annotations

import io
import re

from rich.console import Console

from opsrunner.output.terminal import Terminal
from tests.unit.output.samples import BEGAN, Tape, calls, outcome, play, record, stats_of, step

_TOKEN = re.compile(r"\x1b\[(\??[0-9;]*)([A-Za-z])|(\r)|(\n)|([^\x1b\r\n]+)")
HOSTS = [f"web{number:02d}" for number in range(1, 13)]


def drawn(written: str) -> list[str]:
    """The lines of a terminal after all of ``written``: enough of one to know whether anything is left behind."""
    lines, row, column = [""], 0, 0
    for parameters, command, carriage, newline, text in _TOKEN.findall(written):
        if command == "A":
            row = max(0, row - int(parameters or 1))
        elif command == "K":
            lines[row] = ""
        elif carriage:
            column = 0
        elif newline:
            row, column = row + 1, 0
            lines += [""] * (row + 1 - len(lines))
        elif text:
            lines[row] = lines[row].ljust(column)[:column] + text + lines[row][column + len(text) :]
            column += len(text)
        else:
            assert command in "mhl", f"an escape this terminal does not know: {parameters}{command}"
    while lines and not lines[-1]:
        lines.pop()
    return lines


class Screen:
    """A view that is in the middle of a step, on a terminal of memory with a clock of its own."""

    def __init__(self, *, kind: str = "playbook", verbosity: int = 0) -> None:
        self.now = 0.0
        self.stream = io.StringIO()
        self.tape = Tape()
        self.run = record(play(step(0, "restart"), hosts=HOSTS), kind=kind)
        console = Console(file=self.stream, force_terminal=True, width=80, height=24, _environ={"TERM": "xterm"})
        self.view = Terminal(
            self.stream,
            verbosity=verbosity,
            monotonic=lambda: self.now,
            wall=lambda: BEGAN + self.now,
            console=console,
        )
        self.view.begin(self.run)
        self.view.event(self.tape.event("batch_started", play=0, batch=0, batches=1, hosts=HOSTS))
        self.view.event(self.tape.event("step_started", play=0, batch=0, step=0, hosts=HOSTS))
        for host in HOSTS:
            self.view.event(self.tape.event("host_started", step=0, host=host, worker="w"))

    def lines(self) -> list[str]:
        return drawn(self.stream.getvalue())


def test_the_last_lines_stay_at_the_bottom_and_are_gone_at_the_end() -> None:
    screen = Screen()
    outcomes = [outcome(0, host, "changed") for host in HOSTS]
    for one in outcomes[:10]:
        screen.view.event(screen.tape.done(one))
    screen.now = 12.0
    screen.view.tick(screen.now)
    screen.view.event(screen.tape.event("notice", text="a word in between", level="info"))
    heading = f"run {screen.run.id} · p.yml · 12 hosts"
    assert screen.lines() == [
        heading,
        "  info: a word in between",
        "━━━━━━━━━━━━━━━╌╌╌╌ 10/12 restart  changed 10",
        "waiting for web[11-12] (2) (12 s) in 'restart'",
    ]
    screen.now = 13.0
    for one in outcomes[10:]:
        screen.view.event(screen.tape.done(one))
    assert screen.lines() == [heading, "  info: a word in between", "  restart: changed web[01-12] (12)"]
    screen.view.end(screen.run, stats_of(screen.run, outcomes))
    assert screen.lines()[:4] == [
        heading,
        "  info: a word in between",
        "  restart: changed web[01-12] (12)",
        "recap",
    ]
    assert not any("╌" in line or "waiting" in line for line in screen.lines())


def test_what_the_few_hosts_at_work_printed_last_stands_at_the_bottom_of_exec() -> None:
    screen = Screen(kind="exec")
    for host in HOSTS[2:]:
        screen.view.event(screen.tape.done(outcome(0, host, "changed", stdout="done")))
    text = "first\nlast\x1b[2J\n"
    screen.view.event(screen.tape.event("output", step=0, host="web01", stream="stdout", text=text))
    screen.now = 1.0
    screen.view.tick(screen.now)
    assert screen.lines()[-2:] == ["━━━━━━━━━━━━━━━╌╌╌╌ 10/12 restart  changed 10", "web01 | last\\x1b[2J"]
    for host in HOSTS[:2]:
        screen.view.event(screen.tape.done(outcome(0, host, "changed", stdout="done")))
    screen.view.abandon()
    assert screen.lines() == ["── web[01-12] (12) ──", "done"]


def test_lines_that_come_in_a_flood_are_printed_together_and_none_is_lost() -> None:
    screen = Screen(verbosity=1)
    for number in range(100):
        event = screen.tape.event("output", step=0, host="web01", stream="stdout", text=f"line {number}\n")
        screen.view.event(event)
    assert sum("| line" in line for line in screen.lines()) < 10
    screen.view.tick(screen.now)
    assert [line for line in screen.lines() if "| line" in line] == [
        f"  web01 | line {number}" for number in range(100)
    ]


def test_a_flood_of_live_output_costs_little() -> None:
    screen = Screen(verbosity=1)
    events = [
        screen.tape.event("output", step=0, host=host, stream="stdout", text=f"line {number}\n")
        for number in range(500)
        for host in HOSTS
    ]

    def show() -> None:
        for number, event in enumerate(events):
            screen.now = number / 10_000
            screen.view.event(event)

    # Ten times as many when each line is drawn by itself.
    assert calls(show) < 150 * len(events)
    screen.view.abandon()
