"""Runs, workers and messages for the state machine: real ledger, real engine, and a post that loses and repeats."""

from __future__ import annotations

import base64
import copy
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis
from msgspec.structs import replace

from opsrunner.engine import nodes
from opsrunner.engine.node import Node
from opsrunner.engine.submit import outline
from opsrunner.ledger import keys
from opsrunner.ledger.records import ENDED
from opsrunner.ledger.store import Client, Store
from opsrunner.ledger.transitions import Arguments
from opsrunner.plan.codec import encode
from opsrunner.plan.model import Compiled, Options
from opsrunner.plan.read import read_playbook
from tests.integration.ledger import observe
from tests.integration.ledger.model import Model, Place, Run, readmitted

HOSTS = ("h1", "h2", "h3", "h4")
INVENTORY = 'all: {hosts: {h1: {}, h2: {}, h3: {}, h4: {}}, vars: {opsrunner_zone: "a b"}}\n'
PLAYBOOK = """\
- name: one
  hosts: all
  gather_facts: false
  serial: 2
  tasks:
    - name: never
      command: a
      rerun: never
      notify: handle
    - block:
        - name: try
          command: b
          throttle: 1
          guard: true
      rescue:
        - name: mend
          command: c
          rerun: safe
      always:
        - name: anyway
          command: d
    - name: once
      command: e
      run_once: true
      any_errors_fatal: true
  handlers:
    - name: handle
      command: g
- name: two
  hosts: h2,h4
  gather_facts: false
  strategy: free
  tasks:
    - {name: free, command: h}
"""
SHORT = """\
- name: short
  hosts: all
  gather_facts: false
  tasks:
    - name: never
      command: a
      rerun: never
    - block:
        - name: try
          command: b
          throttle: 1
          guard: true
      always:
        - name: anyway
          command: d
"""
#: Run id → what its command line said; the first has the long playbook, so that the others come to their ends.
RUNS = {
    "r1": Options(forks=2),
    "r2": Options(park=3600.0, max_failed="1"),
    "r3": Options(locked="ignore", max_unreachable="1"),
}
#: The run that waits for a time of its own, which has come.
SCHEDULED = "r3"
LEASE = 1000.0
ZONE_FORKS, ZONE = 2, "a b"
#: Budget → its limit. Step 1 has ``throttle: 1``.
LIMITS = {
    keys.run_slots("r1"): 2,
    keys.zone_slots(ZONE): ZONE_FORKS,
    **{keys.step_slots(run_id, 1): 1 for run_id in RUNS},
}
#: Answers after which nothing at all may have been written.
REFUSALS = {
    "start": ("fenced", "stop", "full"),
    "finish": ("fenced", "repeated"),
    "reap": ("alive", "none"),
    **dict.fromkeys(
        (
            *("hand_back", "withdraw", "begin", "move", "enter", "place", "close", "hold"),
            *("reopen", "unpark", "adopt", "call_off"),
        ),
        (0,),
    ),
    "release": (0,),
}


def compiled(folder: Path) -> dict[str, Compiled]:
    """The playbook as each run has it."""
    (folder / "hosts.yml").write_text(INVENTORY)
    for run_id in RUNS:
        (folder / f"{run_id}.yml").write_text(PLAYBOOK if run_id == "r1" else SHORT)
    return {
        run_id: read_playbook(folder / f"{run_id}.yml", ["hosts.yml"], options, {}, base=folder)
        for run_id, options in RUNS.items()
    }


def key_file(folder: Path) -> Path:
    path = folder / "key"
    path.write_bytes(base64.b64encode(b"k" * 32))
    path.chmod(0o600)
    return path


class Cut(redis.exceptions.ConnectionError):
    """The link breaks: the message comes later or its answer never does."""


class Post(Store):
    """A store whose every message passes through the world, which may keep it, or its answer."""

    world: World

    def call_many(self, batch: Sequence[Arguments]) -> Any:
        return [self.world.send(arguments) for arguments in batch]


class Worker(Node):
    """One worker process, its threads never begun."""

    world: World

    def join(self, world: World, boot: str) -> None:
        """Begin anew, in that world."""
        self.world = world
        self.store = Post(self.redis, self.store.sealer)
        self.store.world = world
        self._contexts.clear()
        self.boot = boot
        self.record = replace(self.record, boot=boot)
        self.lease(True)

    def lease(self, stands: bool) -> None:
        if stands:
            nodes.beat(self.redis, self.record, LEASE)
            self.world.model.boots.add(self.boot)
        else:
            nodes.leave(self.redis, self.record)
            self.world.model.boots.discard(self.boot)

    def lease_is_old(self) -> bool:
        return True


class ServerModel(Model):
    """The model, and the moments that only the server knows."""

    def __init__(self) -> None:
        super().__init__()
        self.ends: dict[str, str] = {}

    def finished(self, run_id: str) -> str:
        return self.ends.get(run_id, "")


