"""What steps ask, put to the operator who follows the run."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import Any

import click

from opsrunner.cli import context
from opsrunner.ledger.following import Ledger
from opsrunner.ledger.records import Event
from opsrunner.output.follow import Renderer
from opsrunner.output.harmless import harmless


def answering(
    ledger: Ledger, run_id: str, events: Iterable[Event | None], renderer: Renderer
) -> Iterator[Event | None]:
    """The events, and between them the operator is asked what steps want to know."""
    for event in events:
        yield event
        if event is None or event.kind != "question" or ledger.is_answered(run_id, event.data["question"]):
            continue
        if sys.stdin.isatty():
            asked = event.data
            store = context.open_store(ledger)
            store.give_answer(run_id, asked["question"], renderer.aside(partial(_typed, asked)))
        else:
            text = f"a step waits for an answer: {harmless(event.data['text'])}"
            click.echo(f"{text}\n  try: opsrunner watch {run_id} at a terminal, or opsrunner cancel {run_id}", err=True)


def _typed(asked: Mapping[str, Any]) -> str:
    """What the operator types. Raises KeyboardInterrupt for ^C and for the end of the input."""
    try:
        # On a terminal the line editor has to know the prompt: it draws the line anew with what is typed.
        aside = not sys.stdout.isatty()
        text, hidden = harmless(asked["text"]), not asked["echo"]
        return str(click.prompt(text, "", hide_input=hidden, show_default=False, prompt_suffix=" ", err=aside))
    except click.Abort:
        raise KeyboardInterrupt from None
