"""Pieces of output that come as they like, given on as whole lines, each once."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from opsrunner.output.live import LiveLines
from tests.unit.output.samples import outcome


@given(st.lists(st.text(alphabet="ab\n", max_size=5)), st.integers(min_value=0, max_value=20))
def test_live_lines_and_the_rest_are_all_of_the_output_once(pieces: list[str], missing: int) -> None:
    """``missing`` pieces are never shown live: the result tells them."""
    whole = "".join(pieces)
    live = LiveLines()
    shown: list[str] = []
    for piece in ["", *pieces][: max(1, len(pieces) + 1 - missing)]:
        shown += live.take(0, "web01", "stdout", piece, show=True)
    # As command does it: newlines at the end are not part of the result.
    shown += live.finish(outcome(0, "web01", stdout=whole.rstrip("\n")))
    assert "\n".join(shown).rstrip("\n") == whole.rstrip("\n")


def test_streams_and_hosts_do_not_mix() -> None:
    live = LiveLines()
    assert live.take(0, "web01", "stdout", "out ", show=True) == []
    assert live.take(0, "web01", "stderr", "err\n", show=True) == ["err"]
    assert live.take(0, "web02", "stdout", "other\n", show=True) == ["other"]
    assert live.take(0, "web01", "stdout", "put\x1b[2J\r\n", show=True) == ["out put\\x1b[2J"]


def test_what_was_not_shown_all_along_is_left_to_the_result() -> None:
    live = LiveLines()
    live.take(0, "web01", "stdout", "first\n", show=True)
    live.take(0, "web01", "stdout", "second\n", show=False)
    told = outcome(0, "web01", stdout="first\nsecond")
    assert not live.complete(told)
    assert live.finish(told) == []


def test_a_host_that_printed_nothing_live_is_not_complete() -> None:
    live = LiveLines()
    told = outcome(0, "web01", stdout="quick")
    assert not live.complete(told)
    assert live.finish(told) == []


def test_the_last_line_is_kept_while_the_host_is_at_work() -> None:
    live = LiveLines()
    live.take(0, "web01", "stdout", "10%\n20", show=False)
    assert live.last == {(0, "web01"): "20"}
    live.take(0, "web01", "stdout", "\n", show=False)
    assert live.last == {(0, "web01"): "20"}
    live.finish(outcome(0, "web01"))
    assert live.last == {}
