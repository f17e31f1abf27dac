"""Everything that may happen to runs, workers, messages and Redis, one thing at a time, chosen by chance."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from hypothesis import note
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from msgspec.structs import replace

from opsrunner.engine.carry import Task
from opsrunner.engine.concluding import conclude
from opsrunner.engine.cursor import Cursor
from opsrunner.engine.dispatch import advance
from opsrunner.engine.gate import throttle_of
from opsrunner.engine.hold import hold
from opsrunner.engine.resume import look, resume
from opsrunner.engine.steward import Steward
from opsrunner.errors import InputError
from opsrunner.executor import StepResult
from opsrunner.ledger import keys
from opsrunner.ledger.records import ENDED, Outcome
from opsrunner.ledger.transitions import Budget, Claim, Start
from opsrunner.plan.flow import Position
from opsrunner.plan.model import Step
from tests.integration.ledger.world import HOSTS, RUNS, SCHEDULED, ZONE, ZONE_FORKS, Cut, Worker, World

ENDINGS = ("changed", "changed", "ok", "skipped", "failed", "failed", "ignored", "unreachable", "lost", "cancelled")
#: What may happen → how often, beside the others.
HAPPENINGS = {
    "go_on": 14, "advance": 5, "sweep": 6, "claim": 6, "claim_again": 1, "start": 8, "finish": 7, "finish_again": 3,
    "hand_back": 1, "impostor": 2, "reap": 3, "lease_ends": 3, "lease_comes_back": 5, "cancel": 1, "unlock": 0.3,
    "resume": 6, "parked_hosts_are_due": 2, "deliver": 3, "deliver_recent": 4, "deliver_together": 4, "copy_redis": 2,
    "redis_goes_back_in_time": 1, "watch": 1.5, "launch": 2, "call_off": 0.3, "is_too_late": 0.5,
}  # fmt: skip


@dataclass(frozen=True)
class Draw:
    """What happens next, and to whom."""

    what: str
    run: str
    by: int
    host: str
    how: str
    which: int
    #: The n-th message from now is lost (False), or its answer is (True).
    cut: tuple[int, bool] | None

    @classmethod
    def of(cls, chance: random.Random) -> Draw:
        """Drawn evenly: hypothesis prefers what is small and what it had before, and then little ever happens."""
        return cls(
            chance.choices(list(HAPPENINGS), list(HAPPENINGS.values()))[0],
            chance.choice(sorted(RUNS)),
            chance.randrange(3),
            chance.choice(HOSTS),
            chance.choice(ENDINGS),
            chance.randrange(10_000),
            (chance.randrange(6), chance.random() < 0.5) if chance.random() < 0.3 else None,
        )


@dataclass
class Job:
    """One host × step in a worker's hands, and what that worker knows of it."""

    worker: Worker
    task: Task
    host: str
    position: Position
    #: ``claimed``, ``starting`` (the answer was never seen), ``started``, ``finishing``, ``over``
    phase: str = "claimed"
    message: Any = None
    following: Position | None = None

    @property
    def step(self) -> Step:
        return self.task.play.steps[self.position.next]


