"""Mail and webhooks against real servers: what is taken, what is tried again, what is given up."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from opsrunner.errors import NotificationFailed
from opsrunner.notify import mail, webhook
from opsrunner.notify.facts import samples
from opsrunner.notify.message import Message, compose
from opsrunner.notify.model import Mail, Secret, Webhook
from tests.integration.notify.servers import PASSWORD, USER, Http, Smtp, certificate

Chain = tuple[Path, Path]


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Chain:
    return certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def message() -> Message:
    return compose(samples()[0], "ops")


@pytest.fixture
def smtp() -> Iterator[Smtp]:
    with Smtp() as server:
        yield server


@pytest.fixture
def web() -> Iterator[Http]:
    with Http() as server:
        yield server


def to(port: int, *people: str, **more: object) -> Mail:
    given = Mail("127.0.0.1", port, "none", "us@example.com", people or ("ops@example.com",))
    return replace(given, **more)  # type: ignore[arg-type]


def trusted(chain: Chain) -> Secret:
    return Secret("text", chain[0].read_text())


def send_mail(given: Mail, message: Message) -> str:
    return mail.send(given, mail.compose(given, message, "id", 1795226585.0), 10.0)


def refused_mail(given: Mail, message: Message) -> NotificationFailed:
    with pytest.raises(NotificationFailed) as caught:
        send_mail(given, message)
    assert PASSWORD not in str(caught.value)
    return caught.value


def test_recipients(smtp: Smtp, message: Message) -> None:
    smtp.box.unknown = {"gone@example.com": "550 nobody here", "busy@example.com": "450 later"}
    note = send_mail(to(smtp.port, "ops@example.com", "Gone <gone@example.com>"), message)
    assert note == "not to all: gone@example.com: 550 nobody here"
    assert len(smtp.box.mails) == 1
    assert refused_mail(to(smtp.port, "gone@example.com"), message).final
    assert not refused_mail(to(smtp.port, "gone@example.com", "busy@example.com"), message).final


def test_messages(smtp: Smtp, message: Message) -> None:
    smtp.box.refusals = ["451 greylisted", "554 spam"]
    later = refused_mail(to(smtp.port), message)
    assert (str(later), later.final) == ("127.0.0.1 says 451 greylisted", False)
    assert refused_mail(to(smtp.port), message).final
    assert send_mail(to(smtp.port), message) == ""


def test_a_server_without_tls_gets_no_password(smtp: Smtp, message: Message) -> None:
    given = to(smtp.port, security="starttls", user=USER, password=Secret("text", PASSWORD))
    assert refused_mail(given, message).final
    assert not smtp.box.logins


def test_starttls_and_logins(chain: Chain, message: Message) -> None:
    with Smtp(chain) as smtp:
        given = to(smtp.port, security="starttls", user=USER, password=Secret("text", PASSWORD))
        untrusted = refused_mail(given, message)
        assert "CERTIFICATE_VERIFY_FAILED" in str(untrusted)
        assert not untrusted.final
        assert not smtp.box.logins
        given = replace(given, ca=trusted(chain))
        assert send_mail(given, message) == ""
        wrong = refused_mail(replace(given, password=Secret("text", "wrong")), message)
        assert "refuses the login" in str(wrong)
        assert wrong.final


def test_tls_from_the_first_byte(chain: Chain, message: Message) -> None:
    with Smtp(chain, from_the_first_byte=True) as smtp:
        assert send_mail(to(smtp.port, security="tls", ca=trusted(chain)), message) == ""
        assert "CERTIFICATE_VERIFY_FAILED" in str(refused_mail(to(smtp.port, security="tls"), message))


def test_a_ca_file_that_holds_none(message: Message) -> None:
    assert refused_mail(to(9, security="tls", ca=Secret("text", "no certificate")), message).final


def hook(web: Http, **more: object) -> Webhook:
    return replace(Webhook(Secret("text", f"http://127.0.0.1:{web.port}/hook?a=b")), **more)  # type: ignore[arg-type]


def send_hook(given: Webhook, message: Message, timeout: float = 10.0) -> str:
    return webhook.send(given, webhook.request_of(given, message.variables, "id"), timeout)


def refused_hook(given: Webhook, message: Message, timeout: float = 10.0) -> NotificationFailed:
    with pytest.raises(NotificationFailed) as caught:
        send_hook(given, message, timeout)
    return caught.value


def test_requests(web: Http, message: Message) -> None:
    given = hook(web, method="PUT", text="ü", headers={"Authorization": Secret("text", "Bearer x")})
    assert send_hook(given, message) == "HTTP 204"
    (taken,) = web.taken
    assert (taken.path, taken.body) == ("/hook?a=b", "ü".encode())
    assert taken.headers["Authorization"] == "Bearer x"
    assert taken.headers["Content-Type"] == "text/plain; charset=utf-8"


@pytest.mark.parametrize(
    ("code", "final"),
    [(302, True), (400, True), (401, True), (404, True), (408, False), (429, False), (500, False), (503, False)],
)
def test_answers(web: Http, message: Message, code: int, final: bool) -> None:
    web.answers = [code]
    web.headers = {"Location": f"http://127.0.0.1:{web.port}/elsewhere", "Retry-After": "7"}
    web.content = b"invalid\npayload" + b"x" * 1000
    error = refused_hook(hook(web), message)
    assert (error.final, error.wait) == (final, 7.0)
    assert f"127.0.0.1 answers {code} " in str(error)
    assert r"invalid\npayload" in str(error)
    assert len(str(error)) < 300
    assert len(web.taken) == 1  # a redirect is not followed


def test_servers_that_are_away_or_silent(message: Message) -> None:
    with Http() as gone:
        pass
    assert not refused_hook(hook(gone), message).final
    with Http() as silent:
        silent.hold.set()
        error = refused_hook(hook(silent), message, 0.2)
        assert "timed out" in str(error)
        assert not error.final


def test_what_is_no_http(message: Message) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/"
        request = webhook.request_of(Webhook(Secret("text", url), text="x"), message.variables, "id")
        with socket.create_connection(server.getsockname()):
            pass
        server.accept()[0].close()
        with pytest.raises(NotificationFailed) as caught:
            webhook.send(Webhook(Secret("text", url)), request, 0.2)
        assert not caught.value.final


def test_certificates_of_webhooks(chain: Chain, message: Message) -> None:
    with Http(chain) as web:
        given = hook(web, url=Secret("text", f"https://127.0.0.1:{web.port}/"))
        assert "CERTIFICATE_VERIFY_FAILED" in str(refused_hook(given, message))
        assert send_hook(replace(given, ca=trusted(chain)), message) == "HTTP 204"
