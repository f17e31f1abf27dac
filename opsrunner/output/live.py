"""Output of steps that still run: pieces that come as they like, given on as whole lines."""

from __future__ import annotations

from opsrunner.ledger.records import Outcome
from opsrunner.output.harmless import harmless, harmless_line

Place = tuple[int, str]  # step number, host


class LiveLines:
    """Remembers, for each host × step, the line that is not whole yet and how much was shown of each stream."""

    def __init__(self) -> None:
        self._partial: dict[tuple[int, str, str], str] = {}
        self._seen: dict[tuple[int, str, str], int] = {}
        #: Host × steps of which something was shown, and those of which something was not.
        self.shown: set[Place] = set()
        self.hidden: set[Place] = set()
        #: The last line that each host at work printed.
        self.last: dict[Place, str] = {}

    def take(self, step: int, host: str, stream: str, text: str, *, show: bool) -> list[str]:
        """The lines that ``text`` completes, to be shown; none unless ``show``."""
        place = (step, host)
        whole = text.rstrip().rsplit("\n", 1)[-1]
        if whole:
            self.last[place] = harmless_line(whole.removesuffix("\r"))[:200]
        if not show:
            self.hidden.add(place)
            return []
        self.shown.add(place)
        key = (step, host, stream)
        self._seen[key] = self._seen.get(key, 0) + len(text)
        *lines, rest = (self._partial.pop(key, "") + text).split("\n")
        if rest:
            self._partial[key] = rest
        return [harmless(line.removesuffix("\r")) for line in lines]

    def finish(self, outcome: Outcome) -> list[str]:
        """The lines that are still to be shown of a host × step that was shown all along; forgets it otherwise."""
        place = (outcome.step, outcome.host)
        if place not in self.shown and place not in self.hidden:
            return []  # it printed nothing while it ran, as most
        self.last.pop(place, None)
        lines: list[str] = []
        for stream in ("stdout", "stderr"):
            key = (*place, stream)
            partial, seen = self._partial.pop(key, ""), self._seen.pop(key, 0)
            if self.complete(outcome):
                # What is shown live is the beginning of what the result holds.
                rest = partial + str(outcome.result.get(stream) or "")[seen:]
                lines += [harmless(line.removesuffix("\r")) for line in rest.rstrip("\n").split("\n")] if rest else []
        return lines

    def complete(self, outcome: Outcome) -> bool:
        """All that the host printed in this step has been (or is being) shown as it came."""
        place = (outcome.step, outcome.host)
        return place in self.shown and place not in self.hidden
