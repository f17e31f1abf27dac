"""Plan → chords: what a run does next, decided from the ledger and sent to the workers.

:func:`advance` may be called by anybody at any time, twice or at once: it looks at where the run
stands and moves it on at most once.
"""

from __future__ import annotations

from collections.abc import Iterator

from redis.exceptions import LockError

from opsrunner import modules
from opsrunner.engine import gates, locks, parking, stepping
from opsrunner.engine.close import close_run, close_unopened
from opsrunner.engine.context import RunContext
from opsrunner.engine.cursor import NEW, PARKED, Cursor, place, walk
from opsrunner.engine.deciding import decide
from opsrunner.engine.node import Node
from opsrunner.engine.shards import Send, Shards
from opsrunner.engine.verdict import Front, after_stage, leader_done, play_is_over
from opsrunner.engine.walk import Fill, Progress, fills
from opsrunner.engine.withdrawal import Withdrawal
from opsrunner.errors import InputError
from opsrunner.ledger import keys
from opsrunner.ledger.encoding import encode_event
from opsrunner.ledger.records import ENDED
from opsrunner.plan import budgets
from opsrunner.plan.codec import PlanFormatError
from opsrunner.plan.late import is_settled, next_undecided
from opsrunner.plan.model import Play

#: Seconds after which another node may take over moving a run on.
LOCK_LEASE = 10.0


def advance(node: Node, run_id: str, send: Send) -> None:
    """Move the run on as far as it can go now.

    Raises redis' errors when the ledger is away, PlanFormatError and InputError (SealError) when the plan cannot be
    opened here.
    """
    lock = node.redis.lock(f"{keys.run(run_id)}:lock", timeout=LOCK_LEASE, blocking_timeout=5.0, sleep=0.02)
    if not lock.acquire():
        return  # somebody is at it; the steward looks again
    try:
        try:
            while RunProgress(node, _opened(node, run_id), send).advance():
                pass
        except Gone:
            node.redis.srem(keys.OPEN, run_id)
        except (PlanFormatError, InputError):
            if not close_unopened(node, run_id):
                raise
    finally:
        try:
            lock.release()
        except LockError:
            pass  # it ran out while we worked; every move is guarded by the cursor as well


class Gone(Exception):
    """Redis knows nothing of the run any more."""


def _opened(node: Node, run_id: str) -> RunContext:
    """The run with its plan as it is now. Raises Gone."""
    try:
        return node.context(run_id, int(node.redis.hget(keys.run(run_id), "lap") or 0))
    except LookupError:
        raise Gone from None


