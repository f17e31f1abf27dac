"""Playbooks from Python: what ``opsrunner run``, ``watch`` and ``cancel`` do, without a terminal.

::

    from opsrunner import Runner, run_playbook

    result = run_playbook("site.yml", limit="web", extra_vars={"version": "2.1"})   # waits for its end
    print(result.status, result.stats["web1"]["changed"])

    run = Runner().start("site.yml")                                                 # does not
    for event in run.events():
        print(event.kind, event.data)
    print(run.state, run.get(timeout=60).exit_code)

A host that fails is no exception but a value of the result; :meth:`RunResult.raise_for_status` makes one of it.
What is wrong with playbook, inventory or arguments raises :class:`opsrunner.errors.InputError` (or ``InputErrors``)
with file, line and column before any host is touched.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, Unpack

from msgspec import Struct, field
from msgspec.structs import replace

from opsrunner import settings as settings_module
from opsrunner.engine.access import open_ledger, open_store, operator
from opsrunner.engine.cursor import PARKED, place
from opsrunner.engine.starting import Wanted, checked, compile_wanted, notifiers_of
from opsrunner.engine.submit import require_workers, submit
from opsrunner.errors import InputError, RunFailed, RunNotFound
from opsrunner.ledger import keys
from opsrunner.ledger.expiry import forget
from opsrunner.ledger.following import Ledger
from opsrunner.ledger.records import ENDED, Event, RunRecord
from opsrunner.output.document import document
from opsrunner.settings import Settings

#: A run's state in Celery's words. RETRY: nothing goes on but the wait for hosts that were unreachable (``--park``).
State = Literal["PENDING", "STARTED", "RETRY", "SUCCESS", "FAILURE", "REVOKED"]
#: Seconds that the embedded worker may take to come up.
EMBEDDED_WITHIN = 30.0

_STATES: dict[str, State] = {
    "submitted": "PENDING",
    "running": "STARTED",
    "cancelling": "STARTED",
    "succeeded": "SUCCESS",
    "cancelled": "REVOKED",
}


class RunResult(Struct, frozen=True):
    """What came of a run that has ended."""

    run: str
    status: str  # succeeded, failed, stopped, cancelled or held
    exit_code: int  # as of `opsrunner run`: 0 all good, 2 failed, 4 unreachable, 8 lost, 99 cancelled
    reason: str | None
    #: Host → counts as in Ansible's recap (``ok``, ``changed``, ``failures`` …) and ``lost`` and ``cancelled``.
    stats: dict[str, dict[str, int]]
    #: Warnings of the compilation, where this process has started the run.
    warnings: tuple[str, ...] = field(default=())

    @property
    def ok(self) -> bool:
        """Whether every host came through."""
        return self.exit_code == 0

    def raise_for_status(self) -> RunResult:
        """The result itself. Raises RunFailed unless every host came through."""
        if not self.ok:
            raise RunFailed.of(self.run, self.status, self.stats, self.reason)
        return self


class Run:
    """A run, whoever started it; its names are those of Celery's ``AsyncResult``.

    Every method asks the ledger, and raises BrokerUnavailable or redis' own errors when that is away, and RunNotFound
    once the run is forgotten.
    """

    def __init__(self, run_id: str, ledger: Ledger, settings: Settings, warnings: tuple[str, ...] = ()) -> None:
        self.id = run_id
        self.warnings = warnings
        self._ledger = ledger
        self._settings = settings
        self._forgotten = False

    def __repr__(self) -> str:
        return f"<Run {self.id}>"

    def record(self) -> RunRecord:
        """What the ledger knows of it: title, user, times (seconds since the epoch), plays, exit code."""
        record = None if self._forgotten else self._ledger.run(self.id)
        if record is None:
            raise RunNotFound(f"no run {self.id!r}", why="it was forgotten, or its time is over (retention_days)")
        return record

    @property
    def status(self) -> str:
        """The ledger's word: submitted, running, succeeded, failed, stopped, cancelled or held."""
        return self.record().status

    @property
    def state(self) -> State:
        """The same in Celery's words."""
        state = _STATES.get(self.status, "FAILURE")
        if state != "STARTED":
            return state
        cursor = self._ledger.redis.hget(keys.run(self.id), "cursor") or b""
        return "RETRY" if place(cursor.decode()) == PARKED else state

    def ready(self) -> bool:
        """Whether it has ended."""
        return self.status in ENDED

    def successful(self) -> bool:
        return self.state == "SUCCESS"

    def failed(self) -> bool:
        return self.state == "FAILURE"

    @property
    def result(self) -> RunResult | None:
        """What came of it, None while it goes on."""
        record = self.record()
        if record.status not in ENDED:
            return None
        code = 1 if record.exit_code is None else record.exit_code
        return RunResult(self.id, record.status, code, record.reason, self._ledger.stats(record), self.warnings)

    def events(self, *, after: str = "0") -> Iterator[Event]:
        """What happens, as it happens, from its beginning (or the event of that ``id``) to the run's end.

        An ``outcome`` event carries the host's result in ``outcome.result``. While Redis is away this waits; a
        ``notice`` tells so. Raises LedgerLost when the run is gone.
        """
        for event in self._ledger.follow(self.id, after=after):
            if event is not None and event.outcome is not None:
                event = replace(event, outcome=replace(event.outcome, result=dict(event.outcome.result)))
            if event is not None:
                yield event

    def get(self, timeout: float | None = None) -> RunResult:
        """Wait for its end, at most ``timeout`` seconds. Raises TimeoutError; the run goes on then."""
        deadline = None if timeout is None else time.monotonic() + timeout
        for _ in self._ledger.follow(self.id, after=self._ledger.newest_event(self.id), complete=False):
            if self.ready():
                break
            if deadline is not None and time.monotonic() >= deadline:
                raise TimeoutError(f"run {self.id} goes on after {timeout} s")
        result = self.result
        assert result is not None
        return result

    def document(self) -> dict[str, Any]:
        """Everything, as ``--output json`` prints it: plays, tasks, each host's result, stats."""
        record = self.record()
        return document(record, self._ledger.outcomes(self.id), self._ledger.stats(record))

    def revoke(self) -> None:
        """Stop it: nothing more is sent, and what runs gets TERM, then KILL. Returns at once; nothing once it ended."""
        if not self.ready():
            open_store(self._ledger, self._settings).request_cancel(self.id, operator())

    def forget(self) -> None:
        """Take it off the list of runs; its records go within a minute. Raises InputError while it goes on."""
        forget(self._ledger.redis, self._ledger.find_ended(self.id))
        self._forgotten = True


