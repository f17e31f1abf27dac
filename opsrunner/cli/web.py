"""``opsrunner web``."""

from __future__ import annotations

import click

from opsrunner.cli import context
from opsrunner.errors import UsageError


@click.command("web", epilog="Example: opsrunner web --port 8080")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on; it asks for no password.")
@click.option("--port", type=click.IntRange(0, 65535), default=8040, show_default=True, help="Port to listen on.")
def command(host: str, port: int) -> int:
    """Serve the runs as web pages, read only. Put a proxy with a login before it to open it to others."""
    try:
        import uvicorn

        from opsrunner.web.app import create_app
    except ImportError as error:
        raise UsageError(f"{error.name} is not installed", remedy="pip install 'opsrunner[web]'") from None
    application = create_app(context.open_ledger)
    click.echo(f"http://{host}:{port}/", err=True)
    uvicorn.run(application, host=host, port=port, log_level="warning")
    return 0
