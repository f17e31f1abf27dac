"""``resume`` on a real Redis, as far as it goes before a host goes on; and following a run that was resumed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from opsrunner.cli import context, main
from opsrunner.engine.nodes import WorkerRecord, beat
from opsrunner.engine.submit import outline
from opsrunner.ledger import keys
from opsrunner.ledger.encoding import encode_event
from opsrunner.ledger.following import Ledger
from opsrunner.ledger.records import ENDED
from opsrunner.ledger.sealing import Sealer
from opsrunner.ledger.store import Store, record_refused
from opsrunner.plan.codec import decode, encode
from opsrunner.plan.model import Options
from opsrunner.plan.read import read_playbook
from opsrunner.version import VERSION
from tests.integration.stack import Redis

PLAYBOOK = """\
- name: site
  hosts: web
  gather_facts: false
  vars: {password: s3cret}
  tasks:
    - name: look
      command: uptime
    - name: mend
      shell: appctl mend
      notify: restart
  post_tasks:
    - name: tell
      debug: {msg: done}
  handlers:
    - name: restart
      command: appctl restart
"""
RUN = "260101-000000-aaaa"
Type = Callable[..., str]


class Desk:
    """A folder with playbook and inventory, of which a run has been made."""

    def __init__(self, folder: Path, store: Store) -> None:
        self.folder = folder
        self.store = store
        self.write("hosts.yml", 'web: {hosts: {"web[01:12]": }}\n')
        self.write("site.yml", PLAYBOOK)

    def write(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text)

    def submit(self, run_id: str = RUN, status: str = "failed") -> None:
        compiled = read_playbook(self.folder / "site.yml", ["hosts.yml"], Options(), {}, base=self.folder)
        header = {"title": "site.yml", "kind": "playbook", "user": "me@here"}
        self.store.create_run(run_id, header, outline(compiled.plan), encode(compiled.plan), compiled.files)
        fields = {"status": status, "started": 10.0, "finished": 11.0, "exit_code": 2}
        self.store.redis.hset(keys.run(run_id), mapping=fields)
        if status in ENDED:
            self.store.redis.srem(keys.OPEN, run_id)


@pytest.fixture
def desk(server: Redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    server.client.flushall()
    store = Store(server.client, Sealer(b"k" * 32))
    monkeypatch.setattr(context, "open_ledger", lambda worker=False: Ledger(server.client))
    monkeypatch.setattr(context, "open_store", lambda ledger: store)
    return Desk(tmp_path, store)


@pytest.fixture
def refused(desk: Desk, capsys: pytest.CaptureFixture[str]) -> Type:
    """Type ``resume``, which must be refused with that exit code; gives what it said."""

    def typed(*words: str, code: int = 65) -> str:
        capsys.readouterr()
        assert main.run(("resume", *words)) == code
        done = capsys.readouterr()
        assert done.out == ""
        return done.err

    return typed


def test_a_run_that_still_goes_on(desk: Desk, refused: Type) -> None:
    desk.submit(status="running")
    said = refused("last")
    assert f"run {RUN} still goes on (running)" in said
    assert f"opsrunner watch {RUN}" in said
    assert f"opsrunner cancel {RUN}" in said


def test_runs_that_cannot_be_resumed(desk: Desk, refused: Type) -> None:
    assert "no run '2601'" in refused("2601")
    record_refused(desk.store.redis, RUN, {"title": "x", "kind": "playbook"}, 65, "not started: no playbook", 60)
    assert "not started: no playbook" in refused(RUN)
    desk.submit()
    desk.store.redis.delete(keys.plan(RUN))
    assert "retention_days" in refused(RUN)
    assert "exclude each other" in refused(RUN, "--changed-ok", "--stored", code=64)


def test_another_key_is_said(desk: Desk, refused: Type, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.submit()
    monkeypatch.setattr(context, "open_store", lambda ledger: Store(ledger.redis, Sealer(b"x" * 32)))
    assert "does not open with this node's key" in refused(RUN)


def test_what_changed_is_shown_and_refused(desk: Desk, refused: Type) -> None:
    desk.submit()
    desk.write("site.yml", PLAYBOOK.replace("appctl mend", "appctl mend --all").replace("s3cret", "s3cret2"))
    desk.write("hosts.yml", 'web: {hosts: {"web[01:12]": }, vars: {port: 81}}\n')
    said = refused("260101")
    folder = f"{desk.folder}/"
    assert said.replace(folder, "").splitlines() == [
        "changed: hosts.yml, site.yml",
        "  play 'site' (site.yml:1:3): vars changed: password",
        "  step 1 'mend' (site.yml:8:7): shell: appctl mend → appctl mend --all",
        "  web[01-12] (12): variables changed: port",
        f"the playbook or the inventory has changed since run {RUN} was started",
        "  try: --changed-ok goes on with them as they are now, --stored with the plan as it was stored",
    ]
    assert "s3cret" not in said


def test_what_no_longer_fits_is_refused_even_when_changed_is_fine(desk: Desk, refused: Type) -> None:
    desk.submit()
    desk.write("site.yml", PLAYBOOK.replace("    - name: mend", "    - name: more\n      ping:\n    - name: mend"))
    for words in ((RUN,), (RUN, "--changed-ok")):
        said = refused(*words)
        assert "step 'more'" in said
        assert "does not fit what this run has done" in said
        assert "new run" in said
        assert "--stored" in said


def test_sources_that_no_longer_compile_are_told_as_they_are(desk: Desk, refused: Type) -> None:
    desk.submit()
    desk.write("site.yml", PLAYBOOK.replace("command: uptime", "comand: uptime"))
    for words in ((RUN,), (RUN, "--changed-ok")):
        said = refused(*words)
        assert "site.yml:7:7" in said
        assert "did you mean command?" in said
        assert "--stored goes on without them" in said


def test_slips_in_steps_and_hosts(desk: Desk, refused: Type) -> None:
    desk.submit()
    assert "2 steps are named 'restart'" in refused(RUN, "--step", "restart")
    assert "did you mean 'mend'?" in refused(RUN, "--step", "mennd")
    assert "web99" in refused(RUN, "--hosts", "web99")


def test_a_password_given_anew_is_kept_sealed(desk: Desk) -> None:
    desk.submit()
    worker = WorkerRecord("w", "boot", "queue", ("default",), "here", 1, 1, 0.0, VERSION)
    beat(desk.store.redis, worker, 60.0)
    asked = CliRunner().invoke(main.command, ["resume", RUN, "-K", "--detach"], input="hunter2\n")
    assert asked.exit_code == 0, asked.output
    data = desk.store.load_plan(RUN)
    assert data is not None
    options = decode(data).options
    assert (options.become_password, options.connection_password) == ("hunter2", None)
    client = desk.store.redis
    assert not any(b"hunter2" in client.dump(key) for key in client.scan_iter())
    assert "hunter2" not in asked.output


def test_step_takes_what_show_and_plan_print(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    from opsrunner.cli.resume import step_number

    desk.submit()
    main.run(("show", RUN, "-v"))
    shown = {line.split()[0]: line for line in capsys.readouterr().out.splitlines() if line[:5].strip().isdigit()}
    main.run(("plan", str(desk.folder / "site.yml"), "-i", str(desk.folder / "hosts.yml")))
    planned = {line.split()[0]: line for line in capsys.readouterr().out.splitlines() if line[:7].strip().isdigit()}
    record = Ledger(desk.store.redis).find(RUN)
    assert set(shown) == set(planned) == {"0", "1", "2", "3", "4"}
    for number, name in enumerate(("look", "mend", "restart", "tell", "restart")):
        assert name in shown[str(number)]
        assert name in planned[str(number)]
        assert step_number(record, str(number)) == number


def test_a_resumed_run_is_followed_to_its_last_end(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    desk.submit()

    def publish(kind: str, **data: Any) -> None:
        desk.store.publish(RUN, kind, encode_event(**data))

    publish("run_finished", status="failed", exit_code=2)
    publish("notice", text="late", level="info")
    ledger = Ledger(desk.store.redis)
    assert [event.kind for event in ledger.follow(RUN, idle=0.05) if event] == ["run_finished", "notice"]
    publish("notice", text="resumed by me", level="info")
    publish("run_finished", status="succeeded", exit_code=0)
    desk.store.redis.hset(keys.run(RUN), mapping={"status": "succeeded", "exit_code": 0})
    assert main.run(("watch", RUN, "--output", "jsonl")) == 0
    kinds = [json.loads(line)["kind"] for line in capsys.readouterr().out.splitlines()]
    assert kinds == ["run_finished", "notice", "notice", "run_finished", "recap"]


def test_a_run_that_was_resumed_and_goes_on_is_not_left_at_its_first_end(desk: Desk) -> None:
    desk.submit(status="running")
    desk.store.publish(RUN, "run_finished", encode_event(status="failed", exit_code=2))
    events = Ledger(desk.store.redis).follow(RUN, idle=0.05)
    assert (first := next(events)) and first.kind == "run_finished"
    assert next(events) is None
    desk.store.redis.hset(keys.run(RUN), "status", "succeeded")
    desk.store.publish(RUN, "run_finished", encode_event(status="succeeded", exit_code=0))
    assert [event.data["exit_code"] for event in events if event] == [0]
