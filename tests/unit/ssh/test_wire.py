"""The socket of a connection and its packets, against a plain TCP peer."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from hashlib import sha256
from typing import Any

import paramiko
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, aead, algorithms, modes
from paramiko.message import Message
from paramiko.packet import Packetizer

from opsrunner.ssh.wire import CommandPacketizer, Wire

SECONDS = 30.0
KEY, IV = b"k" * 16, b"i" * 16


@pytest.fixture
def ends() -> Iterator[tuple[Wire, socket.socket]]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        wire = Wire(socket.create_connection(listener.getsockname()))
        peer, _ = listener.accept()
        peer.settimeout(SECONDS)
        with peer:
            yield wire, peer
        wire.close()


def test_what_is_held_back_goes_before_anything_is_waited_for(ends: tuple[Wire, socket.socket]) -> None:
    wire, peer = ends
    wire.send(b"one ")
    wire.send(b"two")
    peer.setblocking(False)
    with pytest.raises(BlockingIOError):
        peer.recv(10)
    peer.settimeout(SECONDS)
    assert not wire.fill(0.0)
    assert peer.recv(100) == b"one two"
    wire.let_go()
    wire.send(b"three")
    assert peer.recv(100) == b"three"


def test_a_peer_that_wants_to_be_heard_before_it_reads_on(ends: tuple[Wire, socket.socket]) -> None:
    wire, peer = ends
    wire.let_go()
    said = os.urandom(8_000_000)
    got = bytearray()

    def talk() -> None:
        peer.sendall(said)
        while len(got) < len(said):
            got.extend(peer.recv(1 << 20))

    talking = threading.Thread(target=talk)
    talking.start()
    left = memoryview(said)
    while left:
        left = left[wire.send(bytes(left[:100_000])) :]
    while wire.ahead < len(said):
        assert wire.fill(SECONDS)
    assert wire.recv(len(said)) == said
    talking.join(SECONDS)
    assert bytes(got) == said


def test_one_reads_at_a_time_and_the_others_are_told(ends: tuple[Wire, socket.socket]) -> None:
    wire, _ = ends
    done: list[str] = []
    assert wire.take_turn()
    assert not wire.take_turn()
    waiting = threading.Thread(target=lambda: wire.await_turn(lambda: bool(done), SECONDS))
    waiting.start()
    done.append("read for the other")
    wire.tell_waiting()
    waiting.join(SECONDS)
    assert not waiting.is_alive()
    done.clear()
    waiting = threading.Thread(target=lambda: wire.await_turn(lambda: bool(done), SECONDS))
    waiting.start()
    wire.give_turn()
    waiting.join(SECONDS)
    assert not waiting.is_alive()
    assert wire.take_turn()


def test_the_end_is_told_and_a_line_has_one(ends: tuple[Wire, socket.socket]) -> None:
    wire, peer = ends
    peer.sendall(b"first\r\nsecond\nrest")
    assert [wire.line(), wire.line()] == [b"first", b"second"]
    assert wire.opening.startswith(b"first")
    assert wire.recv(100) == b"rest"
    assert wire.recv(100) == b""
    peer.sendall(b"x" * 20_000)
    with pytest.raises(paramiko.SSHException, match="without an end"):
        wire.line()
    wire.recv(20_000)
    peer.close()
    with pytest.raises(EOFError):
        while True:
            wire.fill(SECONDS)


def counter() -> Any:
    return Cipher(algorithms.AES(KEY), modes.CTR(IV)).encryptor()


#: Words for ``set_outbound_cipher`` and ``set_inbound_cipher``; the last are those that differ.
CIPHERS: dict[str, Any] = {
    "none": None,
    "ctr": lambda: ((counter(), 16, sha256, 32, b"m"), {}),
    "ctr-etm": lambda: ((counter(), 16, sha256, 32, b"m"), {"etm": True}),
    "gcm": lambda: ((aead.AESGCM(KEY), 16, None, 16, None), {"aead": True}),
}


def packets(cipher: str, *contents: bytes) -> bytes:
    """What paramiko itself sends."""
    sent = bytearray()

    class Sink:
        def send(self, data: bytes) -> int:
            sent.extend(data)
            return len(data)

    packetizer = Packetizer(Sink())  # type: ignore[no-untyped-call]
    if made := CIPHERS[cipher]:
        words, named = made()
        named = {**named, "iv_out": IV[:12]} if "aead" in named else named
        packetizer.set_outbound_cipher(*words, sdctr=cipher != "gcm", **named)
    for content in contents:
        message = Message()  # type: ignore[no-untyped-call]
        message.add_bytes(content)
        packetizer.send_message(message)
    return bytes(sent)


def reader(wire: Wire, cipher: str) -> CommandPacketizer:
    packetizer = CommandPacketizer(wire)
    if made := CIPHERS[cipher]:
        words, named = made()
        named = {**named, "iv_in": IV[:12]} if "aead" in named else named
        packetizer.set_inbound_cipher(*words, **named)
    return packetizer


@pytest.mark.parametrize("cipher", CIPHERS)
def test_a_packet_is_read_when_all_of_it_has_come(ends: tuple[Wire, socket.socket], cipher: str) -> None:
    wire, peer = ends
    packetizer = reader(wire, cipher)
    contents = [b"^" + bytes(40_000), b"_", b"`abc" * 9]
    stream = packets(cipher, *contents)
    border = len(packets(cipher, contents[0]))
    for start, stop in ((0, 7), (7, 8), (8, 15), (15, 16), (16, 30), (30, border - 1)):
        peer.sendall(stream[start:stop])
        while wire.ahead < stop:
            assert wire.fill(SECONDS)
        assert not packetizer.whole()
    peer.sendall(stream[border - 1 :])
    for number, content in enumerate(contents):
        while not packetizer.whole():
            assert wire.fill(SECONDS)
        kind, message = packetizer.read_message()
        assert bytes([kind]) + message.get_remainder() == content
        assert message.seqno == number
    assert not packetizer.whole()
    assert wire.ahead == 0


@pytest.mark.parametrize("cipher", ["ctr", "ctr-etm", "gcm"])
def test_a_packet_that_was_tampered_with(ends: tuple[Wire, socket.socket], cipher: str) -> None:
    wire, peer = ends
    packetizer = reader(wire, cipher)
    packet = bytearray(packets(cipher, b"^secret" * 5))
    packet[25] ^= 1
    peer.sendall(packet)
    while not packetizer.whole():
        assert wire.fill(SECONDS)
    with pytest.raises(Exception, match=r"MAC|^$"):  # of AES-GCM, cryptography says nothing more
        packetizer.read_message()


def test_a_packet_that_never_ends(ends: tuple[Wire, socket.socket]) -> None:
    wire, peer = ends
    peer.sendall(b"\x7f\xff\xff\xff" * 4)
    assert wire.fill(SECONDS)
    with pytest.raises(paramiko.SSHException, match="a packet of 2147483647 bytes"):
        reader(wire, "none").whole()
