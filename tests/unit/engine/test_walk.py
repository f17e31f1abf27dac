"""Which hosts enter which batch, at first and when they are let in again."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsrunner.engine.walk import Progress, Stand, fills
from opsrunner.plan.flow import Position
from opsrunner.plan.model import Plan, Play, Step

#: Two plays of three steps: the first in two batches, the second for two of the hosts.
BATCHES: tuple[tuple[tuple[str, ...], ...], ...] = ((("a", "b"), ("c",)), (("b", "c"),))


def plan(batches: tuple[tuple[tuple[str, ...], ...], ...] = BATCHES) -> Plan:
    plays = []
    for number, some in enumerate(batches):
        steps = tuple(Step(3 * number + i, f"s{i}", "command", f"p:{i}:1") for i in range(3))
        hosts = tuple(host for batch in some for host in batch)
        plays.append(Play(number, "p", "p:1:1", "all", hosts, some, steps))
    return Plan("p.yml", "playbook", "/", tuple(plays), {})


def filled(
    stood: Mapping[str, str], *, reached: int = -1, ended: tuple[str, ...] = (), after: int = -1
) -> dict[int, dict[str, int]]:
    """Number of every batch that has something to do → its hosts and the steps they enter at."""
    progress = Progress(reached, {host: Stand.decode(text) for host, text in stood.items()})
    return {
        fill.number: {host: position.next for host, position in fill.hosts.items()}
        for fill in fills(plan(), progress, ended, after=after)
    }


@pytest.mark.parametrize(
    ("stood", "more", "expected"),
    [
        pytest.param({}, {}, {0: {"a": 0, "b": 0}, 1: {"c": 0}, 2: {"b": 0, "c": 0}}, id="a run that begins"),
        pytest.param({}, {"after": 0}, {1: {"c": 0}, 2: {"b": 0, "c": 0}}, id="the batches that follow"),
        pytest.param({}, {"after": 2}, {}, id="nothing follows the last"),
        pytest.param({}, {"ended": ("b",), "after": -1}, {0: {"a": 0}, 1: {"c": 0}, 2: {"c": 0}}, id="who has ended"),
        pytest.param({}, {"reached": 1}, {2: {"b": 0, "c": 0}}, id="what was reached is not entered again"),
        pytest.param({"a": "0|2"}, {"reached": 1}, {0: {"a": 2}, 2: {"b": 0, "c": 0}}, id="but by who stood there"),
        pytest.param({"b": "0|1"}, {"reached": 2}, {0: {"b": 1}, 2: {"b": 0}}, id="and goes on to later plays"),
        pytest.param({"b": "0|>"}, {"reached": 2}, {2: {"b": 0}}, id="once it went on there it does not come back"),
        pytest.param({"b": "1|>"}, {"reached": 2}, {}, id="nor to the last play"),
        pytest.param({"b": "1|2"}, {"reached": 2}, {2: {"b": 2}}, id="plays before that are over"),
        pytest.param({"b": "0|3"}, {"reached": 1}, {2: {"b": 0, "c": 0}}, id="through the play means through"),
        pytest.param({"c": "0|"}, {"reached": 1}, {1: {"c": 0}, 2: {"b": 0, "c": 0}}, id="no position: the beginning"),
        pytest.param({"b": "0|1"}, {"reached": 1, "ended": ("b",)}, {2: {"c": 0}}, id="ended counts more than stood"),
    ],
)
def test_who_enters_where(stood: dict[str, str], more: dict[str, object], expected: dict[int, dict[str, int]]) -> None:
    assert filled(stood, **more) == expected  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["0|3", "12|>", '1|[2,[1],[4],[7],["p.yml:3:7"],1]'])
def test_a_stand_is_written_as_it_is_read(text: str) -> None:
    assert Stand.decode(text).encode() == text


def test_a_stand_without_a_position_is_the_beginning_of_the_play() -> None:
    assert Stand.decode("1|") == Stand(1, Position(0))


stands = st.builds("{}|{}".format, st.integers(0, 1), st.sampled_from(["0", "1", "2", "3", ">"]))


@given(
    stood=st.dictionaries(st.sampled_from("abc"), stands),
    reached=st.integers(-1, 2),
    ended=st.lists(st.sampled_from("abc"), unique=True).map(tuple),
)
def test_whoever_stands_somewhere_goes_on_there_and_nobody_goes_back(
    stood: dict[str, str], reached: int, ended: tuple[str, ...]
) -> None:
    found = filled(stood, reached=reached, ended=ended)
    assert list(found) == sorted(found)
    for number, hosts in found.items():
        play = 0 if number < 2 else 1
        for host, index in hosts.items():
            assert host not in ended
            at = Stand.decode(stood[host]) if host in stood else None
            if at is None:
                assert (number > reached) and index == 0
            else:
                assert play >= at.play, "no play before the one it stood in"
                assert index == (at.position.next if play == at.play and at.position else 0)
    for host, text in stood.items():
        at = Stand.decode(text)
        there = any(host in member for member in BATCHES[at.play])
        if host not in ended and there and at.position and at.position.next < 3:
            assert any(host in hosts for hosts in found.values()), f"{host} stands at {text} and is forgotten"
