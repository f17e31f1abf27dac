"""Hosts that cannot be reached, or are lost, beside good ones: each is told rightly, and nothing runs twice."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from opsrunner.ssh.pulse import GONE_AFTER
from tests.fleet import Fleet, free_port, make_key
from tests.integration.faults.conftest import World, playbook, results, running_with
from tests.integration.ssh.faults import FaultServer, Relay, banner_only, dribbling, hanging_up, silent, web_server
from tests.integration.stack import statuses, wait_until


@contextmanager
def sshd(directory: Path, **options: str) -> Iterator[Fleet]:
    """A server of its own, with other options than the fleet's."""
    fleet = Fleet.start(directory, options=options)
    try:
        yield fleet
    finally:
        fleet.stop()


def reached_by(fleet: Fleet) -> dict[str, Any]:
    """Variables of a host that is served by ``fleet``."""
    return {"ansible_port": fleet.port, "ansible_ssh_private_key_file": str(fleet.key)}


def slow_login(key: Path, seconds: float) -> dict[str, str]:
    """Options of an sshd that thinks for so long about every login, as one does that asks a slow directory."""
    return {
        "AuthorizedKeysFile": "none",
        "AuthorizedKeysCommand": f"/bin/sh -c 'sleep {seconds}; cat {key}.pub'",
        "AuthorizedKeysCommandUser": "root",
    }


#: Host → what its outcome says, and what it advises.
CONNECTING = {
    "refuses": ("connection refused: nobody listens on port", "is sshd running there"),
    "silent": ("timed out after 5 s exchanging keys: port", "overloaded? (ansible_port, ansible_timeout)"),
    "dribbles": ("no SSH server has answered in full", "is that an SSH server"),
    "stops": ("no SSH server has answered in full", "is that an SSH server"),
    "hangs_up": ("hung up, ", "MaxStartups"),
    "web": ("that is no SSH server: port", "check ansible_port"),
    "ponders": ("timed out after 5 s logging in: the server on port", "raise ansible_timeout"),
}


def test_connections_that_fail_side_by_side(world: World, tmp_path: Path) -> None:
    faults = {"silent": silent, "dribbles": dribbling, "stops": banner_only, "hangs_up": hanging_up, "web": web_server}
    with ExitStack() as stack:
        ports = {name: stack.enter_context(FaultServer(fault)).port for name, fault in faults.items()}
        ports["refuses"] = free_port()
        hosts: dict[str, dict[str, Any]] = {"good1": {}, "good2": {}}
        hosts |= {name: {"ansible_host": "127.0.0.1", "ansible_port": port} for name, port in ports.items()}
        key = world.fleet.key
        for name, seconds in (("slow", 0.4), ("ponders", 20.0)):
            server = stack.enter_context(sshd(tmp_path / name, **slow_login(key, seconds)))
            hosts[name] = {"ansible_port": server.port}
        world.hosts(hosts, ansible_timeout=5)
        # Threads of the worker that stay for later are begun by a run in which nothing fails.
        world.hosts({f"warm{n}": {} for n in range(len(hosts))})
        world.play("    - command: sleep 0.2\n", code=0)
        world.hosts(hosts, ansible_timeout=5)
        threads, descriptors = world.worker.num_threads(), world.descriptors()
        tasks = f"    - name: first\n      shell: echo {{{{ inventory_hostname }}}} >> {world.notes}\n"
        document = world.play(f"{tasks}    - name: second\n      command: echo on\n", code=4, strategy="free")
        told = results(document, "first")
        for name, (words, advice) in CONNECTING.items():
            assert told[name]["status"] == "unreachable"
            assert words in told[name]["msg"]
            assert advice in told[name]["remedy"]
            assert told[name]["seconds"] < 60
        assert world.noted() == ["good1", "good2", "slow"]
        assert set(results(document, "second")) == {"good1", "good2", "slow"}
        assert not set(ports.values()) & set(world.connections())
    # The good ones were through while the others were still waited for.
    done = world.stack.opsrunner("watch", "last", "--output", "jsonl", code=4)
    events = [json.loads(line) for line in done.stdout.splitlines()]
    order = [(event["host"], event["step"]) for event in events if event["kind"] == "outcome"]
    assert max(order.index((name, 1)) for name in ("good1", "good2")) < order.index(("silent", 0))
    # Three connections are new and stay: the good hosts' and the slow one's, each with its thread.
    wait_until(lambda: world.worker.num_threads() <= threads + 3, 30, "the threads of the failed connections ended")
    wait_until(lambda: world.descriptors() <= descriptors + 3, 30, "their descriptors are closed")


