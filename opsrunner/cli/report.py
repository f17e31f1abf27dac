"""``opsrunner report RUN``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click

from opsrunner.cli import context
from opsrunner.errors import InputError, UsageError
from opsrunner.ledger.records import ENDED


@click.command(
    "report",
    epilog="Examples: opsrunner report last --html run.html · opsrunner report last --junit - | less · "
    "opsrunner report 261121-0412 --junit run.xml --json run.json",
)
@click.argument("run")
@click.option("--html", metavar="FILE", help="A page that needs nothing else; - writes to stdout.")
@click.option("--junit", metavar="FILE", help="JUnit XML: a suite per play, a case per host and step.")
@click.option("--json", "json_", metavar="FILE", help="What `run --output json` prints.")
def command(run: str, html: str | None, junit: str | None, json_: str | None) -> None:
    """Write a run as HTML, JUnit XML or JSON; several at once, each into its file."""
    from opsrunner.output import html as html_report
    from opsrunner.output import junit as junit_report
    from opsrunner.output.document import written

    if not (html or junit or json_):
        raise UsageError("nothing to write", remedy="opsrunner report RUN --html FILE, --junit FILE or --json FILE")
    ledger = context.open_ledger()
    record = ledger.find(run)
    if record.status not in ENDED:
        click.echo(f"warning: {record.id} is {record.status}: this is how far it is", err=True)
    writers: tuple[tuple[str | None, Callable[[], str]], ...] = (
        (html, lambda: html_report.document(record, ledger.outcomes(record.id), zone=None)),
        (junit, lambda: junit_report.document(record, ledger.outcomes(record.id))),
        (json_, lambda: "".join(written(record, ledger.outcomes(record.id), ledger.stats(record)))),
    )
    for name, text in writers:
        if name:
            _write(name, text())


def _write(name: str, text: str) -> None:
    """Write the file or stdout. Raises InputError when the file cannot be written."""
    if name == "-":
        click.echo(text, nl=False)
        return
    try:
        # A lone surrogate, from a host that prints no UTF-8, must not spoil the report.
        Path(name).write_text(text, encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise InputError(
            f"cannot write {name}", why=error.strerror, remedy="name a file in a folder of yours"
        ) from None
    click.echo(name)
