"""The other verbs, typed as an operator would."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.integration.stack import Stack, statuses, wait_until


def test_exec_folds_equal_outputs_and_exits_with_the_runs_code(stack: Stack) -> None:
    done = stack.opsrunner("exec", "fleet", "--", "echo", "$HOME and {{ braces }}")
    assert "h[0001-0050] (50)" in done.stdout
    assert "$HOME and {{ braces }}" in done.stdout
    done = stack.opsrunner("exec", "h0001", "--", "echo out; echo err >&2; exit 3", code=2)
    assert "rc 3" in done.stdout
    assert "out" in done.stdout
    assert "err" in done.stdout


def test_exec_output_forms(stack: Stack) -> None:

    document = json.loads(stack.opsrunner("exec", "h0001,h0002", "--output", "json", "--", "echo hi").stdout)
    assert document["exit_code"] == 0
    assert set(document["plays"][0]["tasks"][0]["hosts"]) == {"h0001", "h0002"}
    lines = stack.opsrunner("exec", "h0001", "--output", "jsonl", "--", "echo hi").stdout.splitlines()
    kinds = [json.loads(line)["kind"] for line in lines]
    assert kinds[0] == "run_started"
    assert kinds[-2:] == ["run_finished", "recap"]


def test_detach_runs_show_logs_watch(stack: Stack) -> None:
    run = stack.opsrunner("exec", "h0001,h0002", "--detach", "--", "echo one; sleep 1; echo two").stdout.strip()
    assert stack.opsrunner("watch", run).returncode == 0
    assert run in stack.opsrunner("runs").stdout
    assert "h[0001-0002]" in stack.opsrunner("show", run[:-1]).stdout
    logs = stack.opsrunner("logs", run, "--host", "h0001").stdout
    assert "one" in logs
    assert "two" in logs
    missing = stack.opsrunner("show", "nosuchrun", code=65)
    assert "opsrunner runs" in missing.stderr


def test_a_reader_that_leaves_leaves_the_run_going(stack: Stack, tmp_path: Path) -> None:
    line = f"for i in $(seq 1200); do [ -e {tmp_path}/left ] && exit 0; echo tick; sleep 0.1; done; exit 1"
    process = stack.popen("exec", "h0001", "--output", "jsonl", "--", line)
    assert process.stdout
    assert process.stderr
    run = json.loads(process.stdout.readline())["run"]
    process.stdout.close()
    assert process.wait(120) == 99
    (tmp_path / "left").touch()
    assert f"The run goes on: opsrunner watch {run}" in process.stderr.read()
    process.stderr.close()
    assert stack.ending(run)["status"] == "succeeded"


def test_live_output_comes_while_the_command_runs(stack: Stack, tmp_path: Path) -> None:
    line = f"for i in $(seq 600); do [ -e {tmp_path}/heard ] && echo late && break; sleep 0.1; done"
    process = stack.popen("exec", "h0001", "--output", "jsonl", "--", f"echo early; {line}")
    assert process.stdout
    for line in process.stdout:
        event = json.loads(line)
        if event["kind"] == "output":
            assert "early" in event["text"]
            (tmp_path / "heard").touch()
            break
    else:
        raise AssertionError("no live output")
    assert "late" in process.communicate(timeout=30)[0]


def test_interrupt_leaves_the_run_going(stack: Stack, tmp_path: Path) -> None:
    process = stack.popen(
        "exec", "h0001", "--", f"for i in $(seq 600); do [ -e {tmp_path}/told ] && break; sleep 0.1; done"
    )
    wait_until(lambda: "h0001" in _running(stack), 20, "the command to start")
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=20)
    assert process.returncode == 99
    assert "opsrunner watch" in stderr
    assert "opsrunner cancel" in stderr
    (tmp_path / "told").touch()
    assert stack.opsrunner("watch", "last").returncode == 0


def _running(stack: Stack) -> str:
    assert stack.redis
    newest = stack.redis.client.zrevrange("opsrunner:runs", 0, 0)[0].decode()
    states = stack.redis.client.hgetall(f"opsrunner:run:{newest}:step:0")
    return " ".join(host.decode() for host, state in states.items() if state.startswith(b"R|"))


def test_cancel_kills_what_runs_and_withdraws_the_rest(stack: Stack) -> None:
    marker = stack.folder / "cancelled"
    text = f"""
- hosts: fleet[0:3]
  gather_facts: false
  serial: 2
  tasks:
    - name: long
      shell: sleep 5; touch {marker}-{{{{ inventory_hostname }}}}
