"""Warm connections, shared by all threads of one process."""

from __future__ import annotations

import os
import random
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from msgspec import Struct

from opsrunner.errors import RemoteCancelled, Unreachable
from opsrunner.launch import Launch
from opsrunner.remote import NOT_STARTED, Remote
from opsrunner.ssh.connecting import Connecting, Keys
from opsrunner.ssh.execution import Carrier
from opsrunner.ssh.host import SshRemote
from opsrunner.ssh.idle import IdleWatch
from opsrunner.ssh.session import OPEN_TIMEOUT, Session, SessionDead, Wear
from opsrunner.ssh.target import Target
from opsrunner.ssh.watchdog import Watchdog

#: Connections tried for one command, each dead before anything was sent.
ATTEMPTS = 3


class PoolLimits(Struct, frozen=True):
    """How many connections are kept and for how long; seconds and bytes."""

    #: Open connections; the least recently used idle one goes first. Busy ones are never closed.
    connections: int = 2000
    idle: float = 600.0
    lifetime: float = 3600.0
    #: Share of the lifetime by which connections differ, so that they do not all end at once.
    jitter: float = 0.2
    bytes: int = 256 * 1024 * 1024
    #: Commands over one connection: it is retired before either side would ask for new keys.
    execs: int = 5000
    #: Commands at once over one connection; sshd's MaxSessions is 10, and one is kept for kills.
    channels: int = 7
    #: Commands over a connection before its shell is opened, which costs as much as what four of them save. Those
    #: that are expected to follow count, too.
    shell_after: int = 4
    shell_idle: float = 60.0
    #: How often idle connections are looked at.
    sweep: float = 30.0


class PoolCount(Struct, frozen=True):
    """What a pool holds and has done."""

    open: int
    idle: int
    connects: int
    execs: int


class _Slot:
    """The connection to one target, and the lock that lets one thread at a time make it."""

    def __init__(self) -> None:
        self.making = threading.Lock()
        self.session: Session | None = None
        self.last_used = 0.0


