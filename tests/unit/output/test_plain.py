"""The view for pipes, logs and CI: one line per thing, no control codes."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import pytest
from msgspec.structs import replace

from opsrunner.ledger.records import Event, Outcome, RunRecord, StepOutline, exit_code
from opsrunner.output.follow import follow
from opsrunner.output.plain import Plain
from tests.unit.output import samples
from tests.unit.output.samples import BEGAN, Tape, linear_events, outcome, play, stats_of, step


def web(*numbers: int) -> list[str]:
    return [f"web{number:02d}" for number in numbers]


def record(
    hosts: Sequence[str], steps: Sequence[StepOutline] = (), *, strategy: str = "linear", **more: Any
) -> RunRecord:
    """A run of one play that took twelve seconds."""
    one_play = play(*(steps or [step(0, "restart nginx")]), hosts=hosts, name="web servers", strategy=strategy)
    return samples.record(one_play, finished=BEGAN + 12, **more)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def shown(run: RunRecord, outcomes: list[Outcome], *, verbosity: int = 0, fold: bool = True) -> str:
    """All that is written of a run, from its beginning to its end."""
    stream = io.StringIO()
    view = Plain(stream, verbosity=verbosity, fold=fold, monotonic=Clock(), wall=lambda: BEGAN)
    view.begin(run)
    follow(linear_events(run, outcomes), view)
    stats = stats_of(run, outcomes)
    code = exit_code(stats)
    view.end(replace(run, exit_code=code, status="failed" if code else "succeeded"), stats)
    return stream.getvalue()


def test_a_playbook_from_beginning_to_end() -> None:
    run = record(web(*range(1, 21)), [step(0, "copy config"), step(1, "restart nginx")])
    told = {
        0: [outcome(0, host, "changed") for host in web(*range(1, 21))],
        1: [outcome(1, host, "changed") for host in web(*range(1, 20))]
        + [outcome(1, "web20", "failed", msg="non-zero return code", rc=1, stderr="nginx: bad\x1b[31m config")],
    }
    outcomes = [*told[0], *told[1]]
    assert shown(run, outcomes).split("\n") == [
        f"run {run.id} · p.yml · 20 hosts",
        "play web servers · 20 hosts",
        "  copy config: changed web[01-20] (20)",
        "  failed web20 in 'restart nginx'",
        "      non-zero return code (rc 1)",
        "      nginx: bad\\x1b[31m config",
        "  restart nginx:",
        "    changed web[01-19] (19)",
        "    failed web20",
        "recap",
        "  web[01-19] (19)  ok=2  changed=2  unreachable=0  failed=0  skipped=0  rescued=0  ignored=0",
        "  web20            ok=1  changed=1  unreachable=0  failed=1  skipped=0  rescued=0  ignored=0",
        "accounted for: 20 hosts × 2 steps = 40: 40 recorded (39 changed, 1 failed)",
        "failed in 12 s, exit code 2: web20 failed",
        f"more: opsrunner show {run.id} · opsrunner logs {run.id} --host web20",
        "",
    ]


def test_a_thousand_equal_failures_are_told_once() -> None:
    hosts = [f"web{number:04d}" for number in range(1000)]
    run = record(hosts)
    outcomes = [outcome(0, host, "failed", msg="disk full") for host in hosts]
    text = shown(run, outcomes)
    assert text.count("disk full") == 1
    assert "  failed web[0000-0999] (1000) in 'restart nginx'" in text
    assert len(text) < 1500


def begun(run: RunRecord, *, verbosity: int = 0, fold: bool = True) -> tuple[Plain, io.StringIO, Clock, Tape]:
    """A view in the middle of the first step, all hosts at work."""
    stream, clock, tape = io.StringIO(), Clock(), Tape()
    view = Plain(stream, verbosity=verbosity, fold=fold, monotonic=clock, wall=lambda: BEGAN)
    view.begin(run)
    hosts = list(run.plays[0].hosts)
    view.event(tape.event("batch_started", play=0, batch=0, batches=1, hosts=hosts))
    view.event(tape.event("step_started", play=0, batch=0, step=0, hosts=hosts))
    for host in hosts:
        view.event(tape.event("host_started", step=0, host=host, worker="w"))
    stream.truncate(0)
    stream.seek(0)
    return view, stream, clock, tape


def test_a_failure_is_told_while_other_hosts_are_still_at_work() -> None:
    view, stream, clock, tape = begun(record(web(1, 2, 3)))
    view.event(tape.done(outcome(0, "web02", "failed", msg="boom")))
    assert stream.getvalue() == ""
    clock.now = 0.6
    view.event(tape.done(outcome(0, "web03", "failed", msg="boom")))
    assert stream.getvalue() == "  failed web[02-03] (2) in 'restart nginx'\n      boom\n"


def test_a_quiet_moment_is_enough_to_tell_a_failure() -> None:
    view, stream, clock, tape = begun(record(web(1, 2)))
    view.event(tape.done(outcome(0, "web02", "unreachable", msg="refused", mark="ignored")))
    view.tick(clock.now)
    assert stream.getvalue() == "  unreachable (ignored) web02 in 'restart nginx'\n      refused\n"


def test_who_is_waited_for_is_named_after_ten_seconds_and_again_every_thirty() -> None:
    view, stream, clock, tape = begun(record(web(1, 2, 3)))
    view.event(tape.done(outcome(0, "web02")))
    for second in range(60):
        clock.now = second
        view.tick(clock.now)
    assert stream.getvalue().splitlines() == [
        "  waiting for web[01,03] (2) (10 s) in 'restart nginx'",
        "  waiting for web[01,03] (2) (40 s) in 'restart nginx'",
    ]


def test_live_output_of_few_hosts_is_shown_by_whole_lines() -> None:
    view, stream, _, tape = begun(record(web(1, 2)))
    for text in ("comp", "iling\nlin", "king\n"):
        view.event(tape.event("output", step=0, host="web01", stream="stdout", text=text))
    assert stream.getvalue() == "  web01 | compiling\n  web01 | linking\n"
    view.event(tape.done(outcome(0, "web01", stdout="compiling\nlinking\ndone")))
    assert stream.getvalue().endswith("  web01 | done\n")


def test_live_output_of_many_hosts_does_not_flood_unless_asked_for() -> None:
    for verbosity, expected in ((0, ""), (1, "  web01 | line\n")):
        view, stream, _, tape = begun(record(web(*range(1, 10))), verbosity=verbosity)
        view.event(tape.event("output", step=0, host="web01", stream="stdout", text="line\n"))
        assert stream.getvalue() == expected


def test_verbose_output_is_folded_and_not_told_twice() -> None:
    view, stream, _, tape = begun(record(web(1, 2, 3)), verbosity=1)
    view.event(tape.event("output", step=0, host="web01", stream="stdout", text="same\n"))
    for host in web(1, 2, 3):
        view.event(tape.done(outcome(0, host, stdout="same")))
    assert stream.getvalue().splitlines() == [
        "  web01 | same",
        "  restart nginx: ok web[01-03] (3)",
        "    web[02-03] (2):",
        "      same",
    ]


def test_debug_is_always_told_and_other_output_is_not() -> None:
    debug = step(0, "tell", module="ansible.builtin.debug")
    run = record(web(1, 2), [debug, step(1, "quiet")])
    told = {
        0: [outcome(0, host, msg="hello") for host in web(1, 2)],
        1: [outcome(1, host, stdout="x") for host in web(1, 2)],
    }
    text = shown(run, [*told[0], *told[1]])
    assert "  tell: ok web[01-02] (2)\n    web[01-02] (2):\n      hello\n  quiet: ok web[01-02] (2)\nrecap" in text


def test_warnings_and_differences_are_told() -> None:
    run = record(web(1, 2))
    result = {"warnings": ["old syntax"], "diff": {"before": "a\n", "after": "b\n"}}
    outcomes = [outcome(0, host, "changed", **result) for host in web(1, 2)]
    text = shown(run, outcomes)
    assert "    warning: old syntax [web[01-02] (2)]\n    difference on web[01-02] (2):\n      --- before\n" in text


def test_batches_notices_and_handlers_are_told() -> None:
    run = record(web(1, 2), [step(0, "a"), step(1, "reload", handler=True)])
    view, stream, _, tape = begun(run)
    view.event(tape.event("notice", text="worker w1 is gone\x1b[2J", level="warning"))
    view.event(tape.done(outcome(0, "web01")))
    view.event(tape.event("batch_started", play=0, batch=1, batches=2, hosts=["web02"]))
    view.event(tape.done(outcome(1, "web02", "changed")))
    assert stream.getvalue().splitlines() == [
        "  warning: worker w1 is gone\\x1b[2J",
        "  a: ok web01",
        " batch 2 of 2: web02",
        "  handler reload: changed web02",
    ]


def test_free_steps_are_told_as_soon_as_every_host_has_passed_them() -> None:
    run = record(web(1, 2), [step(0, "a"), step(1, "b")], strategy="free")
    view, stream, clock, tape = begun(run)
    for host in web(1, 2):
        view.event(tape.done(outcome(0, host)))
        view.event(tape.event("host_started", step=1, host=host, worker="w"))
    view.tick(clock.now)
    assert stream.getvalue() == "  a: ok web[01-02] (2)\n"


def executed(*, fold: bool = True, hosts: int = 3) -> str:
    run = record(web(*range(1, hosts + 1)), kind="exec", title="uname")
    outcomes = [outcome(0, host, "changed", stdout="Linux", rc=0) for host in web(*range(1, hosts))]
    outcomes.append(outcome(0, f"web{hosts:02d}", "failed", rc=3, stdout="half", stderr="boom"))
    return shown(run, outcomes, fold=fold)


def test_exec_folds_equal_outputs() -> None:
    assert executed().splitlines() == [
        "── web[01-02] (2) ──",
        "Linux",
        "── web03 ── failed: rc 3",
        "half",
        "stderr: boom",
        "failed in 12 s, exit code 2: web03 failed",
        "more: opsrunner show 260102-030405-abcd · opsrunner logs 260102-030405-abcd --host web03",
    ]


def test_exec_host_by_host() -> None:
    assert executed(fold=False).splitlines()[:5] == [
        "web01: Linux",
        "web02: Linux",
        "web03: half",
        "web03: stderr: boom",
        "web03: failed: rc 3",
    ]


def test_exec_that_went_well_says_nothing_but_the_output() -> None:
    run = record(web(1, 2), kind="exec")
    outcomes = [outcome(0, "web01", "changed", stdout="a"), outcome(0, "web02", "changed", stdout="")]
    assert shown(run, outcomes).splitlines() == [
        "── web01 ──",
        "a",
        "── web02 ── no output",
    ]


def test_exec_on_one_host_is_shown_as_it_comes_and_once() -> None:
    run = record(web(1), kind="exec")
    view, stream, _, tape = begun(run)
    view.event(tape.event("output", step=0, host="web01", stream="stdout", text="early\n"))
    assert "early" in stream.getvalue()
    view.event(tape.done(outcome(0, "web01", "changed", stdout="early\nlate")))
    assert stream.getvalue().count("early") == stream.getvalue().count("late") == 1


def test_a_stream_that_cannot_write_everything_gets_escapes() -> None:
    raw = io.BytesIO()
    view = Plain(io.TextIOWrapper(raw, encoding="ascii"), monotonic=Clock(), wall=lambda: BEGAN)
    view.begin(record(web(1), title="grün.yml"))
    assert raw.getvalue() == b"run 260102-030405-abcd \\xb7 gr\\xfcn.yml \\xb7 1 host\n"


@pytest.mark.parametrize("error", [KeyboardInterrupt, ConnectionError])
def test_whatever_breaks_the_events_lets_go_of_the_terminal(error: type[BaseException]) -> None:
    class Watched(Plain):
        abandoned = 0

        def abandon(self) -> None:
            self.abandoned += 1

    def broken() -> Iterable[Event | None]:
        yield None
        raise error

    view = Watched(io.StringIO())
    view.begin(record(web(1)))
    with pytest.raises(error):
        follow(broken(), view)
    assert view.abandoned == 1


def test_the_plain_view_does_not_need_rich() -> None:
    code = "import sys, opsrunner.output.plain, opsrunner.output.tables; sys.exit('rich' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0


def test_exec_host_by_host_repeats_nothing_that_was_shown_as_it_came() -> None:
    view, stream, _, tape = begun(record(web(1), kind="exec"), fold=False)
    view.event(tape.event("output", step=0, host="web01", stream="stdout", text="early\n"))
    view.event(tape.done(outcome(0, "web01", "failed", rc=4, stdout="early\nlate")))
    assert stream.getvalue().splitlines() == ["  web01 | early", "  web01 | late", "web01: failed: rc 4"]
