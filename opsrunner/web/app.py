"""The runs as web pages: a list, a page per run that follows it live. Reads the ledger, changes nothing."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import jinja2
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from opsrunner.errors import RunNotFound
from opsrunner.ledger.reader import Ledger
from opsrunner.ledger.records import Event, RunRecord
from opsrunner.output.fold import fold_names

HERE = Path(__file__).parent
#: Runs on the first page.
LISTED = 100
#: Seconds between two comments that keep an idle event stream open through proxies.
KEEP_ALIVE = 15.0


def create_app(open_ledger: Callable[[], Ledger]) -> Starlette:
    """The ASGI application; ``open_ledger`` gives a ledger with a connection of its own."""
    environment = jinja2.Environment(loader=jinja2.FileSystemLoader(HERE / "templates"), autoescape=True)
    pages = _Pages(open_ledger, environment)
    routes = [
        Route("/", pages.runs),
        Route("/runs/{run}", pages.run),
        Route("/runs/{run}/events", pages.events),
        Route("/runs/{run}/steps/{step:int}/hosts/{host}", pages.outcome),
        Mount("/static", StaticFiles(directory=HERE / "static")),
    ]
    return Starlette(routes=routes, exception_handlers={RunNotFound: _not_found})


async def _not_found(request: Request, error: Exception) -> Response:
    return Response("\n".join(error.lines() if isinstance(error, RunNotFound) else ["not found"]), status_code=404)


class _Pages:
    def __init__(self, open_ledger: Callable[[], Ledger], environment: jinja2.Environment) -> None:
        self._open_ledger = open_ledger
        self._ledger = open_ledger()
        self._environment = environment

    def page(self, name: str, **values: Any) -> HTMLResponse:
        return HTMLResponse(self._environment.get_template(name).render(fold=fold_names, **values))

    async def runs(self, request: Request) -> Response:
        found = await asyncio.to_thread(self._ledger.runs, LISTED)
        return self.page("runs.html", runs=found)

    async def run(self, request: Request) -> Response:
        record, stats, steps = await asyncio.to_thread(self._gather, request.path_params["run"])
        return self.page("run.html", run=record, stats=stats, steps=steps)

    def _gather(self, name: str) -> tuple[RunRecord, dict[str, dict[str, int]], dict[int, dict[str, list[str]]]]:
        record = self._ledger.find(name)
        steps: dict[int, dict[str, list[str]]] = {}
        for outcome in self._ledger.outcomes(record.id):
            shown = f"{outcome.status} ({outcome.mark})" if outcome.mark else outcome.status
            steps.setdefault(outcome.step, {}).setdefault(shown, []).append(outcome.host)
        return record, self._ledger.stats(record), steps

    async def outcome(self, request: Request) -> Response:
        run, step, host = (request.path_params[name] for name in ("run", "step", "host"))
        record = await asyncio.to_thread(self._ledger.find, run)
        found = await asyncio.to_thread(lambda: list(self._ledger.outcomes(record.id, step=step, host=host)))
        if not found:
            return Response("no outcome", status_code=404)
        return JSONResponse({"host": host, "step": step, "status": found[0].status, "result": found[0].result})

    async def events(self, request: Request) -> Response:
        record = await asyncio.to_thread(self._ledger.find, request.path_params["run"])
        after = request.headers.get("last-event-id") or request.query_params.get("after", "0")
        return StreamingResponse(self._stream(request, record.id, after), media_type="text/event-stream")

    async def _stream(self, request: Request, run_id: str, after: str) -> AsyncIterator[str]:
        source = self._open_ledger().follow(run_id, after=after, complete=False, idle=1.0)
        quiet = 0.0
        while not await request.is_disconnected():
            event = await asyncio.to_thread(next, source, False)
            if event is False:
                return
            if isinstance(event, Event):
                quiet = 0.0
                yield f"id: {event.id}\nevent: {event.kind}\ndata: {json.dumps(event.data)}\n\n"
            else:
                quiet += 1.0
                if quiet >= KEEP_ALIVE:
                    quiet = 0.0
                    yield ": still here\n\n"