def test_a_crowd_at_the_door_of_a_server_that_takes_few(world: World, tmp_path: Path) -> None:
    with sshd(tmp_path / "sshd", MaxStartups="2:50:4") as narrow:
        world.hosts({f"h{number:02}": {} for number in range(60)}, **reached_by(narrow))
        document = world.play(
            f"    - name: say\n      shell: echo {{{{ inventory_hostname }}}} >> {world.notes}\n", code=0
        )
        assert "drop connection" in narrow.log  # else nobody was turned away, and nothing was seen
    assert Counter(statuses(document, "say").values()) == {"changed": 60}
    assert world.noted() == [f"h{number:02}" for number in range(60)]


def test_commands_that_are_lost_or_speak_oddly(world: World, tmp_path: Path) -> None:
    lines = {
        "good": "echo fine",
        "dropped": "kill -9 $PPID; sleep 3",
        "dropped_in_output": "(sleep 0.5; kill -9 $PPID) & seq 1 1000; exec yes $(seq 30)",
        "one_session": "echo one",
        "no_newline": "printf 'no end'",
        "no_text": r"printf 'caf\351 \377 end\n'",
        "child": "sleep 31.4 & echo $!",
    }
    with sshd(tmp_path / "sshd", MaxSessions="1") as narrow:
        world.hosts({name: {"line": line} for name, line in lines.items()} | {
            "one_session": {"line": lines["one_session"], **reached_by(narrow)}
        })  # fmt: skip
        tasks = f"""
    - name: first
      shell: "echo {{{{ inventory_hostname }}}} >> {world.notes}; {{{{ line }}}}"
    - name: second
      shell: echo again
"""
        document = world.play(tasks, code=8)
    told = results(document, "first")
    os.kill(int(told["child"]["stdout"]), signal.SIGKILL)
    for name in ("dropped", "dropped_in_output"):
        assert told[name]["status"] == "lost"
        # The connection, or the shell on the host: whichever it was that the command killed. A shell does not tell of
        # a command that has said nothing whether it was started.
        started = "was lost while the command ran: it was started and may"
        assert started in told[name]["msg"] or (name == "dropped" and "the shell on the host was" in told[name]["msg"])
        assert "find out on the host what came of it" in told[name]["remedy"]
    assert "\n1000\n1 2 3 4 " in told["dropped_in_output"]["stdout"]
    assert told["no_newline"]["stdout"] == "no end"
    assert told["no_text"]["stdout"] == "caf\ufffd \ufffd end"
    assert told["child"]["seconds"] < 20  # its stdout is open for half a minute
    good = set(lines) - {"dropped", "dropped_in_output"}
    assert set(statuses(document, "second")) == good
    assert world.noted() == sorted(lines)
    # Later runs reach them again.
    later = world.stack.opsrunner("exec", "dropped,dropped_in_output", "--", "echo back")
    assert "back" in later.stdout


def test_a_host_that_restarts(world: World, tmp_path: Path) -> None:
    directory = tmp_path / "sshd"
    with sshd(directory) as before:
        ending = f"kill $(cat {directory}/sshd.pid); kill -9 $PPID"
        world.hosts({"good": {"line": "true"}, "restarts": {"line": ending, **reached_by(before)}})
        tasks = f"""
    - name: restart
      shell: "echo {{{{ inventory_hostname }}}} >> {world.notes}; {{{{ line }}}}"
    - name: after
      command: echo on
"""
        document = world.play(tasks, code=8)
    assert statuses(document, "restart") == {"good": "changed", "restarts": "lost"}
    assert statuses(document, "after") == {"good": "changed"}
    assert world.noted() == ["good", "restarts"]
    assert "connection refused" in world.stack.opsrunner("exec", "fleet", "--", "true", code=4).stdout
    after = Fleet.start(directory, port=before.port)
    try:
        assert "up" in world.stack.opsrunner("exec", "fleet", "--", "echo up").stdout
    finally:
        after.stop()


