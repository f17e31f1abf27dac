"""Readers of ledger records and nothing else: what a run looks like."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TextIO

from opsrunner.ledger.following import Ledger
from opsrunner.ledger.records import Outcome
from opsrunner.output.custom_stats import teller
from opsrunner.output.follow import Renderer


def make_renderer(
    output: str | None,
    ledger: Ledger,
    *,
    verbosity: int = 0,
    fold: bool = True,
    stream: TextIO,
    earlier: Iterable[Outcome] = (),
) -> Renderer:
    """The renderer for ``--output``; without it live on a terminal that can move its cursor, plain elsewhere.

    ``earlier`` are outcomes from before the first event it will be given.
    """
    able = stream.isatty() and os.environ.get("TERM", "") not in ("dumb", "unknown")
    chosen = output or ("live" if able else "plain")
    if chosen == "json":
        from opsrunner.output.document import Document

        return Document(stream, ledger.outcomes)
    custom = teller(ledger)
    if chosen == "jsonl":
        from opsrunner.output.jsonl import JsonLines

        return JsonLines(stream, custom)
    if chosen == "live":
        from opsrunner.output.terminal import Terminal

        return Terminal(stream, verbosity=verbosity, fold=fold, wall=ledger.clock(), earlier=earlier, custom=custom)
    from opsrunner.output.plain import Plain

    return Plain(stream, verbosity=verbosity, fold=fold, wall=ledger.clock(), earlier=earlier, custom=custom)