class Machine(RuleBasedStateMachine):
    scene: Any  # server, plans and workers of this test process

    def __init__(self) -> None:
        super().__init__()
        server, plans, staff = self.scene
        self.world = World(server.client, plans, staff)
        self.jobs: list[Job] = []
        self.tokens = 0
        self.may_wait_in_a_ring = False

    @initialize(seed=st.integers(0, 2**32))
    def begins(self, seed: int) -> None:
        self.chance = random.Random(seed)

    @rule()
    def happens(self) -> None:
        draw = Draw.of(self.chance)
        note(str(draw))
        getattr(self, draw.what)(draw)

    # ------------------------------------------------------------------ the engine
    def advance(self, draw: Draw) -> None:
        with self.link(draw.cut):
            advance(self.worker(draw), draw.run, self.sender)

    def sweep(self, draw: Draw) -> None:
        with self.link(draw.cut):
            Steward(self.worker(draw), self.sender)._settle(draw.run)

    def sender(self, run_id: str, cursor: str, epoch: int, queues: Any) -> None:
        self.world.shards += [(run_id, cursor, epoch, shard) for shard in range(len(queues))]

    # ------------------------------------------------------------------ workers
    def claim(self, draw: Draw) -> None:
        """A shard of late is delivered, to whoever."""
        newest = self.world.shards[-6:]
        if newest:
            self.take_shard(self.worker(draw), newest[draw.which % len(newest)], draw.cut)

    def claim_again(self, draw: Draw) -> None:
        """A shard of any time is delivered."""
        if self.world.shards:
            self.take_shard(self.worker(draw), self.world.shards[draw.which % len(self.world.shards)], draw.cut)

    def take_shard(self, worker: Worker, shard: tuple[str, str, int, int], cut: Any) -> None:
        run_id, cursor, epoch, part = shard
        record = json.loads(self.world.client.hget(keys.shards(run_id, epoch), str(part)) or "null")
        if record is None or record["lap"] != self.world.model.runs[run_id].lap:
            return
        at = Cursor.parse(cursor)
        context = worker.context(run_id, record["lap"])
        play = context.plan.plays[at.play]
        self.tokens += 1
        task = Task(context, play, at.batch, cursor, f"{worker.boot}.{self.tokens}", at.through)
        by_index: dict[int, list[str]] = {at.index: record["hosts"]}
        if at.through:
            by_index = {}
            for host in record["hosts"]:
                text = self.world.client.hget(keys.positions(run_id), host)
                if text:
                    by_index.setdefault(Position.decode(text.decode()).next, []).append(host)
        for index, hosts in by_index.items():
            self.take(worker, task, index, hosts, cut)

    def take(self, worker: Worker, task: Task, index: int, hosts: list[str], cut: Any) -> None:
        step = task.play.steps[index]
        for trial in (cut, None):  # asked until it is answered
            claims: dict[str, Claim] = {}
            with self.link(trial):
                claims = worker.store.claim(
                    task.context.run_id, task.cursor, step.number, index, task.token, worker.boot, hosts,
                    known=task.context.known,
                )  # fmt: skip
                break
        for host, claim in claims.items():
            if claim.verdict == "go":
                self.jobs.append(Job(worker, task, host, Position.decode(claim.position)))

    def pick(self, which: int, *phases: str) -> Job | None:
        jobs = [job for job in self.jobs if job.phase in phases]
        return jobs[which % len(jobs)] if jobs else None

    def start(self, draw: Draw) -> None:
        job = self.pick(draw.which, "claimed", "starting")
        if job:
            self.begin(job, draw.cut)

    def start_of(self, job: Job) -> Start:
        context, step = job.task.context, job.step
        throttle = throttle_of(context, step, {})
        limits = {
            keys.run_slots(context.run_id): context.plan.options.forks,
            keys.step_slots(context.run_id, step.number): throttle,
            keys.zone_slots(ZONE): ZONE_FORKS,
        }
        return Start(
            context.run_id, step.number, job.host, job.task.token, job.worker.boot, job.worker.name, context.known,
            bool(step.guard), tuple(Budget(key, limit) for key, limit in limits.items() if limit),
        )  # fmt: skip

    def begin(self, job: Job, cut: Any) -> None:
        context, step = job.task.context, job.step
        job.phase = "starting"
        with self.link(cut):
            answer, sequence = job.worker.store.call(self.start_of(job).arguments())
            context.learn(int(sequence))
            job.phase = {b"go": "started", b"full": "claimed"}.get(answer, "over")
            if job.phase == "over":
                job.worker.store.hand_back(context.run_id, step.number, job.host, job.task.token)

    def finish(self, draw: Draw) -> None:
        job = self.pick(draw.which, "started") or self.pick(draw.which, "claimed")
        if job:
            sent_nothing = job.phase == "claimed" and draw.how not in ("ok", "skipped", "failed", "unreachable")
            self.conclude(job, "ok" if sent_nothing else draw.how, draw.cut)

    def finish_again(self, draw: Draw) -> None:
        job = self.pick(draw.which, "finishing")
        if job:
            self.deliver_finish(job, draw.cut)

    def conclude(self, job: Job, how: str, cut: Any) -> None:
        status: Any = "failed" if how == "ignored" else how
        mark: Any = "ignored" if how == "ignored" else None
        notify = tuple(job.step.notify) if how == "changed" else ()
        result = StepResult(status, {"changed": how == "changed"}, mark, notify=notify)
        finish, following, _ = conclude(job.task, job.host, job.position, result, 1.0, job.worker, job.step)
        job.phase, job.message, job.following = "finishing", finish.arguments(), following
        self.deliver_finish(job, cut)

    def deliver_finish(self, job: Job, cut: Any) -> None:
        with self.link(cut):
            answer, sequence = job.worker.store.call(job.message)
            job.task.context.learn(int(sequence))
            job.phase = "over"
            if answer in (b"stored", b"repeated") and job.task.through and job.following:
                self.take(job.worker, job.task, job.following.next, [job.host], None)

    def hand_back(self, draw: Draw) -> None:
        job = self.pick(draw.which, "claimed")
        if job is None:
            return
        job.phase = "over"
        with self.link(draw.cut):
            job.worker.store.hand_back(job.task.context.run_id, job.step.number, job.host, job.task.token)

    def lease_ends(self, draw: Draw) -> None:
        """Mostly of one that has something in hand."""
        job = self.pick(draw.which, "claimed", "started")
        (job.worker if job else self.worker(draw)).lease(False)

    def lease_comes_back(self, draw: Draw) -> None:
        self.worker(draw).lease(True)

    def go_on(self, draw: Draw) -> None:
        """A stage as it mostly goes: sent, claimed, started and finished; some hosts stay behind."""
        worker, known, before = self.worker(draw), len(self.world.shards), list(self.jobs)
        advance(worker, draw.run, self.sender)
        for shard in self.world.shards[known:]:
            self.take_shard(worker, shard, None)
        for job in [job for job in self.jobs if job not in before and job.phase == "claimed"]:
            far = self.chance.random()
            if far > 0.15:
                self.begin(job, None)
            if far > 0.3 and job.phase == "started":
                self.conclude(job, draw.how if job.host == draw.host else "changed", None)

    def impostor(self, draw: Draw) -> None:
        """A message under the token of another claim."""
        if not self.jobs:
            return
        job, other = self.jobs[draw.which % len(self.jobs)], self.jobs[draw.which // 7 % len(self.jobs)]
        real = job.task
        job.task = replace(real, token=other.task.token)
        if draw.which % 3:
            job.worker.store.call(self.start_of(job).arguments())
        else:
            job.worker.store.hand_back(real.context.run_id, job.step.number, job.host, other.task.token)
        job.task = real

    def reap(self, draw: Draw) -> None:
        """A steward's word on a claim, whether or not its worker lives."""
        if not self.jobs:
            return
        job = self.jobs[-1 - draw.which % min(8, len(self.jobs))]
        outcome = Outcome(job.step.number, job.host, "lost", {}, None, 1.0, 2.0, "w")
        with self.link(draw.cut):
            job.worker.store.reap(job.task.context.run_id, outcome, again=job.step.rerun == "safe")

    # ------------------------------------------------------------------ operators
    def cancel(self, draw: Draw) -> None:
        """A run, a host of it, a step of it, or that step on that host."""
        hosts, step = ([], [draw.host])[draw.which % 2], (None, draw.which % 7)[draw.which // 7 % 2]
        if not hosts and step is None and draw.which % 3:
            return  # seldom all of it
        words = [f"h|{host}" for host in hosts] if step is None else [f"x|{step}|{host}" for host in hosts]
        if step is not None and not hosts:
            words = [f"s|{step}"]
        self.world.plain.request_cancel(draw.run, "me", hosts, step)
        model = self.world.model
        model.runs[draw.run].cancels |= set(words)
        model.runs[draw.run].cancel |= not words
        model.bell.append(draw.run)

    def launch(self, draw: Draw) -> None:
        """What a steward does whenever it looks who waits for its time."""
        worker = self.worker(draw)
        for run_id in worker.store.planned(worker.store.now()):
            with self.link(draw.cut):
                worker.store.launch(run_id)

    def call_off(self, draw: Draw) -> None:
        with self.link(draw.cut):
            self.worker(draw).store.call_off(SCHEDULED, "me")

    def is_too_late(self, draw: Draw) -> None:
        self.world.client.hset(keys.run(SCHEDULED), "start_deadline", -3600)
        self.world.model.runs[SCHEDULED].too_late = True

    def unlock(self, draw: Draw) -> None:
        holder = self.world.model.holder(draw.host)
        if holder:
            self.may_wait_in_a_ring = True  # its run queues for it anew, and holds others
            self.world.unlocked.add((holder, draw.host))
            self.worker(draw).store.unlock(draw.host, "me", "so be it")

    def resume(self, draw: Draw) -> None:
        worker = self.worker(draw)
        record = worker.reader.run(draw.run)
        if record is None or record.status not in ENDED or (record.due and record.started is None):
            return
        plan = self.world.plans[draw.run].plan
        self.world.rerun_lost = draw.which % 2 == 0
        wanted = [draw.host] if draw.which % 5 == 0 else None
        step = draw.which % 3 if draw.which % 11 == 0 else None
        found = look(worker.reader, plan, record, hosts=wanted, step=step, rerun_lost=self.world.rerun_lost)
        with self.link(draw.cut), suppress(InputError):  # somebody else was faster
            resume(worker.store, draw.run, plan, found, by="me", files={}, revised=False)

    def parked_hosts_are_due(self, draw: Draw) -> None:
        self.world.client.hset(keys.run(draw.run), "retry_at", 0)

    # ------------------------------------------------------------------ the post and Redis
    def deliver(self, draw: Draw) -> None:
        """Any message that was ever sent comes through, for the first time or once more; nobody sees the answer."""
        self.come_through(self.world.mail, draw)

    def deliver_recent(self, draw: Draw) -> None:
        self.come_through(self.world.mail[-12:], draw)

    def come_through(self, mail: list[Any], draw: Draw) -> None:
        messages = [message for message in mail if message[0] != "unlock"]
        if messages:
            self.world.deliver(messages[draw.which % len(messages)])

    def deliver_together(self, draw: Draw) -> None:
        """Starts and outcomes of late come through once more, as a worker sends them: many in one script."""
        messages = [message for message in self.world.mail[-24:] if message[0] in ("start", "finish")]
        if messages:
            count = 2 + draw.which % 5
            self.world.deliver_together([self.chance.choice(messages) for _ in range(count)])

    def copy_redis(self, draw: Draw) -> None:
        self.world.remember()

    def redis_goes_back_in_time(self, draw: Draw) -> None:
        if self.world.copies:
            self.may_wait_in_a_ring = True  # places that were taken at once are forgotten in part
            self.world.rewind(draw.which)

    def watch(self, draw: Draw) -> None:
        """What workers' watchers do about runs of which they were told more than Redis knows."""
        for worker in self.world.workers:
            for context in worker.contexts():
                run = self.world.model.runs[context.run_id]
                if run.status not in ENDED and run.lap == context.lap and run.seq < context.known:
                    with self.link(draw.cut):
                        hold(worker, context)

    def worker(self, draw: Draw) -> Worker:
        return self.world.workers[draw.by]

    @contextmanager
    def link(self, cut: tuple[int, bool] | None) -> Iterator[None]:
        """The post while something is done: it may break once."""
        self.world.cut_after, self.world.loses_answer = cut or (None, False)
        try:
            yield
        except Cut:
            pass
        finally:
            self.world.cut_after = None

    @invariant()
    def ledger_is_as_it_should_be(self) -> None:
        self.world.check()

    # ------------------------------------------------------------------ the end
    def teardown(self) -> None:
        """From wherever it is: with one healthy worker every run comes to its end, and leaves nothing behind."""
        for worker in self.world.workers:
            worker.lease(False)
        healthy = self.world.workers[0]
        healthy.join(self.world, "healthy")
        for lap in range(80):
            for run_id in healthy.store.planned():
                healthy.store.launch(run_id)
            opened = sorted(self.world.model.open)
            if not opened:
                break
            if lap >= 40 and self.may_wait_in_a_ring:
                self.lose_patience()
            for run_id in opened:
                self.work(healthy, run_id)
            self.world.check()
        stuck = "\n".join(str(self.world.model.runs[run_id]) for run_id in self.world.model.open)
        assert not stuck, f"never ends: {stuck} {self.world.model.queues} {self.world.model.budgets}"
        left = [name for name in self.world.client.keys("*") if name.split(b":")[-1] in LEFTOVERS or b"lock" in name]
        assert not [name for name in left if not name.endswith(b"unlocks")], f"left behind: {left}"

    def work(self, worker: Worker, run_id: str) -> None:
        self.world.client.hset(keys.run(run_id), mapping={"retry_at": 0, "dispatched": 0})
        known = len(self.world.shards)
        Steward(worker, self.sender)._settle(run_id)
        advance(worker, run_id, self.sender)
        self.jobs.clear()
        for shard in self.world.shards[known:]:
            self.take_shard(worker, shard, None)
        while job := self.pick(0, "claimed"):
            self.begin(job, None)
            if job.phase == "started":
                self.conclude(job, "changed", None)
            elif job.phase == "claimed":  # no slot is free
                worker.store.hand_back(run_id, job.step.number, job.host, job.task.token)
                job.phase = "over"

    def lose_patience(self) -> None:
        for run_id in self.world.model.open:
            waiting = keys.waiting(run_id)
            for host in self.world.client.zrange(waiting, 0, -1):
                self.world.client.zadd(waiting, {host: 1})


LEFTOVERS = (b"front", b"pos", b"waiting", b"slots", b"running")
