"""Where one command's output ends, however the bytes arrive."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsrunner.ssh.framing import Framing

NONCE = "0a0a0b1c"
# Bytes that look like the trailer's again and again, and others.
OUTPUT = st.lists(
    st.sampled_from([b"0", b"a", b"0a0a0b1", b"0a0a0b1c", b" 0 free", b" 7 held ", b"\n", b"\0", b"\xff"]), max_size=12
).map(b"".join)


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(edges)]


def is_no_trailer(output: bytes) -> bool:
    return f"{NONCE} 0 free\n".encode() not in output and f"{NONCE} 7 held \n".encode() not in output


@given(
    OUTPUT.filter(is_no_trailer), st.integers(0, 255), st.booleans(), st.binary(max_size=9), st.lists(st.integers(0))
)
def test_output_and_status_whatever_the_packets(
    output: bytes, status: int, held: bool, late: bytes, cuts: list[int]
) -> None:
    framing = Framing(NONCE)
    trailer = f"{NONCE} {status} {'held' if held else 'free'}\n".encode()
    heard = b"".join(framing.feed(piece) for piece in pieces(output + trailer + late, cuts))
    assert (heard, framing.status, framing.held, framing.rest()) == (output + late, status, held, b"")


@given(OUTPUT.filter(is_no_trailer), st.lists(st.integers(0)))
def test_nothing_is_lost_where_no_trailer_comes(output: bytes, cuts: list[int]) -> None:
    framing = Framing(NONCE)
    heard = b"".join(framing.feed(piece) for piece in pieces(output, cuts))
    assert heard + framing.rest() == output
    assert not framing.over


@pytest.mark.parametrize("data", [b"line\n", b"no end", b"\0\xff", b"0a0a0b1x", b"0a0a0b1c and more than that"])
def test_output_is_passed_on_at_once(data: bytes) -> None:
    assert Framing(NONCE).feed(data) == data


def test_only_what_may_be_a_trailer_is_withheld() -> None:
    framing = Framing(NONCE)
    assert framing.feed(b"text0a0a") == b"text"
    assert framing.feed(b"0b1c 1") == b""
    assert framing.feed(b"2 free\n") == b""
    assert framing.status == 12
