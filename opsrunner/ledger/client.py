"""redis-py with our habits: what a server refuses only for now is told apart from a defect of ours."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar
from urllib.parse import parse_qs, unquote, urlsplit

import redis
from redis.backoff import NoBackoff
from redis.client import Pipeline
from redis.retry import Retry
from redis.sentinel import MasterNotFoundError, Sentinel

from opsrunner.brokers import hide_password, scheme
from opsrunner.errors import BrokerUnavailable, InputError

#: redis-py says that answers may be bytes or str; ours are always bytes, so the client is left untyped.
Client = Any
Answer = TypeVar("Answer")

#: Seconds between attempts while Redis is away, at first and at most.
RETRY_FIRST, RETRY_MOST = 0.1, 2.0
#: Where sentinels listen.
SENTINEL_PORT = 26379

#: Not to tell Redis which library asks: two round trips, and redis-py parses its own package's metadata for it.
_NAMELESS = {"driver_info": None} if hasattr(redis, "DriverInfo") else {"lib_name": None, "lib_version": None}

#: Why a server that answers takes nothing for now, by the word that its error begins with.
REFUSALS = {
    "OOM": "it is full: maxmemory is reached",
    "READONLY": "it is a read-only replica",
    "MISCONF": "it cannot write its file: its disk may be full",
    "NOREPLICAS": "it has fewer replicas than min-replicas-to-write",
    "BUSY": "it is busy with somebody's script",
    "UNBLOCKED": "it has just become a replica",
    "MASTERDOWN": "it is a replica and its master is down",
    "CLUSTERDOWN": "its cluster is down",
}
#: redis-py has classes for some, and takes the word away.
_WORDS = {
    redis.exceptions.OutOfMemoryError: "OOM",
    redis.exceptions.ReadOnlyError: "READONLY",
    redis.exceptions.MasterDownError: "MASTERDOWN",
    redis.exceptions.ClusterDownError: "CLUSTERDOWN",
}
# Inside a script Redis 6.2 wraps the word into a plain error, and so does EXEC.
_REFUSAL = re.compile(rf"(?:^|@user_script: ?\d+: -|^Transaction discarded because of: )({'|'.join(REFUSALS)}) ")


class Refused(redis.exceptions.ResponseError):
    """The server answers and takes nothing for now; the message says why in words. Worth another try."""


#: What is raised while the server is away, or refuses for now: worth another try.
AWAY = (redis.exceptions.ConnectionError, redis.exceptions.TimeoutError, Refused)


class _Telling:
    """Turns refusals into :class:`Refused`, wherever an answer is read."""

    def parse_response(self, connection: Any, command_name: str, **options: Any) -> Any:
        try:
            return super().parse_response(connection, command_name, **options)  # type: ignore[misc]
        except redis.exceptions.ResponseError as error:
            refused = refusal(error)
            if refused is None:
                raise
            raise refused from None


class _Pipeline(_Telling, Pipeline):
    def annotate_exception(self, exception: Exception, number: int, command: Any) -> None:
        """Which command of the pipeline met a refusal does not matter, and operators are shown the message."""
        if not isinstance(exception, Refused):
            super().annotate_exception(exception, number, command)  # type: ignore[no-untyped-call]


class RedisClient(_Telling, redis.Redis):
    """A client of the ledger's Redis. Tries once more, at once, when a connection turns out to be gone.

    Not after a time-out: the server may carry out what it was sent later on, and whoever asks knows whether asking
    again does harm.
    """

    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> Pipeline:
        return _Pipeline(self.connection_pool, self.response_callbacks, transaction, shard_hint)


def refusal(error: redis.exceptions.ResponseError) -> Refused | None:
    """The same as :class:`Refused`, None for an error that will come again however often one asks."""
    match = _REFUSAL.search(str(error))
    word = _WORDS.get(type(error)) or (match[1] if match else None)
    return Refused(REFUSALS[word]) if word else None


def patiently(ask: Callable[[], Answer]) -> Answer:
    """Ask until there is an answer: what a host has begun must not fail because Redis is away."""
    delay = RETRY_FIRST
    while True:
        try:
            return ask()
        except AWAY:
            time.sleep(delay)
            delay = min(RETRY_MOST, 2 * delay)


def connect(url: str, *, timeout: float = 10.0) -> Client:
    """A client for ``url`` that has answered once.

    Raises BrokerUnavailable, saying what to do, and InputError for a node of a Redis Cluster.
    """
    client = client_for(url, timeout=timeout)
    try:
        client.ping()
        with suppress(redis.exceptions.NoPermissionError):
            _refuse_cluster(client.info("cluster"), url)
    except redis.exceptions.AuthenticationError as error:
        raise BrokerUnavailable(
            "Redis refuses the password", why=str(error), remedy="check user and password in the broker's URL"
        ) from None
    except AWAY as error:
        raise unavailable(error, hide_password(url)) from None
    except redis.exceptions.ResponseError as error:
        raise BrokerUnavailable("Redis refuses us", why=str(error), remedy="check the broker's URL") from None
    return client


def client_for(url: str, *, timeout: float = 10.0) -> Client:
    """A client that has not spoken yet. ``redis+socket://`` is Celery's spelling of ``unix://``."""
    options: dict[str, Any] = {
        "socket_timeout": timeout,
        "socket_connect_timeout": min(timeout, 5.0),
        "health_check_interval": 25,
        # After a restart every connection of the pool is dead: that alone is not worth telling.
        "retry": Retry(NoBackoff(), 1, supported_errors=(redis.exceptions.ConnectionError,)),
        **_NAMELESS,
    }
    try:
        if scheme(url) == "sentinel":
            return _through_sentinels(url, options)
        return RedisClient.from_url(url.replace("redis+socket://", "unix://", 1), **options)
    except ValueError as error:
        raise BrokerUnavailable(f"{hide_password(url)} is no Redis URL", why=str(error)) from None


