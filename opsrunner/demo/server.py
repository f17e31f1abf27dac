"""A small SSH server on paramiko: DEMO ONLY, for machines where OpenSSH's sshd is not installed.

It does what the demo needs of a host: login by the demo's key, commands with stdin, stdout, stderr and exit
codes (or signals), environment, many channels on a connection, a real process group for each command. No
terminal, no forwarding, no SFTP, and everybody who logs in is the user who started it.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import paramiko
from paramiko.common import (
    AUTH_FAILED,
    AUTH_SUCCESSFUL,
    OPEN_FAILED_ADMINISTRATIVELY_PROHIBITED,
    OPEN_SUCCEEDED,
    cMSG_CHANNEL_REQUEST,
)

#: Bytes passed on at a time.
_CHUNK = 32_768


def main(folder: Path, port: int, addresses: list[str]) -> None:
    """Serve every address until a signal ends the process."""
    host_key = paramiko.Ed25519Key.from_private_key_file(str(folder / "host_ed25519"))
    login_key = (folder / "id_ed25519.pub").read_text().split()[1]
    listeners = [socket.create_server((address, port), backlog=128) for address in addresses]
    threads = [threading.Thread(target=_accept, args=(listener, host_key, login_key, folder)) for listener in listeners]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _accept(listener: socket.socket, host_key: paramiko.PKey, login_key: str, folder: Path) -> None:
    while True:
        connection, _ = listener.accept()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=_serve, args=(connection, host_key, login_key, folder), daemon=True).start()


def _serve(connection: socket.socket, host_key: paramiko.PKey, login_key: str, folder: Path) -> None:
    """One connection; paramiko's own thread does the rest."""
    ends = [str(part) for end in (connection.getpeername(), connection.getsockname()) for part in end]
    transport = paramiko.Transport(connection)
    transport.add_server_key(host_key)
    environment = {
        **{name: os.environ[name] for name in ("USER", "LOGNAME", "LANG") if name in os.environ},
        "PATH": f"{folder}/bin:{os.environ.get('PATH', os.defpath)}",
        "HOME": str(folder / "home"),
        "SHELL": "/bin/sh",
        "SSH_CONNECTION": " ".join(ends),
        "SSH_CLIENT": " ".join((ends[0], ends[1], ends[3])),
    }
    try:
        transport.start_server(server=_Login(login_key, environment))
    except (paramiko.SSHException, EOFError, OSError):
        transport.close()  # whoever only looked at the port


class _Login(paramiko.ServerInterface):
    """Answers what a client asks of one connection; called in the transport's thread."""

    def __init__(self, login_key: str, environment: dict[str, str]) -> None:
        self._login_key = login_key
        self._environment = environment
        self._wanted: dict[int, dict[str, str]] = {}

    def get_allowed_auths(self, username: str) -> str:
        return "publickey"

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        return AUTH_SUCCESSFUL if key.get_base64() == self._login_key else AUTH_FAILED

    def check_channel_request(self, kind: str, chanid: int) -> int:
        return OPEN_SUCCEEDED if kind == "session" else OPEN_FAILED_ADMINISTRATIVELY_PROHIBITED

    def check_channel_env_request(self, channel: paramiko.Channel, name: bytes, value: bytes) -> bool:
        self._wanted.setdefault(channel.get_id(), {})[os.fsdecode(name)] = os.fsdecode(value)
        return True

    def check_channel_exec_request(self, channel: paramiko.Channel, command: bytes) -> bool:
        environment = self._environment | self._wanted.pop(channel.get_id(), {})
        process = subprocess.Popen(
            ["/bin/sh", "-c", command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            env=environment,
            cwd=environment["HOME"],
        )
        threading.Thread(target=_carry, args=(channel, process), daemon=True).start()
        return True


def _carry(channel: paramiko.Channel, process: subprocess.Popen[bytes]) -> None:
    """Between a channel and its command until both are through."""
    assert process.stdin and process.stdout and process.stderr
    threading.Thread(target=_feed, args=(channel, process.stdin), daemon=True).start()
    outputs = [
        threading.Thread(target=_drain, args=(process.stdout, channel.sendall), daemon=True),
        threading.Thread(target=_drain, args=(process.stderr, channel.sendall_stderr), daemon=True),
    ]
    for output in outputs:
        output.start()
    code = process.wait()
    for output in outputs:
        output.join()
    try:
        if code >= 0:
            channel.send_exit_status(code)
        else:
            _send_exit_signal(channel, signal.Signals(-code).name.removeprefix("SIG"))
        channel.close()
    except (OSError, EOFError, paramiko.SSHException):
        pass  # the client went away first


def _feed(channel: paramiko.Channel, stdin: IO[bytes]) -> None:
    try:
        while data := channel.recv(_CHUNK):
            stdin.write(data)
            stdin.flush()
    except OSError:
        pass  # the command reads no further
    finally:
        try:
            stdin.close()
        except OSError:
            pass


def _drain(stream: IO[bytes], send: Callable[[bytes], Any]) -> None:
    with stream:
        try:
            while data := os.read(stream.fileno(), _CHUNK):
                send(data)
        except OSError:
            pass  # the client went away; the command is left alone, as sshd leaves it


def _send_exit_signal(channel: paramiko.Channel, name: str) -> None:
    """RFC 4254, 6.10: paramiko can read this message and has no word to send it."""
    message = paramiko.Message()
    message.add_byte(cMSG_CHANNEL_REQUEST)
    message.add_int(channel.remote_chanid)
    message.add_string("exit-signal")
    message.add_boolean(False)
    message.add_string(name)
    message.add_boolean(False)
    message.add_string("")
    message.add_string("")
    transport: Any = channel.get_transport()
    transport._send_user_message(message)


if __name__ == "__main__":
    if shutil.which("sh", path="/bin:/usr/bin") is None:
        sys.exit("the demo's SSH server needs /bin/sh")
    main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])
