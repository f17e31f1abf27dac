"""Values of a run that are sealed: what steps gave hosts and the inventory, and what operators answered."""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from typing import Any

from opsrunner.ledger import keys
from opsrunner.ledger.calling import Transitions
from opsrunner.ledger.client import Client
from opsrunner.ledger.encoding import COMPRESS_FROM
from opsrunner.ledger.results import read_variable
from opsrunner.ledger.sealing import Sealer


class ValueStore(Transitions):
    """Seals values, and opens what is stored. Every method raises redis' own errors when the server is away."""

    def __init__(self, client: Client, sealer: Sealer) -> None:
        super().__init__(client)
        self.sealer = sealer

    def seal_value(self, run_id: str, value: Any) -> bytes:
        text = json.dumps(value, separators=(",", ":"), default=str).encode("utf-8", errors="surrogatepass")
        kind, text = (b"z", zlib.compress(text, 1)) if len(text) >= COMPRESS_FROM else (b"s", text)
        return kind + self.sealer.seal(text, purpose=b"value:" + run_id.encode())

    def _opened(self, run_id: str, value: bytes) -> Any:
        """What :meth:`seal_value` was given."""
        opened = self.sealer.open(value[1:], purpose=b"value:" + run_id.encode())
        opened = zlib.decompress(opened) if value[:1] == b"z" else opened
        return json.loads(opened.decode("utf-8", errors="surrogatepass"))

    def give_answer(self, run_id: str, question: str, text: str) -> None:
        """Answer a question, unless somebody has, and have the run looked at: it may wait for that."""
        self.redis.hsetnx(keys.answers(run_id), question, self.seal_value(run_id, text))
        self.redis.rpush(keys.BELL, run_id)

    def answer(self, run_id: str, question: str) -> str | None:
        """What was answered; None as long as nobody has."""
        sealed = self.redis.hget(keys.answers(run_id), question)
        return None if sealed is None else str(self._opened(run_id, sealed))

    def additions(self, run_id: str, after: int = 0) -> list[Any]:
        """What steps added to the run's inventory, beyond the first ``after`` times, as it was sealed."""
        return [self._opened(run_id, value) for value in self.redis.lrange(keys.additions(run_id), after, -1)]

    def host_variables(self, run_id: str, host: str) -> tuple[int, dict[str, Any]]:
        """What earlier steps gave a host (registered results, facts), and the count of changes.

        A result with a long stream is a StoredResult, which is no dict yet.
        """
        stored = self.redis.hgetall(keys.variables(run_id, host))
        version = int(stored.pop(b"#", b"0"))
        values: dict[str, Any] = {}
        pointers: list[tuple[str, int, str]] = []
        for name, value in stored.items():
            if value[:1] == b"@":
                step, _, owner = value[1:].decode().partition(":")
                pointers.append((name.decode(), int(step), owner))
            else:
                values[name.decode()] = self._opened(run_id, value)
        if pointers:
            pipeline = self.redis.pipeline(transaction=False)
            for _, step, owner in pointers:
                pipeline.hget(keys.results(run_id, step), owner)
            for (name, _, _), data in zip(pointers, pipeline.execute(), strict=True):
                values[name] = read_variable(data) if data else {}
        return version, values

    def variables_version(self, run_id: str, host: str) -> int:
        return int(self.redis.hget(keys.variables(run_id, host), "#") or 0)

    def share_once(self, run_id: str, step: int, hosts: Sequence[str]) -> None:
        """Give every host the variables of the one host that the step ran for. Repeatable."""
        record = self.redis.hget(keys.once(run_id), str(step))
        if not record:
            return
        leader, names = json.loads(record)
        if not names:
            return
        given = self.redis.hmget(keys.variables(run_id, leader), names)
        shared = {name: value for name, value in zip(names, given, strict=True) if value is not None}
        pipeline = self.redis.pipeline(transaction=False)
        for host in hosts:
            if host != leader and shared:
                pipeline.hset(keys.variables(run_id, host), mapping=shared)
                pipeline.hincrby(keys.variables(run_id, host), "#", 1)
        pipeline.execute()


def pointer(step: int, host: str) -> bytes:
    """A variable whose value is the stored result of that host × step."""
    return f"@{step}:{host}".encode()
