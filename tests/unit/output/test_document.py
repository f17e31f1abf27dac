"""One host's result as the JSON document tells it."""

from __future__ import annotations

import json

from msgspec.structs import replace

from opsrunner.output.document import document, host_result, written
from tests.unit.output.samples import outcome, play, record, stats_of, step


def test_a_modules_own_status_does_not_hide_the_outcomes() -> None:
    result = {"name": "nginx", "status": {"ActiveState": "active"}, "changed": True}
    told = host_result(replace(outcome(0, "web01", "changed"), result=result))
    assert told["status"] == "changed"
    assert told["module_status"] == {"ActiveState": "active"}
    assert (told["name"], told["changed"], told["seconds"]) == ("nginx", True, 0.25)


def test_changed_is_always_there_and_a_mark_where_there_is_one() -> None:
    assert host_result(outcome(0, "web01", "lost", msg="gone"))["changed"] is False
    assert "mark" not in host_result(outcome(0, "web01", "failed"))
    assert host_result(outcome(0, "web01", "failed", "rescued"))["mark"] == "rescued"


def test_what_is_written_is_the_document_with_a_line_for_each_host() -> None:
    run = record(play(step(0, '"0" {}'), step(1), step(2, "0123456789abcdef 1"), hosts=("web01", 'we"b\u2028')))
    outcomes = [
        outcome(0, "web01", stdout="a\nb", when=frozenset({1})),
        outcome(0, 'we"b\u2028', "failed", msg="\udcff"),
        outcome(2, "web01", ansible_stats={"data": {"n": 1}, "per_host": False, "aggregate": True}),
    ]
    text = "".join(written(run, iter(outcomes), stats_of(run, outcomes)))
    whole = document(run, outcomes, stats_of(run, outcomes))
    assert json.loads(text) == json.loads(json.dumps(whole, default=str))
    assert whole["custom_stats"] == {"_run": {"n": 1}}
    assert [line.split()[0] for line in text.splitlines() if '"seconds"' in line] == [
        '"web01":',
        '"we\\"b\\u2028":',
        '"web01":',
    ]


def test_a_document_of_nothing() -> None:
    run = record(play(step(0), hosts=()))
    assert json.loads("".join(written(run, (), {}))) == document(run, (), {})
