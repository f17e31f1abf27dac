"""What is kept of a stream."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from opsrunner.remote import Become, Capture, Command


def test_all_of_a_short_stream_is_kept() -> None:
    capture = Capture(10)
    capture.add(b"01234")
    capture.add(b"56789")
    assert (capture.value(), capture.size) == (b"0123456789", 10)


def test_head_and_tail_of_a_long_one() -> None:
    capture = Capture(10)
    for number in range(26):
        capture.add(bytes([ord("a") + number]))
    assert capture.value() == b"abcde\n[... 16 bytes not kept ...]\nvwxyz"
    assert capture.size == 26


def test_memory_is_bounded() -> None:
    capture = Capture(1000)
    for _ in range(10_000):
        capture.add(b"x" * 1000)
    assert capture.size == 10_000_000
    assert len(capture._head) + len(capture._tail) <= 3000


@given(st.lists(st.binary(max_size=40)), st.integers(2, 60))
def test_how_it_was_cut_up_does_not_matter(chunks: list[bytes], limit: int) -> None:
    whole, pieces = Capture(limit), Capture(limit)
    data = b"".join(chunks)
    whole.add(data)
    for chunk in chunks:
        pieces.add(chunk)
    assert pieces.value() == whole.value()
    assert pieces.size == whole.size == len(data)
    half = limit // 2
    assert whole.value().startswith(data[:half])
    assert whole.value().endswith(data[-half:])


def test_secrets_are_not_shown() -> None:
    become = Become("sudo", password="hunter2")
    shown = repr(Command("x", stdin=b"hunter2", environment={"A": "hunter2"}, become=become))
    assert "hunter2" not in shown
