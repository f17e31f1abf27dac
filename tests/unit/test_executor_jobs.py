"""Steps with async, against a host that answers at once."""

from __future__ import annotations

import re
from typing import Any

import pytest

from opsrunner.errors import ConnectionLost, RemoteCancelled, RemoteTimeout
from opsrunner.executor.asynchronous import carry_out, job_name
from opsrunner.ledger.records import Result
from opsrunner.modules.contract import Context, JobOrder, Spec
from opsrunner.plan.model import Loop
from opsrunner.remote import Command, FakeRemote
from tests.unit.test_executor import Host, NoFiles, a_step, raising


class Clock:
    """A clock that every command moves on."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.now = 0.0

    def answer(self, command: Command) -> tuple[int, bytes, bytes]:
        assert command.timeout is not None
        self.now += min(self.seconds, command.timeout)
        if command.timeout < self.seconds:
            raise RemoteTimeout("timed out", host="web1", fate="killed", stdout=b"so far")
        return 0, b"out\n", b""

    def run(self, **fields: Any) -> tuple[Host, Any]:
        host = Host(self.answer)
        return host, host.run(a_step(**fields), monotonic=lambda: self.now, attempt=lambda: "run.0.0.web1")


def test_a_job_that_is_waited_for() -> None:
    host, result = Clock(3).run(async_val=7200, poll=10, register="r")
    told = result.result
    assert (result.status, told["stdout"], told["started"], told["finished"]) == ("changed", "out", True, True)
    assert re.fullmatch(r"j[0-9]{1,12}\.0", told["ansible_job_id"])
    assert told["results_file"] == f"~/.ansible_async/{told['ansible_job_id']}"
    assert [command.timeout for command in host.remote.commands] == [7200]


@pytest.mark.parametrize(
    ("fields", "timeout", "words"),
    [
        ({"async_val": 2}, 2, "async task did not complete within the requested time - 2s"),
        ({"async_val": "{{ 2 }}", "timeout": 60}, 2, "async task did not complete within the requested time - 2s"),
        ({"async_val": 60, "timeout": 2}, 2, "timed out: killed"),
    ],
)
def test_its_time_is_over(fields: dict[str, Any], timeout: float, words: str) -> None:
    host, result = Clock(3).run(**fields)
    assert (result.status, result.result["msg"]) == ("failed", words)
    assert [command.timeout for command in host.remote.commands] == [timeout]
    if "async" in words:
        asked = result.result["async_result"]
        assert (asked["started"], asked["finished"], asked["stdout"]) == (True, False, "so far")


class Three:
    """A module of three commands."""

    SPEC = Spec("three commands")

    @staticmethod
    def run(context: Context) -> Result:
        for name in ("one", "two", "three"):
            context.exec(name)
            context.sleep(1)
        return {"changed": True}


@pytest.mark.parametrize(("seconds", "timeouts", "slept"), [(20, [20, 17, 14], [1, 1, 1]), (5, [5, 2], [1])])
def test_the_time_is_for_all_commands_together(seconds: int, timeouts: list[float], slept: list[float]) -> None:
    clock, naps = Clock(3), []
    remote = FakeRemote("web1", clock.answer)
    context = Context(
        *("web1", {}, remote, NoFiles(), str, str, bool, str, lambda name: (name, [])),
        timeout=60,
        monotonic=lambda: clock.now,
        sleep=naps.append,
    )
    result = carry_out(Three(), context, JobOrder("j1.0", seconds), poll=1)
    assert result.get("finished", False) is (seconds == 20)
    assert ([command.timeout for command in remote.commands], naps) == (timeouts, slept)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (RemoteCancelled("cancelled", host="web1", fate="killed"), "cancelled"),
        (ConnectionLost("lost", host="web1"), "lost"),
    ],
)
def test_what_ends_it_otherwise_is_told_as_ever(error: Exception, status: str) -> None:
    assert Host(raising(error)).run(a_step(async_val=5, poll=1)).status == status


def test_each_item_is_a_job_and_whoever_repeats_it_names_it_alike() -> None:
    def answer(command: Command) -> tuple[int, bytes, bytes]:
        return 0, b"job\0/home/x\0", b""

    step = a_step(loop=Loop("loop", ["one", "two"]), async_val=5, poll=0)
    told = [Host(answer).run(step, attempt=lambda name=attempt: name).result["results"] for attempt in ("a", "a", "b")]
    names = [[item["ansible_job_id"] for item in items] for items in told]
    assert names[0] == names[1] == [job_name("a", 0), job_name("a", 1)]
    assert not set(names[0]) & set(names[2])
    assert [item["finished"] for item in told[0]] == [False, False]


@pytest.mark.parametrize(
    ("module", "fields", "words"),
    [
        ("raw", {"async_val": "{{ 5 }}"}, "This action (raw) does not support async."),
        ("debug", {"async_val": "{{ 5 }}"}, "This action (debug) does not support async."),
        ("ping", {"async_val": "{{ 5 }}", "poll": 0}, "ping cannot be left to itself on the host (poll: 0)"),
        ("ping", {"async_val": 5, "poll": "{{ 0 }}"}, "ping cannot be left to itself on the host (poll: 0)"),
        ("command", {"async_val": "{{ 'soon' }}"}, "async takes a number, not 'soon'"),
        ("command", {"async_val": 5, "poll": "{{ 'now' }}"}, "poll takes a number, not 'now'"),
    ],
)
def test_what_a_template_hid_fails_and_sends_nothing(module: str, fields: dict[str, Any], words: str) -> None:
    host = Host()
    result = host.run(a_step(module, **fields))
    assert result.status == "failed"
    assert result.result["msg"].startswith(words)
    assert host.remote.commands == []


@pytest.mark.parametrize("seconds", [0, "{{ 0 }}", "{{ omit }}", None])
def test_async_of_nothing_is_no_job(seconds: Any) -> None:
    host = Host()
    result = host.run(a_step(async_val=seconds, poll=0))
    assert result.status == "changed"
    assert "ansible_job_id" not in result.result
    assert host.remote.commands[0].timeout == 3600


def test_the_folder_of_jobs_is_the_variable_of_the_host_that_is_asked() -> None:
    host = Host(lambda command: (0, b"job\0/x/j\0", b""), ansible_async_dir="/var/jobs")
    assert host.run(a_step(async_val=5, poll=0)).result["results_file"] == "/x/j"
    assert "/var/jobs" in host.remote.commands[0].line