def _through_sentinels(url: str, options: dict[str, Any]) -> Client:
    """A client of whichever Redis is the master now. User, password and database are those of the first URL."""
    address, _, query = url.partition("?")
    sentinels = [urlsplit(one) for one in address.split(";")]
    first = sentinels[0]
    given = {name: texts[0] for name, texts in parse_qs(query).items()}
    login = {"username": given.get("sentinel_user"), "password": given.get("sentinel_password")}
    found = Sentinel(  # type: ignore[no-untyped-call]
        [(one.hostname or "localhost", one.port or SENTINEL_PORT) for one in sentinels],
        # One that is down is passed over at once.
        sentinel_kwargs={**options, **login, "retry": Retry(NoBackoff(), 0)},
        **options,
    )
    credentials = {"username": first.username, "password": first.password}
    return found.master_for(  # type: ignore[no-untyped-call]
        given["master_name"],
        redis_class=RedisClient,
        db=int(first.path.strip("/") or 0),
        **{name: unquote(text) for name, text in credentials.items() if text},
    )


def time_of(client: Client) -> float:
    """Seconds since the epoch by Redis' clock, the only one that all nodes share."""
    seconds, micros = client.time()
    return float(seconds) + float(micros) / 1e6


def unavailable(error: Exception, url: str = "") -> BrokerUnavailable:
    """One of AWAY as an operator is told of it."""
    if isinstance(error, Refused):
        return BrokerUnavailable("Redis stores nothing now", why=str(error), remedy="mend that, then try again")
    what = f"no Redis at {url}" if url else "Redis does not answer any more"
    if isinstance(error, MasterNotFoundError) and "AuthenticationError" in str(error):
        remedy = "set sentinel_password (OPSRUNNER_SENTINEL_PASSWORD), and sentinel_user where they have users"
        return BrokerUnavailable(what, why="a sentinel refuses the password", remedy=remedy)
    # Sentinel's error goes on with the whole innards of the clients that were asked.
    why = str(error).partition(" : ")[0] if isinstance(error, MasterNotFoundError) else str(error)
    return BrokerUnavailable(what, why=why, remedy="start it, or check the broker's URL")


def _refuse_cluster(about: dict[str, Any], url: str) -> None:
    if about.get("cluster_enabled"):
        raise InputError(
            f"{hide_password(url)} is a Redis Cluster",
            why="a transition of the ledger needs all keys of a run in one place, and Celery knows no cluster",
            remedy="take one Redis, with sentinels where it has to fail over",
        )
