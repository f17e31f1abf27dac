"""One outcome in words."""

from __future__ import annotations

from typing import Any

import pytest

from opsrunner.ledger.records import Result, Status
from opsrunner.output.describe import diff_text, exec_failure, failure_text, output_text, shown_status, warnings_of
from tests.unit.output.samples import outcome


@pytest.mark.parametrize(
    ("result", "text"),
    [
        ({"msg": "no such unit"}, "no such unit"),
        (
            {"msg": "non-zero return code", "rc": 3, "stderr": "boom\n", "stdout": "unread"},
            "non-zero return code (rc 3)\nboom",
        ),
        ({"rc": 1, "stdout": "only this"}, "rc 1\nonly this"),
        ({"msg": "cannot connect", "remedy": "check the port"}, "cannot connect\ntry: check the port"),
        ({"censored": "the output is hidden"}, "the output is hidden"),
        ({"msg": "a\x1b[2Jb"}, "a\\x1b[2Jb"),
        ({}, "no reason given"),
    ],
)
def test_why_a_host_failed(result: Result, text: str) -> None:
    assert failure_text(outcome(0, "web01", "failed", **result)) == text


def test_of_much_output_the_end_is_told() -> None:
    stderr = "\n".join(str(number) for number in range(30))
    told = failure_text(outcome(0, "web01", "failed", msg="boom", stderr=stderr), lines=2)
    assert told == "boom\n[28 more lines above]\n28\n29"


def test_the_items_of_a_loop_that_failed_are_told() -> None:
    results: list[dict[str, Any]] = [
        {"item": f"pkg{number}", "failed": number != 1, "msg": "gone"} for number in range(8)
    ]
    told = failure_text(outcome(0, "web01", "failed", msg="One or more items failed", results=results))
    assert told.split("\n") == [
        *(f"item pkg{number}: gone" for number in (0, 2, 3, 4, 5)),
        "and 2 more items",
    ]


def test_an_item_goes_by_its_label_or_its_loop_variable() -> None:
    labelled = {"_ansible_item_label": "short", "item": {"long": 1}, "failed": True, "msg": "x"}
    renamed = {"ansible_loop_var": "package", "package": {"name": "a"}, "failed": True, "msg": "y"}
    told = failure_text(outcome(0, "web01", "failed", results=[labelled, renamed]))
    assert told == 'item short: x\nitem {"name": "a"}: y'


@pytest.mark.parametrize(
    ("status", "result", "text"),
    [
        ("ok", {"stdout": "up 3 days", "rc": 0, "cmd": ["uptime"], "delta": "0:00"}, "up 3 days"),
        ("changed", {"stdout": "a\n", "stderr": "b\nc\n"}, "a\nstderr: b\nstderr: c"),
        ("ok", {"msg": {"a": [1]}}, '{\n  "a": [\n    1\n  ]\n}'),
        ("ok", {"changed": False, "failed": False, "version.stdout": "1.2"}, "version.stdout: 1.2"),
        ("ok", {"changed": False, "rc": 0, "stdout": "", "stderr": "", "cmd": "true", "stdout_lines": []}, ""),
        ("ok", {"changed": False, "ansible_facts": {"a": 1}}, ""),
        ("ok", {"ansible_facts": 1, "_ansible_verbose_always": True}, "ansible_facts: 1"),
        ("ok", {"censored": "hidden", "changed": True}, "hidden"),
        (
            "skipped",
            {"skip_reason": "Conditional result was False", "false_condition": "x > 1"},
            "Conditional result was False: x > 1",
        ),
        ("ok", {"results": [{"item": "a", "stdout": "1"}, {"item": "b", "skipped": True}]}, "item a: 1"),
        ("failed", {"msg": "told elsewhere", "stdout": "printed"}, "printed"),
    ],
)
def test_what_a_step_said(status: Status, result: Result, text: str) -> None:
    assert output_text(outcome(0, "web01", status, **result)) == text


def test_a_failed_command_tells_its_code_first_and_then_all_it_printed() -> None:
    failed = outcome(0, "web01", "failed", rc=3, msg="non-zero return code", stdout="out", stderr="err\n")
    assert exec_failure(failed) == "failed: rc 3\nout\nstderr: err"
    assert exec_failure(outcome(0, "db1", "unreachable", msg="refused", remedy="start it")) == (
        "unreachable: refused\ntry: start it"
    )


def test_marks_are_shown_with_the_status() -> None:
    assert shown_status(outcome(0, "web01", "failed", mark="ignored")) == "failed (ignored)"
    assert shown_status(outcome(0, "web01", "changed")) == "changed"


def test_differences_are_unified() -> None:
    diff = {"before_header": "/etc/motd", "after_header": "motd.j2", "before": "a\nb\n", "after": "a\nc"}
    assert diff_text({"diff": [diff]}).split("\n") == [
        *("--- /etc/motd", "+++ motd.j2", "@@ -1,2 +1,2 @@", " a", "-b", "+c", "\\ No newline at end of file"),
    ]


def test_differences_of_attributes_and_of_items() -> None:
    told = diff_text({"results": [{"diff": {"before": {"mode": "0644"}, "after": {"mode": "0600"}}}]})
    assert '-    "mode": "0644"' in told
    assert '+    "mode": "0600"' in told


@pytest.mark.parametrize(
    ("diff", "text"),
    [
        ({"src_binary": 1}, "after: binary, no difference shown"),
        ({"dst_larger": 100}, "before: larger than 100 bytes, no difference shown"),
        ({"prepared": "+1 package\n"}, "+1 package"),
        ({"before": "same", "after": "same"}, ""),
        ({}, ""),
    ],
)
def test_differences_that_cannot_be_put_side_by_side(diff: Result, text: str) -> None:
    assert diff_text({"diff": diff}) == text


def test_warnings_are_told_once() -> None:
    assert warnings_of({"warnings": ["a", "b"], "results": [{"warnings": ["a"]}]}) == ["a", "b"]
