"""A connection's packets: sealed and opened, and told apart before anybody would have to wait for one."""

from __future__ import annotations

import os
from typing import Any

import paramiko
from paramiko.message import Message
from paramiko.packet import Packetizer
from paramiko.util import u

from opsrunner.ssh.wire import Wire

#: Bytes of a packet, as OpenSSH takes them.
LONGEST_PACKET = 262_144
_NO_REKEY = 1 << 62
_COUNTER = (1 << 64) - 1

_PacketizerBase: Any = Packetizer


class PeekedCipher:
    """A stream cipher whose next bytes can be deciphered before they are asked for."""

    def __init__(self, cipher: Any) -> None:
        self._cipher = cipher
        self._peeked = b""

    def peek(self, data: bytes) -> bytes:
        self._peeked = self._cipher.update(data)
        return self._peeked

    def update(self, data: bytes) -> bytes:
        """The bytes that were peeked at, if there are any: they are asked for in the same piece."""
        peeked, self._peeked = self._peeked, b""
        return peeked or bytes(self._cipher.update(data))


class Sealing:
    """AES-GCM for the packets of one direction: each has a number of its own."""

    def __init__(self, cipher: Any, first: bytes) -> None:
        self._cipher = cipher
        self._salt, self._count = first[:4], int.from_bytes(first[4:], "big")

    def _next(self) -> bytes:
        nonce = self._salt + self._count.to_bytes(8, "big")
        self._count = (self._count + 1) & _COUNTER
        return nonce

    def seal(self, payload: bytes) -> bytes:
        """The packet that says ``payload``. Its length is not hidden, but sealed as well."""
        size = len(payload)
        padding = 19 - (size + 4) % 16
        length = (1 + size + padding).to_bytes(4, "big")
        plain = bytes((padding,)) + payload + os.urandom(padding)
        return length + bytes(self._cipher.encrypt(self._next(), plain, length))

    def open(self, packet: bytes) -> bytes:
        """What stands in a packet behind its length: that of the padding, the payload, the padding."""
        return bytes(self._cipher.decrypt(self._next(), packet[4:], packet[:4]))


class CommandPacketizer(_PacketizerBase):  # type: ignore[misc]
    """Tells when a whole packet has come, so that reading one never blocks.

    It never asks for new keys: a rekey begun by paramiko's client can deadlock with a channel that closes;
    connections are retired long before one is due. It starts no timer: the handshake's deadline is the watchdog's.
    """

    REKEY_BYTES = _NO_REKEY
    REKEY_PACKETS = _NO_REKEY
    _Packetizer__sequence_number_in: int
    _Packetizer__sequence_number_out: int
    _Packetizer__write_lock: Any

    def __init__(self, wire: Wire) -> None:
        super().__init__(wire)
        self._wire = wire
        #: Bytes of the next packet on the wire; 0 while that is not known.
        self._size = 0
        #: Bytes by which packets grow, and of them those that tell how long a packet is; bytes behind one.
        self._first = 8
        self._mac = 0
        self._hidden: PeekedCipher | None = None
        self._opening: Sealing | None = None
        self._sealing: Sealing | None = None
        #: How many packets were read before the last one.
        self.count_in = 0

    def start_handshake(self, timeout: float) -> None:
        return None

    def readline(self, timeout: float) -> str:
        return str(u(self._wire.line()))

    def set_inbound_cipher(
        self,
        block_engine: Any,
        block_size: int,
        mac_engine: Any,
        mac_size: int,
        mac_key: Any,
        etm: bool = False,
        aead: bool = False,
        iv_in: bytes | None = None,
    ) -> None:
        """paramiko calls it when new keys begin to count."""
        self._first, self._mac = block_size, mac_size
        self._hidden = self._opening = None
        if aead and iv_in is not None:
            self._opening = Sealing(block_engine, iv_in)
        elif not etm:  # the length is enciphered, too
            block_engine = self._hidden = PeekedCipher(block_engine)
        super().set_inbound_cipher(
            block_engine, block_size, mac_engine, mac_size, mac_key, etm=etm, aead=aead, iv_in=iv_in
        )

    def set_outbound_cipher(
        self,
        block_engine: Any,
        block_size: int,
        mac_engine: Any,
        mac_size: int,
        mac_key: Any,
        sdctr: bool = False,
        etm: bool = False,
        aead: bool = False,
        iv_out: bytes | None = None,
    ) -> None:
        """paramiko calls it when new keys begin to count."""
        self._sealing = None
        if aead and iv_out is not None:
            self._sealing = Sealing(block_engine, iv_out)
        super().set_outbound_cipher(
            block_engine, block_size, mac_engine, mac_size, mac_key, sdctr=sdctr, etm=etm, aead=aead, iv_out=iv_out
        )

    # ------------------------------------------------------------------ reading
    def whole(self) -> bool:
        """Whether the next packet has come in full. Raises SSHException for one that is too long."""
        ahead = self._wire.ahead
        if not self._size:
            if ahead < self._first:
                return False
            first = self._wire.peek(self._first)
            if self._hidden is not None:
                first = self._hidden.peek(first)
            length = int.from_bytes(first[:4], "big")
            if length > LONGEST_PACKET:
                raise paramiko.SSHException(f"a packet of {length} bytes")
            self._size = 4 + length + self._mac
        return ahead >= self._size

    def read_body(self) -> tuple[int, bytes]:
        """The kind of the next packet, which is :meth:`whole`, and what follows. SSHException: it was tampered with.

        It is the ``count_in``-th, counted from 0.
        """
        size, self._size = self._size, 0
        self.count_in = self._Packetizer__sequence_number_in
        if self._opening is None:
            kind, message = super().read_message()
            return int(kind), message.asbytes()
        # The same as paramiko's, for the one kind of cipher that nearly every server has: a third of the cost.
        plain = self._opening.open(self._wire.recv(size))
        padding = plain[0]
        if padding + 2 > len(plain):
            raise paramiko.SSHException("a packet of padding")
        self._Packetizer__sequence_number_in = (self.count_in + 1) & 0xFFFFFFFF
        return plain[1], plain[2 : len(plain) - padding]

    def read_message(self) -> tuple[int, Message]:
        """The same as paramiko's parts take it."""
        kind, body = self.read_body()
        message = Message(body)
        message.seqno = self.count_in
        return kind, message

    def size_of(self, payload: int) -> int:
        """Bytes on the wire of a packet from the server that says ``payload`` bytes, at least."""
        hidden = 4 if self._hidden is not None else 0
        return 4 - hidden + -(-(hidden + 1 + payload + 4) // self._first) * self._first + self._mac

    # ------------------------------------------------------------------ writing
    def send_payload(self, payload: bytes, *, later: bool = False) -> None:
        """Send a packet; with ``later`` it waits for the next one, or for :meth:`flush`."""
        with self._Packetizer__write_lock:
            self._wire.later = later
            try:
                if self._sealing is None:
                    super().send_message(Message(payload))
                else:
                    self._wire.send(self._sealing.seal(payload))
                    self._Packetizer__sequence_number_out = (self._Packetizer__sequence_number_out + 1) & 0xFFFFFFFF
            finally:
                self._wire.later = False

    def send_message(self, message: Message) -> None:
        """What paramiko's parts have to say."""
        self.send_payload(message.asbytes())

    def flush(self) -> None:
        """Send what waits for the next packet."""
        with self._Packetizer__write_lock:
            self._wire.flush()
