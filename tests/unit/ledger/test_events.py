"""Entries of a run's stream: one event, or a list of one kind, each with a place that can be read on from."""

from __future__ import annotations

import json
from typing import Any

import pytest

from opsrunner.errors import LedgerDamaged
from opsrunner.ledger.decoding import decode_events, entry_before, events_after


def entry(place: str, kind: str, data: Any) -> tuple[bytes, dict[bytes, bytes]]:
    return place.encode(), {b"k": kind.encode(), b"d": json.dumps(data).encode()}


def starts(place: str, *hosts: str) -> tuple[bytes, dict[bytes, bytes]]:
    return entry(place, "host_started", [{"step": 0, "host": host, "worker": "w"} for host in hosts])


def test_an_entry_of_many_is_as_many_events() -> None:
    events = events_after("0", [starts("1700000000000-0", "a", "b", "c"), starts("1700000000000-1", "d")])
    assert [event.data["host"] for event in events] == ["a", "b", "c", "d"]
    assert [event.id for event in events] == [
        "1700000000000-0.1",
        "1700000000000-0.2",
        "1700000000000-0",
        "1700000000000-1",
    ]
    assert {event.at for event in events} == {1.7e9}


@pytest.mark.parametrize(("after", "left"), [("5-0", "d"), ("5-0.1", "bcd"), ("5-0.2", "cd"), ("4-7", "abcd")])
def test_whoever_reads_on_from_an_event_gets_the_next_one(after: str, left: str) -> None:
    entries = [starts("5-0", "a", "b", "c"), starts("5-1", "d")]
    unread = entries if "." in after or after == "4-7" else entries[1:]  # as Redis gives them behind entry_before
    assert "".join(event.data["host"] for event in events_after(after, unread)) == left


@pytest.mark.parametrize(
    ("place", "before"),
    [("0", "0"), ("5-3", "5-3"), ("5-3.2", "5-2"), ("5-0.1", f"4-{2**64 - 1}")],
)
def test_where_to_read_from(place: str, before: str) -> None:
    assert entry_before(place) == before


@pytest.mark.parametrize("data", [[], [3], ["x"], [[]], [{"step": 0}], {"step": 0}, 3])
def test_what_no_worker_wrote_is_said_to_be_damaged(data: Any) -> None:
    place, fields = entry("5-0", "host_started", data)
    with pytest.raises(LedgerDamaged, match="event 5-0"):
        decode_events(place.decode(), fields)
