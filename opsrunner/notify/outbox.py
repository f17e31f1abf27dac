"""Notifications in Redis: made once for each event and notifier, and kept until they are sent or given up.

Light to import: the command line that submits a run only leaves its notifiers here.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from typing import Any

from msgspec import Struct

from opsrunner.ledger import keys
from opsrunner.ledger.client import Client, time_of
from opsrunner.ledger.decoding import decode_text
from opsrunner.ledger.encoding import decode_time, decoding
from opsrunner.ledger.sealing import Sealer
from opsrunner.notify.model import Notifier, of_data, to_data

#: Seconds for which a notification may be in one worker's hand, which is longer than any server keeps it waiting.
LEASE = 600.0
#: Seconds for which a run that was announced may take to be there.
ANNOUNCED = 3600.0


class Notification(Struct, frozen=True):
    """One message to one notifier, as far as that may be shown. Times are seconds since the epoch."""

    id: str
    run: str
    event: str
    notifier: str
    channel: str
    target: str
    #: ``waiting``, ``sending``, ``delivered`` or ``failed``.
    state: str
    attempts: int
    created: float
    #: Since when it is tried: since it was made, or since an operator had it sent again.
    since: float
    #: What was said last, of the error or of the delivery.
    note: str
    worker: str
    settled: float | None
    #: When it is tried next, of one that waits.
    due: float | None


class Outbox:
    """Raises redis' own errors when the server is away."""

    def __init__(self, client: Client, sealer: Sealer | None = None) -> None:
        """Without a ``sealer`` only for looking at what may be shown."""
        self.redis = client
        self._sealer = sealer
        self._script = client.register_script(_lua())

    @property
    def sealer(self) -> Sealer:
        assert self._sealer is not None
        return self._sealer

    def _call(self, *arguments: Any) -> Any:
        return self._script(args=arguments)

    # ------------------------------------------------------------------ runs
    def announce(self, run_id: str, notifiers: Sequence[Notifier]) -> None:
        """Have the workers watch a run for these notifiers; before the run is stored, so that nothing is missed."""
        data = json.dumps([to_data(one) for one in notifiers]).encode()
        pipeline = self.redis.pipeline(transaction=True)
        pipeline.set(keys.notify(run_id), self.sealer.seal(data, purpose=b"notify:" + run_id.encode()))
        pipeline.zadd(keys.NOTIFY, {run_id: self.now()})
        pipeline.execute()

    def is_busy(self) -> bool:
        """Whether there is a run to be told of, or a notification that is not sent."""
        return bool(self.redis.exists(keys.NOTIFY, keys.OUTBOX))

    def watched(self) -> dict[str, float]:
        """Runs that somebody wants to be told of, and when they were announced."""
        return {decode_text(run): at for run, at in self.redis.zrange(keys.NOTIFY, 0, -1, withscores=True)}

    def notifiers(self, run_id: str) -> list[Notifier]:
        """Who is told of the run. Raises SealError with another key."""
        sealed = self.redis.get(keys.notify(run_id))
        if sealed is None:
            return []
        return [of_data(one) for one in json.loads(self.sealer.open(sealed, purpose=b"notify:" + run_id.encode()))]

    def leave(self, run_id: str, finished: str) -> None:
        """Watch a run no more that ended at that time (as Redis has it), unless it was resumed."""
        self._call("leave", keys.PREFIX, run_id, finished)

    def forget(self, run_id: str) -> None:
        """Watch a run no more that never came to be."""
        pipeline = self.redis.pipeline(transaction=True)
        pipeline.zrem(keys.NOTIFY, run_id)
        pipeline.delete(keys.notify(run_id))
        pipeline.execute()

    # ------------------------------------------------------------------ notifications
    def has(self, identity: str) -> bool:
        return bool(self.redis.exists(keys.notification(identity)))

    def post(self, identity: str, notifier: Notifier, facts: Mapping[str, Any], *, kept: float) -> bool:
        """Have a notification sent; False when there is one of that id. ``kept``: seconds for which it is listed."""
        fields = self._fields(identity, notifier, facts)
        return bool(self._call("post", keys.PREFIX, identity, int(kept), *fields))

    def retry(self, identity: str, notifier: Notifier, facts: Mapping[str, Any]) -> bool:
        """Have one that waits or was given up sent at once, by that notifier; False for any other."""
        return bool(self._call("retry", keys.PREFIX, identity, *self._fields(identity, notifier, facts)))

    def _fields(self, identity: str, notifier: Notifier, facts: Mapping[str, Any]) -> list[Any]:
        """Names and values by turns."""
        data = json.dumps({"notifier": to_data(notifier), "facts": facts}).encode()
        sealed = self.sealer.seal(data, purpose=b"notification:" + identity.encode())
        fields = {
            "run": facts["run"]["id"],
            "event": facts["event"],
            "notifier": notifier.name,
            "channel": notifier.kind,
            "target": notifier.target,
            "sealed": sealed,
        }
        return [part for field in fields.items() for part in field]

    def take(self, boot: str, worker: str, count: int) -> tuple[str, list[str]]:
        """Take what is due; gives the token with which it is settled, and the ids."""
        token = secrets.token_hex(8)
        taken = self._call("take", keys.PREFIX, boot, worker, LEASE, count, token)
        return token, [decode_text(one) for one in taken]

    def opened(self, identity: str) -> tuple[Notification, Notifier, dict[str, Any]]:
        """One that is not delivered yet, its notifier and its facts.

        Raises SealError with another key, LedgerDamaged where another version wrote it, LookupError when it is gone.
        """
        notification = self.find(identity)
        sealed = self.redis.hget(keys.notification(identity), "sealed")
        if notification is None or sealed is None:
            raise LookupError(identity)
        plain = self.sealer.open(sealed, purpose=b"notification:" + identity.encode())
        with decoding(f"notification {identity}"):
            data = json.loads(plain)
            return notification, of_data(data["notifier"]), dict(data["facts"])

    def settle(self, identity: str, token: str, state: str, note: str, *, wait: float = 0.0, kept: float) -> bool:
        """Say what came of one that was taken: ``delivered``, ``failed``, or ``waiting`` for so many seconds.

        False when somebody else has taken it since.
        """
        return bool(self._call("settle", keys.PREFIX, identity, token, state, note, wait, int(kept)))

    def find(self, identity: str) -> Notification | None:
        found = self._read([identity])
        return found[0] if found else None

    def listed(self, run_id: str | None = None, limit: int = 50) -> list[Notification]:
        """The newest notifications, newest first; of one run, or of all."""
        names = [decode_text(one) for one in self.redis.zrevrange(keys.NOTIFICATIONS, 0, -1)]
        if run_id is not None:
            names = [name for name in names if name.startswith(f"{run_id}:")]
        return self._read(names[:limit])

    def undelivered(self, run_id: str | None = None) -> list[Notification]:
        """What waits or was given up, newest first; of one run, or of all, but no tests."""
        found = self.listed(run_id, 10**6)
        return [one for one in found if one.state in ("waiting", "failed") and one.event != "test"]

    def _read(self, names: Sequence[str]) -> list[Notification]:
        pipeline = self.redis.pipeline(transaction=False)
        for name in names:
            pipeline.hgetall(keys.notification(name))
            pipeline.zscore(keys.OUTBOX, name)
        answers = pipeline.execute()
        rows = zip(names, answers[::2], answers[1::2], strict=True)
        return [_decoded(name, fields, due) for name, fields, due in rows if fields]

    def now(self) -> float:
        """Seconds since the epoch by Redis' clock."""
        return time_of(self.redis)


@cache
def _lua() -> str:
    return resources.files("opsrunner.notify").joinpath("outbox.lua").read_text()


def _decoded(identity: str, fields: Mapping[bytes, bytes], due: float | None) -> Notification:
    def text(name: str) -> str:
        return decode_text(fields.get(name.encode(), b""))

    with decoding(f"notification {identity}"):
        return Notification(
            id=identity,
            run=text("run"),
            event=text("event"),
            notifier=text("notifier"),
            channel=text("channel"),
            target=text("target"),
            state=text("state"),
            attempts=int(text("attempts") or 0),
            created=decode_time(text("created") or "0"),
            since=decode_time(text("since") or text("created") or "0"),
            note=text("note"),
            worker=text("worker"),
            settled=decode_time(text("settled")) if text("settled") else None,
            due=due if text("state") == "waiting" else None,
        )
