"""Questions that Redis holds until there is an answer, and how whoever asked ends one before its time.

By a list of its own, which is asked beside the others: what else ends it (CLIENT UNBLOCK) only an administrator may do.
"""

from __future__ import annotations

from opsrunner.ledger.store import Client

#: Seconds that Redis holds a question.
HELD = 5
#: Seconds for which the list is kept that ends one, should it have been answered meanwhile.
KEPT = 60


def end_question(client: Client, over: str) -> None:
    """Answer whoever asks for the list ``over`` among others. Raises redis' own errors when the server is away."""
    with client.pipeline() as pipeline:
        pipeline.lpush(over, "{}")  # kombu reads it as the message that it is
        pipeline.expire(over, KEPT)
        pipeline.execute()
