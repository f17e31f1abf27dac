"""What errors advise."""

from __future__ import annotations

from opsrunner.errors import did_you_mean


def test_what_is_like_a_name_may_be_meant() -> None:
    assert did_you_mean("copi", ["ping", "copy"]) == "did you mean copy?"
    assert did_you_mean(3, ["33"]) == "did you mean 33?"


def test_nothing_is_guessed_where_nothing_is_like_it() -> None:
    assert did_you_mean("nope", ["ungrouped", "all"]) is None
    assert did_you_mean("nope", iter(()), "known are none") == "known are none"
