"""paramiko's side of a login, without a thread that reads for it, and without waiting for what is sure to come."""

from __future__ import annotations

from typing import Any

from paramiko.auth_handler import AuthHandler
from paramiko.message import Message

_AuthHandler: Any = AuthHandler
_SERVICE = "ssh-userauth"


class Login(_AuthHandler):  # type: ignore[misc]
    """One attempt to log in; ``transport`` reads its own connection (``wait_for``)."""

    def __init__(self, transport: Any, *, first: bool) -> None:
        """``first``: the server has not been asked yet to take logins at all."""
        super().__init__(transport)
        self._first = first
        self._sent = False

    def wait_for_response(self, event: Any) -> list[str]:
        """What else the server wants to see; raises as paramiko does."""
        self.transport.wait_for(event.is_set, self.transport.auth_timeout)
        return list(super().wait_for_response(event))

    def _request_auth(self) -> None:
        """Ask for the service and log in at once: a round trip less. (RFC 4253, 10: the key exchange was signed.)

        How an RSA key is to sign, the server says before it answers for the service.
        """
        if self._first:
            super()._request_auth()
        rsa = self.private_key is not None and "rsa" in self._get_key_type_and_bits(self.private_key)[0]
        if not (rsa and self._first):
            granted = Message()
            granted.add_string(_SERVICE)
            granted.rewind()
            super()._parse_service_accept(granted)
            self._sent = True

    def _parse_service_accept(self, message: Message) -> None:
        if not self._sent:
            self._sent = True
            super()._parse_service_accept(message)
