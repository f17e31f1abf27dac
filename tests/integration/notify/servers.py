"""Real servers that take messages: SMTP with TLS and a login, and HTTP that answers as it is told."""

from __future__ import annotations

import asyncio
import datetime
import email
import http.server
import ipaddress
import ssl
import threading
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any, Self, cast

from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

USER, PASSWORD = "opsrunner", "correct-horse-battery"


def certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 that signs itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (folder / "server.crt").write_bytes(built.public_bytes(pem))
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "server.key").write_bytes(private)
    return folder / "server.crt", folder / "server.key"


def server_context(tls: tuple[Path, Path]) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*tls)
    return context


@dataclass
class Mailbox:
    """What an SMTP server took. ``refusals`` are its answers to the next messages, in their order; ``unknown`` those
    to recipients."""

    mails: list[EmailMessage] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)
    unknown: dict[str, str] = field(default_factory=dict)
    logins: list[bytes] = field(default_factory=list)

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:
        if address in self.unknown:
            return self.unknown[address]
        envelope.rcpt_tos.append(address)
        return "250 taken"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        if self.refusals:
            return self.refusals.pop(0)
        mail = email.message_from_bytes(envelope.content, policy=default)
        self.mails.append(cast(EmailMessage, mail))
        return "250 taken"

    def authenticate(self, server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
        assert isinstance(data, LoginPassword)
        self.logins.append(data.login)
        right = data.login == USER.encode() and data.password == PASSWORD.encode()
        return AuthResult(success=right, handled=False)  # so that the server itself says 535


class Smtp:
    """A server on a free port; with a certificate it wants STARTTLS, then a login. It runs in a thread of its own.

    ``from_the_first_byte``: TLS without STARTTLS, and no login.
    """

    def __init__(self, tls: tuple[Path, Path] | None = None, *, from_the_first_byte: bool = False) -> None:
        self.box = Mailbox()
        whole = server_context(tls) if tls and from_the_first_byte else None
        self._context = server_context(tls) if tls and not from_the_first_byte else None
        # aiosmtpd's own Controller takes no port 0.
        self._loop = asyncio.new_event_loop()
        listening = self._loop.create_server(self._session, "127.0.0.1", 0, ssl=whole)
        self._server = self._loop.run_until_complete(listening)
        self.port: int = self._server.sockets[0].getsockname()[1]
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def _session(self) -> SMTP:
        return SMTP(
            self.box,
            hostname="127.0.0.1",
            tls_context=self._context,
            require_starttls=self._context is not None,
            auth_required=self._context is not None,
            authenticator=self.box.authenticate,
            loop=self._loop,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._server.close()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0.05))
        self._loop.close()


@dataclass
class Taken:
    path: str
    headers: dict[str, str]
    body: bytes


class Http:
    """A server on a free port that keeps what it is sent. ``answers`` are its codes for the next requests, then 204."""

    def __init__(self, tls: tuple[Path, Path] | None = None) -> None:
        self.taken: list[Taken] = []
        self.answers: list[int] = []
        self.headers: dict[str, str] = {}
        self.content = b""
        #: Set, requests wait: whoever sends one hangs.
        self.hold = threading.Event()
        self.arrived = threading.Event()
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.arrived.set()
                while outer.hold.is_set():
                    outer.hold.wait(0.01)
                    if not outer.hold.is_set() or outer.closed.wait(0.05):
                        break
                outer.taken.append(Taken(self.path, dict(self.headers), body))
                self.send_response(outer.answers.pop(0) if outer.answers else 204)
                for name, value in {"Content-Length": str(len(outer.content)), **outer.headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(outer.content)

            do_PUT = do_POST

            def log_message(self, format: str, *arguments: Any) -> None:
                pass

        self.closed = threading.Event()
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        if tls:
            self._server.socket = server_context(tls).wrap_socket(self._server.socket, server_side=True)
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.closed.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
