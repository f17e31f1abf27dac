"""A server that says nothing."""

from __future__ import annotations

from opsrunner.ssh.pulse import ASK_AFTER, GONE_AFTER, Pulse


class Wire:
    """A server, and a clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.heard_at = 5.0
        self.asked: list[float] = []
        self.pulse = Pulse(lambda: self.heard_at, lambda: self.asked.append(self.now), lambda: self.now)

    def last(self, seconds: float, *, every: float = 0.25) -> float | None:
        """Look for so long; the time at which the server counted as gone."""
        begun = self.now
        while self.now < begun + seconds:
            self.now += every
            if not self.pulse.there():
                return self.now - begun
        return None


def test_a_silent_server_is_asked_once_and_given_up() -> None:
    wire = Wire()
    assert wire.last(200) == GONE_AFTER
    assert wire.asked == [1000.0 + ASK_AFTER]


def test_any_answer_begins_anew() -> None:
    wire = Wire()
    assert wire.last(ASK_AFTER + 1) is None
    wire.heard_at += 1
    assert wire.last(GONE_AFTER - 1) is None
    assert len(wire.asked) == 2


def test_our_own_pause_is_not_the_servers_silence() -> None:
    wire = Wire()
    assert wire.last(ASK_AFTER + 1) is None
    wire.now += 3600.0  # the worker was stopped for an hour: the answer has come, and is not read yet
    assert wire.pulse.there()
    wire.heard_at += 1
    assert wire.last(1.0) is None
    assert wire.pulse.silence < ASK_AFTER
