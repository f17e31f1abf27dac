"""What is told, in words, HTML and bodies of requests; and when."""

from __future__ import annotations

import email
import json
from dataclasses import replace
from email.message import EmailMessage
from email.policy import default
from typing import Any, cast
from urllib.parse import parse_qs

import pytest

from opsrunner.ledger.runs import Standing
from opsrunner.notify import mail, webhook
from opsrunner.notify.courier import pause
from opsrunner.notify.facts import Facts, samples, without_output
from opsrunner.notify.message import SUBJECT, compose
from opsrunner.notify.model import EVENTS, Mail, Notifier, Secret, Webhook
from opsrunner.notify.watch import due_events

HOOK = Webhook(Secret("text", "https://chat.example.com/T0KEN"))


def facts(event: str = "failure", message: str = "rc 3", **run: Any) -> Facts:
    found = samples()[0]
    failures = [{**found["failures"][0], "message": message}]
    return {**found, "event": event, "failures": failures, "run": {**found["run"], **run}}


@pytest.mark.parametrize("event", [*EVENTS, "test"])
def test_every_event_has_its_words(event: str) -> None:
    message = compose(facts(event), "ops")
    assert message.subject.startswith("[opsrunner] ")
    assert "\n" not in message.subject
    assert "playbooks/restart.yml" in message.text
    assert "https://opsrunner.example.com/runs/261121-023000-0000" in message.html


def test_subjects() -> None:
    def told(event: str, **run: Any) -> str:
        return compose(facts(event, **run), "ops").variables["summary"]  # type: ignore[no-any-return]

    assert told("start") == "started: playbooks/restart.yml on 3 hosts"
    assert told("still_running") == "still running after 3 min 05 s: playbooks/restart.yml"
    assert told("failure", schedule="nightly") == "failed: nightly (playbooks/restart.yml): web03 failed"
    assert told("failure", check=True) == "failed: playbooks/restart.yml, check mode: web03 failed"
    assert told("recovery") == "recovered: playbooks/restart.yml: 3 hosts in 3 min 05 s"
    assert told("missed", reason="not started at 02:30") == "not started: playbooks/restart.yml: not started at 02:30"
    assert len(told("failure", title="x" * 400)) == SUBJECT


def test_what_hosts_print_is_neither_html_nor_template() -> None:
    hostile = "<script>alert(1)</script> {{ secrets.token }} {% for %}"
    message = compose(facts(message=hostile), "ops")
    assert "<script>" not in message.html
    assert "&lt;script&gt;" in message.html
    assert hostile in message.text
    hook = replace(HOOK, json={"text": "{{ failures[0].message }}"}, secrets={"token": Secret("text", "hush")})
    request = webhook.request_of(hook, message.variables, "id")
    assert json.loads(cast(bytes, request.data)) == {"text": hostile}


def test_output_can_be_left_out() -> None:
    message = compose(without_output(facts(message="hush")), "ops")
    assert "hush" not in message.text + message.html + json.dumps(message.variables)
    assert "web03 failed at step 2" in message.text


def mime(given: Mail, said: Facts, identity: str = "one") -> EmailMessage:
    built = mail.compose(given, compose(said, "ops"), identity, 1795226585.0)
    return cast(EmailMessage, email.message_from_bytes(built.as_bytes(), policy=default))


def test_mails_have_text_and_html() -> None:
    given = Mail("h", 25, "none", "Öps <us@example.com>", ("a@example.com", "B <b@example.com>"))
    found = mime(given, facts(message="größer → kaputt"))
    assert found["To"] == "a@example.com, B <b@example.com>"
    assert found["From"] == "Öps <us@example.com>"
    assert found["Subject"] == "[opsrunner] failed: playbooks/restart.yml: web03 failed"
    assert found["Auto-Submitted"] == "auto-generated"
    plain, html = (found.get_body((kind,)) for kind in ("plain", "html"))
    assert plain is not None
    assert html is not None
    assert "größer → kaputt" in plain.get_content()
    assert "größer → kaputt" in html.get_content()
    assert mime(given, facts())["Message-ID"] == found["Message-ID"] != mime(given, facts(), "two")["Message-ID"]


def test_a_subject_of_ones_own() -> None:
    given = Mail("h", 25, "none", "us@example.com", ("a@example.com",), subject="{{ run.id }}: {{ run.reason }}")
    assert mime(given, facts(reason="a\r\nBcc: x@y.z"))["Subject"] == r"261121-023000-0000: a\nBcc: x@y.z"


