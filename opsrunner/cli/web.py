"""``opsrunner web``."""

from __future__ import annotations

import socket
from contextlib import suppress

import click

from opsrunner.cli import context
from opsrunner.errors import UsageError

#: Seconds that open event streams are given when the server is asked to end.
END_WITHIN = 1


@click.command("web", epilog="Examples: opsrunner web · opsrunner web --port 8080")
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    metavar="ADDRESS",
    help="Address to listen on; it asks for no password.",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8040,
    show_default=True,
    metavar="PORT",
    help="Port to listen on; 0 takes a free one.",
)
def command(host: str, port: int) -> int:
    """Serve the runs as web pages, read only, until ^C or SIGTERM.

    To open it to others put a proxy with a login before it.
    """
    try:
        import uvicorn

        from opsrunner.web.app import create_app
    except ImportError as error:
        raise UsageError(f"{error.name} is not installed", remedy="pip install 'opsrunner[web]'") from None
    application = create_app(context.open_ledger)
    with _listen(host, port) as listening:
        shown = f"[{host}]" if ":" in host else host
        click.echo(f"http://{shown}:{listening.getsockname()[1]}/", err=True)
        config = uvicorn.Config(application, log_level="warning", timeout_graceful_shutdown=END_WITHIN)
        with suppress(KeyboardInterrupt):  # ^C ends it as well as SIGTERM; uvicorn has closed everything by then
            uvicorn.Server(config).run(sockets=[listening])
    return 0


def _listen(host: str, port: int) -> socket.socket:
    """A socket of our own: what is in its way is told like any other mistake, and port 0 is known."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][0]
        return socket.create_server((host, port), family=family, backlog=128)
    except OSError as error:
        raise UsageError(
            f"cannot listen on {host} port {port}", why=error.strerror, remedy="choose another with --host and --port"
        ) from None
