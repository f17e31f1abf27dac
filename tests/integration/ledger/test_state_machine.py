"""The ledger's state machine under a post that delays, repeats and loses, beside a model in plain Python.

The real engine moves real runs on in a real Redis: hypothesis chooses who does what next, which messages come late or
twice, which answers are never seen, which worker loses its lease, and when Redis comes back from an older copy.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from opsrunner.engine.carry import Task, conclude, throttle_of
from opsrunner.engine.cursor import Cursor
from opsrunner.engine.dispatch import advance
from opsrunner.engine.hold import hold
from opsrunner.engine.resume import look, resume
from opsrunner.engine.steward import Steward
from opsrunner.executor import StepResult
from opsrunner.errors import InputError
from opsrunner.ledger import keys
from opsrunner.ledger.records import ENDED
from opsrunner.ledger.transitions import Budget, Claim, Start
from opsrunner.plan.flow import Position
from opsrunner.plan.model import Play, Step
from opsrunner.settings import Settings
from tests.integration.ledger.world import HOSTS, RUNS, ZONE, ZONE_FORKS, Cut, Worker, World, compiled, key_file
from tests.integration.stack import Redis

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "0"))
number = st.integers(0, 9999)
runs = st.sampled_from(sorted(RUNS))
workers = st.integers(0, 2)
#: Nothing happens to the post (mostly), or its n-th message from now is lost (False), or that message's answer (True).
rarely = st.integers(0, 3)  # 0: now
cuts = st.one_of(st.none(), st.none(), st.tuples(st.integers(0, 5), st.booleans()))
ENDINGS = ("changed", "ok", "skipped", "failed", "ignored", "unreachable", "lost", "cancelled")


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
        self.unlocks = 0

    # ------------------------------------------------------------------ the engine
    @rule(run=runs, by=workers, cut=cuts)
    def advance(self, run: str, by: int, cut: Any) -> None:
        with self.link(cut):
            advance(self.world.workers[by], run, self.sender)

    @rule(run=runs, by=workers, cut=cuts)
    def sweep(self, run: str, by: int, cut: Any) -> None:
        with self.link(cut):
            Steward(self.world.workers[by], self.sender)._settle(run)

    def sender(self, run_id: str, cursor: str, epoch: int, queues: Any) -> None:
        self.world.shards += [(run_id, cursor, epoch, shard) for shard in range(len(queues))]

    # ------------------------------------------------------------------ workers
    @precondition(lambda self: self.world.shards)
    @rule(which=number, by=workers, cut=cuts)
    def claim(self, which: int, by: int, cut: Any) -> None:
        """A shard is delivered: mostly one of the newest, to whoever."""
        newest = self.world.shards[-8:]
        self.take_shard(self.world.workers[by], newest[which % len(newest)], cut)

    @precondition(lambda self: self.world.shards)
    @rule(which=number, by=workers)
    def claim_again(self, which: int, by: int) -> None:
        """A shard of any time is delivered."""
        self.take_shard(self.world.workers[by], self.world.shards[which % len(self.world.shards)], None)

    def take_shard(self, worker: Worker, shard: tuple[str, str, int, int], cut: Any) -> None:
        run_id, cursor, epoch, part = shard
        record = json.loads(self.world.client.hget(keys.shards(run_id, epoch), str(part)) or "null")
        if record is None or record["lap"] != self.world.model.runs[run_id].resumed:
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

    @precondition(lambda self: any(job.phase in ("claimed", "starting") for job in self.jobs))
    @rule(which=number, cut=cuts)
    def start(self, which: int, cut: Any) -> None:
        job = self.pick(which, "claimed", "starting")
        assert job
        self.begin(job, cut)

    def begin(self, job: Job, cut: Any) -> None:
        context, step = job.task.context, job.step
        throttle = throttle_of(context, step, {})
        limits = {
            keys.run_slots(context.run_id): context.plan.options.forks,
            keys.step_slots(context.run_id, step.number): throttle,
            keys.zone_slots(ZONE): ZONE_FORKS,
        }
        start = Start(
            context.run_id, step.number, job.host, job.task.token, job.worker.boot, job.worker.name, context.known,
            bool(step.guard), tuple(Budget(key, limit) for key, limit in limits.items() if limit),
        )  # fmt: skip
        job.phase = "starting"
        with self.link(cut):
            answer, sequence = job.worker.store.call(start.arguments())
            context.learn(int(sequence))
            job.phase = {b"go": "started", b"full": "claimed"}.get(answer, "over")
            if job.phase == "over":
                job.worker.store.hand_back(context.run_id, step.number, job.host, job.task.token)

    @precondition(lambda self: any(job.phase in ("claimed", "started") for job in self.jobs))
    @rule(which=number, how=st.sampled_from(ENDINGS), notifies=st.booleans(), cut=cuts)
    def finish(self, which: int, how: str, notifies: bool, cut: Any) -> None:
        job = self.pick(which, "claimed", "started")
        assert job
        if job.phase == "claimed" and how not in ("ok", "skipped", "failed", "unreachable"):
            how = "ok"  # it has sent nothing
        self.conclude(job, how, notifies, cut)

    @precondition(lambda self: any(job.phase == "finishing" for job in self.jobs))
    @rule(which=number, cut=cuts)
    def finish_again(self, which: int, cut: Any) -> None:
        job = self.pick(which, "finishing")
        assert job
        self.deliver_finish(job, cut)

    def conclude(self, job: Job, how: str, notifies: bool, cut: Any) -> None:
        status: Any = "failed" if how == "ignored" else how
        mark: Any = "ignored" if how == "ignored" else None
        notify = tuple(job.step.notify) if notifies and how == "changed" else ()
        result = StepResult(status, {"changed": how == "changed"}, mark, notify=notify)
        finish, following = conclude(job.task, job.host, job.position, result, 1.0, job.worker, job.step)
        job.phase, job.message, job.following = "finishing", finish.arguments(), following
        self.deliver_finish(job, cut)

    def deliver_finish(self, job: Job, cut: Any) -> None:
        with self.link(cut):
            answer, sequence = job.worker.store.call(job.message)
            job.task.context.learn(int(sequence))
            job.phase = "over"
            if answer in (b"stored", b"repeated") and job.task.through and job.following:
                self.take(job.worker, job.task, job.following.next, [job.host], None)

    @precondition(lambda self: any(job.phase == "claimed" for job in self.jobs))
    @rule(which=number, cut=cuts)
    def hand_back(self, which: int, cut: Any) -> None:
        job = self.pick(which, "claimed")
        assert job
        job.phase = "over"
        with self.link(cut):
            job.worker.store.hand_back(job.task.context.run_id, job.step.number, job.host, job.task.token)

    @rule(by=workers, stands=st.booleans())
    def lease(self, by: int, stands: bool) -> None:
        self.world.workers[by].lease(stands)

    @rule(run=runs, by=workers, hows=st.lists(st.sampled_from(ENDINGS), min_size=3, max_size=3), notifies=st.booleans())
    def go_on(self, run: str, by: int, hows: list[str], notifies: bool) -> None:
        """A stage as it mostly goes: sent, claimed, started and finished."""
        worker, known = self.world.workers[by], len(self.world.shards)
        advance(worker, run, self.sender)
        others = [job for job in self.jobs if job.phase == "claimed"]
        for shard in self.world.shards[known:]:
            self.take_shard(worker, shard, None)
        for job, how in zip([job for job in self.jobs if job.phase == "claimed" and job not in others], hows):
            self.begin(job, None)
            if job.phase == "started":
                self.conclude(job, how, notifies, None)

    # ------------------------------------------------------------------ operators
    @rule(rarely=rarely, run=runs, hosts=st.lists(st.sampled_from(HOSTS), max_size=1), step=st.one_of(st.none(), st.integers(0, 8)))
    def cancel(self, rarely: int, run: str, hosts: list[str], step: int | None) -> None:
        if rarely and not hosts:
            return
        words = [f"h|{host}" for host in hosts] if step is None else [f"x|{step}|{host}" for host in hosts]
        if step is not None and not hosts:
            words = [f"s|{step}"]
        self.world.plain.request_cancel(run, "me", hosts, step)
        model = self.world.model
        model.runs[run].cancels |= set(words)
        model.runs[run].cancel = model.runs[run].cancel or not words
        model.bell.append(run)

    @rule(rarely=rarely, host=st.sampled_from(HOSTS))
    def unlock(self, rarely: int, host: str) -> None:
        holder = self.world.model.holder(host)
        if holder and not rarely:
            self.unlocks += 1
            self.world.unlocked.add((holder, host))
            self.world.workers[0].store.unlock(host, "me", "so be it")

    @rule(run=runs, rerun_lost=st.booleans(), named=st.sampled_from((None, *HOSTS)), cut=cuts)
    def resume(self, run: str, rerun_lost: bool, named: str | None, cut: Any) -> None:
        worker = self.world.workers[0]
        record = worker.reader.run(run)
        if record is None or record.status not in ENDED:
            return
        plan = self.world.plans[run].plan
        self.world.rerun_lost = rerun_lost
        wanted = None if named is None else [named]
        found = look(worker.reader, plan, record, hosts=wanted, step=None, rerun_lost=rerun_lost)
        with self.link(cut):
            try:
                resume(worker.store, run, plan, found, by="me", files={}, revised=False)
            except InputError:
                pass  # somebody else was faster

    @rule(run=runs)
    def parked_hosts_are_due(self, run: str) -> None:
        self.world.client.hset(keys.run(run), "retry_at", 0)

    # ------------------------------------------------------------------ the post and Redis
    @precondition(lambda self: self.world.mail)
    @rule(which=number)
    def deliver(self, which: int) -> None:
        """Any message that was ever sent comes through, for the first time or once more; nobody sees the answer."""
        mail = self.world.mail
        message = mail[which % len(mail)]
        if message[0] not in ("unlock",):
            self.world.deliver(message)

    @precondition(lambda self: self.world.mail)
    @rule(which=st.integers(1, 12))
    def deliver_recent(self, which: int) -> None:
        self.deliver(-which)

    @rule()
    def copy_redis(self) -> None:
        self.world.remember()

    @precondition(lambda self: self.world.copies)
    @rule(rarely=rarely, which=number)
    def redis_goes_back_in_time(self, rarely: int, which: int) -> None:
        if not rarely:
            self.world.rewind(which)

    @rule(by=workers, cut=cuts)
    def watch(self, by: int, cut: Any) -> None:
        """What a worker's watcher does about runs of which it was told more than Redis knows."""
        worker = self.world.workers[by]
        for context in worker.contexts():
            run = self.world.model.runs[context.run_id]
            if run.status not in ENDED and run.resumed == context.lap and run.seq < context.known:
                with self.link(cut):
                    hold(worker, context)

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
        for lap in range(60):
            opened = sorted(self.world.model.open)
            if not opened:
                break
            if lap >= 40 and self.unlocks:
                self.lose_patience()  # who took a host from a run may have made a ring of them
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
                self.conclude(job, "changed", False, None)
            elif job.phase == "claimed":  # no slot is free
                worker.store.hand_back(run_id, job.step.number, job.host, job.task.token)
                job.phase = "over"

    def lose_patience(self) -> None:
        for run_id in self.world.model.open:
            waiting = keys.waiting(run_id)
            for host in self.world.client.zrange(waiting, 0, -1):
                self.world.client.zadd(waiting, {host: 1})


LEFTOVERS = (b"front", b"pos", b"waiting", b"slots", b"running")


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    folder = tmp_path_factory.mktemp("s")
    server = Redis(folder / "r", "--appendonly", "no")
    configured = Settings(key_file=str(key_file(folder)))
    staff = [Worker(configured, server.url, name, (ZONE,)) for name in ("w1", "w2", "w3")]
    try:
        yield server, compiled(folder), staff
    finally:
        for worker in staff:
            worker.end()
        server.stop()


def test_whatever_comes_in_whatever_order(scene: Any) -> None:
    Machine.scene = scene
    profile = settings(
        max_examples=EXAMPLES or 40,
        stateful_step_count=60,
        deadline=None,
        derandomize=not EXAMPLES,
        database=None,
        phases=[Phase.generate],  # what fails is shown as it was found: making it smaller takes many minutes
        suppress_health_check=list(HealthCheck),
        print_blob=False,
    )
    run_state_machine_as_test(Machine, settings=profile)
