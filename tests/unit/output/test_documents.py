"""Runs for programs and browsers: JSON, JSON lines, JUnit XML, HTML."""

from __future__ import annotations

import io
import json
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser

from opsrunner.ledger.records import Outcome, RunRecord
from opsrunner.output import html, junit
from opsrunner.output.document import Document, document
from opsrunner.output.follow import follow
from opsrunner.output.jsonl import JsonLines
from tests.unit.output.samples import WEB, linear_events, outcome, play, record, stats_of, step

EVIL = "<script>alert(1)</script>\x00\x1b[2J\ud800\ufffe&\"'"


def sample() -> tuple[RunRecord, list[Outcome]]:
    run = record(
        play(step(0, "look"), step(1, "mend", module="shell"), step(2, "reload", handler=True)),
        status="failed",
        exit_code=2,
    )
    return run, [
        *(outcome(0, host, stdout="up") for host in WEB),
        outcome(1, "web01", "skipped", false_condition="x", skip_reason="Conditional result was False"),
        outcome(1, "web02", "failed", rc=1, msg="no"),
        outcome(1, "web03", "failed", "ignored", msg="never mind"),
    ]


def test_the_document_holds_every_result_and_the_stats() -> None:
    run, outcomes = sample()
    stream = io.StringIO()
    renderer = Document(stream, lambda run_id: outcomes)
    renderer.begin(run)
    follow(linear_events(run, outcomes), renderer)
    assert stream.getvalue() == ""
    stats = stats_of(run, outcomes)
    renderer.end(run, stats)
    found = json.loads(stream.getvalue())
    assert found == document(run, outcomes, stats)
    assert (found["run"], found["status"], found["exit_code"]) == (run.id, "failed", 2)
    tasks = found["plays"][0]["tasks"]
    assert [task["name"] for task in tasks] == ["look", "mend"], "nobody notified the handler"
    assert tasks[0]["hosts"]["web01"] == {
        "stdout": "up",
        "status": "ok",
        "changed": False,
        "seconds": 0.25,
    }
    assert tasks[1]["hosts"]["web03"]["mark"] == "ignored"
    assert found["stats"]["web02"]["failures"] == 1
    assert found["stats"]["web03"]["ignored"] == 1


def test_json_lines_are_one_object_an_event() -> None:
    run, outcomes = sample()
    stream = io.StringIO()
    renderer = JsonLines(stream)
    renderer.begin(run)
    events = list(linear_events(run, outcomes))
    follow([*events[:3], None, *events[3:]], renderer)
    renderer.end(run, stats_of(run, outcomes))
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [line["kind"] for line in lines] == [*(event.kind for event in events), "recap"]
    failed = next(line for line in lines if line["kind"] == "outcome" and line["status"] == "failed")
    assert (failed["host"], failed["step"], failed["result"]["rc"], failed["run"]) == ("web02", 1, 1, run.id)
    assert lines[-1]["exit_code"] == 2


def test_junit_has_a_case_for_each_host_and_step() -> None:
    run, outcomes = sample()
    root = ElementTree.fromstring(junit.document(run, outcomes))
    assert {name: root.get(name) for name in ("tests", "failures", "errors", "skipped")} == {
        "tests": "6",
        "failures": "1",
        "errors": "0",
        "skipped": "1",
    }
    [suite] = root
    assert (suite.get("name"), suite.get("timestamp"), suite.get("time")) == ("first", "2026-01-02T03:04:05", "1.500")
    cases = {(case.get("classname"), case.get("name")): case for case in suite}
    look = cases["web01", "look"]
    assert (look.get("file"), look.get("line"), look.findtext("system-out")) == ("p.yml", "0", "up")
    failure = cases["web02", "mend"].find("failure")
    assert failure is not None
    assert (failure.get("message"), failure.get("type")) == ("no (rc 1)", "failed")
    assert cases["web01", "mend"].find("skipped") is not None
    ignored = cases["web03", "mend"]
    assert ignored.find("failure") is None
    assert ignored.findtext("system-out") == "failed (ignored)\nnever mind"


def test_junit_calls_what_was_no_verdict_an_error() -> None:
    run = record(play(step(0, "a"), step(1, "a")), status="failed", exit_code=12)
    outcomes = [outcome(0, "web01", "unreachable", msg="x"), outcome(0, "web02", "lost", msg="y"), outcome(0, "web03")]
    root = ElementTree.fromstring(junit.document(run, [*outcomes, outcome(1, "web03")]))
    assert (root.get("failures"), root.get("errors")) == ("0", "2")
    assert [error.get("type") for error in root.iter("error")] == ["unreachable", "lost"]
    assert [case.get("name") for case in root.iter("testcase")] == ["a", "a", "a", "a (2)"]


def test_junit_stays_xml_whatever_hosts_print() -> None:
    run = record(play(step(0, EVIL), name=EVIL), title=EVIL)
    root = ElementTree.fromstring(junit.document(run, [outcome(0, "web01", "failed", msg=EVIL, stderr=EVIL)]))
    failure = next(root.iter("failure"))
    assert "<script>alert(1)</script>\\x00\\x1b[2J\\ud800\\ufffe&\"'" in (failure.text or "")


class Page(HTMLParser):
    """The text of a page, its tags, and whether each was closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.tags: list[str] = []
        self.references: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.references += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def test_the_page_shows_it_all_folded() -> None:
    page = Page(html.document(*sample()))
    assert page.open == []
    assert "failed in 2.00 s, exit code 2: web02 failed" in page.text
    assert "2026-01-02 03:04:05 UTC" in page.text
    assert "output of web[01-03] (3) up" in page.text
    assert "failed web02 no (rc 1)" in page.text
    assert "failed (ignored) web03 never mind" in page.text
    assert "reload" not in page.text, "nobody notified the handler"
    assert "3 hosts × 3 steps = 9: 6 recorded (3 ok, 1 skipped, 2 failed), 3 not reached" in page.text


def test_the_page_needs_nothing_else_and_runs_nothing() -> None:
    run = record(play(step(0, EVIL), name=EVIL), title=EVIL, user=EVIL, reason=EVIL, schedule=EVIL)
    text = html.document(run, [outcome(0, "web01", stdout=EVIL), outcome(0, "web02", "failed", msg=EVIL)])
    page = Page(text)
    assert "script" not in page.tags
    assert page.references == []
    assert "url(" not in text
    assert "default-src 'none'" in text
    assert "\x1b" not in text
    assert "<script>alert(1)</script>" in page.text


def test_the_page_of_a_run_that_goes_on() -> None:
    run = record(play(step(0, "look")), status="running", finished=None, exit_code=None)
    assert "3 not reached (3 not yet)" in Page(html.document(run, [])).text


def test_the_page_stays_small_with_a_thousand_hosts() -> None:
    hosts = [f"web{number:04d}" for number in range(1000)]
    run = record(play(*(step(number) for number in range(10)), hosts=hosts))
    outcomes = [outcome(number, host, stdout="the same " * 100) for number in range(10) for host in hosts]
    assert len(html.document(run, outcomes)) < 30_000