class World:
    """One example: Redis, the model beside it, and the post between them and the workers."""

    def __init__(self, client: Client, plans: dict[str, Compiled], workers: Sequence[Worker]) -> None:
        self.client = client
        self.plans = plans
        self.workers = workers
        self.plain = Store(client, workers[0].store.sealer)
        self.model = ServerModel()
        self.mail: list[Arguments] = []  # all that was ever sent
        self.told: dict[Sending, list[str]] = {}  # tokens that were told to send
        self.licences: dict[Sending, int] = {}  # how often it may be sent once more
        self.unlocked: set[tuple[str, str]] = set()
        self.shards: list[tuple[str, str, int, int]] = []  # run, cursor, epoch, number
        self.cut_after: int | None = None  # messages until the link breaks once
        self.loses_answer = False
        self.rerun_lost = False
        self.copies: list[tuple[dict[bytes, tuple[bytes, int]], Any]] = []
        self.steps = {
            run_id: {step.number: step for play in one.plan.plays for step in play.steps}
            for run_id, one in plans.items()
        }
        self.numbers = {
            run_id: {
                (play.number, index): step.number for play in one.plan.plays for index, step in enumerate(play.steps)
            }
            for run_id, one in plans.items()
        }
        client.flushall()
        for number, worker in enumerate(workers):
            worker.join(self, f"boot{number}")
        for run_id, plan in plans.items():
            header = {"title": "site.yml", "kind": "playbook", "user": "me"}
            if run_id == SCHEDULED:
                header |= {"due": self.plain.now(), "start_deadline": 3600.0}
            self.plain.create_run(run_id, header, outline(plan.plan), encode(plan.plan), plan.files)
            if run_id == SCHEDULED:
                self.model.runs[run_id] = Run(run_id, "scheduled")
                continue
            self.model.runs[run_id] = Run(run_id)
            self.model.open.add(run_id)
            self.model.bell.append(run_id)

    # ------------------------------------------------------------------ the post
    def send(self, arguments: Arguments) -> Any:
        """One message of a worker. Raises Cut when the link breaks, before or after it has got through."""
        self.mail.append(arguments)
        if self.cut_after is not None:
            self.cut_after -= 1
            if self.cut_after < 0:
                self.cut_after = None
                if self.loses_answer:
                    self.deliver(arguments)
                raise Cut("the link broke")
        return self.deliver(arguments)

    def deliver(self, arguments: Arguments) -> Any:
        """Let the message through; Redis must answer and change as the model does."""
        name = str(arguments[0])
        before = self.look(arguments)
        expected = self.model.apply(arguments)
        answer = self.plain.call(arguments)
        said = spoken(name, answer)
        assert said == expected, f"{name}: Redis says {said!r}, the model {expected!r}: {arguments!r}"
        after = self.look(arguments)
        if said in REFUSALS.get(name, ()):
            assert after.changes == before.changes, f"{name} was answered {said!r} and wrote something"
        for host, holder in after.holders.items():
            if holder and before.holders[host] not in (None, holder) and name != "lock":
                assert after.rings[holder] > before.rings.get(holder, 0), (
                    f"{holder} has {host} now and was not rung for"
                )
        self._witness(name, arguments, said, before)
        for run_id, run in self.model.runs.items():
            if run.status in ENDED and name in ("close", "hold", "launch", "call_off"):
                self.model.ends[run_id] = (self.client.hget(keys.run(run_id), "finished") or b"").decode()
        return answer

    def deliver_together(self, messages: Sequence[Arguments]) -> None:
        """Let several messages through in one round trip: each is answered, and does, what it would by itself."""
        before = [self.look(arguments) for arguments in messages]
        expected = [self.model.apply(arguments) for arguments in messages]
        said = [
            spoken(str(arguments[0]), answer)
            for arguments, answer in zip(messages, self.plain.call_many(messages), strict=True)
        ]
        assert said == expected, f"Redis says {said!r}, the model {expected!r}: {messages!r}"
        for arguments, answer, facts in zip(messages, said, before, strict=True):
            self._witness(str(arguments[0]), arguments, answer, facts)

    def look(self, arguments: Arguments) -> Facts:
        """What is true of a message's run and host at this moment, by Redis itself."""
        name, key = arguments[0], str(arguments[1])
        run_id = key.removeprefix(keys.run(""))
        run = self.model.runs.get(run_id)
        place = (int(arguments[2]), str(arguments[3])) if name in ("start", "reap") else (-1, "")
        pipeline = self.client.pipeline(transaction=True)
        pipeline.info("persistence")
        pipeline.hmget(key, "status", "cancel", "halt")
        pipeline.lrange(keys.BELL, 0, -1)
        for host in HOSTS:
            pipeline.zrange(keys.lock(host), 0, 0)
        info, state, bell, *first = pipeline.execute()
        holders = {host: names[0].decode() if names else None for host, names in zip(HOSTS, first, strict=True)}
        return Facts(
            info["rdb_changes_since_last_save"],
            state == [b"running", None, None],
            holders,
            Counter(name.decode() for name in bell),
            run.states.get(place, ()) if run else (),
            dict(run.states) if run else {},
        )

    # ------------------------------------------------------------------ what may have been sent
    def _witness(self, name: str, arguments: Arguments, said: Any, before: Facts) -> None:
        run_id = str(arguments[1]).removeprefix(keys.run(""))
        if name == "start" and said == "go":
            self._sends(run_id, arguments, before)
        elif name == "reap" and said == "pending" and before.state[0] == "R":
            step = self.steps[run_id][int(arguments[2])]
            assert step.rerun == "safe" or before.state[3] == "g", "a started step is not simply begun anew"
            self._license((run_id, int(arguments[2]), str(arguments[3])))
        elif name in ("reopen", "unpark") and said == 1:
            for host, _, steps in readmitted(readmissions(arguments)):
                for step, again in steps.items():
                    lost = before.states.get((step, host)) == ("T", "lost") and (run_id, step, host) in self.told
                    allowed = self.rerun_lost or self.steps[run_id][step].rerun == "safe" or not again
                    assert not lost or allowed, f"{host} was lost at step {step}, and nobody asked to run it again"
                    self._license((run_id, step, host))

    def _license(self, sending: Sending) -> None:
        self.licences[sending] = self.licences.get(sending, 0) + 1

    def _sends(self, run_id: str, arguments: Arguments, before: Facts) -> None:
        _, _, step, host, token, boot, _, known, *_ = arguments
        sending = (run_id, int(step), str(host))
        tokens = self.told.setdefault(sending, [])
        if token in tokens:
            return
        assert len(tokens) <= self.licences.get(sending, 0), f"{sending} was sent by {tokens} and now by {token}"
        assert before.goes_on, f"{sending} is sent although the run was stopped"
        assert self.client.exists(keys.boot(str(boot))), f"{sending} is sent without a lease"
        free = not self.model.runs[run_id].locking or (run_id, str(host)) in self.unlocked
        assert free or before.holders[str(host)] == run_id, f"{host} is another run's"
        assert self.model.runs[run_id].seq > int(known), f"{sending} is sent by one who knows more"
        tokens.append(str(token))

    # ------------------------------------------------------------------ Redis goes back in time
    def remember(self) -> None:
        names = self.client.keys("*")
        pipeline = self.client.pipeline(transaction=True)
        for name in names:
            pipeline.dump(name)
            pipeline.pttl(name)
        answers = pipeline.execute()
        stored = {name: (answers[2 * i], max(0, answers[2 * i + 1])) for i, name in enumerate(names)}
        self.copies.append((stored, copy.deepcopy((self.model, self.told, self.licences))))

    def rewind(self, index: int) -> None:
        """Only who was told more than the older copy knows can tell: what others send twice is not held against it."""
        stored, remembered = self.copies[index % len(self.copies)]
        self.model, self.told, self.licences = copy.deepcopy(remembered)
        pipeline = self.client.pipeline(transaction=True)
        pipeline.flushall()
        for name, (data, lease) in stored.items():
            pipeline.restore(name, lease, data)
        pipeline.execute()

    def check(self) -> None:
        runs = observe.read(self.client, list(self.plans), max(map(len, self.steps.values())))
        observe.compare(self.model, runs, self.client)
        for run in runs.values():
            observe.consistent(run, self.numbers[run.id])
        for name, limit in LIMITS.items():
            assert self.client.scard(name) <= limit, f"more than {limit} in {name}"


Sending = tuple[str, int, str]


@dataclass(frozen=True)
class Facts:
    """What was true when a message came."""

    changes: int  # that Redis ever made
    goes_on: bool
    holders: dict[str, str | None]
    rings: Counter[str]
    state: tuple[str, ...]  # of the message's own host × step
    states: dict[Place, tuple[str, ...]]


def readmissions(arguments: Arguments) -> Sequence[Any]:
    """The part of reopen's or unpark's words that tells of readmitted hosts."""
    if arguments[0] == "unpark":
        return arguments[3:]
    rest = arguments[9 + 2 * int(arguments[8]) :]
    rest = rest[1 + int(rest[0]) :]
    return rest[1 + int(rest[0]) :]


def spoken(name: str, answer: Any) -> Any:
    """A transition's answer in the model's words."""
    if name == "claim":
        rows = [answer[i : i + 4] for i in range(0, len(answer), 4)]
        return [(row[0].decode(), row[1].decode(), int(row[3])) for row in rows]
    if name in ("start", "finish"):
        return answer[0].decode()
    if name in ("lock", "held"):
        return [host.decode() for host in answer]
    return answer.decode() if isinstance(answer, bytes) else answer