"""
    (stack.folder / "play.yml").write_text(text)
    run = stack.opsrunner("run", "play.yml", "--detach").stdout.strip()
    wait_until(lambda: len(_running(stack).split()) == 2, 20, "two hosts at work")
    done = stack.opsrunner("cancel", run)
    assert "cancelled" in done.stdout
    document = json.loads(stack.opsrunner("watch", run, "--output", "json", code=99).stdout)
    assert statuses(document, "long") == {"h0001": "cancelled", "h0002": "cancelled"}
    time.sleep(5)
    assert not list(Path(stack.folder).glob("cancelled-*"))


def test_workers_and_route(stack: Stack) -> None:
    listed = json.loads(stack.opsrunner("workers", "--json").stdout)
    assert sorted(record["name"] for record in listed) == ["one", "two"]
    assert "queue opsrunner." in stack.opsrunner("route", "h0007").stdout


def test_a_zone_nobody_serves_is_refused_at_once_with_its_hosts(stack: Stack) -> None:
    text = (stack.folder / "inventory" / "hosts.yml").read_text()
    stack.inventory(text.replace("h0002: {", "h0002: {opsrunner_zone: nowhere, "))
    done = stack.opsrunner("exec", "fleet", "--", "true", code=69)
    assert "nowhere" in done.stderr
    assert "h0002" in done.stderr


def test_celery_sees_an_ordinary_project(stack: Stack) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "celery", "-A", "opsrunner", "inspect", "registered", "-t", "10", "--json"],
        cwd=stack.folder,
        env=stack.environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "opsrunner.run_shard" in done.stdout, done.stderr
    assert "opsrunner.finish_stage" in done.stdout


def test_a_plain_celery_worker_serves_hosts_too(stack: Stack) -> None:
    log = (stack.folder / "plain.log").open("wb")
    environment = {**stack.environment, "OPSRUNNER_WORKER_NAME": "plain", "OPSRUNNER_ZONES": "side"}
    process = subprocess.Popen(
        [sys.executable, "-m", "celery", "-A", "opsrunner", "worker", "-l", "info"],
        cwd=stack.folder,
        env=environment,
        stdout=log,
        stderr=log,
    )
    log.close()
    stack.workers["plain"] = process
    try:
        wait_until(lambda: stack.alive("plain"), 30, "the plain worker")
        done = stack.opsrunner("exec", "h0001", "-e", "opsrunner_zone=side", "--", "echo", "served")
        assert "served" in done.stdout
    finally:
        process.terminate()
        process.wait(20)
        del stack.workers["plain"]


def test_wrong_redis_is_said_without_a_traceback(stack: Stack) -> None:
    environment = dict(stack.environment)
    try:
        stack.environment["CELERY_BROKER_URL"] = "redis://127.0.0.1:1/0"
        stack.environment.pop("CELERY_RESULT_BACKEND", None)  # whose Redis would have the ledger
        done = stack.opsrunner("exec", "h0001", "--", "true", code=69)
        assert "no Redis at" in done.stderr
    finally:
        stack.environment.clear()
        stack.environment.update(environment)


def test_several_processes_share_the_hosts_and_end_together(stack: Stack) -> None:
    process = stack.popen("worker", "--name", "pair", "--zone", "pair", "--processes", "2", "--sessions", "7")
    assert stack.redis
    client, names = stack.redis.client, ("opsrunner:worker:pair-1", "opsrunner:worker:pair-2")
    try:
        wait_until(lambda: client.exists(*names) == 2, 40, "both processes")
        done = stack.opsrunner("exec", "fleet", "-e", "opsrunner_zone=pair", "--output", "jsonl", "--", "true")
        events = [json.loads(line) for line in done.stdout.splitlines()]
        assert {event["worker"] for event in events if event["kind"] == "outcome"} == {"pair-1", "pair-2"}
        listed = json.loads(stack.opsrunner("workers", "--json").stdout)
        assert {record["sessions"] for record in listed if record["name"].startswith("pair")} == {7}
    finally:
        process.terminate()
        process.communicate(timeout=40)
    assert process.returncode == 0
    assert not client.exists(*names)


def test_forks_limits_the_hosts_at_work(stack: Stack) -> None:
    done = stack.opsrunner("exec", "fleet[0:11]", "-f", "2", "--output", "jsonl", "--", "sleep 0.3")
    events = [json.loads(line) for line in done.stdout.splitlines()]
    at_work = most = 0
    for event in events:
        at_work += (event["kind"] == "host_started") - (event["kind"] == "outcome")
        most = max(most, at_work)
    assert most == 2