def test_bodies() -> None:
    variables = compose(facts(), "ops").variables
    whole = webhook.request_of(HOOK, variables, "id")
    assert json.loads(cast(bytes, whole.data)) == variables
    assert whole.get_method() == "POST"
    assert whole.get_header("Content-type") == "application/json"
    form = replace(
        HOOK,
        method="PUT",
        form={"to": "+49 170", "text": "{{ summary }}&x=1", "n": "{{ counts.hosts }}", "t": "{{ secrets.t }}"},
        secrets={"t": Secret("text", "hush")},
    )
    request = webhook.request_of(form, variables, "id")
    assert parse_qs(cast(bytes, request.data).decode()) == {
        "to": ["+49 170"],
        "text": ["failed: playbooks/restart.yml: web03 failed&x=1"],
        "n": ["3"],
        "t": ["hush"],
    }
    assert request.get_method() == "PUT"
    text = webhook.request_of(
        replace(HOOK, text="{{ event }} ü", headers={"content-type": Secret("text", "text/x")}), variables, "id"
    )
    assert cast(bytes, text.data).decode() == "failure ü"
    assert text.get_header("Content-type") == "text/x"


def test_a_loop_that_writes_nothing_is_an_empty_text() -> None:
    nothing = "{% for one in [] %}{{ one }}{% endfor %}"
    variables = compose(facts(), "ops").variables
    request = webhook.request_of(
        replace(HOOK, json={"blocks": [{"text": nothing}], "schedule": "{{ none }}"}), variables, "id"
    )
    assert json.loads(cast(bytes, request.data)) == {"blocks": [{"text": ""}], "schedule": None}
    request = webhook.request_of(replace(HOOK, form={"a": nothing, "b": "{{ none }}"}), variables, "id")
    assert request.data == b"a=&b="


def test_signature() -> None:
    signed = replace(HOOK, text="{{ event }}", signature_header="X-Sign", signature_key=Secret("text", "key"))
    request = webhook.request_of(signed, compose(facts(), "ops").variables, "id")
    # printf failure | openssl dgst -sha256 -hmac key
    assert request.get_header("X-sign") == ("sha256=60f11430e5684a0ce60be33695f77e2d74be1687b2013b0c9e00e608569e273c")


def due(standing: Standing, now: float = 1000.0, announced: float = 0.0, **notifier: Any) -> list[tuple[str, str]]:
    one = Notifier("ops", HOOK, **notifier)
    return [(due.event, due.identity) for due in due_events("r", standing, [one], now, announced=announced)]


def test_when_somebody_is_told() -> None:
    every: dict[str, Any] = {"on": EVENTS, "still_running_after": 100.0}
    assert due(Standing("submitted", None, ""), **every) == []
    assert due(Standing("running", 950.0, ""), **every) == [("start", "r:start:ops")]
    assert due(Standing("running", 900.0, ""), **every)[1:] == [("still_running", "r:still-running:ops")]
    assert due(Standing("running", 900.0, "")) == []
    assert due(Standing("running", 1.0, ""), announced=950.5, **every) == [("start", "r:start:ops")]
    resumed = due(Standing("running", 1.0, ""), announced=900.0, **every)
    assert resumed[1:] == [("still_running", "r:still-running-900.0:ops")]
    assert due(Standing("succeeded", 900.0, "990.5"), **every) == [("success", "r:end-990.5:ops")]
    assert due(Standing("succeeded", 900.0, "990.5"), on=("start",)) == [("start", "r:start:ops")]
    assert due(Standing("succeeded", 900.0, "990.5"), on=("recovery",)) == [("success", "r:end-990.5:ops")]
    assert due(Standing("failed", None, "990.5"), **every) == [("missed", "r:end-990.5:ops")]
    for status, event in (("failed", "failure"), ("stopped", "failure"), ("held", "held"), ("cancelled", "cancelled")):
        assert due(Standing(status, 900.0, "990.5"), **every) == [(event, "r:end-990.5:ops")]
        assert due(Standing(status, 900.0, "990.5"), on=("start", "success")) == [("start", "r:start:ops")]


def test_pauses_grow_up_to_an_hour() -> None:
    one = Notifier("ops", HOOK, retry_after=30.0)
    assert [pause(one, attempt, lambda: 0.0) for attempt in (1, 2, 3, 7, 8, 500)] == [30, 60, 120, 1920, 3600, 3600]
    assert pause(one, 1, lambda: 1.0) == 33
    assert pause(replace(one, retry_after=7200.0), 3, lambda: 0.0) == 7200
