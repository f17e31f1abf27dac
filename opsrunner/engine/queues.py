"""The queues as a broker declares them: sender and consumer must mean the same ones."""

from __future__ import annotations

from typing import Any

from celery.app import amqp

#: The queue that every worker consumes.
SHARED = "opsrunner"
#: Seconds after which RabbitMQ forgets the queue of a worker that is gone; what was in it the steward has sent again.
KEPT = 3600.0


def queue_name(worker: str) -> str:
    """The queue that only this worker consumes."""
    return f"{SHARED}.{worker}"


class Queues(amqp.Queues):  # type: ignore[misc]
    """Celery's; on RabbitMQ a worker's own queue is bound to the shared exchange and goes away after its worker.

    Redis needs neither: an empty list is not there.
    """

    def new_missing(self, name: str) -> Any:
        queue = super().new_missing(name)
        if self.create_missing_queue_type == "quorum" and name.startswith(f"{SHARED}."):
            queue.exchange = self.default_exchange
            queue.expires = KEPT
        return queue


class AMQP(amqp.AMQP):  # type: ignore[misc]
    """Celery's, with such queues."""

    queues_cls = Queues
