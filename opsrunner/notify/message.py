"""Facts as a message for people: subject, text, HTML, and the variables of templates. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
from msgspec import Struct

from opsrunner.ledger.records import STATS
from opsrunner.notify.facts import Facts
from opsrunner.output.harmless import shortened
from opsrunner.output.wording import duration

#: How each event is told in a word or two.
WORDS = {
    "start": "started",
    "still_running": "still running",
    "success": "succeeded",
    "recovery": "recovered",
    "failure": "failed",
    "cancelled": "cancelled",
    "held": "held",
    "missed": "not started",
    "test": "test message",
}
#: Events that are no bad news.
GOOD = ("start", "success", "recovery", "test")
#: Characters of a subject; more is cut by those who show it.
SUBJECT = 160


class Message(Struct, frozen=True):
    subject: str
    text: str
    html: str
    #: What templates may name.
    variables: dict[str, Any]


def compose(facts: Facts, notifier: str) -> Message:
    """The message of an event, for the notifier of that name."""
    summary = shortened_line(_summary(facts))
    subject = f"[opsrunner] {summary}"
    text = "\n".join(_lines(facts, summary, notifier)) + "\n"
    good = facts["event"] in GOOD
    variables = {**facts, "summary": summary, "subject": subject, "text": text, "good": good, "notifier": notifier}
    html = (
        _environment()
        .get_template("message.html")
        .render(
            **variables,
            columns=[name for name in STATS if any(row["counts"].get(name) for row in facts["recap"])],
            tone=_TONES.get(facts["event"], "#cf222e"),
            word=WORDS[facts["event"]],
            took=duration(facts["run"]["seconds"]),
            origin=_origin(facts),
        )
    )
    return Message(subject, text, html, variables)


def shortened_line(text: str) -> str:
    return text if len(text) <= SUBJECT else f"{text[: SUBJECT - 1]}…"


#: Colours of the headings by event; the others are red.
_TONES = {
    "start": "#0969da",
    "still_running": "#9a6700",
    "success": "#1a7f37",
    "recovery": "#1a7f37",
    "cancelled": "#8250df",
    "test": "#0969da",
}


def _name(run: Mapping[str, Any]) -> str:
    name = f"{run['schedule']} ({run['title']})" if run["schedule"] else run["title"]
    return f"{name}, check mode" if run["check"] else str(name)


def _summary(facts: Facts) -> str:
    """One line that says it all."""
    event, run = facts["event"], facts["run"]
    head = f"{WORDS[event]}: {_name(run)}"
    if event == "start":
        return f"{head} on {_hosts(run['hosts'])}"
    if event == "still_running":
        return f"still running after {duration(run['seconds'])}: {_name(run)}"
    if event == "failure" and facts["meaning"]:
        return f"{head}: {facts['meaning']}"
    if event in ("missed", "held", "cancelled") and run["reason"]:
        return f"{head}: {run['reason']}"
    if event in ("success", "recovery"):
        return f"{head}: {_hosts(run['hosts'])} in {duration(run['seconds'])}"
    return head


def _hosts(count: int) -> str:
    return f"{count} host{'s' * (count != 1)}"


def _lines(facts: Facts, summary: str, notifier: str) -> Iterator[str]:
    run = facts["run"]
    yield summary
    yield ""
    if facts["event"] == "test":
        yield "This is what a message looks like; nothing below has happened."
        yield ""
    if facts["ending"] and run["finished"]:
        yield facts["ending"]
    if run["reason"]:
        yield run["reason"]
    yield _origin(facts)
    yield from _waiting(facts)
    yield from _failures(facts)
    yield from _recap(facts)
    if facts["accounting"]:
        yield facts["accounting"]
    if facts["previous"]:
        yield f"the run before, {facts['previous']}, had failed"
    yield f"more: {facts['url'] or 'opsrunner show ' + run['id']}"
    yield ""
    yield "-- "
    yield f"opsrunner, notifier {notifier}"


def _origin(facts: Facts) -> str:
    run = facts["run"]
    words = [f"run {run['id']}", f"by {run['user']}" if run["user"] else ""]
    words += [f"begun {run['started'] or run['created']}", f"ended {run['finished']}" if run["finished"] else ""]
    return " · ".join(word for word in words if word)


def _waiting(facts: Facts) -> Iterator[str]:
    if facts["waiting_for"]:
        yield ""
        yield "Waiting for"
        for one in facts["waiting_for"]:
            yield f"  {one['step']}: {one['hosts']}"


def _failures(facts: Facts) -> Iterator[str]:
    yield ""
    for one in facts["failures"]:
        yield f"{one['hosts']} {one['status']} at step {one['number']}, {one['step']}"
        yield from (f"    {line}" for line in one["message"].split("\n") if line)
        yield ""
    if facts["more_failures"]:
        yield f"and {facts['more_failures']} more failures"
        yield ""


def _recap(facts: Facts) -> Iterator[str]:
    for row in facts["recap"]:
        counts = "  ".join(
            f"{'failed' if name == 'failures' else name}={row['counts'][name]}"
            for name in STATS
            if row["counts"].get(name)
        )
        yield f"{shortened(row['hosts'], 60)}: {counts or 'nothing'}"
    if facts["groups"] > len(facts["recap"]):
        yield f"and {facts['groups'] - len(facts['recap'])} more groups of hosts"
    if facts["recap"]:
        yield ""


@cache
def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
