"""One step on one host, against a host that answers at once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from opsrunner.errors import ConnectionLost, RemoteCancelled, RemoteTimeout, Unreachable
from opsrunner.executor import StepResult, Surroundings, run_step
from opsrunner.modules.contract import ModuleFailure
from opsrunner.plan.model import Loop, Options, Step
from opsrunner.remote import Command, FakeRemote
from opsrunner.templating import Layer, LookupContext, Scope, Templar

TEMPLAR = Templar(lookups=LookupContext(environment={}, read_file=lambda path: "", directory="/"))


class NoFiles:
    def read(self, path: str, *, folder: str) -> bytes:
        raise ModuleFailure(f"no file {path}")


def a_step(module: str = "command", **fields: Any) -> Step:
    arguments = fields.pop("arguments", {"_raw_params": "true"} if module in ("command", "shell") else {})
    if module == "raw":
        arguments = arguments or {"_raw_params": "true"}
    return Step(0, "step", module, "p.yml:1:1", arguments, **fields)


class Host:
    """A host, its variables, and how it answers."""

    def __init__(self, answer: Callable[[Command], tuple[int, bytes, bytes]] | None = None, **variables: Any) -> None:
        self.remote = FakeRemote("web1", answer or (lambda command: (0, b"out\n", b"")))
        self.variables = variables
        self.slept: list[float] = []
        self.stop = threading.Event()
        self.reached: list[str] = []

    def run(self, step: Step, **more: Any) -> StepResult:
        scope = Scope(TEMPLAR, [Layer(self.variables, True)])

        def reach(step: Step, target: str, scope: Scope) -> FakeRemote:
            self.reached.append(target)
            return self.remote

        around = Surroundings(files=NoFiles(), reach=reach, scope_of=lambda host: scope, stop=self.stop, **more)
        stop_wait = self.stop.wait
        self.stop.wait = lambda timeout=None: self.slept.append(timeout or 0) or stop_wait(0)  # type: ignore[method-assign]
        try:
            return run_step(step, "web1", scope, TEMPLAR, around)
        finally:
            self.stop.wait = stop_wait  # type: ignore[method-assign]


def raising(error: Exception) -> Callable[[Command], tuple[int, bytes, bytes]]:
    def answer(command: Command) -> tuple[int, bytes, bytes]:
        raise error

    return answer


def counting(*codes: int) -> Callable[[Command], tuple[int, bytes, bytes]]:
    """Exit codes one after the other; the last one stays."""
    left = list(codes)
    return lambda command: (left.pop(0) if len(left) > 1 else left[0], b"", b"")


def test_a_command_that_ran_has_changed_something() -> None:
    result = Host().run(a_step("raw", register="out"))
    assert (result.status, result.result["rc"], result.result["stdout"].strip()) == ("changed", 0, "out")
    assert result.values["out"]["failed"] is False


def test_a_failing_command_fails_and_may_be_ignored() -> None:
    host = Host(counting(3))
    assert host.run(a_step("raw")).status == "failed"
    ignored = host.run(a_step("raw", ignore_errors=True))
    assert (ignored.status, ignored.mark) == ("failed", "ignored")


@pytest.mark.parametrize(
    ("when", "status"),
    [((True,), "changed"), ((False,), "skipped"), (("n == 1", "n > 0"), "changed"), (("n == 1", "n > 1"), "skipped")],
)
def test_when(when: tuple[Any, ...], status: str) -> None:
    host = Host(n=1)
    assert host.run(a_step("raw", when=when)).status == status
    assert len(host.remote.commands) == (status == "changed")


def test_an_undefined_variable_fails_the_step_on_this_host() -> None:
    result = Host().run(a_step("raw", when=("nowhere",)))
    assert result.status == "failed"
    assert "nowhere" in result.result["msg"]


def test_a_loop_gathers_results_as_ansible_does() -> None:
    host = Host(lambda command: (int("two" in command.line), b"", b""))
    step = a_step(
        "raw", arguments={"_raw_params": "echo {{ item }}"}, loop=Loop("loop", ["one", "two"]), register="all"
    )
    result = host.run(step)
    assert result.status == "failed"
    assert [item["item"] for item in result.result["results"]] == ["one", "two"]
    assert [item["failed"] for item in result.result["results"]] == [False, True]
    assert result.result["msg"] == "One or more items failed"
    assert result.values["all"]["results"][0]["rc"] == 0


def test_with_items_flattens_one_level_and_loop_does_not() -> None:
    items = [["a", ["b"]], "c"]
    flat = Host().run(a_step("raw", loop=Loop("items", items)))
    assert [item["item"] for item in flat.result["results"]] == ["a", ["b"], "c"]
    plain = Host().run(a_step("raw", loop=Loop("loop", items)))
    assert [item["item"] for item in plain.result["results"]] == items


def test_an_empty_loop_is_skipped() -> None:
    assert Host().run(a_step("raw", loop=Loop("loop", []))).status == "skipped"


def test_a_false_condition_spares_a_loop_over_something_undefined() -> None:
    step = a_step("raw", loop=Loop("loop", "{{ nowhere }}"), when=(False,))
    assert Host().run(step).status == "skipped"


def test_until_tries_again_and_counts() -> None:
    host = Host(counting(1, 1, 0))
    result = host.run(a_step("raw", until=("out.rc == 0",), retries=5, delay=7, register="out"))
    assert (result.status, result.result["attempts"]) == ("changed", 3)
    assert host.slept == [7, 7]
    host = Host(counting(1))
    result = host.run(a_step("raw", until=("out.rc == 0",), retries=2, delay=0, register="out"))
    assert (result.status, result.result["attempts"], len(host.remote.commands)) == ("failed", 2, 3)


def test_failed_when_and_changed_when_see_the_result() -> None:
    step = a_step("raw", register="out", failed_when=("'out' not in out.stdout",), changed_when=("out.rc == 9",))
    assert Host().run(step).status == "ok"
    assert Host(lambda command: (0, b"other", b"")).run(step).status == "failed"
    assert Host(counting(4)).run(a_step("raw", failed_when=(False,))).status == "changed"


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (Unreachable("refused", host="web1"), "unreachable"),
        (ConnectionLost("link cut", host="web1", stdout=b"so far"), "lost"),
        (RemoteTimeout("too long", host="web1", fate="killed"), "failed"),
        (RemoteCancelled("cancelled", host="web1", fate="killed"), "cancelled"),
    ],
)
def test_trouble_on_the_way_is_a_value(error: Exception, status: str) -> None:
    result = Host(raising(error)).run(a_step("raw"))
    assert result.status == status
    if status == "lost":
        assert result.result["stdout"] == "so far"


def test_a_lost_answer_in_a_loop_is_never_repeated() -> None:
    host = Host(raising(ConnectionLost("link cut", host="web1")))
    assert host.run(a_step("raw", loop=Loop("loop", [1, 2, 3]))).status == "lost"
    assert len(host.remote.commands) == 1


def test_ignore_unreachable_marks_it() -> None:
    result = Host(raising(Unreachable("refused", host="web1"))).run(a_step("raw", ignore_unreachable=True))
    assert (result.status, result.mark) == ("unreachable", "ignored")


def test_no_log_hides_the_result_and_keeps_the_value() -> None:
    result = Host(lambda command: (0, b"secret", b"")).run(a_step("raw", no_log=True, register="out"))
    assert "secret" not in str(result.result)
    assert result.result["changed"] is True
    assert result.values["out"]["stdout"] == "secret"
    assert result.secret


def test_no_log_that_cannot_be_rendered_hides_too() -> None:
    result = Host().run(a_step("raw", no_log="{{ nowhere }}"))
    assert result.status == "failed"
    assert "censored" in result.result


def test_notify_only_when_something_changed() -> None:
    step = a_step("raw", notify=("restart {{ name }}",))
    assert Host(name="nginx").run(step).notify == ("restart nginx",)
    assert Host(name="nginx").run(replace(step, changed_when=(False,))).notify == ()


def test_become_and_environment_reach_the_command() -> None:
    host = Host(ansible_become_password="pw")
    step = a_step("shell", become=True, become_user="app", environment=({"A": "{{ 1 }}"}, {"B": "2"}))
    host.run(step)
    command = host.remote.commands[-1]
    assert command.become is not None
    assert (command.become.user, command.become.password, command.become.method) == ("app", "pw", "sudo")
    assert dict(command.environment) == {"A": "1", "B": "2"}
    assert "pw" not in repr(command)


def test_delegate_to_reaches_the_other_host() -> None:
    host = Host(other="db1")
    host.run(a_step("raw", delegate_to="{{ other }}"))
    assert host.reached == ["db1"]


def test_set_fact_gives_values_and_debug_sends_nothing() -> None:
    host = Host(base=20)
    result = host.run(a_step("set_fact", arguments={"answer": "{{ base + 22 }}"}))
    assert (result.status, result.values) == ("ok", {"answer": 42})
    host.run(a_step("debug", arguments={"msg": "{{ base }}"}))
    assert host.remote.commands == []


def test_a_cacheable_variable_joins_what_was_gathered_before() -> None:
    step = a_step("set_fact", arguments={"answer": 42, "cacheable": True})
    result = Host().run(step, facts_of=lambda _host: {"ansible_kernel": "6.1"})
    assert result.values == {"answer": 42, "ansible_facts": {"ansible_kernel": "6.1", "answer": 42}}


def test_gathered_facts_are_kept_and_not_shown() -> None:
    host = Host(lambda command: (0, b"loadavg\x001.5 2 3\0complete\0yes\0", b""))
    step = a_step(
        "setup",
        arguments={"gather_subset": ["!all", "!min", "loadavg"]},
        register="told",
        failed_when=("ansible_loadavg['5m'] != 2 or ansible_facts.loadavg['1m'] != 1.5",),
    )
    result = host.run(step, facts_of=lambda _host: {"ansible_kernel": "6.1"})
    load = {"1m": 1.5, "5m": 2.0, "15m": 3.0}
    assert result.status == "ok" and result.secret and "ansible_facts" not in result.result
    assert result.values["told"]["ansible_facts"]["ansible_loadavg"] == load
    assert result.values["ansible_facts"]["ansible_kernel"] == "6.1"
    assert result.values["ansible_facts"]["ansible_loadavg"] == load


def test_facts_that_did_not_come_whole_fail_the_step() -> None:
    result = Host(lambda command: (0, b"loadavg\x001.5 2 3\0", b"")).run(a_step("setup"))
    assert result.status == "failed" and "less than all of its facts" in result.result["msg"]


def test_what_a_host_printed_is_never_a_template() -> None:
    host = Host(lambda command: (0, b"{{ base }}", b""), base=1)
    result = host.run(a_step("raw", register="out", failed_when=("out.stdout != '{' ~ '{ base }}'",)))
    assert result.status == "changed"


def test_check_mode_sends_no_command() -> None:
    host = Host()
    assert host.run(a_step("raw"), options=Options(check=True)).status == "skipped"
    assert host.remote.commands == []
    assert host.run(a_step("raw", check_mode=False), options=Options(check=True)).status == "changed"


def test_a_loop_that_is_lost_in_the_middle_tells_what_came_of_the_items_before() -> None:
    def answer(command: Command) -> tuple[int, bytes, bytes]:
        if "two" in command.line:
            raise ConnectionLost("the connection was lost", host="web1")
        return 0, command.line.encode(), b""

    step = a_step("raw", arguments={"_raw_params": "{{ item }}"}, loop=Loop("loop", ["one", "two", "three"]))
    result = Host(answer).run(step)
    assert result.status == "lost"
    assert result.result["msg"] == "item 2 of 3: the connection was lost"
    assert [item["item"] for item in result.result["results"]] == ["one"]


@pytest.mark.parametrize("keyword", ["timeout", "retries", "delay"])
def test_a_keyword_that_renders_to_no_number_is_a_failure_in_words(keyword: str) -> None:
    fields = {"until": ("true",), keyword: "{{ ['soon', 'later'] }}"}
    result = Host().run(a_step("raw", **fields))
    assert result.status == "failed"
    assert result.result["msg"] == f"{keyword} takes a number, not ['soon', 'later']"


def test_a_number_may_be_omitted() -> None:
    step = a_step("raw", until=("false",), retries="{{ omit }}", delay="{{ omit }}", timeout="{{ omit }}")
    host = Host()
    assert host.run(step).result["attempts"] == 3
    assert host.slept == [5.0] * 3
    assert host.remote.commands[0].timeout == 3600.0
