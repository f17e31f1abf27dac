"""What verbs need of the surroundings: settings, the ledger, and the servers that carry it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from opsrunner import settings as settings_module
from opsrunner.settings import Settings

if TYPE_CHECKING:
    from opsrunner.ledger.following import Ledger
    from opsrunner.ledger.store import Store


def warn(warning: object) -> None:
    """Tell the operator what was taken, but may not be what was meant."""
    click.echo(f"warning: {warning}", err=True)


def settings() -> Settings:
    """Flag > environment > ``celeryconfig.py`` > default; read once per command, also by one process that runs many."""
    typed = click.get_current_context(silent=True)
    if typed is None:
        return settings_module.load(os.environ, Path.cwd())
    kept = typed.find_root().ensure_object(_Kept)
    if kept.settings is None:
        kept.settings = settings_module.load(os.environ, Path.cwd())
    return kept.settings


class _Kept:
    """What one command keeps from its first use on."""

    settings: Settings | None = None


def open_ledger(*, worker: bool = False) -> Ledger:
    """The ledger to read; see :func:`opsrunner.engine.access.open_ledger`. Raises BrokerUnavailable."""
    from opsrunner.engine import access

    return access.open_ledger(settings(), worker=worker)


def open_store(ledger: Ledger) -> Store:
    """The writing side, on the same connection. Raises InputError when there is no key to seal with."""
    from opsrunner.engine import access

    return access.open_store(ledger, settings())


def selections(*patterns: str | None) -> dict[str, tuple[str, ...]]:
    """The hosts of each ``@failed-of-RUN`` in the patterns; see :func:`opsrunner.engine.selections.selections`."""
    if not any("@" in pattern for pattern in patterns if pattern):
        return {}
    from opsrunner.engine import selections

    return selections.selections(patterns, open_ledger)


def operator() -> str:
    """Who types; see :func:`opsrunner.engine.access.operator`."""
    from opsrunner.engine import access

    return access.operator()
