"""One worker process: its lease, its SSH pool, its host threads, the runs it holds in memory."""

from __future__ import annotations

import gc
import logging
import os
import secrets
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue
from weakref import WeakValueDictionary

from msgspec.structs import replace

from opsrunner.brokers import hide_password
from opsrunner.engine import nodes
from opsrunner.engine.context import RunContext
from opsrunner.engine.gate import Ahead
from opsrunner.engine.heap import Thrift, share_one_heap
from opsrunner.engine.lead import Lead
from opsrunner.engine.live import LiveOutput
from opsrunner.engine.nodes import WorkerRecord
from opsrunner.engine.queues import queue_name
from opsrunner.engine.threads import HostThreads
from opsrunner.inventory.connection import Connection
from opsrunner.ledger.encoding import encode_event
from opsrunner.ledger.reader import Reader
from opsrunner.ledger.sealing import Sealer, read_key
from opsrunner.ledger.spool import Spool
from opsrunner.ledger.store import AWAY, Store, client_for
from opsrunner.ledger.writer import Writer
from opsrunner.local import LocalRemote
from opsrunner.plan.model import Step
from opsrunner.remote import Remote, Stream
from opsrunner.settings import Settings
from opsrunner.ssh.pool import Pool, PoolLimits
from opsrunner.ssh.target import Target
from opsrunner.templating import Scope
from opsrunner.version import VERSION

log = logging.getLogger("opsrunner.worker")

#: Runs whose plan a worker keeps in memory though nobody works on them.
RUNS_KEPT = 16
#: Objects made and not freed until Python looks for garbage, and so on: what runs keep in memory is much, and none is.
GARBAGE_AFTER = 50_000, 20, 20
#: Seconds between two looks at the live outputs.
TICK = 0.25
#: Seconds between two looks whether there is any work, at the most.
LOOK = 2.0