class Pool:
    """Connections by target; every method may be called from any thread.

    A process that was forked from one with a pool finds it empty: connections are not shared.
    """

    def __init__(
        self,
        *,
        limits: PoolLimits | None = None,
        grace: float = 10.0,
        monotonic: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        """``grace``: seconds between TERM and KILL for a command that is ended."""
        self.limits = limits or PoolLimits()
        self.grace = grace
        self._monotonic = monotonic
        self._chance = chance
        self._forked_from: list[Session] = []
        self._start()

    def _start(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._slots: OrderedDict[tuple[object, ...], _Slot] = OrderedDict()
        self._retired: set[Session] = set()
        self._keys = Keys()
        self._watchdog = Watchdog(self._sweep, every=self.limits.sweep, monotonic=self._monotonic)
        self._idle = IdleWatch()
        self._connects = 0
        self._execs = 0
        self._closed = False

    def remote(self, target: Target, *, following: int = 0) -> Remote:
        """The host behind ``target``; cheap, connects at first use.

        ``following``: commands that are expected behind the next one; where they are many, it opens a shell at once.
        """
        return SshRemote(self, target, following)

    @contextmanager
    def channel(
        self, target: Target, launch: Launch, stopped: Callable[[], bool], following: int = 0
    ) -> Iterator[tuple[Session, Carrier]]:
        """What the command is to be sent over, closed at the end; raises only Unreachable before the body.

        A warm connection that turns out dead is replaced: nothing was sent over it.
        """
        session, channel = self._open(target, launch, stopped, following)
        try:
            yield session, channel
        finally:
            channel.close()
            session.slots.release()
            self.leave(session)

    def _open(
        self, target: Target, launch: Launch, stopped: Callable[[], bool], following: int
    ) -> tuple[Session, Carrier]:
        why = ""
        for _ in range(ATTEMPTS):
            session, fresh = self.enter(target, look=False)
            try:
                return session, self._open_on(session, fresh, target, launch, stopped, following)
            except SessionDead as error:
                self.leave(session)
                why = str(error)
                if fresh:
                    break
            except BaseException:
                self.leave(session)
                raise
        raise Unreachable("the connection was made, and broke before the command was sent", host=target.host, why=why)

    def _open_on(
        self,
        session: Session,
        fresh: bool,
        target: Target,
        launch: Launch,
        stopped: Callable[[], bool],
        following: int,
    ) -> Carrier:
        """Wait for one of the session's slots and open a channel; the slot is given back on failure."""
        while not session.slots.acquire(timeout=0.25):
            if stopped():
                raise RemoteCancelled("cancelled", host=target.host, fate=NOT_STARTED)
        try:
            timeout = max(OPEN_TIMEOUT, target.timeout) if fresh else OPEN_TIMEOUT
            turn = session.begin_turn(launch, following) if target.shell else None
            channel = turn or session.open(target.host, timeout=timeout, patience=target.timeout, stopped=stopped)
        except BaseException:
            session.slots.release()
            raise
        with self._lock:
            self._execs += 1
        return channel

    def enter(self, target: Target, *, look: bool = True) -> tuple[Session, bool]:
        """A live session, one user more on it; True when it was made just now. End with :meth:`leave`.

        Without ``look`` one that was looked at a moment ago counts as live: opening a channel tells, too.
        """
        self._check_process()
        key = target.key()
        with self._lock:
            if self._closed:
                raise Unreachable("the worker is shutting down", host=target.host)
            slot = self._slots.get(key)
            if slot is None:
                slot = self._slots[key] = _Slot()
            if (session := self._usable(slot)) is not None:
                self._slots.move_to_end(key)
        if session is not None:
            self._idle.discard(session)  # not under the lock, as it may be a system call
            if (not look and session.was_seen()) or session.look():
                return session, False
            self.leave(session)
        with slot.making:
            with self._lock:
                if (session := self._usable(slot)) is not None:  # made while we waited for our turn
                    self._idle.discard(session)
                    return session, False
            session = self.connect(target)
            for old in self._keep(key, slot, session):
                self._close(old)
            return session, True

    def _close(self, session: Session) -> None:
        self._idle.discard(session)
        session.close()

    def _keep(self, key: tuple[object, ...], slot: _Slot, session: Session) -> list[Session]:
        """Take in a new session with its first user; gives back those that must make room for it."""
        with self._lock:
            session.users += 1
            other = self._slots.setdefault(key, slot)
            if other is not slot or self._closed:
                # Our slot was swept away while we connected, and somebody made another: this
                # session serves its one command and goes.
                session.retired = True
                return []
            self._slots.move_to_end(key)
            slot.session = session
            slot.last_used = self._monotonic()
            self._connects += 1
            return self._evicted()

    def connect(self, target: Target) -> Session:
        """A connection of its own, not kept by the pool."""
        transport = Connecting(target, self._keys, self._watchdog, self._monotonic).run()
        lifetime = self.limits.lifetime * (1 + self.limits.jitter * (self._chance() - 0.5))
        wear = Wear(self.limits.bytes, self.limits.execs, self._monotonic() + lifetime)
        return Session(transport, wear, channels=self.limits.channels, shell_after=self.limits.shell_after)

    def _usable(self, slot: _Slot) -> Session | None:
        """The slot's session with one user more, if it will do. The lock is held."""
        session = slot.session
        if session is None:
            return None
        now = self._monotonic()
        idle_too_long = session.users == 0 and now - slot.last_used > self.limits.idle
        if not session.alive() or session.worn(now) or idle_too_long:
            slot.session = None
            session.retired = True
            if session.users:
                self._retired.add(session)
            else:
                self._close(session)
            return None
        session.users += 1
        slot.last_used = now
        return session

    def reset(self, target: Target) -> None:
        """Keep the target's session for nobody new; whoever uses it goes on to the end."""
        self._check_process()
        with self._lock:
            slot = self._slots.get(target.key())
            session = slot.session if slot else None
            if slot is None or session is None:
                return
            slot.session = None
            session.retired = True
            used = session.users > 0
            if used:
                self._retired.add(session)
        if not used:
            self._close(session)

    def leave(self, session: Session) -> None:
        """One user less; a session that is done with is closed by the last."""
        with self._lock:
            session.users -= 1
            done = session.users == 0 and (session.retired or session in self._retired or self._closed)
            if done:
                self._retired.discard(session)
            elif session.users == 0:
                self._idle.add(session)
        if done:
            session.close()

    def _evicted(self) -> list[Session]:
        """Take out idle sessions, oldest first, until the cap is kept. The lock is held."""
        if len(self._slots) <= self.limits.connections:
            return []
        over = sum(slot.session is not None for slot in self._slots.values()) - self.limits.connections
        closing: list[Session] = []
        for key, slot in list(self._slots.items()):
            if len(closing) >= over:
                break
            if slot.session is not None and slot.session.users == 0:
                closing.append(slot.session)
                del self._slots[key]
        return closing

    def _sweep(self) -> None:
        """Close what is idle for too long, worn or dead; the watchdog calls it."""
        now = self._monotonic()
        closing: list[Session] = []
        kept: list[Session] = []
        with self._lock:
            for key, slot in list(self._slots.items()):
                session = slot.session
                if session is None:
                    if not slot.making.locked():
                        del self._slots[key]
                elif session.users == 0 and (
                    now - slot.last_used > self.limits.idle or session.worn(now) or not session.alive()
                ):
                    closing.append(session)
                    del self._slots[key]
                else:
                    kept.append(session)
        for session in closing:
            self._close(session)
        for session in kept:
            session.shell.close_if_idle(self.limits.shell_idle)
            session.tidy()

    def _check_process(self) -> None:
        """After a fork: start anew, and never touch the parent's connections."""
        if self._pid == os.getpid():
            return
        kept = [slot.session for slot in self._slots.values() if slot.session is not None]
        # Held on to: collecting them would run paramiko's clean-up on sockets we share.
        self._forked_from += [*kept, *self._retired]
        self._start()
        for session in self._forked_from:
            session.abandon()

    def count(self) -> PoolCount:
        """What the pool holds."""
        with self._lock:
            sessions = [slot.session for slot in self._slots.values() if slot.session is not None]
            idle = sum(session.users == 0 for session in sessions)
            return PoolCount(len(sessions), idle, self._connects, self._execs)

    @property
    def idle_count(self) -> int:
        """Connections that nobody is using now."""
        return self.count().idle

    def close(self) -> None:
        """Close every idle connection now, and busy ones as their commands end."""
        self._check_process()
        with self._lock:
            self._closed = True
            sessions = [slot.session for slot in self._slots.values() if slot.session is not None]
            self._slots.clear()
            closing = [session for session in (*sessions, *self._retired) if session.users == 0]
            self._retired.clear()
        for session in closing:
            self._close(session)
        self._idle.close()
        self._watchdog.close()
