"""What each address answers. Redis is read in threads, so that one slow answer holds nobody up."""

from __future__ import annotations

import asyncio
import datetime
import json
import re
from collections.abc import AsyncIterator, Callable
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any, TypeVar

import jinja2
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from opsrunner.ledger.following import Ledger
from opsrunner.ledger.records import ENDED, Event
from opsrunner.ledger.store import AWAY
from opsrunner.output import html, wording
from opsrunner.output.describe import BAD, diff_text, failure_text, output_text, shown_status
from opsrunner.output.harmless import harmless_line

HERE = Path(__file__).parent
#: Runs on the first page.
LISTED = 100
#: Seconds between two looks for news of a run that somebody watches.
LOOK = 0.5
#: Seconds between two comments that keep an idle event stream open through proxies.
KEEP_ALIVE = 15.0
#: A place in an event stream, as Redis writes them.
_PLACE = re.compile(r"[0-9]{1,19}(-[0-9]{1,19}(\.[0-9]{1,9})?)?\Z")
#: The report brings its style along, inside the page.
REPORT_POLICY = "default-src 'none'; style-src 'unsafe-inline'"

Value = TypeVar("Value")


class Pages:
    """The answers; made once per process."""

    def __init__(self, open_ledger: Callable[[], Ledger]) -> None:
        self._open_ledger = open_ledger
        self._ledger = open_ledger()
        self._environment = jinja2.Environment(
            loader=jinja2.FileSystemLoader(HERE / "templates"),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.filters["line"] = harmless_line
        self._environment.filters["moment"] = _moment
        self._environment.filters["stat"] = lambda name: "failed" if name == "failures" else name

    # ------------------------------------------------------------------ pages
    async def runs(self, request: Request) -> Response:
        """The newest runs."""
        found = await self._read(lambda ledger: ledger.runs(LISTED))
        return self._page("runs.html", runs=found)

    async def run(self, request: Request) -> Response:
        """One run: its steps with their outcomes folded, its recap."""
        values = await self._read(lambda ledger: _run_values(ledger, request.path_params["run"]))
        return self._page("run.html", **values)

    async def host(self, request: Request) -> Response:
        """All that one host did and printed in a run."""
        run, host = (request.path_params[name] for name in ("run", "host"))
        values = await self._read(lambda ledger: _host_values(ledger, run, host))
        return self._page("host.html", **values) if values else _text(f"no host {host!r} in run {run}", 404)

    async def report(self, request: Request) -> Response:
        """The whole run as one page to keep, as `opsrunner report --html` writes it."""

        def render(ledger: Ledger) -> str:
            record = ledger.find(request.path_params["run"])
            return html.document(record, ledger.outcomes(record.id))

        response = _html(await self._read(render))
        response.headers["Content-Security-Policy"] = REPORT_POLICY
        return response

    async def outcome(self, request: Request) -> Response:
        """One host × step as JSON: {host, step, status, mark, worker, started, ended, result}."""
        run, step, host = (request.path_params[name] for name in ("run", "step", "host"))
        found = await self._read(lambda ledger: list(ledger.outcomes(ledger.find(run).id, step=step, host=host)))
        if not found:
            return _text(f"no outcome of host {host!r} at step {step} in run {run}", 404)
        shown = {name: getattr(found[0], name) for name in ("host", "step", "status", "mark", "worker")}
        times = {"started": found[0].started, "ended": found[0].ended}
        # ASCII, with escapes: what hosts print may hold halves of characters that UTF-8 cannot write.
        text = json.dumps({**shown, **times, "result": dict(found[0].result)}, default=str)
        return Response(text, media_type="application/json")

    # ------------------------------------------------------------------ events
    async def events(self, request: Request) -> Response:
        """The run's events from ``?after=`` on as server-sent events, until it has finished."""
        record = await self._read(lambda ledger: ledger.find(request.path_params["run"]))
        after = request.headers.get("last-event-id") or request.query_params.get("after") or "0"
        if not _PLACE.match(after):
            return _text(f"{after!r} is no place in a stream of events", 400)
        if record.status in ENDED and not await self._read(
            lambda ledger: ledger.events(record.id, after=after, limit=1)
        ):
            return Response(status_code=204)  # a browser takes it for the end and does not come again
        return StreamingResponse(
            self._stream(request, record.id, after),
            media_type="text/event-stream",
            headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
        )

    async def _stream(self, request: Request, run_id: str, after: str) -> AsyncIterator[str]:
        """Looks for news now and then rather than waiting in Redis: a waiting viewer would hold a thread each."""
        quiet = 0.0
        while not await request.is_disconnected():
            # Before the events are read: a run that had ended then has no news after them.
            record = await self._read(lambda ledger: ledger.run(run_id)) if quiet >= KEEP_ALIVE else None
            try:
                found = await self._read(partial(Ledger.events, run_id=run_id, after=after))
            except AWAY:
                return  # the browser comes again, with the place it has reached
            for event in found:
                after = event.id
                yield _sent(event)
                if event.kind == "run_finished":
                    return
            quiet = 0.0 if found else quiet + LOOK
            if record and not found:
                if record.status in ENDED:
                    return
                quiet = 0.0
                yield ": still here\n\n"
            await asyncio.sleep(LOOK)

    # ------------------------------------------------------------------ means
    async def _read(self, function: Callable[[Ledger], Value]) -> Value:
        try:
            return await asyncio.to_thread(function, self._ledger)
        except AWAY:
            # The embedded server ends when nobody uses it; opening the ledger starts it again.
            self._ledger = await asyncio.to_thread(self._open_ledger)
            return await asyncio.to_thread(function, self._ledger)

    def _page(self, name: str, **values: Any) -> Response:
        return _html(self._environment.get_template(name).render(**values))


def _run_values(ledger: Ledger, name: str) -> dict[str, Any]:
    record = ledger.find(name)
    newest = ledger.newest_event(record.id)  # first: what comes while the page is made is sent again
    steps: dict[int, dict[str, Any]] = {}
    for number, group in groupby(ledger.outcomes(record.id, bare=True), key=lambda one: one.step):
        outcomes = list(group)
        # Results may be megabytes a host; only where something went wrong are they told here.
        bad = any(one.status in BAD for one in outcomes)
        failures = wording.failures(ledger.outcomes(record.id, step=number)) if bad else []
        told = {status for status, _, _ in failures}
        summary = [
            (status.partition(" ")[0], status, hosts)
            for status, hosts in wording.summary(outcomes)
            if status not in told
        ]
        steps[number] = {"summary": summary, "failures": failures}
    stats = ledger.stats(record)
    ending = wording.ending(record, stats)[0]
    return {"run": record, "stats": stats, "steps": steps, "newest": newest, "ending": ending}


def _host_values(ledger: Ledger, name: str, host: str) -> dict[str, Any] | None:
    record = ledger.find(name)
    if not any(host in play.hosts for play in record.plays):
        return None
    steps = {step.number: step for play in record.plays for step in play.steps}
    told = [
        {
            "step": steps[one.step],
            "status": shown_status(one),
            "seconds": wording.duration(one.ended - one.started),
            "text": failure_text(one, lines=html.FAILURE_LINES) if one.status in BAD else output_text(one),
            "difference": diff_text(one.result),
        }
        for one in ledger.outcomes(record.id, host=host)
    ]
    return {"run": record, "host": host, "told": told}


def _sent(event: Event) -> str:
    return f"id: {event.id}\nevent: {event.kind}\ndata: {json.dumps(event.data)}\n\n"


def _moment(seconds: float) -> str:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _html(text: str) -> Response:
    return Response(text.encode("utf-8", "backslashreplace"), media_type="text/html")


def _text(text: str, code: int) -> Response:
    return Response(text.encode("utf-8", "backslashreplace"), status_code=code, media_type="text/plain")
