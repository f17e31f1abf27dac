"""The lookup ``url`` against a server on this machine."""

from __future__ import annotations

import base64
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from opsrunner.plan.fetching import fetched

DEFAULTS: dict[str, Any] = {
    "validate_certs": True,
    "use_proxy": False,
    "use_netrc": False,
    "force": False,
    "force_basic_auth": False,
    "username": None,
    "password": None,
    "headers": {},
    "timeout": 10,
    "http_agent": "agent",
    "follow_redirects": "urllib2",
    "ca_path": None,
}


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        wanted = "Basic " + base64.b64encode(b"me:word").decode()
        if self.path == "/moved":
            self.answer(302, b"", ("Location", "/text"))
        elif self.path == "/closed" and self.headers.get("Authorization") != wanted:
            self.answer(401, b"", ("WWW-Authenticate", 'Basic realm="here"'))
        elif self.path == "/headers":
            self.answer(200, "\n".join(f"{name}={value}" for name, value in sorted(self.headers.items())).encode())
        else:
            self.answer(404 if self.path == "/none" else 200, b"one\ntwo\n")

    def answer(self, code: int, content: bytes, *headers: tuple[str, str]) -> None:
        self.send_response(code)
        for name, value in (*headers, ("Content-Length", str(len(content)))):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *words: object) -> None:
        pass


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        yield f"127.0.0.1:{running.server_address[1]}"
        running.shutdown()


def test_what_is_there(server: str) -> None:
    assert fetched(f"http://{server}/text", DEFAULTS) == b"one\ntwo\n"
    assert fetched(f"http://{server}/moved", DEFAULTS) == b"one\ntwo\n"
    sent = fetched(f"http://{server}/headers", {**DEFAULTS, "headers": {"X-One": 1}, "force": True}).decode().lower()
    assert {"user-agent=agent", "x-one=1", "cache-control=no-cache"} <= set(sent.split("\n"))


@pytest.mark.parametrize("prior", [True, False])
def test_a_password_is_sent_where_it_is_asked_for(server: str, prior: bool) -> None:
    wanted = {**DEFAULTS, "username": "me", "password": "word", "force_basic_auth": prior}
    assert fetched(f"http://{server}/closed", wanted) == b"one\ntwo\n"
    assert fetched(f"http://me:word@{server}/closed", DEFAULTS) == b"one\ntwo\n"
    sent = fetched(f"http://{server}/headers", wanted)
    assert (b"Authorization" in sent) is prior


@pytest.mark.parametrize(
    ("address", "options", "error"),
    [
        ("http://{}/none", {}, "Received HTTP error for http://{}/none: 404"),
        ("http://me:wrong@{}/closed", {}, "Received HTTP error for http://{}/closed: 401"),
        ("http://{}/moved", {"follow_redirects": "none"}, "Received HTTP error for http://{}/moved: 302"),
        ("http://127.0.0.1:1/x", {}, "Failed lookup url for http://127.0.0.1:1/x: "),
        ("file:///etc/passwd", {}, "lookup url fetches http and https, not file:///etc/passwd"),
    ],
)
def test_what_cannot_be_had(server: str, address: str, options: dict[str, Any], error: str) -> None:
    with pytest.raises(ValueError) as found:
        fetched(address.format(server), {**DEFAULTS, **options})
    assert str(found.value).startswith(error.format(server))