class Node:
    """Made once per worker process, after any fork. Also the :class:`~opsrunner.engine.carry.Bench`."""

    def __init__(self, settings: Settings, url: str, name: str, zones: tuple[str, ...]) -> None:
        self.settings = settings
        self.name = name
        self.boot = secrets.token_hex(8)
        self.redis = client_for(url)
        self.store = Store(self.redis, Sealer(read_key(Path(settings.key_file))))
        self.reader = Reader(self.redis)
        share_one_heap()
        self.threads = HostThreads(settings.sessions)
        self._thrift = Thrift(lambda: self.threads.done)
        self.ahead = Ahead(self.threads)
        spool = Spool(Path(settings.state_dir) / "spool", hide_password(url), self.boot)
        self.writer = Writer(self.store, spool, crowd=lambda: self.threads.at_work)
        self.pool = Pool(limits=PoolLimits())
        self.step_timeout = float(settings.step_timeout)
        self.output_limit = settings.output_limit
        self.zone_forks = settings.zone_forks
        self.guard_patience = float(settings.guard_patience)
        self.record = WorkerRecord(
            name,
            self.boot,
            queue_name(name),
            zones,
            socket.gethostname(),
            os.getpid(),
            settings.sessions,
            0.0,  # by Redis' clock, at the first beat
            VERSION,
        )
        #: Every run that somebody here works on, so that cancelling reaches it; the recent ones are kept besides.
        self._contexts: WeakValueDictionary[str, RunContext] = WeakValueDictionary()
        self._recent: deque[RunContext] = deque(maxlen=RUNS_KEPT)
        self._contexts_lock = threading.Lock()
        #: Told when a run is opened, so that nobody need look again and again whether one was.
        self.on_open: Callable[[], None] = lambda: None
        #: Told every few seconds while there is any work in the ledger, so that nobody need look while there is none.
        self.on_work: Callable[[], None] = lambda: None
        #: Whether there was any at the last look.
        self.busy = False
        #: No lock: to add, to discard and to copy are one step each, and every host and step does them.
        self._live: set[LiveOutput] = set()
        #: Set while there is live output to publish.
        self._printing = threading.Event()
        self._lease_until = 0.0
        self._lease_since = 0.0
        self._clock = (0.0, 0.0)
        self._lead = Lead(self.redis, self.reader, self.boot)
        #: Not an Event: those have a lock, and this is set by a signal handler.
        self._leaving = False
        self._closing = threading.Event()
        #: What wakes the heartbeat. A signal handler may put something there, whoever holds what.
        self._nudges: SimpleQueue[None] = SimpleQueue()
        self._beating = threading.Lock()
        self._tickers: list[threading.Thread] = []

    # ------------------------------------------------------------------ life
    def begin(self) -> None:
        """Take the lease and start beating. While the ledger is away there is no lease, and nothing is claimed."""
        gc.freeze()
        gc.set_threshold(*GARBAGE_AFTER)
        try:
            self._beat()
        except AWAY as error:
            log.warning("Redis takes no lease yet: %s", error)
        for target, name in ((self._beats, "heartbeat"), (self._ticks, "ticker")):
            thread = threading.Thread(target=target, name=name, daemon=True)
            thread.start()
            self._tickers.append(thread)

    def end(self) -> None:
        """Give the lease back; called when the last task of this process is through."""
        self._closing.set()
        self._nudges.put(None)
        self._printing.set()
        for thread in self._tickers:
            thread.join(5)
        self.threads.close()
        self.writer.close(5)
        self.part()
        self.pool.close()

    def part(self) -> None:
        """Take the lease away, so that others can settle at once what was left behind."""
        self._closing.set()
        self._nudges.put(None)
        try:
            with self._beating:  # a beat on its way would bring the lease back
                nodes.leave(self.redis, self.record)
                self._lead.give_up()
        except AWAY:
            pass  # the lease ends by itself

    def lease_stands(self) -> bool:
        """Whether the lease is surely ours still, by a clock that only goes forward."""
        return time.monotonic() < self._lease_until

    def lease_is_old(self) -> bool:
        """Whether the lease has stood without a gap for as long as leases last.

        Only then may others be taken for dead: while Redis was away they could not beat either.
        """
        return self.lease_stands() and time.monotonic() - self._lease_since > self.settings.lease

    def leads(self) -> bool:
        """Whether this is the worker that sees to what only one need see to. There may be two for a moment."""
        return self._lead.held()

    def look(self) -> None:
        """There is work: look at once."""
        self._nudges.put(None)

    def leave(self) -> None:
        """Claim and start nothing more; what was sent is finished. Safe in a signal handler."""
        self._leaving = True
        self._nudges.put(None)

    def is_leaving(self) -> bool:
        return self._leaving

    def _beat(self) -> None:
        if not self.record.started:
            self.record = replace(self.record, started=self.store.now())
        before = time.monotonic()
        record = replace(self.record, leaving=True) if self.is_leaving() else self.record
        now, work = nodes.beat(self.redis, record, self.settings.lease)
        self._set_clock(now, before, time.monotonic())
        if not self.lease_stands():
            self._lease_since = before
        # Counted from before the renewal was sent, less a margin: Redis must never think us dead first.
        self._lease_until = before + self.settings.lease * 0.8
        self._turn_to(work)

    def _turn_to(self, work: bool) -> None:
        """Whoever finds work leads, unless another one does; that is settled when the others are woken."""
        if work:
            self._lead.take()
        elif self.leads():
            self._lead.give_up()
        self.busy = work
        if work:
            self.on_work()

    def _beats(self) -> None:
        """Beat every so often, and at once when the worker is told to leave: others take over what it hands back."""
        told, due = False, time.monotonic() + self.settings.heartbeat
        while not self._closing.is_set():
            with suppress(Empty):
                self._nudges.get(timeout=max(0.0, min(LOOK, due - time.monotonic())))
            self._thrift.look(time.monotonic())
            leaving = self.is_leaving()
            beat = leaving != told or time.monotonic() >= due
            try:
                with self._beating:
                    if self._closing.is_set():
                        return
                    if not beat:
                        self._turn_to(nodes.any_work(self.redis))
                        continue
                    self._beat()
                told, due = leaving, time.monotonic() + self.settings.heartbeat
            except AWAY:
                due = time.monotonic() + min(1.0, self.settings.heartbeat)
            except Exception:  # whatever is wrong in the ledger, a worker that lives must not count as dead
                log.exception("the heartbeat stumbled")
                due = time.monotonic() + self.settings.heartbeat

    def _ticks(self) -> None:
        while self._printing.wait() and not self._closing.wait(TICK):
            live = list(self._live)
            if not live:
                self._printing.clear()
                # Who came, or ended us, between these two lines found it set.
                if self._live or self._closing.is_set():
                    self._printing.set()
            for output in live:
                output.flush()

    # ------------------------------------------------------------------ runs
    def context(self, run_id: str, lap: int) -> RunContext:
        """The run in memory, opened when first wanted. Raises LookupError when it is gone, InputError on a bad key."""
        with self._contexts_lock:
            known = self._contexts.get(run_id)
            if known is None or known.lap != lap:
                opened = RunContext(run_id, lap, self.store, self.reader)
                opened.learn(known.known if known else 0)
                known = self._contexts[run_id] = opened
                self.on_open()
            if known not in self._recent:
                self._recent.append(known)
            return known

    def contexts(self) -> list[RunContext]:
        """The runs in memory."""
        with self._contexts_lock:
            return list(self._contexts.values())

    def forget(self, run_id: str) -> None:
        with self._contexts_lock:
            known = self._contexts.pop(run_id, None)
            if known is not None and known in self._recent:
                self._recent.remove(known)

    # ------------------------------------------------------------------ Bench
    def now(self) -> float:
        """Seconds since the epoch by Redis' clock: nodes' own clocks may differ."""
        return self._told_at(time.monotonic())

    def _told_at(self, moment: float) -> float:
        told, at = self._clock
        return told + moment - at

    def _set_clock(self, told: float, before: float, after: float) -> None:
        """Redis told its time somewhen between the two. What we go by moves only where that speaks against it.

        Else it would jump to and fro with the time that answers take, and how long steps took with it.
        """
        if not self._told_at(before) <= told <= self._told_at(after):
            self._clock = (told, (before + after) / 2)

    def remote(self, context: RunContext, play: int, step: Step, target: str, scope: Scope) -> Remote:
        reached = context.reaching.reached(target, scope, step, play, self._target)
        if reached is None:
            return LocalRemote(target)
        return self.pool.remote(reached, following=context.following(step, play))

    def _target(self, host: str, reach: Connection) -> Target | None:
        """Where connections to the host go; None to no other machine."""
        if reach.kind == "local":
            return None
        return Target(
            host=host,
            address=reach.address,
            port=reach.port,
            user=reach.user or "",
            password=reach.password,
            private_key_file=reach.private_key_file or "",
            known_hosts_files=reach.known_hosts_files,
            host_key_checking=reach.host_key_checking,
            timeout=reach.timeout or self.settings.connect_timeout,
            shell=self.settings.ssh_shell if reach.ssh_shell is None else reach.ssh_shell,
        )

    def live_output(self, run_id: str, step: int, host: str) -> LiveOutput:
        publish = partial(self._publish, run_id, step, host)
        return LiveOutput(publish, time.monotonic(), time.monotonic, self._show_live, self._live.discard)

    def _show_live(self, output: LiveOutput) -> None:
        self._live.add(output)
        if not self._printing.is_set():
            self._printing.set()

    def _publish(self, run_id: str, step: int, host: str, stream: Stream, text: str) -> None:
        try:
            self.store.publish(run_id, "output", encode_event(step=step, host=host, stream=stream, text=text))
        except AWAY:
            pass  # live output is a convenience; the result holds all of it
