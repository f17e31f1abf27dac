"""Transitions on their way to Redis: many in one round trip, those of host-steps in one script."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Sequence
from importlib import resources
from typing import Any

import redis

from opsrunner.ledger.client import AWAY, Client, refusal
from opsrunner.ledger.packing import Pack, packs, together
from opsrunner.ledger.transitions import Arguments


@functools.cache
def _script() -> tuple[str, str]:
    text = resources.files("opsrunner.ledger").joinpath("scripts.lua").read_text()
    return text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


class Transitions:
    """Carries out what scripts.lua describes. Raises redis' own errors when the server is away."""

    def __init__(self, client: Client) -> None:
        self.redis = client

    def call(self, arguments: Arguments) -> Any:
        """One transition now."""
        answer = self.call_many([arguments])[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def call_many(self, batch: Sequence[Arguments]) -> list[Any]:
        """Many transitions in one round trip, each whole by itself; their answers in order.

        An answer may be an exception of redis-py (a full server refuses one and takes another).
        """
        packed = packs(batch)
        answers: list[Any] = []
        for pack, answer in zip(packed, self._evaluate([pack.call for pack in packed]), strict=True):
            begin = len(answers)
            answers += self._answers(pack, answer, batch[begin : begin + pack.count])
        return answers

    def _answers(self, pack: Pack, answer: Any, some: Sequence[Arguments]) -> Sequence[Any]:
        """What each transition of a pack is answered."""
        if pack.count == 1:
            return [answer]
        if pack.alike and answer == b"mixed":
            pack, answer = Pack(together(some), pack.count), self._evaluate([together(some)])[0]
        if isinstance(answer, AWAY):
            return [answer] * pack.count
        if isinstance(answer, Exception):
            # Something that is not ours lies in their way: each is told by itself what that is.
            return self._evaluate(some)
        return _numbered(answer, pack.count) if pack.alike else [_told(one) for one in answer]

    def _evaluate(self, calls: Sequence[Arguments]) -> list[Any]:
        text, digest = _script()
        answers = self._send(digest, calls)
        if any(isinstance(answer, redis.exceptions.NoScriptError) for answer in answers):
            # Every transition is repeatable, so those that went through may go again.
            answers = self._send(digest, calls, text)
        return answers

    def _send(self, digest: str, calls: Sequence[Arguments], text: str = "") -> list[Any]:
        """With ``text`` the script is loaded in the same breath: it may be flushed again at any moment."""
        pipeline = self.redis.pipeline(transaction=False)
        if text:
            pipeline.execute_command("SCRIPT", "LOAD", text)
        for arguments in calls:
            pipeline.evalsha(digest, 0, *arguments)
        answers: list[Any] = pipeline.execute(raise_on_error=False)
        return answers[-len(calls) :]


def _numbered(answer: Sequence[bytes], count: int) -> list[Sequence[bytes]]:
    """The same verdict for all; the sequence number is that of the last."""
    verdict, last = answer
    first = int(last) - count + 1
    return [(verdict, b"%d" % number) for number in range(first, first + count)]


def _told(answer: Any) -> Any:
    """An answer among others; a refusal among them is told as one."""
    return (refusal(answer) or answer) if isinstance(answer, redis.exceptions.ResponseError) else answer
