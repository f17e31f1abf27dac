"""The socket of a connection and its packets, against a plain TCP peer."""

from __future__ import annotations

import fcntl
import os
import select
import socket
import struct
import termios
import threading
import time
from collections.abc import Iterator
from hashlib import sha256
from typing import Any, TypeVar

import paramiko
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, aead, algorithms, modes
from paramiko.message import Message
from paramiko.packet import Packetizer

from opsrunner.ssh.packets import CommandPacketizer
from opsrunner.ssh.wire import Wire

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


def waits(wire: Wire, size: int) -> bool:
    """So many bytes have come, and nobody is woken for them."""
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        (come,) = struct.unpack("i", fcntl.ioctl(wire.fileno(), termios.FIONREAD, bytes(4)))
        if come == size:
            break
    readable = select.poll()
    readable.register(wire.fileno(), select.POLLIN)
    return not readable.poll(0)


def test_who_waits_for_an_answer_is_not_woken_for_each_of_its_pieces(ends: tuple[Wire, socket.socket]) -> None:
    wire, peer = ends
    wire.be_patient(100)
    peer.sendall(b"x" * 60)
    assert waits(wire, 60)
    peer.sendall(b"x" * 40)
    assert not waits(wire, 100)
    assert wire.fill(SECONDS)
    assert wire.ahead == 100
    # That was for one answer.
    peer.sendall(b"y")
    assert not waits(wire, 1)


def test_an_answer_that_is_shorter_than_was_expected(ends: tuple[Wire, socket.socket]) -> None:
    wire, peer = ends
    wire.be_patient(100)
    peer.sendall(b"short")
    assert waits(wire, 5)
    assert wire.fill(0.01)
    assert wire.recv(100) == b"short"
    wire.be_patient(100)
    assert not wire.fill(0.01)
    wire.be_patient(100)
    peer.sendall(b"last words")
    peer.close()
    assert wire.fill(SECONDS)
    with pytest.raises(EOFError):
        wire.fill(SECONDS)


def test_nobody_is_patient_for_others(ends: tuple[Wire, socket.socket]) -> None:
    wire, peer = ends
    assert wire.take_turn()
    wire.be_patient(100)
    peer.sendall(b"for the other")
    assert waits(wire, 13)
    done: list[str] = []
    other = threading.Thread(target=lambda: wire.await_turn(lambda: bool(done), SECONDS))
    other.start()
    assert wire.fill(SECONDS)
    wire.be_patient(100)
    peer.sendall(b"more")
    assert not waits(wire, 4)
    done.append("read")
    wire.give_turn()
    other.join(SECONDS)
    assert not other.is_alive()


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


Reading = TypeVar("Reading", CommandPacketizer, Packetizer)

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


def reading(packetizer: Reading, cipher: str) -> Reading:
    """The same, with the keys by which it reads."""
    if made := CIPHERS[cipher]:
        words, named = made()
        named = {**named, "iv_in": IV[:12]} if "aead" in named else named
        packetizer.set_inbound_cipher(*words, **named)
    return packetizer


@pytest.mark.parametrize("cipher", CIPHERS)
def test_a_packet_is_read_when_all_of_it_has_come(ends: tuple[Wire, socket.socket], cipher: str) -> None:
    wire, peer = ends
    packetizer = reading(CommandPacketizer(wire), cipher)
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


@pytest.mark.parametrize("cipher", CIPHERS)
def test_what_we_say_is_understood(ends: tuple[Wire, socket.socket], cipher: str) -> None:
    wire, peer = ends
    wire.let_go()
    packetizer = CommandPacketizer(wire)
    if made := CIPHERS[cipher]:
        words, named = made()
        named = {**named, "iv_out": IV[:12]} if "aead" in named else named
        packetizer.set_outbound_cipher(*words, sdctr=cipher != "gcm", **named)
    contents = [b"^" + b"x" * size for size in range(20)]
    for content in contents:
        packetizer.send_payload(content)
    other = reading(Packetizer(peer), cipher)  # type: ignore[no-untyped-call]
    for content in contents:
        kind, message = other.read_message()  # type: ignore[no-untyped-call]
        assert bytes([kind]) + message.get_remainder() == content


@pytest.mark.parametrize("cipher", ["ctr", "ctr-etm", "gcm"])
def test_how_long_a_packet_is_at_least(ends: tuple[Wire, socket.socket], cipher: str) -> None:
    packetizer = reading(CommandPacketizer(ends[0]), cipher)
    for size in range(1, 40):
        assert packetizer.size_of(size) == len(packets(cipher, b"x" * size))


@pytest.mark.parametrize("cipher", ["none", "gcm"])
def test_what_has_time_goes_with_what_is_sent_next(ends: tuple[Wire, socket.socket], cipher: str) -> None:
    wire, peer = ends
    wire.let_go()
    packetizer = CommandPacketizer(wire)
    if made := CIPHERS[cipher]:
        packetizer.set_outbound_cipher(*made()[0], aead=True, iv_out=IV[:12])
    packetizer.send_payload(b"^closed", later=True)
    peer.setblocking(False)
    with pytest.raises(BlockingIOError):
        peer.recv(100)
    assert not wire.fill(0.01)
    with pytest.raises(BlockingIOError):
        peer.recv(100)
    packetizer.send_payload(b"^open")
    packetizer.send_payload(b"^done", later=True)
    packetizer.flush()
    peer.settimeout(SECONDS)
    other = reading(Packetizer(peer), cipher)  # type: ignore[no-untyped-call]
    for content in (b"closed", b"open", b"done"):
        _, message = other.read_message()  # type: ignore[no-untyped-call]
        assert message.get_remainder() == content


@pytest.mark.parametrize("cipher", ["ctr", "ctr-etm", "gcm"])
def test_a_packet_that_was_tampered_with(ends: tuple[Wire, socket.socket], cipher: str) -> None:
    wire, peer = ends
    packetizer = reading(CommandPacketizer(wire), cipher)
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
        reading(CommandPacketizer(wire), "none").whole()
