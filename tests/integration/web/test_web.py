"""The web pages over a real ledger, with runs that the real engine carried out."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from opsrunner.ledger.following import Ledger
from opsrunner.ledger.store import connect, record_refused
from tests.integration.stack import Stack, wait_until

HOSTS = "all: {hosts: {" + ", ".join(f"web{number}: {{ansible_connection: local}}" for number in range(1, 5)) + "}}\n"
SCRIPT = "<script>alert(1)</script>"
ESCAPED = "&lt;script&gt;alert(1)&lt;/script&gt;"
HOSTILE = f"""
- name: play {SCRIPT}
  hosts: all
  gather_facts: false
  tasks:
    - name: step {SCRIPT}
      command: echo "{SCRIPT}"
    - name: only one fails
      shell: printf 'boom {SCRIPT} \\033[31m'; exit 3
      when: inventory_hostname == 'web3'
    - name: halves
      shell: printf '\\355\\240\\200 done'
      changed_when: false
"""


class Server:
    """`opsrunner web` on a free port, and a client of it."""

    def __init__(self, stack: Stack) -> None:
        self.process = stack.popen("web", "--port", "0")
        assert self.process.stderr
        self.address = self.process.stderr.readline().strip().rstrip("/")
        self.client = httpx.Client(base_url=self.address, timeout=30)

    def close(self) -> None:
        """It must end well, and have met no error that it did not expect."""
        self.client.close()
        self.process.send_signal(signal.SIGINT)
        _, error = self.process.communicate(timeout=20)
        assert "Traceback" not in error
        assert self.process.returncode == 0


class Site:
    """A finished run in a real ledger, and a client of the pages over it."""

    def __init__(self, folder: Path) -> None:
        self.stack = Stack(folder)
        self.stack.worker("one")
        self.stack.inventory(HOSTS)
        play = self.stack.folder / f"<b>{SCRIPT.replace('/', '')}.yml"
        play.write_text(HOSTILE)
        done = self.stack.opsrunner("run", play.name, "--output", "json", code=2)
        self.run: str = str(json.loads(done.stdout)["run"])
        self.server = Server(self.stack)
        self.client = self.server.client

    def close(self) -> None:
        self.server.close()
        self.stack.close()

    def ledger(self) -> Ledger:
        assert self.stack.redis
        return Ledger(connect(self.stack.redis.url))

    def page(self, path: str, code: int = 200) -> str:
        answer = self.client.get(path)
        assert answer.status_code == code, answer.text
        return answer.text

    def steps(self) -> dict[str, int]:
        record = self.ledger().find(self.run)
        return {step.name: step.number for play in record.plays for step in play.steps}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    made = Site(tmp_path_factory.mktemp("web"))
    try:
        yield made
    finally:
        made.close()


def test_the_list_shows_runs_newest_first(site: Site) -> None:
    text = site.page("/")
    assert f'<a href="/runs/{site.run}">{site.run}</a>' in text
    assert '<td class="failed">failed</td>' in text
    newer = site.stack.opsrunner("exec", "web1", "--detach", "--", "true").stdout.strip()
    text = site.page("/")
    assert text.index(newer) < text.index(site.run)


def test_a_run_shows_folded_outcomes_failures_and_recap(site: Site) -> None:
    text = site.page(f"/runs/{site.run}")
    number = site.steps()["only one fails"]
    row = text[text.index(f'id="step-{number}"') :]
    row = row[: row.index("</tr>")]
    assert '<span class="skipped">skipped</span> web[1-2,4] (3)' in row
    assert '<summary class="failed">failed web3</summary>' in row
    assert "rc 3" in row
    assert '<span class="changed">changed</span> web[1-4] (4)' in text
    assert "web3 failed" in text
    assert f'<a href="/runs/{site.run}/hosts/web3">web3</a>' in text
    assert "follow.js" not in text, "nothing is left to follow"


def test_a_unique_beginning_and_last_find_the_run(site: Site) -> None:
    assert site.run in site.page(f"/runs/{site.run[:-1]}")
    assert site.client.get("/runs/last").status_code == 200


def test_nothing_that_others_wrote_becomes_markup(site: Site) -> None:
    """Titles, plays, steps, outputs and messages of hosts: all of them hold a script here."""
    for path in ("/", f"/runs/{site.run}", f"/runs/{site.run}/hosts/web1", f"/runs/{site.run}/hosts/web3"):
        text = site.page(path)
        assert "<script>alert" not in text, path
        assert "<b>" not in text, path
    run = site.page(f"/runs/{site.run}")
    assert f"play {ESCAPED}" in run
    assert f"step {ESCAPED}" in run
    assert f"boom {ESCAPED}" in run
    assert "&lt;b&gt;" in run
    assert "\x1b" not in run
    assert "\\x1b[31m" in run
    assert ESCAPED in site.page(f"/runs/{site.run}/hosts/web1")


def test_pages_may_load_nothing_but_their_own(site: Site) -> None:
    for path in ("/", f"/runs/{site.run}", "/runs/nosuchrun", "/static/follow.js"):
        headers = site.client.get(path).headers
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"


def test_a_host_shows_what_it_printed(site: Site) -> None:
    text = site.page(f"/runs/{site.run}/hosts/web3")
    assert "boom" in text
    assert "no outcome" not in text
    assert "halves" not in text, "web3 was out by then"
    assert "halves" in site.page(f"/runs/{site.run}/hosts/web4")
    assert "no host 'web9'" in site.page(f"/runs/{site.run}/hosts/web9", 404)


def test_the_report_brings_everything_in_one_page(site: Site) -> None:
    answer = site.client.get(f"/runs/{site.run}/report")
    assert answer.status_code == 200
    assert "<script" not in answer.text
    assert answer.headers["content-security-policy"] == "default-src 'none'; style-src 'unsafe-inline'"


def test_an_outcome_as_json(site: Site) -> None:
    steps = site.steps()
    answer = site.client.get(f"/runs/{site.run}/steps/{steps['only one fails']}/hosts/web3")
    assert answer.headers["content-type"] == "application/json"
    outcome = answer.json()
    assert (outcome["host"], outcome["status"], outcome["mark"]) == ("web3", "failed", None)
    assert outcome["result"]["rc"] == 3
    assert outcome["result"]["stdout"] == f"boom {SCRIPT} \x1b[31m"
    assert outcome["started"] <= outcome["ended"]
    odd = site.client.get(f"/runs/{site.run}/steps/{steps['halves']}/hosts/web1")
    assert odd.json()["result"]["stdout"].endswith(" done")


@pytest.mark.parametrize(
    "path",
    [
        "/runs/nosuchrun",
        "/runs/nosuchrun/events",
        "/runs/nosuchrun/report",
        "/runs/nosuchrun/hosts/web1",
        "/runs/nosuchrun/steps/0/hosts/web1",
        "/runs/{run}/steps/999/hosts/web1",
        "/runs/{run}/steps/x/hosts/web1",
        "/runs/{run}/steps/0/hosts/nohost",
        "/static/../app.py",
        "/static/%2e%2e/app.py",
        "/nosuchpage",
    ],
)
def test_what_is_not_there_is_404(site: Site, path: str) -> None:
    text = site.page(path.replace("{run}", site.run), 404)
    assert "Traceback" not in text
    assert "import" not in text


def test_an_unknown_run_says_what_to_do(site: Site) -> None:
    answer = site.client.get("/runs/<script>alert(1)<%2Fscript>x")
    assert answer.status_code == 404
    assert answer.headers["content-type"].startswith("text/plain")
    assert "opsrunner runs" in site.page("/runs/nosuchrun", 404)


def test_nothing_can_be_changed(site: Site) -> None:
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        assert site.client.request(method, f"/runs/{site.run}").status_code == 405


def test_the_events_of_a_finished_run_end_by_themselves(site: Site) -> None:
    events = parsed(site.page(f"/runs/{site.run}/events"))
    kinds = [event["event"] for event in events]
    assert kinds[0] == "run_started"
    assert kinds[-1] == "run_finished"
    steps = site.steps()
    outcomes = {(data["step"], data["host"]): data["status"] for data in datas(events, "outcome")}
    assert outcomes[steps["only one fails"], "web3"] == "failed"
    assert len(outcomes) == 4 + 4 + 3
    middle = events[len(events) // 2]["id"]
    rest = [event["id"] for event in parsed(site.page(f"/runs/{site.run}/events?after={middle}"))]
    assert rest == [event["id"] for event in events[len(events) // 2 + 1 :]]
    again = site.client.get(f"/runs/{site.run}/events", headers={"Last-Event-ID": middle})
    assert [event["id"] for event in parsed(again.text)] == rest
    # 204 is what keeps a browser from coming back for ever.
    assert site.client.get(f"/runs/{site.run}/events?after={events[-1]['id']}").status_code == 204
    assert site.client.get(f"/runs/{site.run}/events?after=$").status_code == 400
    assert site.client.get(f"/runs/{site.run}/events", headers={"Last-Event-ID": "1-2-3"}).status_code == 400


def test_events_come_while_the_run_goes_on_and_the_page_follows(site: Site) -> None:
    gate = site.stack.folder / "gate"
    run = site.stack.opsrunner(
        "exec", "web1,web2", "--detach", "--", f"while [ ! -e {gate} ]; do sleep 0.1; done; echo through"
    ).stdout.strip()
    wait_until(lambda: "step_started" in [e.kind for e in site.ledger().events(run)], 30, "the step")
    page = httpx.get(f"{site.server.address}/runs/{run}").text
    assert '<strong id="status" class="running">' in page
    after = page.partition('data-after="')[2].partition('"')[0]
    assert f'data-run="{run}"' in page
    assert httpx.get(f"{site.server.address}/static/follow.js").status_code == 200
    seen: list[str] = []
    with httpx.stream("GET", f"{site.server.address}/runs/{run}/events?after=0", timeout=30) as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        for line in stream.iter_lines():
            if line.startswith("event: "):
                seen.append(line.removeprefix("event: "))
            if seen and seen[-1] == "host_started" and not gate.exists():
                gate.touch()  # the events so far arrived while the run went on
    assert seen.count("outcome") == 2
    assert seen[-1] == "run_finished"
    later = httpx.get(f"{site.server.address}/runs/{run}/events?after={after}", timeout=30).text
    assert "event: run_finished" in later
    assert '<strong id="status" class="succeeded">' in httpx.get(f"{site.server.address}/runs/{run}").text


def test_many_viewers_of_a_running_run_hold_nobody_up(site: Site) -> None:
    gate = site.stack.folder / "many"
    run = site.stack.opsrunner(
        "exec", "web1", "--detach", "--", f"while [ ! -e {gate} ]; do sleep 0.1; done"
    ).stdout.strip()
    with httpx.Client(limits=httpx.Limits(max_connections=100)) as client:
        streams = [client.stream("GET", f"{site.server.address}/runs/{run}/events", timeout=30) for _ in range(40)]
        opened = [stream.__enter__() for stream in streams]
        assert {answer.status_code for answer in opened} == {200}
        assert client.get(f"{site.server.address}/runs/{run}", timeout=30).status_code == 200
        gate.touch()
        assert all("event: run_finished" in "".join(answer.iter_text()) for answer in opened)
        for stream in streams:
            stream.__exit__(None, None, None)


def test_a_run_that_never_began_has_a_page(site: Site) -> None:
    header = {"title": "bad.yml", "kind": "playbook", "user": "schedule bad", "schedule": "bad"}
    record_refused(site.ledger().redis, "000000-refused", header, 65, f"bad.yml:3:7: {SCRIPT}", 60)
    text = site.page("/runs/000000-refused")
    assert f"bad.yml:3:7: {ESCAPED}" in text
    assert "bad input, nothing was begun" in text
    assert "schedule bad" in text
    assert parsed(site.page("/runs/000000-refused/events"))[-1]["event"] == "run_finished"


def test_redis_away_is_said_and_over_when_it_is_back(tmp_path: Path) -> None:
    stack = Stack(tmp_path)
    assert stack.redis
    server = Server(stack)
    client = server.client
    try:
        assert "No run yet" in client.get("/").text
        stack.redis.stop()
        answer = client.get("/")
        assert answer.status_code == 503
        assert "no Redis at" in answer.text
        stack.redis.start()
        assert client.get("/").status_code == 200
    finally:
        server.close()
        stack.close()


def test_a_port_that_is_taken_is_said(site: Site) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = site.stack.opsrunner("web", "--port", str(taken.getsockname()[1]), code=64)
    assert "cannot listen on 127.0.0.1" in done.stderr
    assert "--port" in done.stderr


def test_the_server_ends_at_once_while_somebody_watches(site: Site) -> None:
    gate = site.stack.folder / "watched"
    line = f"for i in $(seq 600); do [ -e {gate} ] && break; sleep 0.1; done"
    run = site.stack.opsrunner("exec", "web1", "--detach", "--", line).stdout.strip()
    server = Server(site.stack)
    with httpx.stream("GET", f"{server.address}/runs/{run}/events", timeout=30) as stream:
        next(stream.iter_text())
        server.close()  # at once: the run goes on
    assert '<strong id="status" class="running">' in httpx.get(f"{site.server.address}/runs/{run}").text
    gate.touch()
    site.stack.opsrunner("watch", run)


def test_without_the_extra_it_is_said_what_to_install(site: Site) -> None:
    code = "import sys; sys.modules['uvicorn'] = None; from opsrunner.cli.main import main; main(['web'])"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=site.stack.folder, env=site.stack.environment, capture_output=True, text=True
    )
    assert done.returncode == 64
    assert "pip install 'opsrunner[web]'" in done.stderr


def parsed(text: str) -> list[dict[str, str]]:
    return [dict(line.split(": ", 1) for line in block.splitlines()) for block in text.split("\n\n") if block]


def datas(events: list[dict[str, str]], kind: str) -> list[dict[str, Any]]:
    return [json.loads(event["data"]) for event in events if event["event"] == kind]
