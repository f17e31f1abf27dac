"""Whether a server that says nothing is still there.

TCP's own keepalive finds a host that is gone; one whose sshd hangs, or that is behind a relay which
answers for it, is found by asking sshd itself.
"""

from __future__ import annotations

from collections.abc import Callable

#: Seconds of silence after which the server is asked for a sign of life.
ASK_AFTER = 20.0
#: Seconds of silence after which it counts as gone.
GONE_AFTER = 60.0
#: Most seconds counted between two looks: the time for which we were paused ourselves is not the server's silence.
LONGEST_LOOK = 1.0


class Pulse:
    """Looked at again and again while a command runs; asks the server by itself."""

    def __init__(
        self, heard_at: Callable[[], float], ask_for_a_sign: Callable[[], None], monotonic: Callable[[], float]
    ) -> None:
        """``heard_at`` tells when anything last came from the server, whatever clock it uses."""
        self._heard_at = heard_at
        self._ask = ask_for_a_sign
        self._monotonic = monotonic
        self._heard = heard_at()
        self._looked = monotonic()
        self._asked = False
        #: Seconds without a sign of life, as far as we were awake.
        self.silence = 0.0

    def there(self) -> bool:
        """False once the server has been silent for too long though it was asked."""
        now, heard = self._monotonic(), self._heard_at()
        self.silence += min(LONGEST_LOOK, now - self._looked)
        self._looked = now
        if heard != self._heard:
            self._heard, self._asked, self.silence = heard, False, 0.0
        if self.silence >= ASK_AFTER and not self._asked:
            self._asked = True
            self._ask()
        return self.silence < GONE_AFTER
