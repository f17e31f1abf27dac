"""Which broker, result backend and ledger go together, and why others do not. Pure: nothing is connected to."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode

from opsrunner.errors import InputError

#: Celery's URLs of one Redis.
REDIS = ("redis", "rediss", "redis+socket", "unix", "sentinel")
AMQP = ("amqp", "amqps", "pyamqp")
_CLUSTER = "Celery knows no Redis Cluster, and a transition of the ledger needs all keys of a run in one place"
_DATABASE = "a database is polled, and has no broadcast, so that `inspect` and `revoke` reach nobody"
#: Scheme → why it will not do as a broker. Of all others it is only known that nobody has tried.
UNFIT = {
    "memory": "it lives in one process, and the workers are others",
    "filesystem": "its folder is on one machine and it has no broadcast, so that `inspect` and `revoke` reach nobody",
    "sqs": "it has no broadcast, so that `inspect` and `revoke` reach nobody, and bills each look at a queue",
    "rediscluster": _CLUSTER,
    "redis+cluster": _CLUSTER,
    "sqla": _DATABASE,
    "sqlalchemy": _DATABASE,
    "mongodb": _DATABASE,
    "kafka": "it has no queue that goes away with its worker, and no broadcast",
}
FIT = "redis://, rediss://, redis+socket://, sentinel:// or amqp:// (RabbitMQ)"
#: Celery's words for carrying tasks out where they are sent from.
EAGER = ("task_always_eager", "CELERY_TASK_ALWAYS_EAGER", "CELERY_ALWAYS_EAGER")


def scheme(url: str) -> str:
    """The first word of a URL, in small letters."""
    return url.partition(":")[0].lower()


def is_amqp(url: str) -> bool:
    return scheme(url) in AMQP


def is_socket(url: str) -> bool:
    """Whether it is a unix socket."""
    return scheme(url) in ("redis+socket", "unix")


def is_redis(url: str) -> bool:
    """Whether it is one Redis, or one that sentinels know; several in one URL are none."""
    parts = url.split(";")
    return scheme(url) in REDIS and (len(parts) == 1 or all(scheme(part) == "sentinel" for part in parts))


def check(broker: str | None, backend: str | None, configured: Mapping[str, Any]) -> None:
    """Raise InputError for what could not keep the promises; ``configured`` are the names of celeryconfig.py."""
    eager = next((name for name in EAGER if configured.get(name)), None)
    if eager:
        raise InputError(
            f"{eager} is set",
            why="tasks would be carried out by whoever sends them: no worker, no lease, and no claim before a command",
            remedy="take it away; in tests start a worker, or use `opsrunner up`",
        )
    if broker is not None:
        _check_broker(broker)
    if backend is not None and not is_redis(backend):
        raise InputError(
            f"results cannot be kept in {scheme(backend)}:…",
            why="the members of a chord are counted in Redis",
            remedy="set CELERY_RESULT_BACKEND to redis://…, or leave it unset where the broker is a Redis",
        )


def _check_broker(broker: str) -> None:
    first = scheme(broker)
    if first == "unix":
        raise InputError("Celery knows no broker unix:…", remedy="redis+socket:///path/of/the/socket")
    if first in REDIS and not is_redis(broker):
        raise InputError(
            "several Redis servers as one broker",
            why="each would hold other messages",
            remedy="let sentinels choose: sentinel://one:26379;sentinel://two:26379",
        )
    if is_amqp(broker) and re.search(r"[?&]ssl_", broker):
        raise InputError(
            "ssl_… in the URL of RabbitMQ",
            why="Celery's client of RabbitMQ knows no such words there, and the worker would end",
            remedy="in celeryconfig.py: broker_use_ssl = {'ca_certs': '/etc/ca.pem'}",
        )
    if first not in REDIS + AMQP:
        why = UNFIT.get(first) or UNFIT.get(first.partition("+")[0])
        why = why or "nobody has tried whether what is promised holds there"
        raise InputError(f"{first}:… cannot be the broker", why=why, remedy=FIT)


def ledger_url(chosen: str | None, broker: str | None, backend: str | None, sentinels: Mapping[str, str]) -> str | None:
    """The ledger's Redis; None for the embedded server. Raises InputError when none can be told.

    ``sentinels`` is what they are to be told (``master_name``, ``sentinel_user``, ``sentinel_password``, empty where
    there is none); it travels in the URL.
    """
    if broker is None:
        if chosen:
            raise InputError(
                "OPSRUNNER_LEDGER_URL (ledger_url) without a broker",
                why="the embedded server holds broker and ledger in one",
                remedy="set CELERY_BROKER_URL too, or take ledger_url away",
            )
        return None
    if chosen and not is_redis(chosen):
        raise InputError(f"ledger_url is no Redis URL: {scheme(chosen)}:…", remedy="redis://host:6379/0")
    for url in (chosen, backend, broker):
        if url and is_redis(url):
            given = {name: text for name, text in sentinels.items() if text}
            return f"{url}?{urlencode(given, quote_via=quote)}" if scheme(url) == "sentinel" else url
    raise InputError(
        "no Redis for the ledger",
        why="neither the result backend nor the broker is one Redis",
        remedy="set CELERY_RESULT_BACKEND or OPSRUNNER_LEDGER_URL to redis://…",
    )


def hide_password(url: str) -> str:
    """The URL as it may be shown: no user and no password, in any of several, and none of sentinels."""
    return re.sub(r"://[^;]*@", "://***@", re.sub(r"(?<=sentinel_password=)[^&]*", "***", url))
