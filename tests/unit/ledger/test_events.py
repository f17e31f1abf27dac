"""Entries of a run's stream: one event, or a list of one kind, each with a place that can be read on from."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest

from opsrunner.errors import LedgerDamaged
from opsrunner.ledger.decoding import decode_events, entry_before, events_after
from opsrunner.ledger.encoding import encode_event, encode_outcome
from opsrunner.ledger.records import Outcome, Result
from opsrunner.ledger.sealing import Sealer
from opsrunner.ledger.store import Store


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


@pytest.mark.parametrize("kind", ["batch_started", "step_started"])
@pytest.mark.parametrize("hosts", [5, None, "web1", {"web1": 0}])
def test_hosts_that_are_no_list_are_said_to_be_damaged(kind: str, hosts: Any) -> None:
    data = {"play": 0, "batch": 0, "batches": 1, "step": 0, "hosts": hosts}
    place, fields = entry("5-0", kind, data)
    with pytest.raises(LedgerDamaged, match="event 5-0"):
        decode_events(place.decode(), fields)


def test_long_live_output_is_made_small_and_read_as_it_was() -> None:
    said: list[dict[str, bytes]] = []
    redis = SimpleNamespace(xadd=lambda key, fields: said.append(fields))
    text = "progress ✓ \udcff\n" * 10_000
    Store(redis, Sealer(bytes(32))).publish("r", "output", encode_event(step=0, host="web1", text=text))
    assert len(said[0]["d"]) < 1000
    [event] = decode_events("5-0", {b"k": b"output", b"d": said[0]["d"]})
    assert event.data == {"step": 0, "host": "web1", "text": text}
    with pytest.raises(LedgerDamaged, match="event 5-0"):
        decode_events("5-0", {b"k": b"output", b"d": said[0]["d"][:50]})


@pytest.mark.parametrize(("status", "quiet"), [("changed", True), ("failed", False)])
def test_an_outcome_without_anything_to_tell_says_so(status: str, quiet: bool) -> None:
    data = {"step": 0, "host": "web1", "status": status, "quiet": True}
    (event,) = decode_events("1-0", entry("1-0", "outcome", data)[1])
    assert event.quiet is quiet
    assert "quiet" not in event.data, "nobody else is told"


def test_what_is_told_of_good_results_is_never_quiet() -> None:
    told: tuple[Result, ...] = ({"warnings": ["!"]}, {"diff": {}}, {"results": []})
    for result in ({"rc": 0}, *told):
        event = json.loads(encode_outcome(Outcome(0, "web1", "ok", result)))
        assert ("quiet" in event) == (result not in told)
    event = json.loads(encode_outcome(Outcome(3, 'web"1', "failed", {}, "ignored", 1.0, 2.5, "w")))
    expected = {"step": 3, "host": 'web"1', "status": "failed", "mark": "ignored", "worker": "w", "seconds": 1.5}
    assert event == expected