class Runner:
    """Starts playbooks, and finds runs again.

    ``directory`` is what relative paths are meant beside, and where ``celeryconfig.py`` is read; the current one
    where it is left out. ``environment`` holds settings (``OPSRUNNER_…``, ``CELERY_BROKER_URL``) that win over those
    of the process. Safe to share between threads. Raises InputError for settings that will not do.
    """

    def __init__(
        self, directory: str | os.PathLike[str] = ".", *, environment: Mapping[str, str] | None = None
    ) -> None:
        self.directory = Path(directory).absolute()
        self.settings = settings_module.load({**os.environ, **(environment or {})}, self.directory)
        self._opened: Ledger | None = None

    def start(
        self, playbook: str | os.PathLike[str], *, wait_for_workers: float = 0.0, **wanted: Unpack[Wanted]
    ) -> Run:
        """Compile the playbook, hand it to the workers, and return at once.

        Without a broker the embedded Redis and a worker are started. Raises InputError and InputErrors (nothing was
        stored), BrokerUnavailable, and NoWorker when a zone has none within ``wait_for_workers`` seconds.
        """
        asked = checked(wanted)
        notifiers = notifiers_of(asked, self.settings, base=self.directory)
        compiled = compile_wanted(
            self.directory / playbook, asked, self.settings, base=self.directory, open_reader=self._ledger
        )
        if not any(play.hosts or play.late for play in compiled.plan.plays):
            raise InputError("no play has a host", why="a run of nothing would have no outcome")
        ledger = self._ledger(worker=True)
        store = open_store(ledger, self.settings)
        embedded = EMBEDDED_WITHIN if self.settings.broker_url is None else 0.0
        require_workers(ledger.redis, compiled.plan, wait=wait_for_workers or embedded)
        run_id = submit(store, compiled.plan, compiled.files, user=operator(), notifiers=notifiers)
        return Run(run_id, ledger, self.settings, compiled.warnings)

    def run(
        self,
        playbook: str | os.PathLike[str],
        *,
        timeout: float | None = None,
        wait_for_workers: float = 0.0,
        **wanted: Unpack[Wanted],
    ) -> RunResult:
        """As :meth:`start`, and wait for the end. Raises TimeoutError after ``timeout`` seconds: the run goes on."""
        return self.start(playbook, wait_for_workers=wait_for_workers, **wanted).get(timeout)

    def find(self, run: str) -> Run:
        """A run by its id, a unique beginning of it, or ``last``. Raises RunNotFound."""
        ledger = self._ledger()
        return Run(ledger.find(run).id, ledger, self.settings)

    def _ledger(self, *, worker: bool = False) -> Ledger:
        """One for all runs; the embedded Redis may have ended since, and is started again."""
        if self._opened is None or self.settings.broker_url is None:
            self._opened = open_ledger(self.settings, worker=worker)
        return self._opened


def run_playbook(
    playbook: str | os.PathLike[str],
    *,
    directory: str | os.PathLike[str] = ".",
    timeout: float | None = None,
    wait_for_workers: float = 0.0,
    **wanted: Unpack[Wanted],
) -> RunResult:
    """Run a playbook and wait for its end; :class:`Runner` tells of ``directory``, :meth:`Runner.run` of the rest."""
    return Runner(directory).run(playbook, timeout=timeout, wait_for_workers=wait_for_workers, **wanted)
