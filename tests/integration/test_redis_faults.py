"""Redis goes away in every way it can during a run: no command runs twice, no outcome is lost, the operator is told."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import redis

from opsrunner.cli.start import attach
from opsrunner.ledger.following import Ledger
from opsrunner.ledger.store import connect, record_refused
from tests.fleet import Fleet, free_port
from tests.integration.ssh.faults import Relay
from tests.integration.stack import Redis, Stack, statuses, wait_until

HOSTS, STEPS = 20, 3
#: Whether the faults that take long are gone through too: by `make chaos`.
LONG = int(os.environ.get("CHAOS_ROUNDS", "1")) > 1


class Cable(Relay):
    """Between Redis and who uses it. While it is cut bytes are held back, as a network does, and come late."""

    def _pump(self, source: socket.socket, sink: socket.socket, stop: threading.Event) -> None:
        try:
            while not stop.is_set() and (data := source.recv(65536)):
                while self.frozen.is_set() and not stop.is_set():
                    time.sleep(0.02)
                sink.sendall(data)
        except OSError:
            pass
        finally:
            for end in (source, sink):
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)


@dataclass
class Setting:
    """Two workers, the fleet, and a Redis that listens at a port too, behind a cable for each worker."""

    stack: Stack
    redis: Redis
    cables: dict[str, Cable]
    watching: list[subprocess.Popen[str]] = field(default_factory=list)

    def watch(self, run: str, output: str) -> subprocess.Popen[str]:
        self.watching.append(self.stack.popen("watch", run, "--output", output))
        return self.watching[-1]

    def worker(self, name: str) -> None:
        direct = self.stack.environment["CELERY_BROKER_URL"]
        self.stack.environment["CELERY_BROKER_URL"] = f"redis://127.0.0.1:{self.cables[name].port}/0"
        self.stack.worker(name)
        self.stack.environment["CELERY_BROKER_URL"] = direct

    def start(self, *, held: bool = False) -> str:
        """A run whose every host is in the first step: for 1.5 s, and ``held`` until :meth:`release`."""
        (self.stack.folder / "go").unlink(missing_ok=True)
        hold = f"for i in $(seq 600); do [ -e {self.stack.folder}/go ] && break; sleep 0.1; done; sleep 1.5"
        steps = "".join(
            f"    - name: s{n}\n      shell: echo {{{{ inventory_hostname }}}} >> {self.stack.folder}/s{n}; {hold}\n"
            for n in range(STEPS)
        )
        play = f"- hosts: fleet\n  gather_facts: false\n  tasks:\n{steps}"
        (self.stack.folder / "play.yml").write_text(play)
        run = self.stack.opsrunner("run", "play.yml", "--detach").stdout.strip()
        wait_until(lambda: len(self.done(0)) == HOSTS, 50, "every host in the first step")
        if not held:
            self.release()
        return run

    def release(self) -> None:
        (self.stack.folder / "go").touch()

    def looking(self) -> int:
        return sum(client["cmd"] == "xread" for client in self.redis.client.client_list())

    def done(self, step: int) -> Counter[str]:
        file = self.stack.folder / f"s{step}"
        return Counter(file.read_text().split()) if file.exists() else Counter()

    def spooled(self) -> list[Path]:
        return list((self.stack.folder / "state" / "spool").glob("*.jsonl"))

    def lines_spooled(self) -> int:
        return sum(len(path.read_bytes().splitlines()) for path in self.spooled())

    def check_books(self, document: dict[str, Any]) -> Counter[str]:
        """Nothing twice; what the ledger calls good happened once, what it calls lost once or never."""
        totals: Counter[str] = Counter()
        for step in range(STEPS):
            done, told = self.done(step), statuses(document, f"s{step}")
            assert max(done.values(), default=0) <= 1, f"twice: {[host for host, times in done.items() if times > 1]}"
            assert set(told.values()) <= {"changed", "lost"}, told
            assert all(done[host] == 1 for host, status in told.items() if status == "changed")
            assert set(done) <= set(told), "done, and not in the ledger"
            totals.update(told.values())
        assert len(document["stats"]) == HOSTS
        return totals


@pytest.fixture
def setting(
    request: pytest.FixtureRequest, fleet: Fleet, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Setting]:
    """A parameter is a mapping of more environment for whoever runs there."""
    port = free_port()
    options = ("--port", str(port), "--bind", "127.0.0.1")
    environment: dict[str, str] = getattr(request, "param", {})
    stack = Stack(tmp_path_factory.mktemp("stack"), redis_options=options, **environment)
    assert stack.redis
    stack.inventory(fleet.inventory_yaml(HOSTS))
    with Cable(port) as first, Cable(port) as second:
        setting = Setting(stack, stack.redis, {"one": first, "two": second})
        try:
            for name in setting.cables:
                setting.worker(name)
            yield setting
        finally:
            for cable in setting.cables.values():
                cable.frozen.clear()
            for process in setting.watching:
                process.kill()
                process.communicate()
            stack.close()


# ---------------------------------------------------------------------- faults
def killed(seconds: float) -> Callable[[Setting], None]:
    def fault(setting: Setting) -> None:
        setting.redis.stop(signal.SIGKILL)
        time.sleep(seconds)
        setting.redis.start()

    return fault


def configured(seconds: float, **options: str) -> Callable[[Setting], None]:
    """Redis under these options for a while."""

    def fault(setting: Setting) -> None:
        client = setting.redis.client
        names = {name.replace("_", "-"): value for name, value in options.items()}
        before = {name: client.config_get(name)[name] for name in names}
        for name, value in names.items():
            client.config_set(name, value)
        time.sleep(seconds)
        for name, value in before.items():
            client.config_set(name, value)

    return fault


def replica(seconds: float) -> Callable[[Setting], None]:
    def fault(setting: Setting) -> None:
        setting.redis.client.replicaof("127.0.0.1", "1")
        time.sleep(seconds)
        setting.redis.client.replicaof("no", "one")

    return fault


def asleep(seconds: float) -> Callable[[Setting], None]:
    def fault(setting: Setting) -> None:
        patient = redis.Redis(unix_socket_path=str(setting.redis.socket), socket_timeout=2 * seconds)
        patient.execute_command("DEBUG", "SLEEP", str(seconds))
        patient.close()

    return fault


def scripts_flushed(seconds: float) -> Callable[[Setting], None]:
    def fault(setting: Setting) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            setting.redis.client.script_flush()
            time.sleep(0.1)

    return fault


def cut(seconds: float, *names: str) -> Callable[[Setting], None]:
    def fault(setting: Setting) -> None:
        for name in names:
            setting.cables[name].frozen.set()
        time.sleep(seconds)
        for name in names:
            setting.cables[name].frozen.clear()

    return fault


FAULTS = {
    "killed": (killed(1), "does not answer since"),
    "full": (configured(4, maxmemory="1"), "it is full"),
    "read-only": (replica(4), "replica"),
    "scripts flushed": (scripts_flushed(3), ""),
}
LONG_FAULTS = {
    "killed for longer than a lease": (killed(14), "does not answer since"),
    "full for longer than a lease": (configured(25, maxmemory="1"), "it is full"),
    "read-only for longer than a lease": (replica(25), "replica"),
    "few replicas": (configured(5, min_replicas_to_write="1"), "fewer replicas"),
    "asleep": (asleep(12), "does not answer since"),
    "cut off from all workers": (cut(30, "one", "two"), ""),
    "cut off from one worker": (cut(30, "one"), ""),
}


@pytest.mark.parametrize("name", [*FAULTS, *(LONG_FAULTS if LONG else ())])
def test_redis_is_away(setting: Setting, name: str) -> None:
    fault, told = {**FAULTS, **LONG_FAULTS}[name]
    run = setting.start()
    watching = setting.watch(run, "plain")
    document = setting.watch(run, "json")
    wait_until(lambda: setting.looking() == 2, 10, "both to look")
    fault(setting)
    shown, errors = watching.communicate(timeout=60)
    assert told in shown
    assert not told or "Redis is back" in shown
    assert errors == ""
    totals = setting.check_books(json.loads(document.communicate(timeout=10)[0]))
    if name != "cut off from one worker":  # whom the others must take for dead
        assert totals == {"changed": HOSTS * STEPS}
    wait_until(lambda: not setting.spooled(), 10, "the workers' disks to be empty")


# Its lease goes on while Redis is away: on a loaded machine the other worker would take its hosts for lost before its
# successor is there.
@pytest.mark.parametrize("setting", [{"OPSRUNNER_LEASE": "600"}], indirect=True)
def test_a_worker_dies_with_outcomes_on_its_disk(setting: Setting) -> None:
    run = setting.start(held=True)
    setting.redis.stop(signal.SIGKILL)
    setting.release()
    wait_until(lambda: setting.lines_spooled() == HOSTS, 60, "every host's outcome on disk")
    setting.stack.workers["one"].kill()
    setting.stack.workers["one"].wait()
    setting.redis.start()
    setting.worker("one")
    done = setting.stack.opsrunner("watch", run, "--output", "json")
    assert setting.check_books(json.loads(done.stdout)) == {"changed": HOSTS * STEPS}
    logs = [(setting.stack.folder / f"{name}.log").read_text() for name in ("one", "two")]  # who comes first delivers
    assert any("outcomes that a worker left on this disk" in log for log in logs)


def test_redis_comes_back_without_its_memory(setting: Setting) -> None:
    run = setting.start(held=True)
    watching = setting.watch(run, "plain")
    wait_until(lambda: setting.looking() == 1, 10, "it to look")
    setting.redis.stop(signal.SIGKILL)
    setting.redis.forget()
    setting.redis.start()
    setting.release()
    shown, errors = watching.communicate(timeout=30)
    assert "lost its memory" in shown + errors
    assert watching.returncode not in (0, 99)
    time.sleep(2)  # what was under way ends, and nothing more is sent
    assert max(setting.done(0).values()) == 1
    assert not setting.done(1)
    for step in range(STEPS):
        (setting.stack.folder / f"s{step}").unlink(missing_ok=True)
    again = setting.stack.opsrunner("watch", setting.start(), "--output", "json", timeout=60)
    assert setting.check_books(json.loads(again.stdout)) == {"changed": HOSTS * STEPS}


def test_verbs_say_it_in_a_sentence_and_who_watches_may_leave(setting: Setting) -> None:
    run = setting.start()
    watching = setting.watch(run, "plain")
    wait_until(lambda: setting.looking() == 1, 10, "it to look")
    setting.redis.stop(signal.SIGKILL)
    try:
        for words in (("runs",), ("show", run), ("cancel", run)):
            done = setting.stack.opsrunner(*words, code=69)
            assert done.stderr.startswith("no Redis at")
            assert len(done.stderr.splitlines()) <= 3
        watching.send_signal(signal.SIGINT)
        shown, errors = watching.communicate(timeout=10)
        assert watching.returncode == 99
        assert "Redis does not answer since" in shown
        assert f"opsrunner watch {run}" in errors
    finally:
        setting.redis.start()


def test_the_embedded_server_is_started_again(fleet: Fleet, tmp_path_factory: pytest.TempPathFactory) -> None:
    with Stack(tmp_path_factory.mktemp("stack"), embedded=True) as stack:
        stack.inventory(fleet.inventory_yaml(2))
        running = stack.popen("exec", "fleet", "--output", "plain", "--", f"echo x >> {stack.folder}/done; sleep 1")
        wait_until(lambda: (stack.folder / "done").exists(), 60, "the command")
        os.kill(int((stack.folder / "state" / "redis.pid").read_text().split()[0]), signal.SIGKILL)
        shown, errors = running.communicate(timeout=60)
        assert running.returncode == 0, shown + errors
        assert "Redis is back" in shown + errors
        assert (stack.folder / "done").read_text() == "x\nx\n"


def test_redis_dies_before_the_first_look(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A run that was submitted goes on: whoever follows it waits for Redis then as at any later time."""
    server = Redis(tmp_path_factory.mktemp("redis"))
    ledger = Ledger(connect(server.url))
    heard: list[object] = []
    monkeypatch.setattr("opsrunner.cli.context.warn", heard.append)

    def come_back() -> None:
        wait_until(lambda: heard, 60, "a word about it")
        server.start()

    coming_back = threading.Thread(target=come_back)
    try:
        record_refused(ledger.redis, "240101-120000-abcd", {"title": "site.yml"}, 65, "it is bad", 600)
        server.stop(signal.SIGKILL)
        coming_back.start()
        assert attach(ledger, "240101-120000-abcd", "plain", 0) == 65
        away, back = map(str, heard)
        assert away.startswith("Redis does not answer since")
        assert back.startswith("Redis is back")
        assert "it is bad" in capsys.readouterr().out
    finally:
        if coming_back.ident:
            coming_back.join()
        server.stop()


def test_templates_wait_for_redis_too(setting: Setting) -> None:
    """The second item asks the ledger who takes part, while Redis is away."""
    task = f"echo {{{{ ansible_play_hosts | length }}}} >> {setting.stack.folder}/s0; sleep 1"
    play = f"- hosts: fleet\n  gather_facts: false\n  tasks:\n    - shell: {task}\n      loop: [1, 2, 3]\n"
    (setting.stack.folder / "play.yml").write_text(play)
    running = setting.stack.popen("run", "play.yml", "--output", "plain")
    setting.watching.append(running)
    wait_until(lambda: (setting.stack.folder / "s0").exists(), 20, "the first command")
    killed(2)(setting)
    shown, errors = running.communicate(timeout=60)
    assert running.returncode == 0, shown + errors
    assert setting.done(0) == {str(HOSTS): 3 * HOSTS}
