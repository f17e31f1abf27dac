"""Runs that somebody is told of: real workers and Redis, a real SMTP server, a real HTTP server."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest

from opsrunner import Runner
from opsrunner.notify.outbox import Notification, Outbox
from tests.integration.notify.servers import PASSWORD, USER, Http, Smtp, certificate
from tests.integration.stack import Stack, wait_until

HOSTS = ", ".join(f"web{number:02}: {{ansible_connection: local}}" for number in range(1, 6))
#: It fails on two hosts where a file named `bad` is there.
PLAY = """
- name: Restart the web servers
  hosts: all
  gather_facts: false
  tasks:
    - name: Restart the service
      shell: "{{ 'test ! -e bad || { echo \\"<b> {{ x }} no such service\\" >&2; exit 3; }' if inventory_hostname in
        ['web02', 'web04'] else 'true' }}"
      args: {chdir: "{{ playbook_dir }}"}
    - name: Hide
      no_log: true
      command: echo hush-hush
"""
TOKEN = "T0KEN-that-nobody-sees"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with Stack(
        tmp_path_factory.mktemp("notify"),
        CHAT_TOKEN=TOKEN,
        OPSRUNNER_WEB_URL="https://ops.example.com/",
    ) as stack:
        stack.inventory(f"all: {{hosts: {{{HOSTS}}}}}\n")
        (stack.folder / "play.yml").write_text(PLAY)
        (stack.folder / "slow.yml").write_text(
            "- hosts: web01\n  gather_facts: false\n  tasks:\n    - name: Wait\n"
            '      shell: "while [ ! -e go ]; do sleep 0.1; done"\n      args: {chdir: "{{ playbook_dir }}"}\n'
        )
        yield stack


@pytest.fixture
def stack(served: Stack) -> Stack:
    for name in ("bad", "go", "schedules.yml"):
        (served.folder / name).unlink(missing_ok=True)
    served.revive("one")
    return served


@pytest.fixture
def web() -> Iterator[Http]:
    with Http() as server:
        yield server


def declare(stack: Stack, **notifiers: dict[str, Any]) -> None:
    (stack.folder / "notifiers.yml").write_text(json.dumps({"notifiers": notifiers}))


def hook(web: Http, *on: str, **more: Any) -> dict[str, Any]:
    url = f"http://127.0.0.1:{web.port}/{TOKEN}"
    return {"webhook": {"url": url}, "on": list(on), "retry_after": "1s", "timeout": "1s", **more}


def told(stack: Stack, run: str | None = None) -> list[Notification]:
    """What `opsrunner notifications` lists."""
    assert stack.redis
    return Outbox(stack.redis.client).listed(run)


def states(stack: Stack, run: str) -> set[tuple[str, str]]:
    return {(one.event, one.state) for one in told(stack, run)}


def events(web: Http) -> list[str]:
    return [json.loads(one.body)["event"] for one in web.taken]


def test_a_failure_and_its_recovery_by_mail(stack: Stack, tmp_path: Path) -> None:
    chain = certificate(tmp_path)
    (stack.folder / "smtp.password").write_text(f"{PASSWORD}\n")
    with Smtp(chain) as smtp:
        login = {"user": USER, "password": {"file": "smtp.password"}, "ca_file": str(chain[0])}
        server = {"host": "127.0.0.1", "port": smtp.port, **login}
        people = {"to": ["ops@example.com", "B <b@example.com>"], "from": "us@example.com"}
        declare(
            stack, ops={"mail": {**people, **server}, "on": ["success", "failure", "recovery"], "retry_after": "1s"}
        )
        smtp.box.refusals.append("451 try again later")
        (stack.folder / "bad").touch()
        stack.opsrunner("run", "play.yml", "--notify", "ops", code=2)
        (stack.folder / "bad").unlink()
        stack.opsrunner("run", "play.yml", "--notify", "ops")
        wait_until(lambda: len(smtp.box.mails) == 2, 60, "two mails")
        wait_until(lambda: {one.state for one in told(stack)} == {"delivered"}, 60, "that to be known")
    by_event = {str(mail["X-Opsrunner-Event"]): mail for mail in smtp.box.mails}
    assert set(by_event) == {"failure", "recovery"}
    failure = by_event["failure"]
    assert failure["Subject"] == "[opsrunner] failed: play.yml: web[02,04] (2) failed"
    assert failure["To"] == "ops@example.com, B <b@example.com>"
    text = part(failure, "plain")
    assert "web[02,04] (2) failed at step 0, Restart the service\n" in text
    assert "    <b> {{ x }} no such service\n" in text
    assert "5 hosts × 2 steps = 10: 8 recorded (6 changed, 2 failed), 2 not reached" in text
    assert "https://ops.example.com/runs/" in text
    assert "&lt;b&gt; {{ x }} no such service" in part(failure, "html")
    assert "had failed" in part(by_event["recovery"], "plain")
    assert smtp.box.logins
    whole = "".join(part(mail, kind) for mail in smtp.box.mails for kind in ("plain", "html"))
    assert_nowhere(stack, whole, PASSWORD, "hush-hush")


def part(mail: EmailMessage, kind: str) -> str:
    found = mail.get_body((kind,))
    assert found is not None
    return str(found.get_content()).replace("\r\n", "\n")


def assert_nowhere(stack: Stack, text: str, *secrets: str) -> None:
    """No secret is in the text, in a log, or in what Redis has written to its disk."""
    assert stack.redis
    stack.redis.client.bgrewriteaof()
    files = [*stack.folder.glob("*.log"), *stack.folder.glob("redis/**/*"), *stack.folder.glob("state/*.log")]
    for file in [one for one in files if one.is_file()]:
        data = file.read_bytes()
        assert not [secret for secret in secrets if secret.encode() in data], file
    assert not [secret for secret in secrets if secret in text]


def test_what_is_not_taken_is_tried_again(stack: Stack, web: Http) -> None:
    declare(stack, chat=hook(web, "success", "recovery"))
    web.answers += [500, 429]
    run = stack.start(PLAY, "--notify", "chat")
    wait_until(lambda: len(web.taken) == 3, 60, "the third try")
    wait_until(lambda: states(stack, run) == {("success", "delivered")}, 60, "that to be known")
    assert len({one.headers["Idempotency-Key"] for one in web.taken}) == 1
    assert len({one.body for one in web.taken}) == 1
    (one,) = json.loads(stack.opsrunner("notifications", run, "--json").stdout)
    assert (one["attempts"], one["note"], one["worker"]) == (3, "HTTP 204", "one")
    log = (stack.folder / "one.log").read_text()
    assert "is tried again" in log
    assert "127.0.0.1 answers 500" in log
    assert_nowhere(stack, log, TOKEN)


def test_nobody_there_and_a_server_that_is_silent(stack: Stack) -> None:
    with Http() as gone:
        pass
    with Http() as silent:
        silent.hold.set()
        declare(stack, gone=hook(gone, "success", "recovery"), silent=hook(silent, "success", "recovery"))
        run = stack.start(PLAY, "--notify", "gone,silent")
        stack.ending(run)  # which waits for none of them
        again = {"gone", "silent"}
        wait_until(lambda: {one.notifier for one in told(stack, run) if one.attempts > 1} == again, 60, "second tries")
        listed = stack.opsrunner("notifications", "--undelivered").stdout
        assert "refused" in listed
        assert "timed out" in listed
        assert TOKEN not in listed
        silent.hold.clear()
        wait_until(lambda: ("success", "delivered") in states(stack, run), 60, "the silent one to answer")
    stack.redis.client.delete("opsrunner:outbox")  # type: ignore[union-attr]


def test_what_is_refused_for_good_is_given_up_and_told(stack: Stack, web: Http) -> None:
    declare(stack, chat=hook(web, "success", "recovery"))
    web.answers += [404, 404]
    run = Runner(stack.folder, environment=stack.environment).start("play.yml", notify="chat").id
    wait_until(lambda: states(stack, run) == {("success", "failed")}, 60, "it to be given up")
    assert told(stack, run)[0].note == "127.0.0.1 answers 404 Not Found"
    done = stack.opsrunner("notify", "test", "chat", code=1)
    assert done.stdout == "chat: failed by one: 127.0.0.1 answers 404 Not Found\n"
    done = stack.opsrunner("notify", "test", "chat")
    assert done.stdout == "chat: delivered by one: HTTP 204\n"
    assert events(web) == ["success", "test", "test"]
    (event,) = {one.event for one in told(stack, run)}
    done = stack.opsrunner("notify", "retry", run)
    assert done.stdout.splitlines()[0] == f"{run}  {event}  chat: sent again"
    wait_until(lambda: states(stack, run) == {(event, "delivered")}, 60, "it to be sent again")
    assert events(web)[3:] == [event]
    assert stack.opsrunner("notify", "retry", run).stdout == "nothing waits or was given up\n"
    assert "name a run, or pass --all" in stack.opsrunner("notify", "retry", code=64).stderr


def test_a_run_that_takes_long_and_is_cancelled_and_resumed(stack: Stack, web: Http) -> None:
    wanted = ("start", "success", "recovery", "cancelled")
    declare(stack, chat=hook(web, *wanted, still_running_after="1s"))
    run = stack.opsrunner("run", "slow.yml", "--detach", "--notify", "chat").stdout.strip()
    wait_until(lambda: {"start", "still_running"} <= {*events(web)}, 60, "start and still running")
    stack.opsrunner("cancel", run)
    wait_until(lambda: "cancelled" in events(web), 60, "its end")
    (stack.folder / "go").touch()
    stack.opsrunner("resume", run)
    wait_until(lambda: "success" in events(web), 60, "its second end")
    bodies = {body["event"]: body for body in (json.loads(one.body) for one in web.taken)}
    assert set(bodies) == {"start", "still_running", "cancelled", "success"}
    # The command may begin just after it was asked who is at work.
    assert bodies["still_running"]["waiting_for"] in ([{"step": "Wait", "hosts": "web01"}], [])
    assert "cancelled by" in bodies["cancelled"]["summary"]


def test_a_due_time_that_is_missed(stack: Stack, web: Http) -> None:
    (stack.folder / "broken.yml").write_text("- hosts: all\n  tasks: [{nosuchmodule: x}]\n")
    declare(stack)
    (stack.folder / "schedules.yml").write_text(
        json.dumps(
            {
                "notifiers": {"night": hook(web, "missed")},
                "schedules": [{"name": "nightly", "every": "2s", "playbook": "broken.yml", "notify": ["night"]}],
            }
        )
    )
    beat = subprocess.Popen(
        [sys.executable, "-m", "opsrunner", "beat"],
        cwd=stack.folder,
        env=stack.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until(lambda: web.taken, 60, "the first missed time")
    finally:
        beat.terminate()
        beat.wait()
    body = json.loads(web.taken[0].body)
    assert (body["event"], body["run"]["schedule"]) == ("missed", "nightly")
    assert "nosuchmodule" in body["run"]["reason"]


def test_mistakes_are_told_before_anything_begins(stack: Stack, web: Http) -> None:
    declare(stack, chat=hook(web, "success"))
    done = stack.opsrunner("run", "play.yml", "--notify", "chta", code=65)
    assert "no notifier 'chta'" in done.stderr
    assert "did you mean chat?" in done.stderr
    declare(stack, chat=hook(web, "sucess"))
    stack.environment["OPSRUNNER_NOTIFY"] = "chat"
    try:
        assert "unknown event 'sucess'" in stack.opsrunner("exec", "all", "--", "true", code=65).stderr
        stack.opsrunner("exec", "all", "--notify", "none", "--", "true")
    finally:
        del stack.environment["OPSRUNNER_NOTIFY"]
    assert not web.taken


def test_another_worker_sends_what_a_dead_one_had_in_hand(stack: Stack, web: Http) -> None:
    declare(stack, chat=hook(web, "success", "recovery", timeout="60s"))
    stack.revive("two")
    web.hold.set()
    run = stack.start(PLAY, "--notify", "chat")
    assert web.arrived.wait(60)
    (sending,) = told(stack, run)
    assert sending.state == "sending"
    stack.workers[sending.worker].kill()
    stack.workers[sending.worker].wait()
    web.hold.clear()
    wait_until(lambda: states(stack, run) == {("success", "delivered")}, 90, "the other worker")
    assert told(stack, run)[0].worker != sending.worker
    assert len({one.headers["Idempotency-Key"] for one in web.taken}) == 1