class RunProgress:
    """One look at where a run stands, and the moves that follow from it."""

    def __init__(self, node: Node, context: RunContext, send: Send) -> None:
        self.node = node
        self.context = context
        self.store = node.store
        self.redis = node.redis
        self.run_id = context.run_id
        self.key = keys.run(context.run_id)
        self.plays = context.plan.plays
        self.shards = Shards(node, context, send)
        #: Who a late play is for was decided, by us or somebody else: the plan that we have is an old one.
        self.decided = False

    # ------------------------------------------------------------------ where it stands
    def advance(self) -> bool:
        """Whether the plan has changed by it: then the run is to be looked at anew."""
        while self.step_once():
            if self.decided:
                return True
        return False

    def step_once(self) -> bool:
        """One move; whether another may follow at once."""
        raw = self.redis.hmget(self.key, "status", "cursor", "cancel", "halt", "cancels", "break", "entered")
        status, cursor, cancel, halt, cancels, broken, entered = [(value or b"").decode() for value in raw]
        if not status or status in ENDED:
            return False
        if cancel == "1" or halt:
            return self.wind_up(cursor, "" if cancel == "1" else halt)
        if status == "submitted":
            self.begin()
            return True
        if place(cursor) == NEW:
            self.take_locks(cursor)
            return self.enter(cursor, -1)
        if place(cursor) == PARKED:
            return parking.wake(self.node, self.context, cursor)
        at = Cursor.parse(cursor)
        play = self.plays[at.play]
        self.let_go(play, at, bool(cancels))
        self.send_unlocked(cursor, play, at)
        front = Front(self.redis, self.run_id, play.batches[at.batch])
        if not self.complete(at, play, front):
            return False
        broken = after_stage(self.node, self.context, cursor, play, at, front) or broken
        front = Front(self.redis, self.run_id, play.batches[at.batch])
        index = front.first()
        if index is not None:
            return self.dispatch(cursor, at, play, front, index)
        return self.leave_batch(cursor, at, play, broken, int(entered or 0))

    def begin(self) -> None:
        plan = self.context.plan
        limits = {"max_failed": budgets.error_budget(plan), "max_unreachable": budgets.unreachable_budget(plan)}
        fields = {name: limit.hosts for name, limit in limits.items() if limit is not None}
        self.store.begin(self.run_id, plan.title, {"locking": int(locks.takes_locks(plan)), **fields})

    def complete(self, at: Cursor, play: Play, front: Front) -> bool:
        """Whether every host of the stage has done its part (or, of a run-once step, its one host has)."""
        if at.through:
            return not front.of_stage(play, at)
        one = front.one_at(at.index)
        if one is None:
            return True
        return self.runs_once(play, at.index, one) and leader_done(
            self.node, self.run_id, play.steps[at.index], play.batches[at.batch], front.at(at.index)
        )

    def runs_once(self, play: Play, index: int, host: str) -> bool:
        step = play.steps[index]
        if play.strategy != "linear" and step.section != "gate":
            return False
        if modules.get(step.module).SPEC.once:
            return True
        if not step.run_once or isinstance(step.run_once, bool):
            return bool(step.run_once)
        return bool(self.context.templar.render(step.run_once, self.context.scope(host, play, step)))

    # ------------------------------------------------------------------ batches
    def fills(self, after: int = -1) -> Iterator[Fill]:
        reader = self.node.reader
        progress = Progress.read(reader, self.run_id)
        for fill in fills(self.context.plan, progress, reader.ended(self.run_id), after=after):
            if fill.number <= progress.reached or not play_is_over(reader, self.run_id, fill.play):
                yield fill

    def take_locks(self, cursor: str) -> None:
        """Queue for every host that has something to do, under one ticket."""
        if locks.takes_locks(self.context.plan):
            hosts = list(dict.fromkeys(host for fill in self.fills() for host in fill.hosts))
            if hosts:
                self.store.lock(self.run_id, cursor, hosts)

    def enter(self, cursor: str, after: int) -> bool:
        """Enter the next batch with something to do; end the run when there is none."""
        fill = next(self.fills(after), None)
        late = next_undecided(self.context.plan, walk(cursor))
        if late is not None and (fill is None or late.number <= fill.play.number):
            self.decided = decide(self.node, self.context, cursor, late)
            return self.decided
        return self.end(cursor) if fill is None else self.fill(cursor, fill)

    def fill(self, cursor: str, fill: Fill) -> bool:
        play, hosts = fill.play, list(fill.hosts)
        if fill.batch == 0:
            event = encode_event(play=play.number, name=play.name, hosts=len(play.hosts))
            self.store.publish(self.run_id, "play_started", event)
        event = encode_event(play=play.number, batch=fill.batch, batches=len(play.batches), hosts=hosts)
        # Index -1: the batch is entered and no stage of it was sent yet.
        return self.store.enter(
            self.run_id,
            cursor,
            str(Cursor(play.number, fill.batch, -1, walk=walk(cursor))),
            fill.number,
            ("batch_started", event),
            [(host, position.next, position.encode()) for host, position in fill.hosts.items()],
        )

    def leave_batch(self, cursor: str, at: Cursor, play: Play, broken: str, entered: int) -> bool:
        ended = self.node.reader.ended(self.run_id)
        hosts = play.batches[at.batch]
        kept = "unreachable" if self.context.plan.options.park else None  # who is only parked has not failed
        if entered == len(hosts) and all(ended.get(host, kept) != kept for host in hosts):
            broken = broken or "no host of the batch is left"
        number = sum(len(earlier.batches) for earlier in self.plays[: at.play]) + at.batch
        settled = is_settled(self.context.plan, at.play)
        last = settled and number == sum(len(one.batches) for one in self.plays) - 1
        if broken and not last:
            close_run(self.node, self.context, cursor, stopped=broken)
            return False
        # No later batch needs these: other runs may have them.
        through = [host for host in hosts if settled and self.context.last_batch[host] == number]
        self.store.release(self.run_id, cursor, through)
        return self.enter(cursor, number)

    def end(self, cursor: str) -> bool:
        """Close the run, unless hosts are parked."""
        if not parking.park(self.node, self.context, cursor):
            close_run(self.node, self.context, cursor)
        return False

    # ------------------------------------------------------------------ stages
    def dispatch(self, cursor: str, at: Cursor, play: Play, front: Front, index: int) -> bool:
        at_gate = play.steps[index].section == "gate"
        if at_gate and not gates.opened(self.node, self.context, cursor, play):
            return False
        # A batch of one host meets nobody: no barrier could be observed.
        asks = stepping.steps_through(self.context, play)
        through = not at_gate and not asks and (play.strategy == "free" or len(play.batches[at.batch]) == 1)
        stage = Cursor(at.play, at.batch, index, through, at.walk)
        hosts = front.of_stage(play, stage)
        if not hosts:
            return True  # they have gone meanwhile
        if not through and self.runs_once(play, index, hosts[0]):
            hosts = hosts[:1]
        new = str(stage)
        if asks and not stepping.allowed(self.store, self.context, new, play.steps[index]):
            return False
        event = encode_event(play=at.play, batch=at.batch, step=play.steps[index].number, hosts=hosts)
        if not self.store.move(self.run_id, cursor, new, ("step_started", event)):
            return True
        self.shards.send(new, hosts)
        # Hosts that another run holds may be left out at once.
        return self.context.plan.options.locked in ("skip", "fail") and bool(
            self.redis.zcard(keys.waiting(self.run_id))
        )

    def send_unlocked(self, cursor: str, play: Play, at: Cursor) -> None:
        """Send the hosts whose lock has become ours; leave out those that are not to be waited for."""
        locked = self.context.plan.options.locked
        granted, late = locks.grant(self.node, self.context, cursor, patience=locked == "wait")
        if late:
            Withdrawal(self.node, self.context, play, at.batch).locked(late, locked)
        if granted:
            self.shards.send(cursor, granted)

    # ------------------------------------------------------------------ hosts that go no further
    def let_go(self, play: Play, at: Cursor, cancels: bool) -> None:
        """Withdraw hosts that an operator cancelled one by one."""
        if cancels:
            wanted = {word.decode() for word in self.redis.smembers(keys.cancels(self.run_id))}
            Withdrawal(self.node, self.context, play, at.batch).cancelled(wanted)

    def wind_up(self, cursor: str, halt: str) -> bool:
        """Withdraw every host that has sent nothing; close once nothing runs any more.

        A run that was cancelled has its commands killed by their workers; one that is halted lets them end.
        """
        at = Cursor.of(cursor)
        why = f"not sent: {halt}" if halt else "cancelled before it was sent"
        if at is None or Withdrawal(self.node, self.context, self.plays[at.play], at.batch).everybody(why):
            close_run(self.node, self.context, cursor, cancelled=not halt, stopped=halt)
        return False
