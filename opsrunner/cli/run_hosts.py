"""Hosts of a run as people name them: ``web1``, ``web1,db1``, ``web[01-20,25]``."""

from __future__ import annotations

from collections.abc import Iterable

from opsrunner.errors import InputError, did_you_mean, raise_all
from opsrunner.ledger.records import RunRecord
from opsrunner.nodeset import expand_names
from opsrunner.output.wording import folded

#: Unknown hosts that are told.
_TOLD = 5


def run_hosts(run: RunRecord, texts: Iterable[str]) -> list[str]:
    """The hosts that the texts name, each once. Raises InputError for those that the run does not target."""
    known = {host for play in run.plays for host in play.hosts}
    # A name may hold brackets of its own.
    wanted = {host: None for text in texts for host in ([text] if text in known else expand_names(text))}
    raise_all([_unknown(run, host, known) for host in list(wanted) if host not in known][:_TOLD])
    return list(wanted)


def _unknown(run: RunRecord, host: str, known: set[str]) -> InputError:
    remedy = did_you_mean(host, known, f"its hosts are {folded(known)}")
    return InputError(f"no host {host!r} in run {run.id}", remedy=remedy)
