"""What steps added to the inventory of a run, as the ledger keeps it: for workers, and whoever asks for its hosts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from opsrunner.inventory import Inventory
from opsrunner.inventory.additions import Added, Addition, from_data, grown, to_data
from opsrunner.ledger.store import Store
from opsrunner.plan.model import Plan


def encode_additions(step: int, additions: Sequence[Addition]) -> dict[str, Any]:
    """What one host × step added, as one record."""
    return {"step": step, "added": to_data(additions)}


def decode_additions(records: Iterable[Mapping[str, Any]]) -> list[Added]:
    """The additions of all records, in their order."""
    return [Added(record["step"], one) for record in records for one in from_data(record["added"])]


def inventory_of(store: Store, run_id: str, plan: Plan) -> Inventory:
    """The inventory of a run as it is now. Raises SealError for what was sealed with another key."""
    return grown(Inventory.from_data(plan.inventory), decode_additions(store.additions(run_id)))
