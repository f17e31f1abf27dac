"""A step's guarded commands: real shells behind a link that breaks when it is told to."""

from __future__ import annotations

import secrets
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from opsrunner.attempt import cleanup_line
from opsrunner.engine.guard import PATIENCE, Guard, attempt_name, wanted
from opsrunner.errors import BecomeFailed, ConnectionLost, RemoteCancelled, RemoteError, RemoteTimeout, Unreachable
from opsrunner.executor import Fenced, Stopped
from opsrunner.local import LocalRemote
from opsrunner.modules.contract import ModuleFailure
from opsrunner.plan.model import Step
from opsrunner.remote import GUARD_REFUSED_MESSAGE, GUARD_UNKNOWN_MESSAGE, Command, Completed, FakeRemote, OnOutput
from opsrunner.templating import Layer, LookupContext, Scope, Templar

TEMPLAR = Templar(lookups=LookupContext(environment={}, read_file=lambda path: "", directory="/"))


class Clock:
    """Seconds that pass only when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


class Link(LocalRemote):
    """This machine behind a link: the next commands meet ``faults``, in their order.

    ``after`` lets the command run to its end and loses the answer; an error is raised instead of
    sending anything; None is good weather, and so is what comes behind the last fault.
    """

    def __init__(self, *faults: Any) -> None:
        super().__init__("web1", grace=0.5)
        self.faults = list(faults)
        self.asked: list[Command] = []

    def exec(
        self, command: Command, *, on_output: OnOutput | None = None, stop: threading.Event | None = None
    ) -> Completed:
        self.asked.append(command)
        fault = self.faults.pop(0) if self.faults else None
        if isinstance(fault, Exception):
            raise fault
        completed = super().exec(command, on_output=on_output, stop=stop)
        if fault == "after":
            raise lost(completed.stdout)
        return completed


def lost(stdout: bytes = b"") -> ConnectionLost:
    return ConnectionLost("the connection was lost", host="web1", why="cut", stdout=stdout)


def away() -> Unreachable:
    return Unreachable("cannot connect", host="web1", why="no route")


@pytest.fixture
def attempt() -> Iterator[str]:
    name = f"test-{secrets.token_hex(4)}.0"
    yield name
    subprocess.run(["/bin/sh", "-c", cleanup_line(name)], check=True)


def directories(attempt: str) -> list[str]:
    listed = subprocess.run(["/bin/sh", "-c", "ls /var/tmp/opsrunner-$(id -u)"], capture_output=True, text=True)
    return [name for name in listed.stdout.split() if name.startswith(attempt)]


def test_the_same_commands_in_the_same_order_find_their_answers(attempt: str, tmp_path: Path) -> None:
    for link in (Link(), Link()):
        guard = Guard(attempt)
        remote = guard.around(link)
        for number in range(3):
            line = f"echo {number} | tee -a {tmp_path}/ran"
            assert remote.exec(Command(line)).stdout == f"{number}\n".encode()
    assert (tmp_path / "ran").read_text() == "0\n1\n2\n"
    assert directories(attempt) == [f"{attempt}.{number}" for number in range(3)]
    guard.tidy()
    assert directories(attempt) == []


def test_several_machines_count_as_one_row(attempt: str) -> None:
    # delegate_to may lead to the same machine by two names.
    guard = Guard(attempt)
    first, second = guard.around(Link()), guard.around(Link())
    assert [remote.exec(Command("echo $$")).rc for remote in (first, second, first)] == [0, 0, 0]
    assert directories(attempt) == [f"{attempt}.{number}" for number in range(3)]


def test_a_lost_answer_is_asked_for_again(attempt: str, tmp_path: Path) -> None:
    clock = Clock()
    link = Link("after", away(), BecomeFailed("sudo would not", host="web1"), "after")
    guard = Guard(attempt, clock.monotonic, clock.sleep)
    heard = bytearray()
    done = guard.around(link).exec(
        Command(f"echo x >>{tmp_path}/ran; echo out; echo err >&2; exit 3"),
        on_output=lambda _, data: heard.extend(data),
    )
    assert (done.rc, done.stdout, done.stderr) == (3, b"out\n", b"err\n")
    assert (tmp_path / "ran").read_text() == "x\n"
    assert sorted(heard.split()) == [b"err", b"out"]  # told once, though it came three times
    assert clock.slept == [0.2, 0.4, 0.8, 1.6]
    assert {command.guard for command in link.asked} == {f"{attempt}.0"}


def test_a_host_that_is_away_may_have_run_what_another_worker_began(attempt: str, tmp_path: Path) -> None:
    line = Command(f"echo x >>{tmp_path}/ran; echo out")
    assert Guard(attempt).around(Link()).exec(line).stdout == b"out\n"  # the worker died before it told anybody
    with pytest.raises(Unreachable):
        Guard(attempt).around(Link(away())).exec(line)
    clock = Clock()
    guard = Guard(attempt, clock.monotonic, clock.sleep, begun=True)
    assert guard.around(Link(away(), away())).exec(line).stdout == b"out\n"
    guard = Guard(attempt, clock.monotonic, clock.sleep, patience=5.0, begun=True)
    with pytest.raises(ConnectionLost, match="could not be asked how the command ended"):
        guard.around(Link(*(away() for _ in range(20)))).exec(line)
    assert guard.unsettled
    assert (tmp_path / "ran").read_text() == "x\n"


def test_a_command_that_never_began_is_begun(attempt: str) -> None:
    link = Link(lost())
    assert Guard(attempt, sleep=lambda _: None).around(link).exec(Command("echo now")).stdout == b"now\n"


def test_pauses_grow_and_the_patience_ends(attempt: str) -> None:
    clock = Clock()
    link = Link(lost(b"so far"), *[away()] * 50)
    guard = Guard(attempt, clock.monotonic, clock.sleep)
    with pytest.raises(ConnectionLost) as caught:
        guard.around(link).exec(Command("true"))
    assert clock.now == PATIENCE
    assert clock.slept[:7] == [0.2, 0.4, 0.8, 1.6, 3.2, 5, 5]
    assert caught.value.stdout == b"so far"
    assert f"/var/tmp/opsrunner-UID/{attempt}.0" in str(caught.value.remedy) and "resume" in str(caught.value.remedy)
    # What the host knows is kept for whoever asks next.
    guard.tidy()
    assert link.asked[-1].guard == f"{attempt}.0"


def test_a_host_that_came_back_for_a_while_gets_new_patience(attempt: str) -> None:
    clock = Clock()

    class Slow(Link):
        def exec(self, command: Command, **more: Any) -> Completed:
            clock.now += 10
            return super().exec(command, **more)

    link = Slow(lost(), *[away()] * 3, lost(), *[away()] * 4)
    assert Guard(attempt, clock.monotonic, clock.sleep).around(link).exec(Command("echo x")).rc == 0
    assert clock.now > PATIENCE


def test_nothing_was_sent_is_told_at_once(attempt: str) -> None:
    clock = Clock()
    for error in (away(), BecomeFailed("sudo would not", host="web1"), Stopped(), Fenced()):
        with pytest.raises(type(error)):
            Guard(attempt, clock.monotonic, clock.sleep).around(Link(error)).exec(Command("true"))
    assert clock.slept == []


def test_who_was_fenced_asks_no_more_and_removes_nothing(attempt: str) -> None:
    guard = Guard(attempt, sleep=lambda _: None)
    link = Link("after", Fenced())
    with pytest.raises(Fenced):
        guard.around(link).exec(Command("true"))
    link.faults = [Fenced()]
    guard.tidy()
    assert directories(attempt) == [f"{attempt}.0"]


def test_the_deadline_counts_from_the_first_time(attempt: str) -> None:
    clock = Clock()
    link = Link("after", away(), away())
    Guard(attempt, clock.monotonic, clock.sleep).around(link).exec(Command("true", timeout=20))
    assert [command.timeout for command in link.asked] == pytest.approx([20, 19.8, 19.4, 18.6])


def test_a_deadline_ends_the_command_that_runs_there_already(attempt: str, tmp_path: Path) -> None:
    line = f"echo $$ >{tmp_path}/pid; exec sleep 60"
    first = threading.Thread(target=lambda: Guard(attempt).around(Link()).exec(Command(line)))
    first.start()
    while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
        time.sleep(0.01)
    with pytest.raises(RemoteTimeout) as caught:
        Guard(attempt).around(Link()).exec(Command(line, timeout=0.5))
    assert caught.value.fate == "killed"
    first.join(10)
    assert not Path(f"/proc/{(tmp_path / 'pid').read_text().strip()}").exists()


@pytest.mark.parametrize("error", [Stopped(), RemoteCancelled("cancelled", host="web1", fate="not started"), None])
def test_a_cancellation_while_the_link_is_down(attempt: str, error: Exception | None) -> None:
    """Nobody may say that it was not started: it was sent."""
    stop = threading.Event()
    if error is None:
        stop.set()
    faults: tuple[RemoteError | Exception, ...] = (lost(), error) if error else (lost(),)
    guard = Guard(attempt)

    class Deaf(Link):
        def exec(self, command: Command, **more: Any) -> Completed:
            return super().exec(command)

    with pytest.raises(ConnectionLost):
        guard.around(Deaf(*faults)).exec(Command("true"), stop=stop)
    assert guard.unsettled


def test_an_unknown_end_is_lost_and_kept(attempt: str) -> None:
    said = f"half a line{GUARD_UNKNOWN_MESSAGE}: it was killed (/var/tmp/x)\n".encode()
    guard = Guard(attempt)
    remote = guard.around(FakeRemote("web1", lambda _: (125, b"so far", said)))
    with pytest.raises(ConnectionLost) as caught:
        remote.exec(Command("true"))
    assert (caught.value.why, caught.value.stdout, caught.value.stderr) == (
        "it was killed (/var/tmp/x)",
        b"so far",
        b"half a line",
    )
    assert guard.unsettled


def test_a_host_that_cannot_guard_fails_the_step(attempt: str) -> None:
    said = f"{GUARD_REFUSED_MESSAGE}: no place\n".encode()
    guard = Guard(attempt)
    with pytest.raises(ModuleFailure, match="no place"):
        guard.around(FakeRemote("web1", lambda _: (125, b"", said))).exec(Command("true"))
    assert not guard.unsettled


def test_a_command_may_say_anything_and_end_with_125(attempt: str) -> None:
    for text in (f"{GUARD_UNKNOWN_MESSAGE}: x\nmore\n", f"{GUARD_REFUSED_MESSAGE}: unfinished", "plain\n"):
        answer = (125, b"", text.encode())
        assert Guard(attempt).around(FakeRemote("web1", lambda _, answer=answer: answer)).exec(Command("x")).rc == 125


def test_raw_files_and_connecting_pass_through(attempt: str) -> None:
    fake = FakeRemote("web1")
    remote = Guard(attempt).around(fake)
    remote.connect()
    remote.exec(Command("x", raw=True))
    remote.put(b"data", "/x")
    assert (remote.get("/x"), remote.host, fake.commands[0].guard) == (b"data", "web1", None)


def test_names_tell_hosts_apart() -> None:
    names = {attempt_name("run", 7, host, 0) for host in ("a.b", "a_b", "a", "ä/../b", "x" * 300)}
    assert len(names) == 5
    for name in names:
        cleanup_line(name)
    assert attempt_name("run", 7, "web1", 0).startswith("run.7.0.web1-")
    assert attempt_name("run", 7, "web1", 0) != attempt_name("run", 7, "web1", 1)


@pytest.mark.parametrize(
    ("module", "keyword", "variable", "answer"),
    [
        ("command", None, None, False),
        ("command", True, None, True),
        ("command", "{{ mine }}", False, True),
        ("command", None, "{{ theirs }}", True),
        ("command", False, True, False),
        ("copy", None, "yes", True),
        ("raw", None, True, False),
        ("stat", True, True, False),
        ("debug", True, True, False),
    ],
)
def test_which_steps_are_guarded(module: str, keyword: Any, variable: Any, answer: bool) -> None:
    step = Step(0, "step", module, "p.yml:1:1", guard=keyword)
    target = {"theirs": True} | ({} if variable is None else {"opsrunner_guard": variable})
    scope = Scope(TEMPLAR, [Layer({"mine": True, "opsrunner_guard": True}, True)])
    assert wanted(step, scope, Scope(TEMPLAR, [Layer(target, True)]), TEMPLAR) is answer


@pytest.mark.parametrize(
    ("module", "seconds", "answer"),
    [("apt", 5, True), ("command", "{{ mine }}", True), ("command", 0, False), ("stat", 5, False)],
)
def test_jobs_are_guarded_whatever_the_keyword_says(module: str, seconds: Any, answer: bool) -> None:
    step = Step(0, "step", module, "p.yml:1:1", guard=False, async_val=seconds)
    scope = Scope(TEMPLAR, [Layer({}, True)])
    assert wanted(step, scope, scope, TEMPLAR) is answer
