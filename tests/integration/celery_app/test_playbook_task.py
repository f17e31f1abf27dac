"""The task ``opsrunner.run_playbook``, sent by its name from another Celery app."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from celery import Celery, chain
from celery.result import AsyncResult

from opsrunner.errors import RunFailed, RunRefused
from tests.integration.stack import Stack, wait_until


def send(app: Celery, *arguments: Any, **named: Any) -> AsyncResult:
    return app.send_task("opsrunner.run_playbook", arguments, named, queue="opsrunner")


def started(result: AsyncResult) -> str:
    """The run that the task has begun, which goes on."""
    wait_until(lambda: "run" in (result.info or {}), 90, "the run")
    assert result.state == "STARTED"
    run: str = result.info["run"]
    return run


@pytest.fixture
def held(tmp_path: Path) -> Path:
    file = tmp_path / "held"
    file.touch()
    return file


def test_the_result_is_what_came_of_the_run(other: Celery, stack: Stack) -> None:
    done = send(other, "say.yml", limit="two", extra_vars={"word": "{{ 6 * 7 }}"}).get(timeout=120)
    assert (done["status"], done["exit_code"]) == ("succeeded", 0)
    assert done["stats"]["two"]["changed"] == 1
    shown = stack.opsrunner("logs", done["run"]).stdout
    assert "{{ 6 * 7 }}" in shown, "what a message brings is no template"
    assert "celery gen" in stack.opsrunner("show", done["run"]).stdout


def test_a_run_that_fails_fails_the_task(other: Celery) -> None:
    with pytest.raises(RunFailed, match="1 failed"):
        send(other, "fail.yml").get(timeout=120)


def test_a_chain_goes_on_when_the_run_has_ended(other: Celery) -> None:
    first = other.signature("opsrunner.run_playbook", args=("say.yml",), queue="opsrunner")
    second = other.signature(
        "opsrunner.run_playbook", args=("say.yml",), kwargs={"limit": "one"}, queue="opsrunner", immutable=True
    )
    assert list(chain(first, second, app=other).apply_async().get(timeout=120)["stats"]) == ["one"]


def test_a_message_that_comes_twice_starts_one_run(other: Celery, stack: Stack, held: Path) -> None:
    result = send(other, "hold.yml", extra_vars={"held": str(held)})
    run = started(result)
    assert stack.redis
    runs = stack.redis.client.zcard("opsrunner:runs")
    other.send_task(
        "opsrunner.run_playbook", ("hold.yml",), {"extra_vars": {"held": "x"}}, queue="opsrunner", task_id=result.id
    )
    held.unlink()
    assert result.get(timeout=120)["run"] == run
    assert stack.redis.client.zcard("opsrunner:runs") == runs
    wait_until(lambda: not stack.redis.client.hlen("opsrunner:requests"), 90, "nothing to be left")


def test_revoke_cancels_the_run_and_cancel_revokes_the_task(other: Celery, stack: Stack, held: Path) -> None:
    revoked, cancelled = (send(other, "hold.yml", extra_vars={"held": str(held)}) for _ in range(2))
    runs = started(revoked), started(cancelled)
    revoked.revoke()
    stack.opsrunner("cancel", runs[1])
    for result, run in zip((revoked, cancelled), runs, strict=True):
        wait_until(result.ready, 120, "the end of the task")
        assert result.state == "REVOKED"
        assert stack.ending(run, 99)["status"] == "cancelled"
    wait_until(lambda: not stack.redis.client.hlen("opsrunner:requests"), 90, "nothing to be left")  # type: ignore[union-attr]


def test_a_message_reaches_no_more_than_it_should(other: Celery, stack: Stack) -> None:
    (stack.folder / "link.yml").unlink(missing_ok=True)
    (stack.folder / "link.yml").symlink_to("/etc/hostname")
    wanted: list[tuple[tuple[Any, ...], dict[str, Any], str]] = [
        (("../" * 20 + "etc/hostname",), {}, "outside"),
        (("/etc/hostname",), {}, "outside"),
        (("link.yml",), {}, "outside"),
        (("nope.yml",), {}, "no playbook"),
        ((), {}, "wants the path"),
        (({"a": 1},), {}, "wants the path"),
        (("say.yml", "inventory"), {}, "one argument"),
        (("say.yml",), {"inventory": "elsewhere,"}, "no inventory"),
        (("say.yml",), {"inventory": "/etc/hosts"}, "outside"),
        (("say.yml",), {"limit": "@/etc/hostname"}, "names a file"),
        (("say.yml",), {"limit": "one,&@failed-of-last"}, "names a file or a run"),
        (("say.yml",), {"private_key": "/root/.ssh/id"}, "private_key"),
        (("say.yml",), {"extra_vars": {"ansible_connection": "ssh"}}, "ansible_connection"),
        (("say.yml",), {"limti": "one"}, "did you mean limit"),
        (("say.yml",), {"tags": [1]}, "tags cannot be"),
    ]
    assert stack.redis
    runs = stack.redis.client.zcard("opsrunner:runs")
    sent = [send(other, *arguments, **named) for arguments, named, _ in wanted]
    for result, (_, _, why) in zip(sent, wanted, strict=True):
        with pytest.raises(RunRefused, match=why):
            result.get(timeout=120)
    assert stack.redis.client.zcard("opsrunner:runs") == runs
