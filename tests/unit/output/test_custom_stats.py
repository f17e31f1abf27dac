"""set_stats: what is made of all hosts' figures."""

from __future__ import annotations

import io
from typing import Any

from opsrunner.ledger.records import Outcome, empty_stats
from opsrunner.output.custom_stats import custom_stats, lines
from opsrunner.output.document import document
from opsrunner.output.plain import Plain
from tests.unit.output import samples


def outcome(host: str, data: dict[str, Any], *, per_host: bool = False, aggregate: bool = True) -> Outcome:
    stats = {"data": data, "per_host": per_host, "aggregate": aggregate}
    return Outcome(1, host, "ok", {"ansible_stats": stats})


def test_figures_are_added_up_as_ansible_does() -> None:
    found = custom_stats(
        [
            outcome("a", {"n": 1, "names": ["a"], "deep": {"x": 1}, "mixed": 1, "last": "a"}),
            outcome("b", {"n": 2, "names": ["b"], "deep": {"y": 2}, "mixed": "x"}),
            outcome("b", {"last": "b"}, aggregate=False),
            outcome("b", {"free": 7}, per_host=True),
            Outcome(1, "c", "failed", {"ansible_stats": {"data": {"n": 100}, "aggregate": True}}),
            Outcome(1, "d", "ok", {"results": [outcome("d", {"n": 3}).result, {"censored": "…"}]}),
            Outcome(1, "e", "ok", {"ansible_stats": "nonsense"}),
        ]
    )
    run = {"n": 6, "names": ["a", "b"], "deep": {"x": 1, "y": 2}, "mixed": 1, "last": "b"}
    assert found == {"_run": run, "b": {"free": 7}}
    assert list(lines({"_run": {"b": [1], "a": "x"}, "web1": {"n": 1}})) == ["web1: n=1", 'run: a="x"  b=[1]']


def test_they_are_told_at_the_end_and_in_json() -> None:
    run = samples.record(samples.play(samples.step(1)))
    stats = {"web1": empty_stats()}
    assert "custom_stats" not in document(run, [], stats)
    assert document(run, [outcome("a", {"n": 1})], stats)["custom_stats"] == {"_run": {"n": 1}}
    stream = io.StringIO()
    view = Plain(stream, custom=lambda record: {"_run": {"n": 1}})
    view.begin(run)
    view.end(run, stats)
    assert "custom stats\n  run: n=1\n" in stream.getvalue()