def test_a_host_key_that_changes_between_two_steps(world: World, tmp_path: Path) -> None:
    with sshd(tmp_path / "old") as old:
        pinned = tmp_path / "known_hosts"
        pinned.write_text(old.known_hosts.read_text())
        checked = {"ansible_ssh_common_args": f"-o UserKnownHostsFile={pinned} -o StrictHostKeyChecking=yes"}
        world.hosts({"good": {}, "moved": {"ansible_host_key_checking": True, **checked, **reached_by(old)}})
        note = f"echo {{{{ inventory_hostname }}}} >> {world.notes}"
        tasks = f"""
    - name: first
      shell: {note}
    - name: between
      shell: touch {tmp_path}/between; while [ ! -e {tmp_path}/moved ]; do sleep 0.1; done
      delegate_to: localhost
      timeout: 30
    - name: second
      shell: {note}
"""
        (world.stack.folder / "play.yml").write_text(playbook(tasks))
        running = world.stack.popen("run", "play.yml", "--output", "json")
        wait_until(lambda: (tmp_path / "between").exists(), 20, "the step between")
    (tmp_path / "new").mkdir()
    make_key(tmp_path / "new" / "host_key")
    (tmp_path / "new" / "key").write_bytes(old.key.read_bytes())
    (tmp_path / "new" / "key").chmod(0o600)
    (tmp_path / "new" / "key.pub").write_bytes(old.key.with_name("key.pub").read_bytes())
    new = Fleet.start(tmp_path / "new", port=old.port)
    try:
        (tmp_path / "moved").touch()
        document = json.loads(running.communicate(timeout=60)[0])
    finally:
        new.stop()
    assert statuses(document, "second") == {"good": "changed", "moved": "unreachable"}
    told = results(document, "second")["moved"]
    assert "the host key of" in told["msg"] and "has changed" in told["msg"]
    assert "if the host was really reinstalled: ssh-keygen -R" in told["remedy"]
    assert world.noted() == ["good", "good", "moved"]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KiB."""
    place = tmp_path / "small"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(place)], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True)


def test_a_full_disk(world: World, tmp_path: Path, small_disk: Path) -> None:
    (tmp_path / "roomy").mkdir()
    places = {"full": small_disk, "good": tmp_path / "roomy"}
    for place in places.values():
        (place / "old").write_text("o" * 90_000)
    world.hosts({name: {"place": str(place)} for name, place in places.items()})
    for folder, name, text in (("files", "big", "#!/bin/sh\necho ran\nexit\n"), ("templates", "big.j2", "t")):
        (world.stack.folder / folder).mkdir(exist_ok=True)
        (world.stack.folder / folder / name).write_text(text + "x" * 600_000)
    steps = {
        "new": "copy: src=big dest={{ place }}/new",
        "replace": "copy: src=big dest={{ place }}/old",
        "template": "template: src=big.j2 dest={{ place }}/template",
        "there": "copy: src=/bin/bash remote_src=true dest={{ place }}/there",
        "backup": "copy: {content: \"{{ 'z' * 100000 }}\", dest: '{{ place }}/old', backup: true}",
        "script": "script: big",
    }
    tasks = "".join(f"    - name: {name}\n      ignore_errors: true\n      {text}\n" for name, text in steps.items())
    tasks += "      environment: {TMPDIR: '{{ place }}'}\n"
    document = world.play(tasks, code=0)
    for name in steps:
        told = results(document, name)
        assert told["good"]["status"] == "changed"
        assert told["full"]["status"] == "failed"
        assert "No space left on device" in told["full"]["msg"] + told["full"].get("stderr", "")
        assert ".opsrunner." not in told["full"]["msg"]
    assert results(document, "script")["full"]["stdout"] == ""
    assert [entry.name for entry in small_disk.iterdir()] == ["old"]
    assert (small_disk / "old").read_text() == "o" * 90_000


def test_a_gigabyte_of_output(world: World) -> None:
    size = 1024**3
    line = f"echo the very first; yes $(seq 30) | head -c {size}; echo the very end"
    world.hosts({"good": {"line": "echo good"}, "talks": {"line": line}})
    redis = world.stack.redis
    assert redis
    document = world.play(
        '    - name: talk\n      shell: "{{ line }}"\n    - name: second\n      command: echo on\n', code=0
    )
    told = results(document, "talk")
    assert told["good"]["stdout"] == "good"
    talk = told["talks"]
    limit = 4 * 1024 * 1024
    assert talk["stdout"].startswith("the very first\n1 2 3 ")
    assert talk["stdout"].endswith("the very end")
    assert talk["stdout_size"] == size + len("the very first\nthe very end\n")
    assert limit <= len(talk["stdout"]) < limit + 100
    assert re.search(r"\n\[\.\.\. \d+ bytes not kept \.\.\.\]\n", talk["stdout"])
    high_water = int(re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{world.worker.pid}/status").read_text())[1])  # type: ignore[index]
    assert high_water < 600 * 1024, f"the worker took {high_water} KiB"
    assert redis.client.info("memory")["used_memory_peak"] < 64 * 1024 * 1024
    assert set(statuses(document, "second")) == {"good", "talks"}


def test_hosts_that_hang_are_found(world: World) -> None:
    """Their kernels still answer for them, so nothing but silence tells; and good hosts are not held up."""
    with Relay(world.fleet.port) as relay:
        world.hosts(
            {
                "good": {},
                "quiet": {},  # silent for longer than a hung host would be believed
                # What $PPID names is sshd only where a command has a channel of its own.
                "hangs": {"opsrunner_ssh_shell": False},  # its sshd hangs while a command runs
                # The sshd of the connection hangs while it is idle; a new one is there.
                "hung_idle": {"opsrunner_ssh_shell": False},
                "gone_idle": {"ansible_host": "127.0.0.1", "ansible_port": relay.port, "ansible_timeout": 3},
            }
        )
        note = f"echo {{{{ inventory_hostname }}}} >> {world.notes}"
        name = "{{ inventory_hostname }}"
        tasks = f"""
    - name: first
      shell: echo $PPID > {world.folder}/{name}; {note}
    - name: between
      shell: |
        touch {world.folder}/between-{name}
        case {name} in
        hung_idle) kill -STOP $(cat {world.folder}/{name});;
        gone_idle) while [ ! -e {world.folder}/frozen ]; do sleep 0.1; done;;
        esac
      delegate_to: localhost
    - name: second
      shell: |
        {note}
        case {name} in
        hangs) kill -STOP $PPID; exec sleep 314.1;;
        quiet) sleep {GONE_AFTER + 3};;
        esac
    - name: third
      command: echo on
