"""Lines with a word for their colour, written to stdout; no colour where it is no terminal or is wanted without."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from typing import Any

import click

from opsrunner.output.harmless import encodable
from opsrunner.output.step_lines import Said

_COLOURS: dict[str, dict[str, Any]] = {
    "heading": {"bold": True},
    "ok": {"fg": "green"},
    "succeeded": {"fg": "green"},
    "changed": {"fg": "yellow"},
    "skipped": {"fg": "cyan"},
    "failed": {"fg": "red", "bold": True},
    "stopped": {"fg": "red", "bold": True},
    "unreachable": {"fg": "red", "bold": True},
    "lost": {"fg": "magenta", "bold": True},
    "cancelled": {"fg": "magenta"},
    "failed (ignored)": {"fg": "red"},
    "failed (rescued)": {"fg": "red"},
    "unreachable (ignored)": {"fg": "red"},
    "waiting": {"fg": "yellow", "bold": True},
    "added": {"fg": "green"},
    "removed": {"fg": "red"},
    "live": {"dim": True},
}


def paint(lines: Iterable[Said]) -> None:
    """Write each line in the colour of its word."""
    encoding = getattr(sys.stdout, "encoding", None)
    plain = bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb"
    for line, style in lines:
        colours = _COLOURS.get(style)
        text = encodable(line, encoding)
        click.echo(click.style(text, **colours) if colours and not plain else text)
