"""Who serves which zone: workers' own records in Redis, and which worker a host belongs to."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from msgspec import Struct
from msgspec.structs import asdict

from opsrunner.ledger import keys
from opsrunner.ledger.store import Client

#: A worker that serves this zone serves every zone.
EVERY_ZONE = "*"
#: Where none of these is there, no worker has anything to do but to wait.
WORK = (keys.OPEN, keys.PLANNED, keys.REQUESTS, keys.NOTIFY, keys.OUTBOX)


class WorkerRecord(Struct, frozen=True):
    """What a worker process says of itself with every beat."""

    name: str
    boot: str  # changes with every start: claims carry it
    queue: str
    zones: tuple[str, ...]
    node: str
    pid: int
    sessions: int
    started: float
    version: str
    #: Told to stop: it finishes what it has and is given nothing more.
    leaving: bool = False

    def serves(self, zone: str) -> bool:
        return zone in self.zones or EVERY_ZONE in self.zones


def beat(client: Client, record: WorkerRecord, lease_seconds: float) -> tuple[float, bool]:
    """Renew a worker's lease and record; gives Redis' time in seconds since the epoch, and :func:`any_work`."""
    lease = int(lease_seconds * 1000)
    pipeline = client.pipeline(transaction=True)
    pipeline.set(keys.boot(record.boot), record.name, px=lease)
    pipeline.set(keys.worker(record.name), json.dumps(asdict(record)), px=lease)
    pipeline.zadd(keys.WORKERS, {record.name: record.started})
    pipeline.time()
    pipeline.exists(*WORK)
    *_, (seconds, micros), work = pipeline.execute()
    return float(seconds) + float(micros) / 1e6, bool(work)


def any_work(client: Client) -> bool:
    """Whether there is anything that some worker must look after: a run that goes on, a message to be sent."""
    return bool(client.exists(*WORK))


def leave(client: Client, record: WorkerRecord) -> None:
    """Take a worker's record away; what it had claimed and not finished can be settled at once."""
    pipeline = client.pipeline(transaction=True)
    pipeline.delete(keys.boot(record.boot), keys.worker(record.name))
    pipeline.zrem(keys.WORKERS, record.name)
    pipeline.execute()


def live(client: Client) -> list[WorkerRecord]:
    """Every worker whose lease stands, by name."""
    names = [name.decode(errors="replace") for name in client.zrange(keys.WORKERS, 0, -1)]
    if not names:
        return []
    texts: list[Any] = client.mget([keys.worker(name) for name in names])
    gone = [name for name, text in zip(names, texts, strict=True) if text is None]
    if gone:
        client.zrem(keys.WORKERS, *gone)
    return sorted(filter(None, (_decode(text) for text in texts if text is not None)), key=lambda record: record.name)


def _decode(text: bytes) -> WorkerRecord | None:
    """A worker's record; what another version says besides is passed over. None for what no worker wrote."""
    try:
        said = json.loads(text)
        known = {name: said[name] for name in WorkerRecord.__struct_fields__ if name in said}
        record = WorkerRecord(**{**known, "zones": tuple(map(str, said["zones"]))})
    except (ValueError, TypeError, LookupError, RecursionError):
        return None
    return record if isinstance(record.name, str) and isinstance(record.queue, str) else None


def unserved(zones: Mapping[str, Sequence[str]], workers: Iterable[WorkerRecord]) -> dict[str, Sequence[str]]:
    """Zones (with their hosts) that none of the workers serves."""
    ready = [worker for worker in workers if not worker.leaving]
    return {zone: hosts for zone, hosts in zones.items() if not any(worker.serves(zone) for worker in ready)}


def assign(hosts: Iterable[tuple[str, str]], workers: Sequence[WorkerRecord]) -> dict[str, list[str]]:
    """Queue → hosts, for (host, zone) pairs, by rendezvous hashing.

    A host keeps its worker, and so its warm connection, as long as that worker lives. Hosts whose
    zone nobody serves are under the queue "".
    """
    by_zone: dict[str, tuple[tuple[str, str], ...]] = {}
    assigned: dict[str, list[str]] = {}
    for host, zone in hosts:
        if zone not in by_zone:
            by_zone[zone] = tuple(
                (worker.name, worker.queue) for worker in workers if worker.serves(zone) and not worker.leaving
            )
        assigned.setdefault(choose(host, by_zone[zone]), []).append(host)
    return assigned


@functools.lru_cache(maxsize=200_000)
def choose(host: str, candidates: tuple[tuple[str, str], ...]) -> str:
    """The queue of the worker with the highest score for the host, "" without candidates."""
    if not candidates:
        return ""
    return max(candidates, key=lambda candidate: _score(host, candidate[0]))[1]


def _score(host: str, worker: str) -> bytes:
    return hashlib.blake2b(f"{host}\0{worker}".encode(), digest_size=8).digest()
