"""Hosts that leave a run before anything was sent: cancelled, over the error budget, held by another run."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from opsrunner.engine.context import RunContext, is_cancelled
from opsrunner.engine.locks import holder_text, locks
from opsrunner.engine.node import Node
from opsrunner.engine.verdict import Front
from opsrunner.ledger.records import Outcome, Status
from opsrunner.plan.model import Play

#: ``--locked`` → status and words for a host that the run does not get.
ENDINGS: dict[str, tuple[Status, str]] = {
    "skip": ("skipped", "left out"),
    "fail": ("failed", "not done"),
    "wait": ("failed", "waited in vain"),
}


class Withdrawal:
    """Withdraws hosts of one batch's front."""

    def __init__(self, node: Node, context: RunContext, play: Play, batch: int) -> None:
        self._node = node
        self._context = context
        self._play = play
        self.front = Front(node.redis, context.run_id, play.batches[batch])

    def everybody(self, why: str) -> bool:
        """Whether nobody is left: what runs already cannot be withdrawn."""
        left = [host for host in self.front.hosts if not self._end(host, "cancelled", why)]
        return not left

    def cancelled(self, wanted: Collection[str]) -> None:
        """The hosts whose next step an operator cancelled."""
        for host in self.front.hosts:
            if is_cancelled(wanted, host, self._play.steps[self.front.index_of[host]].number):
                self._end(host, "cancelled", "cancelled before it was sent")

    def locked(self, hosts: Sequence[str], mode: str) -> None:
        """Hosts that another run holds, as ``--locked`` says: skipped, failed, or failed after a long wait."""
        status, what = ENDINGS[mode]
        holders = {lock.host: holder_text(self._node.reader, lock.holder) for lock in locks(self._node.reader, hosts)}
        for host in hosts:
            if host in self.front.index_of:
                self._end(host, status, f"{what}: held by {holders.get(host, 'another run')}")

    def _end(self, host: str, status: Status, why: str) -> bool:
        index = self.front.index_of[host]
        now = self._node.now()
        result = {"msg": why, "changed": False, "failed": status == "failed", "skipped": status == "skipped"}
        number = self._play.steps[index].number
        outcome = Outcome(number, host, status, result, None, now, now, self._node.name)
        return self._node.store.withdraw(self._context.run_id, index, outcome, status)
