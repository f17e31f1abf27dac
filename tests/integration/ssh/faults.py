"""Servers that misbehave."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from types import TracebackType

Behaviour = Callable[[socket.socket, threading.Event], None]


class FaultServer:
    """Listens on a free port and treats every connection by ``behaviour``, in threads, until closed."""

    def __init__(self, behaviour: Behaviour) -> None:
        self._behaviour = behaviour
        self._stop = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(0.1)
        self.port: int = self._listener.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept)]

    def __enter__(self) -> FaultServer:
        self._threads[0].start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()
        self._listener.close()

    def _accept(self) -> None:
        while not self._stop.is_set():
            try:
                connection, _ = self._listener.accept()
            except TimeoutError:
                continue
            thread = threading.Thread(target=self._serve, args=(connection,))
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            try:
                self._behaviour(connection, self._stop)
            except OSError:  # the client left
                pass


def silent(connection: socket.socket, stop: threading.Event) -> None:
    stop.wait()


def dribbling(connection: socket.socket, stop: threading.Event) -> None:
    """A banner line every so often, and never the one that counts."""
    while not stop.wait(0.05):
        connection.sendall(b"please hold the line\r\n")


def banner_only(connection: socket.socket, stop: threading.Event) -> None:
    connection.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")
    stop.wait()


def web_server(connection: socket.socket, stop: threading.Event) -> None:
    connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n" * 100)
    stop.wait(1)


def hanging_up(connection: socket.socket, stop: threading.Event) -> None:
    return


class Relay(FaultServer):
    """Passes bytes to ``port`` and back, until it is frozen: then the peer seems to hang."""

    def __init__(self, port: int) -> None:
        super().__init__(self._relay)
        self._port = port
        self.frozen = threading.Event()

    def _relay(self, connection: socket.socket, stop: threading.Event) -> None:
        with socket.create_connection(("127.0.0.1", self._port)) as onward:
            back = threading.Thread(target=self._pump, args=(onward, connection, stop))
            back.start()
            self._pump(connection, onward, stop)
            back.join()

    def _pump(self, source: socket.socket, sink: socket.socket, stop: threading.Event) -> None:
        source.settimeout(0.1)
        try:
            while not stop.is_set():
                if self.frozen.is_set():
                    time.sleep(0.05)
                    continue
                try:
                    data = source.recv(65536)
                except TimeoutError:
                    continue
                if not data:
                    break
                if not self.frozen.is_set():
                    sink.sendall(data)
        except OSError:
            pass
        finally:
            try:
                sink.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
