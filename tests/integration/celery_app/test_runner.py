"""Playbooks from Python."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from opsrunner import Runner
from opsrunner.errors import InputError, RunFailed, RunNotFound
from tests.integration.stack import Stack, wait_until


def test_importing_opsrunner_imports_nothing_heavy() -> None:
    text = "import sys, opsrunner; print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True)
    assert not {"celery", "redis", "yaml", "jinja2", "paramiko", "click"} & set(done.stdout.split())


def test_a_run_that_is_waited_for(runner: Runner) -> None:
    result = runner.run("say.yml", extra_vars={"word": "hello"}, limit="one", timeout=120)
    assert (result.status, result.exit_code, result.ok) == ("succeeded", 0, True)
    assert list(result.stats) == ["one"]
    assert result.stats["one"]["changed"] == 1
    assert result.raise_for_status() is result
    hosts = runner.find(result.run).document()["plays"][0]["tasks"][0]["hosts"]
    assert hosts["one"]["stdout"] == "hello"


def test_a_host_that_fails_is_a_value(runner: Runner) -> None:
    result = runner.run("fail.yml", timeout=120)
    assert (result.status, result.exit_code) == ("failed", 2)
    with pytest.raises(RunFailed, match="failed: 1 failed"):
        result.raise_for_status()


def test_a_detached_run_has_celerys_states_and_goes_on_without_us(runner: Runner, tmp_path: Path) -> None:
    held = tmp_path / "held"
    held.touch()
    run = runner.start("hold.yml", extra_vars={"held": str(held)})
    assert run.state in ("PENDING", "STARTED")
    wait_until(lambda: run.state == "STARTED", 90, "the run")
    assert run.result is None
    with pytest.raises(TimeoutError):
        run.get(timeout=0)
    with pytest.raises(InputError, match="still goes on"):
        run.forget()
    held.unlink()
    kinds = [event.kind for event in run.events()]
    assert kinds[0] == "run_started"
    assert kinds[-1] == "run_finished"
    assert kinds.count("outcome") == 2
    assert (run.state, run.ready(), run.successful(), run.failed()) == ("SUCCESS", True, True, False)


def test_a_run_is_revoked_and_forgotten(runner: Runner, stack: Stack, tmp_path: Path) -> None:
    held = tmp_path / "held"
    held.touch()
    run = runner.start("hold.yml", extra_vars={"held": str(held)})
    wait_until(lambda: run.state == "STARTED", 90, "the run")
    run.revoke()
    assert run.get(timeout=120).exit_code == 99
    assert run.state == "REVOKED"
    run.revoke()  # nothing more to stop
    run.forget()
    with pytest.raises(RunNotFound, match="forgotten"):
        _ = run.state
    assert stack.redis
    names = [name for name in stack.redis.client.scan_iter(f"opsrunner:run:{run.id}*") if b":shards:" not in name]
    assert names
    # The worker may be giving them the days that an ended run has, and sees then that it was forgotten.
    ttl = stack.redis.client.ttl
    # (-1: it has no end; -2: it is gone.)
    wait_until(lambda: all(ttl(name) != -1 and ttl(name) <= 60 for name in names), 90, "all of it to be on its way out")
    assert run.id not in stack.opsrunner("runs").stdout


def test_what_is_wrong_is_told_before_anything_is_stored(runner: Runner, stack: Stack) -> None:
    (stack.folder / "broken.yml").write_text("- hosts: all\n  tasks:\n    - shel: id\n")
    assert stack.redis
    before = stack.redis.client.zcard("opsrunner:runs")
    with pytest.raises(InputError, match=r"broken\.yml:3:7"):
        runner.start("broken.yml")
    with pytest.raises(InputError, match="unknown argument 'limti'"):
        runner.start("say.yml", limti="one")  # type: ignore[call-arg]
    with pytest.raises(InputError, match="forks cannot be a bool"):
        runner.start("say.yml", forks=True)
    assert stack.redis.client.zcard("opsrunner:runs") == before
