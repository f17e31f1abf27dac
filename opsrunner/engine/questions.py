"""A step asks whoever follows the run at a terminal. The answer is the ledger's: any worker may read it."""

from __future__ import annotations

from opsrunner.ledger.client import patiently
from opsrunner.ledger.encoding import encode_event
from opsrunner.ledger.store import Store


class StepQuestions:
    """The questions of one step; ``number`` counts them, and names the same one for whoever takes the step over."""

    def __init__(self, store: Store, run_id: str, step: int) -> None:
        self._store = store
        self._run_id = run_id
        self._step = step

    def put(self, number: int, text: str, *, echo: bool) -> None:
        """Show the question; ``echo`` tells whether the answer may be seen while it is typed."""
        event = encode_event(question=self._name(number), text=text, echo=echo)
        patiently(lambda: self._store.publish(self._run_id, "question", event))

    def answer(self, number: int) -> str | None:
        """What was typed; None as long as nobody has answered."""
        return patiently(lambda: self._store.answer(self._run_id, self._name(number)))

    def _name(self, number: int) -> str:
        return f"{self._step}.{number}"
