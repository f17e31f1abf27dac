"""How a worker reads the lists of a Redis broker, in three points unlike kombu.

A message that nobody can read is dropped; kombu would end the worker over it. Of two messages the one with the higher
priority comes first, as with RabbitMQ. And a worker that rests is left alone: Redis holds its question for messages,
where kombu asks anew each second, and has to wait for the answer when it closes.
"""

from __future__ import annotations

import logging
import uuid
from contextlib import suppress
from queue import Empty
from typing import Any

from kombu.transport import TRANSPORT_ALIASES, redis
from redis.exceptions import RedisError

from opsrunner.engine.held import HELD, end_question
from opsrunner.ledger import keys

#: Seconds between two looks which queues that expire are to be kept: as often as kombu does anything about it.
SWEEP = 60
#: Seconds until a worker whose threads are all at work looks again whether one of them is free: nobody tells it.
LOOK_WHILE_FULL = 1

log = logging.getLogger("opsrunner.worker")


class _Discerning:
    """Reads one message at a time, of the highest priority; what makes no sense is logged in one line and gone.

    Each step of priorities is a list of its own, of the same name whoever sends; kombu looks into that of 0 first.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.priority_steps: list[int] = sorted(self.priority_steps, reverse=True)

    def priority(self, number: int) -> int:
        """The step that a message of this priority belongs to; kombu expects them to go upwards."""
        return max((step for step in self.priority_steps if step <= number), default=min(self.priority_steps))

    def _brpop_read(self, **options: Any) -> Any:
        try:
            return super()._brpop_read(**options)  # type: ignore[misc]
        except (ValueError, TypeError, KeyError) as error:
            log.error("dropped a message that is no task: %r", error)
            raise Empty from None


class _Patient:
    """Ends the question that Redis holds when its queues are others from now on, and when the channel closes."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self._over = keys.over(uuid.uuid4().hex)
        super().__init__(*arguments, **options)
        self.connection._callbacks[self._over] = lambda message: None  # type: ignore[attr-defined]

    @property
    def active_queues(self) -> list[str]:
        queues: list[str] = super().active_queues  # type: ignore[misc]
        return [*queues, self._over] if queues else queues

    def _update_queue_cycle(self) -> None:
        super()._update_queue_cycle()  # type: ignore[misc]
        self._end_question()

    def close(self) -> None:
        self._end_question()
        transport = self.connection  # type: ignore[attr-defined]
        super().close()  # type: ignore[misc]
        if transport is not None:
            transport._callbacks.pop(self._over, None)

    def _end_question(self) -> None:
        if not self._in_poll:  # type: ignore[attr-defined]
            return
        # A Redis that is full or away answers after HELD seconds, or never: whoever reads on finds out.
        with suppress(RedisError), self.conn_or_acquire() as client:  # type: ignore[attr-defined]
            end_question(client, self._over)


class Channel(_Discerning, _Patient, redis.Channel):
    """To one Redis."""


class SentinelChannel(_Discerning, _Patient, redis.SentinelChannel):
    """To the Redis that sentinels name."""


class _Resting:
    """Wakes Celery's loop for what has happened, and no longer each second."""

    #: A connection that is cut without a word is given up so much later.
    brpop_timeout = HELD

    def register_with_event_loop(self, connection: Any, loop: Any) -> None:
        super().register_with_event_loop(connection, loop)  # type: ignore[misc]
        cycle = self.cycle  # type: ignore[attr-defined]
        if sweep := getattr(cycle, "_binding_expiry_tref", None):  # since kombu 5.7
            sweep.cancel()
            cycle._binding_expiry_tref = loop.call_repeatedly(SWEEP, cycle.maybe_refresh_binding_expiry)
        looks: list[Any] = []

        def look_soon_while_full() -> None:
            if not looks and not all(channel.qos.can_consume() for channel in cycle._channels):
                looks.append(loop.call_later(LOOK_WHILE_FULL, looks.clear))

        loop.on_tick.add(look_soon_while_full)


class Transport(_Resting, redis.Transport):
    """kombu's own, with such channels."""

    Channel = Channel


class SentinelTransport(_Resting, redis.SentinelTransport):
    """The same through sentinels."""

    Channel = SentinelChannel


def install() -> None:
    """Have every connection of this process to a Redis broker use it."""
    for scheme in ("redis", "rediss", "redis+socket"):
        TRANSPORT_ALIASES[scheme] = f"{__name__}:Transport"
    TRANSPORT_ALIASES["sentinel"] = f"{__name__}:SentinelTransport"
