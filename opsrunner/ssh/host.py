"""A host over SSH: the :class:`~opsrunner.remote.Remote` that steps are written against."""

from __future__ import annotations

import datetime
import secrets
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from opsrunner import transfer
from opsrunner.dialogue import Dialogue
from opsrunner.errors import ConnectionLost, RemoteCancelled, Unreachable
from opsrunner.launch import Launch, kill_children_line, kill_line, prepare
from opsrunner.remote import NOT_STARTED, Become, Command, Completed, OnOutput
from opsrunner.ssh.execution import Carrier, Execution
from opsrunner.ssh.session import OPEN_TIMEOUT, Session, SessionDead
from opsrunner.ssh.target import Target

if TYPE_CHECKING:
    from opsrunner.ssh.pool import Pool

#: Seconds a command has to say its process group before it is given up as not to be killed.
MARKER_WAIT = 2.0
#: How often within that time a command is looked for that a shell may not have begun yet.
KILL_TRIES = 4
#: Seconds the kill script may take beyond its grace.
KILL_MARGIN = 15.0


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


class SshRemote:
    """One host, over the connections of a pool. Thread-safe: it keeps nothing between commands."""

    def __init__(
        self, pool: Pool, target: Target, following: int, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        """``following``: commands that are expected behind the next one."""
        self.host = target.host
        self.is_local = False
        self._pool = pool
        self._target = target
        self._following = following
        self._monotonic = monotonic

    def connect(self) -> None:
        """Make sure that a connection is there; raises only Unreachable."""
        session, _ = self._pool.enter(self._target)
        self._pool.leave(session)

    def reset(self) -> None:
        """The next command logs in anew."""
        self._pool.reset(self._target)

    def exec(
        self, command: Command, *, on_output: OnOutput | None = None, stop: threading.Event | None = None
    ) -> Completed:
        """Run one command to its end; see :class:`~opsrunner.remote.Remote`.

        The deadline counts from the sending of the command: connecting has one of its own.
        """
        stopped = stop.is_set if stop is not None else _never
        if stopped():
            raise RemoteCancelled("cancelled", host=self.host, fate=NOT_STARTED)
        launch = prepare(command, secrets.token_hex(8))
        with self._pool.channel(self._target, launch, stopped, self._following) as (session, channel):
            dialogue = Dialogue(launch, command, _now(), on_output, quiet=channel.parent is not None)
            return self._converse(session, channel, launch, command, dialogue, stopped)

    def _converse(
        self,
        session: Session,
        channel: Carrier,
        launch: Launch,
        command: Command,
        dialogue: Dialogue,
        stopped: Callable[[], bool],
    ) -> Completed:
        execution = Execution(self.host, channel, dialogue, self._monotonic)
        execution.send(launch)
        deadline = None if command.timeout is None else self._monotonic() + command.timeout

        def broken_off() -> bool:
            return stopped() or (deadline is not None and self._monotonic() >= deadline)

        try:
            end = execution.follow(broken_off)
            if end is not None:
                return dialogue.completed(self.host, end)
            cancelled = stopped()
            fate = self._break_off(session, execution, launch, command, dialogue, channel.parent)
            raise dialogue.broken_off(self.host, cancelled=cancelled, fate=fate)
        except ConnectionLost:
            session.retired = True
            raise
        finally:
            session.moved += execution.sent + dialogue.size

    def _break_off(
        self,
        session: Session,
        execution: Execution,
        launch: Launch,
        command: Command,
        dialogue: Dialogue,
        parent: int | None,
    ) -> str:
        """End the command's process groups and take what it still says; the words for its fate."""
        if not launch.marked:
            return dialogue.fate("")
        if not dialogue.started:
            # It may be sudo that waits, or a guard that takes input: they end when their stdin does.
            if dialogue.groups:
                execution.close_input()
            deadline = self._monotonic() + MARKER_WAIT
            ended = execution.follow(lambda: dialogue.started or self._monotonic() >= deadline)
            if ended is not None:
                return dialogue.fate("ended")
            if not dialogue.started:
                return dialogue.fate("")
        if parent is not None:
            return self._end_child(session, execution, dialogue, parent)
        line = kill_line(tuple(dialogue.groups), grace=self._pool.grace)
        return dialogue.fate(self._kill_meanwhile(session, execution, line, command.become))

    def _end_child(self, session: Session, execution: Execution, dialogue: Dialogue, parent: int) -> str:
        """End the command that the shell ``parent`` runs. Before it has begun it, the shell has no child either:

        that a command has ended is believed only when the shell says so, too.
        """
        line = kill_children_line(parent, grace=self._pool.grace)
        for _ in range(KILL_TRIES):
            answer = self._kill_meanwhile(session, execution, line, None)
            if answer != "ended" or self._ends_within(execution, MARKER_WAIT / KILL_TRIES):
                return dialogue.fate(answer)
        return dialogue.fate("")

    def _ends_within(self, execution: Execution, seconds: float) -> bool:
        until = self._monotonic() + seconds
        return execution.follow(lambda: self._monotonic() >= until, tick=0.05) is not None

    def _kill_meanwhile(self, session: Session, execution: Execution, line: str, become: Become | None) -> str:
        """Run the kill script, and take the command's last words: a full window would keep it from ending by itself."""
        answers: list[str] = []
        killer = threading.Thread(target=lambda: answers.append(self._kill(session, line, become)), daemon=True)
        killer.start()
        try:
            execution.follow(lambda: not killer.is_alive(), tick=0.05)
        except (Unreachable, ConnectionLost):
            pass
        killer.join()
        return answers[0].strip()

    def _kill(self, session: Session, line: str, become: Become | None) -> str:
        """Run the kill script over a second channel, or a second connection where there is no second channel."""
        command = Command(line, become=become, timeout=self._pool.grace + KILL_MARGIN)
        try:
            try:
                return self._run_over(session, command)
            except (SessionDead, Unreachable):
                own = self._pool.connect(self._target)
                try:
                    return self._run_over(own, command)
                finally:
                    own.close()
        except Exception as error:  # whatever it was, the command could not be killed
            return str(error)

    def _run_over(self, session: Session, command: Command) -> str:
        """Stdout of a small command over this very session, outside its slots."""
        channel = session.open(self.host, timeout=OPEN_TIMEOUT, patience=1.0)
        try:
            launch = prepare(command, secrets.token_hex(8))
            dialogue = Dialogue(launch, command, _now())
            execution = Execution(self.host, channel, dialogue, self._monotonic)
            execution.send(launch)
            deadline = self._monotonic() + (command.timeout or 0)
            end = execution.follow(lambda: self._monotonic() >= deadline)
            if end is None:
                return "no answer"
            return dialogue.completed(self.host, end).stdout.decode(errors="replace")
        finally:
            channel.close()

    def put(
        self,
        data: bytes,
        path: str,
        *,
        mode: int = 0o600,
        become: Become | None = None,
        timeout: float | None = None,
    ) -> None:
        """Create or replace a file; see :func:`opsrunner.transfer.put`."""
        nonce = secrets.token_hex(8)
        transfer.put(self.exec, self.host, data, path, nonce=nonce, mode=mode, become=become, timeout=timeout)

    def get(self, path: str, *, become: Become | None = None, timeout: float | None = None) -> bytes:
        """The content of a file; see :func:`opsrunner.transfer.get`."""
        return transfer.get(self.exec, path, become=become, timeout=timeout)


def _never() -> bool:
    return False
