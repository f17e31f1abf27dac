"""Messages in a broker's lists that nobody can read: kombu would end the worker over one, here it is dropped."""

from __future__ import annotations

import logging
from queue import Empty
from typing import Any

from kombu.transport import TRANSPORT_ALIASES, redis

log = logging.getLogger("opsrunner.worker")


class _Discerning:
    """Reads one message at a time; what it cannot make sense of is logged in one line and gone."""

    def _brpop_read(self, **options: Any) -> Any:
        try:
            return super()._brpop_read(**options)  # type: ignore[misc]
        except (ValueError, TypeError, KeyError) as error:
            log.error("dropped a message that is no task: %r", error)
            raise Empty from None


class Channel(_Discerning, redis.Channel):
    """To one Redis."""


class SentinelChannel(_Discerning, redis.SentinelChannel):
    """To the Redis that sentinels name."""


class Transport(redis.Transport):
    """kombu's own, with such channels."""

    Channel = Channel


class SentinelTransport(redis.SentinelTransport):
    """The same through sentinels."""

    Channel = SentinelChannel


def install() -> None:
    """Have every connection of this process to a Redis broker use it."""
    for scheme in ("redis", "rediss", "redis+socket"):
        TRANSPORT_ALIASES[scheme] = f"{__name__}:Transport"
    TRANSPORT_ALIASES["sentinel"] = f"{__name__}:SentinelTransport"