"""
        (world.stack.folder / "play.yml").write_text(playbook(tasks, strategy="free"))
        running = world.stack.popen("run", "play.yml", "--output", "json")
        try:
            wait_until((world.folder / "between-gone_idle").exists, 60, "the step between")
            relay.frozen.set()
            (world.folder / "frozen").touch()
            began = time.monotonic()
            document = json.loads(running.communicate(timeout=120)[0])
            took = time.monotonic() - began
        finally:
            orphans = running_with("314.1")  # what hangs goes on running there, as its outcome says
            for pid in (*(int((world.folder / name).read_text()) for name in ("hangs", "hung_idle")), *orphans):
                os.kill(pid, signal.SIGKILL)
    assert took < 90
    told = results(document, "second")
    assert told["hangs"]["status"] == "lost"
    assert "the host has not answered for 60 s; it was started and may still be running" in told["hangs"]["msg"]
    assert told["hung_idle"]["status"] == told["good"]["status"] == told["quiet"]["status"] == "changed"
    assert told["gone_idle"]["status"] == "unreachable"
    assert "timed out after 3 s exchanging keys" in told["gone_idle"]["msg"]
    for host in ("hung_idle", "gone_idle"):
        assert told[host]["seconds"] < 40
    assert set(statuses(document, "third")) == {"good", "quiet", "hung_idle"}
    assert Counter(world.noted()) == {"good": 2, "quiet": 2, "hangs": 2, "hung_idle": 2, "gone_idle": 1}
    assert relay.port not in world.connections()
    assert orphans
