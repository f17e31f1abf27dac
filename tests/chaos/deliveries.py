"""Messages delivered again: copies of what the broker was once given, and calls with a stale cursor or epoch."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from random import Random
from typing import Any

from opsrunner.ledger import keys
from tests.chaos.bastions import Site

#: Messages delivered again at once.
COPIES = 6


def deliver_again(site: Site, run_id: str, chance: Random) -> int:
    """Push copies of some of the run's messages, and ring its bell again; gives how many.

    A copy goes to the queue that it once went to or to another worker of the zone; every other one
    carries the words of an older stage mixed with those of a newer.
    """
    sent = [(queue, message) for queue, message in messages(site.journal()) if run_id in json.dumps(message)]
    if not sent:
        return 0
    chosen = [chance.choice(sent) for _ in range(COPIES)]
    for number, (queue, message) in enumerate(chosen):
        if number % 2:
            message = mixed(message, chance.choice(sent)[1])
        site.redis.client.lpush(_neighbour(site, queue, chance), json.dumps(message))
    site.redis.client.rpush(keys.BELL, run_id)
    return len(chosen)


def messages(journal: bytes) -> Iterator[tuple[str, dict[str, Any]]]:
    """Queue and message of every Celery message in Redis' append-only file."""
    for command in commands(journal):
        if command[0].upper() == b"LPUSH" and command[1].startswith(b"opsrunner"):
            queue = command[1].partition(b"\x06")[0]  # what follows is the priority
            yield queue.decode(), json.loads(command[2])


def commands(journal: bytes) -> Iterator[list[bytes]]:
    """The commands of an append-only file; what was cut off at its end is left out."""
    at = 0
    while journal[at : at + 1] == b"*":
        words: list[bytes] = []
        line = journal.index(b"\r\n", at)
        count, at = int(journal[at + 1 : line]), line + 2
        for _ in range(count):
            line = journal.find(b"\r\n", at)
            length = int(journal[at + 1 : line]) if line > 0 else len(journal)
            if line + 4 + length > len(journal):
                return
            words.append(journal[line + 2 : line + 2 + length])
            at = line + 4 + length
        yield words


def mixed(message: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """``message`` with the cursor of ``other``: an epoch and a cursor that were never sent together."""
    words, other_words = _words(message), _words(other)
    words[0][1] = other_words[0][1]
    return {**message, "body": base64.b64encode(json.dumps(words).encode()).decode()}


def _words(message: dict[str, Any]) -> Any:
    """Arguments, keywords and the rest, as Celery's protocol packs them."""
    return json.loads(base64.b64decode(message["body"]))


def _neighbour(site: Site, queue: str, chance: Random) -> str:
    """The queue itself, or that of another worker of its zone."""
    bastion = site.bastions.get(queue.removeprefix("opsrunner."))
    if bastion is None or chance.random() < 0.5:
        return queue
    return f"opsrunner.{chance.choice([one.name for one in site.bastions.values() if one.zone == bastion.zone])}"
