"""The beats that live: of those with one file one leads, by a lease in Redis that also says what it goes by."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from msgspec import Struct
from msgspec.structs import asdict

from opsrunner.ledger import keys
from opsrunner.ledger.client import Client, time_of
from opsrunner.ledger.decoding import decode_text
from opsrunner.ledger.encoding import decoding

#: Seconds of the lease.
LEASE = 10.0


class Beat(Struct, frozen=True):
    """A beat as it tells of itself."""

    #: Where it runs, and what tells it from any other start.
    name: str
    boot: str
    #: Its file, as seen from the root, the schedules it holds, and what is wrong with it now, if anything is.
    file: str
    names: tuple[str, ...] = ()
    fault: str = ""

    @property
    def group(self) -> str:
        """Beats with the same file stand in for each other."""
        return group_of(self.file)


def group_of(file: str | Path) -> str:
    """The group of the beats with that file."""
    return hashlib.sha256(str(Path(file).absolute()).encode(errors="surrogateescape")).hexdigest()[:16]


def leads(client: Client, beat: Beat) -> bool:
    """Whether it leads its group from now on for as long as the lease lasts: nobody else does, or it did before."""
    key, document = keys.beat(beat.group), json.dumps(asdict(beat))
    lease = int(LEASE * 1000)
    if not client.set(key, document, nx=True, px=lease):
        leader = _decoded(client.get(key))
        if leader is None or leader.boot != beat.boot:
            return False
        client.set(key, document, px=lease)
    client.zadd(keys.BEATS, {beat.group: time_of(client)})
    return True


def leave(client: Client, beat: Beat) -> None:
    """Give the lease back, so that another takes over at once."""
    leader = _decoded(client.get(keys.beat(beat.group)))
    if leader and leader.boot == beat.boot:
        client.delete(keys.beat(beat.group))


def leaders(client: Client) -> list[Beat]:
    """The beat that leads in each group; groups that are long gone are forgotten."""
    client.zremrangebyscore(keys.BEATS, "-inf", time_of(client) - 10 * LEASE)
    groups = [decode_text(group) for group in client.zrange(keys.BEATS, 0, -1)]
    found = client.mget([keys.beat(group) for group in groups]) if groups else []
    return [beat for data in found if (beat := _decoded(data))]


def _decoded(data: bytes | None) -> Beat | None:
    if data is None:
        return None
    with decoding("the record of a beat"):
        fields = json.loads(data)
        return Beat(**{**fields, "names": tuple(fields["names"])})
