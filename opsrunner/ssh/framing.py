"""Where one command's output ends in a stream that outlives it; pure: bytes in, bytes out."""

from __future__ import annotations

import re

# What stands behind the nonce: the exit status (of a greeting: the shell's process number), and what is to be
# known of the shell and the streams.
_WORDS = re.compile(rb" (\d+) (free|held|unbegun)\n")
#: Bytes of the longest thing that may stand behind the nonce.
_LONGEST = 18


class Framing:
    """One stream of one command, up to the trailer ``NONCE STATUS free|held|unbegun`` and a newline.

    The trailer follows the last byte of the output without anything between. A command does not know
    the nonce, so whatever it says cannot end its own output.
    """

    def __init__(self, nonce: str) -> None:
        self._nonce = nonce.encode()
        self._kept = b""
        #: The command's exit status; None until the trailer has come.
        self.status: int | None = None
        #: A process that the command left behind holds a stream: what it says is the command's output too.
        self.held = False
        #: The host could not begin the command.
        self.unbegun = False

    @property
    def over(self) -> bool:
        """The trailer has come."""
        return self.status is not None

    def feed(self, data: bytes) -> bytes:
        """Take what arrived; gives back output. What may be the beginning of a trailer is withheld."""
        if self.over:
            return data
        data = self._kept + data
        start = data.find(self._nonce)
        while start >= 0:
            end = start + len(self._nonce)
            if found := _WORDS.match(data, end):
                self.status, self.held, self.unbegun = int(found[1]), found[2] == b"held", found[2] == b"unbegun"
                self._kept = b""
                return data[:start] + data[found.end() :]
            if len(data) - end < _LONGEST and b"\n" not in data[end:]:
                break  # the rest of it is still on its way
            start = data.find(self._nonce, start + 1)
        if start < 0:
            start = len(data) - self._begun(data)
        self._kept = data[start:]
        return data[:start]

    def _begun(self, data: bytes) -> int:
        """How many bytes at the end of ``data`` may be the first ones of a nonce."""
        longest = min(len(data), len(self._nonce) - 1)
        return next((size for size in range(longest, 0, -1) if self._nonce.startswith(data[-size:])), 0)

    def rest(self) -> bytes:
        """What was withheld, now that nothing more will come."""
        kept, self._kept = self._kept, b""
        return kept
