"""The demo's service and the script that controls it, one process per host of the fleet.

Run as a file by a bare Python (``-I -S``: it starts in 20 ms), so it imports nothing but the standard library.
What is called ``opsrunner-demo-service`` on the hosts calls it with the fleet's folder and the service's port.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TextIO

USAGE = "usage: opsrunner-demo-service [--address ADDRESS] {start|stop|restart|status|health}"
#: Seconds that the service may take to answer, and to end.
START_WITHIN, STOP_WITHIN = 15.0, 5.0
#: What init scripts say for a service that does not run.
STOPPED, TROUBLE, MISUSED = 3, 1, 2
#: Absent where processes are asked for by ps (macOS).
PROC = Path("/proc/self/stat")


class Service:
    """The service of one host; its folder is named by the host's address."""

    def __init__(self, folder: Path, address: str, port: int) -> None:
        self.folder, self.address, self.port = folder, address, port
        self.note = folder / "service.pid"

    def pid(self) -> int | None:
        """The service's process, by id and birth: the id alone may be another's by now."""
        try:
            pid, birth = self.note.read_text().split()
        except (OSError, ValueError):
            return None
        return int(pid) if born(int(pid)) == birth else None

    def status(self) -> int:
        pid = self.pid()
        say(f"running pid={pid} port={self.port}" if pid else "stopped")
        return 0 if pid else STOPPED

    def start(self) -> int:
        if self.pid() is None:
            with (self.folder / "service.log").open("ab") as log:
                process = subprocess.Popen(
                    [sys.executable, "-I", "-S", __file__, "serve", self.address, str(self.port)],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                    cwd=self.folder,
                )
            self.note.write_text(f"{process.pid} {born(process.pid)}\n")
            deadline = time.monotonic() + START_WITHIN
            while self.ask() != "ok":
                if process.poll() is not None or time.monotonic() > deadline:
                    tail = (self.folder / "service.log").read_text(errors="replace").splitlines()[-1:]
                    say(f"does not start: {' '.join(tail)}", sys.stderr)
                    return TROUBLE
                time.sleep(0.02)
        return self.status()

    def stop(self) -> int:
        pid = self.pid()
        for number in (signal.SIGTERM, signal.SIGKILL):
            deadline = time.monotonic() + STOP_WITHIN
            if pid and self.pid():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)
            while self.pid() and time.monotonic() < deadline:
                time.sleep(0.01)
        if self.pid():
            say(f"pid {pid} does not end", sys.stderr)
            return TROUBLE
        self.note.unlink(missing_ok=True)
        return 0

    def health(self) -> int:
        answer = self.ask()
        say(answer or f"http://{self.address}:{self.port}/health does not answer", sys.stdout if answer else sys.stderr)
        return 0 if answer == "ok" else TROUBLE

    def ask(self) -> str | None:
        """What the health page says, None when nobody answers."""
        try:
            with socket.create_connection((self.address, self.port), timeout=2) as connection:
                connection.sendall(b"GET /health HTTP/1.0\r\n\r\n")
                answer = b"".join(iter(lambda: connection.recv(4096), b"")).decode(errors="replace")
        except OSError:
            return None
        head, _, body = answer.partition("\r\n\r\n")
        return body.strip() if " 200 " in head.partition("\r\n")[0] else head.partition("\r\n")[0]


def born(pid: int) -> str | None:
    """A word for when a living process began; None for one that is gone."""
    try:
        words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return None if words[0] in "ZX" else f"{boot}/{words[19]}"
    except OSError:
        if PROC.exists():
            return None
    ps = ["ps", "-o", "stat=,lstart=", "-p", str(pid)]
    said = subprocess.run(ps, capture_output=True, text=True, check=False).stdout.split()
    return "-".join(said[1:]) if said and not said[0].startswith("Z") else None


def serve(address: str, port: int) -> None:
    """The service itself: /health says ok, every other page which process answers."""
    import socketserver
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

    class Pages(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = b"ok\n" if self.path == "/health" else f"{address} pid {os.getpid()}\n".encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *arguments: object) -> None:
            """A poll every few milliseconds is not worth a line."""

    class Server(ThreadingHTTPServer):
        def server_bind(self) -> None:
            # HTTPServer would ask the resolver for our name; where that does not answer, it takes ten seconds.
            socketserver.TCPServer.server_bind(self)

    Server((address, port), Pages).serve_forever()


def control(root: Path, port: int, words: list[str]) -> int:
    """Do one verb for the host that this SSH session came in on; gives the exit code."""
    address = (os.environ.get("SSH_CONNECTION", "").split() + [""] * 3)[2]
    if words[:1] == ["--address"] and len(words) > 1:
        address, words = words[1], words[2:]
    if len(words) != 1 or words[0] not in ("start", "stop", "restart", "status", "health"):
        say(USAGE, sys.stderr)
        return MISUSED
    folder = root / "hosts" / address
    if not address or not folder.is_dir():
        say(f"{address or 'no address: not in an SSH session, and none given;'} is no host of the demo", sys.stderr)
        return MISUSED
    service = Service(folder, address, port)
    if words[0] in ("status", "health"):
        return service.status() if words[0] == "status" else service.health()
    with (folder / "lock").open("w") as lock:  # of two that come at once, one waits
        fcntl.flock(lock, fcntl.LOCK_EX)
        if words[0] != "stop" and not (root / "server.pid").exists():
            # A step that was under way as the fleet went down must not leave a service that nobody would stop.
            say("the fleet is down: opsrunner demo up", sys.stderr)
            return TROUBLE
        if words[0] == "start":
            return service.start()
        code = service.stop()
        if code == 0 and words[0] == "restart":
            return service.start()
        if code == 0:
            say("stopped")
        return code


def say(text: str, stream: TextIO | None = None) -> None:
    (stream or sys.stdout).write(f"{text}\n")


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(sys.argv[2], int(sys.argv[3]))
    else:
        sys.exit(control(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]))
