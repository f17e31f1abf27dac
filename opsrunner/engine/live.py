"""Live output of steps that take long: gathered for a moment, then one event; capped per step."""

from __future__ import annotations

import codecs
import threading
from collections.abc import Callable

from opsrunner.remote import Stream

#: Seconds a step may take before its output is shown while it runs: quick ones cost no event.
QUIET_FIRST = 0.4
#: Bytes of live output per host × step; all of it (up to the cap) is in the result.
MOST_LIVE = 256 * 1024


class LiveOutput:
    """Collects one host × step's output; ``flush`` is called by the worker's ticker."""

    def __init__(
        self,
        publish: Callable[[Stream, str], None],
        started: float,
        monotonic: Callable[[], float],
        on_open: Callable[[LiveOutput], None],
        on_close: Callable[[LiveOutput], None],
    ) -> None:
        """``on_open`` is told when the first of it comes, ``on_close`` when nothing more will."""
        self._publish = publish
        self._started = started
        self._monotonic = monotonic
        self._on_open = on_open
        self._on_close = on_close
        self._lock = threading.Lock()
        #: Pieces as they came: they are not copied unless they are published.
        self._waiting: dict[Stream, list[bytes]] = {}
        # Bytes of one character may come in two chunks.
        self._decoders: dict[Stream, codecs.IncrementalDecoder] = {}
        self._sent = 0

    def add(self, stream: Stream, data: bytes) -> None:
        with self._lock:
            first = not self._sent
            if self._sent < MOST_LIVE:
                self._waiting.setdefault(stream, []).append(data[: MOST_LIVE - self._sent])
                self._sent += len(data)
        if first:
            self._on_open(self)

    def flush(self) -> None:
        """Publish what has gathered, once the step has run for a moment."""
        if self._monotonic() - self._started < QUIET_FIRST:
            return
        with self._lock:
            ready = [(stream, self._decoder(stream).decode(b"".join(data))) for stream, data in self._waiting.items()]
            self._forget()
        for stream, text in ready:
            if text:
                self._publish(stream, text)

    def _decoder(self, stream: Stream) -> codecs.IncrementalDecoder:
        if stream not in self._decoders:
            self._decoders[stream] = codecs.getincrementaldecoder("utf-8")(errors="replace")
        return self._decoders[stream]

    def _forget(self) -> None:
        for pieces in self._waiting.values():
            pieces.clear()

    def close(self) -> None:
        """The step is over; its result tells the rest."""
        self._on_close(self)
        with self._lock:
            self._forget()
