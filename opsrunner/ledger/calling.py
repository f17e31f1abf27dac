"""Transitions on their way to Redis: many in one round trip, those of host-steps in one script."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterable, Sequence
from importlib import resources
from itertools import groupby
from typing import Any

import redis

from opsrunner.ledger.client import AWAY, Client, refusal
from opsrunner.ledger.transitions import Arguments

#: Transitions of which one script carries out many; the others go as they are.
_TOGETHER = frozenset(("start", "finish"))


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
        packs = list(_packs(batch))
        answers: list[Any] = []
        for (_, count), answer in zip(packs, self._evaluate([calls for calls, _ in packs]), strict=True):
            if count == 1:
                answers.append(answer)
            elif not isinstance(answer, Exception):
                answers += map(_told, answer)
            elif isinstance(answer, AWAY):
                answers += [answer] * count
            else:
                # Something that is not ours lies in their way: each is told by itself what that is.
                begin = len(answers)
                answers += self._evaluate(batch[begin : begin + count])
        return answers

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


def _packs(batch: Sequence[Arguments]) -> Iterable[tuple[Arguments, int]]:
    """The same transitions as few calls, each with how many they are."""
    for together, some in groupby(batch, key=lambda arguments: arguments[0] in _TOGETHER):
        calls = list(some)
        if together and len(calls) > 1:
            yield ("many", *(part for one in calls for part in (len(one), *one))), len(calls)
        else:
            yield from ((one, 1) for one in calls)


def _told(answer: Any) -> Any:
    """An answer among others; a refusal among them is told as one."""
    return (refusal(answer) or answer) if isinstance(answer, redis.exceptions.ResponseError) else answer
