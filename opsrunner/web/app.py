"""The runs as web pages: a list, a page per run that follows it live. Reads the ledger, changes nothing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from opsrunner.errors import BrokerUnavailable, OpsrunnerError, RunNotFound
from opsrunner.ledger.following import Ledger
from opsrunner.ledger.store import AWAY
from opsrunner.web.pages import HERE, Pages

#: What a page may load: its own style and script. A host's output that came through unescaped could still do nothing.
POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
}


def create_app(open_ledger: Callable[[], Ledger]) -> Starlette:
    """The ASGI application; ``open_ledger`` gives a ledger with a connection of its own. Raises BrokerUnavailable."""
    pages = Pages(open_ledger)
    routes = [
        Route("/", pages.runs),
        Route("/runs/{run}", pages.run),
        Route("/runs/{run}/events", pages.events),
        Route("/runs/{run}/report", pages.report),
        Route("/runs/{run}/hosts/{host:path}", pages.host),
        Route("/runs/{run}/steps/{step:int}/hosts/{host:path}", pages.outcome),
        Mount("/static", StaticFiles(directory=Path(HERE) / "static")),
    ]
    handlers: dict[Any, Callable[[Request, Exception], Awaitable[Response]]] = {
        RunNotFound: _told(404),
        BrokerUnavailable: _told(503),
        **dict.fromkeys(AWAY, _told(503)),
    }
    return Starlette(routes=routes, exception_handlers=handlers, middleware=[Middleware(_Headers)])


def _told(code: int) -> Callable[[Request, Exception], Awaitable[Response]]:
    async def tell(request: Request, error: Exception) -> Response:
        lines = error.lines() if isinstance(error, OpsrunnerError) else ["Redis is away; the runs go on without it"]
        text = "\n".join(lines).encode("utf-8", "backslashreplace")
        return Response(text, status_code=code, media_type="text/plain")

    return tell


class _Headers:
    """Adds the headers that keep a browser from doing more than showing; a page's own policy stays."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = {name.lower() for name, _ in message["headers"]}
                extra = [(name.lower().encode(), value.encode()) for name, value in HEADERS.items()]
                message["headers"] = [*message["headers"], *(pair for pair in extra if pair[0] not in given)]
            await send(message)

        await self.app(scope, receive, guarded if scope["type"] == "http" else send)
