"""One host's result as the JSON document tells it."""

from __future__ import annotations

from dataclasses import replace

from opsrunner.output.document import host_result
from tests.unit.output.samples import outcome


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
