"""In every worker: answers the bell. Whoever stores a run rings, and one of the workers moves it on at once."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from opsrunner.engine.held import HELD, end_question
from opsrunner.engine.node import Node
from opsrunner.ledger import keys
from opsrunner.ledger.rounds import Rounds
from opsrunner.ledger.store import AWAY

#: Seconds until it is asked again after Redis was away.
AWAY_PAUSE = 1.0


class Bell(Rounds):
    """One thread per worker process."""

    def __init__(self, node: Node, answer: Callable[[bytes], None]) -> None:
        """``answer`` is given the id of the run that was rung for."""
        super().__init__("bell", pause=AWAY_PAUSE)
        self._redis = node.redis
        self._answer = answer
        self._over = keys.over(node.boot)

    def look(self) -> float | None:
        rung = self._redis.blpop([keys.BELL, self._over], timeout=HELD)
        if rung and rung[0] == keys.BELL.encode():
            self._answer(rung[1])
        return 0.0

    def end(self) -> None:
        self.close()
        with suppress(*AWAY):
            end_question(self._redis, self._over)
        super().end()
