"""The Celery task ``opsrunner.run_playbook``: any Celery app that shares our broker may send it by its name.

Whoever reaches the broker may, so it is confined: playbooks and inventories of one folder, variables that are no
templates and reach no connection.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from celery import Celery, Task, signals, signature
from celery.exceptions import Ignore
from kombu.exceptions import OperationalError

from opsrunner.engine import requests
from opsrunner.engine.node import Node
from opsrunner.engine.starting import Wanted, checked, compile_wanted, notifiers_of
from opsrunner.engine.termination import UnkillableRequest
from opsrunner.errors import InputError, OpsrunnerError, RunFailed, RunRefused
from opsrunner.inventory import patterns
from opsrunner.ledger.client import Refused
from opsrunner.ledger.records import ENDED, RunRecord
from opsrunner.ledger.store import AWAY
from opsrunner.plan.model import Compiled
from opsrunner.settings import Settings
from opsrunner.tagged import Verbatim

RUN_PLAYBOOK = "opsrunner.run_playbook"
#: Seconds until a task that met a ledger which is away is tried again, and how often it is.
RETRY_AFTER, RETRIES = 5.0, 60
#: Variables that say how a host is reached, and by whom.
RESERVED = ("ansible_", "opsrunner_")


class Resender:
    """Sends a message that was put down. Raises one of AWAY while the broker takes nothing."""

    def __init__(self, app: Celery) -> None:
        self._app = app

    def __call__(self, message: Mapping[str, Any]) -> None:
        try:
            signature(dict(message), app=self._app).apply_async()
        except OperationalError as error:
            raise Refused(f"the broker takes no message: {error}") from None


def register(app: Celery, node_of: Callable[[], Node]) -> None:
    """Register the task on ``app``; ``node_of()`` gives this process's Node."""

    @app.task(
        name=RUN_PLAYBOOK,
        bind=True,
        track_started=True,
        ignore_result=False,
        throws=(OpsrunnerError,),
        typing=False,
        Request=UnkillableRequest,
    )  # type: ignore[untyped-decorator]
    def _run_playbook(task: Task, playbook: Any = None, /, *more: Any, **given: Any) -> dict[str, Any]:
        node = node_of()
        try:
            record = requests.run_of(node, task.request.id) or _start(node, task, playbook, more, given)
            if record is None or record.status not in ENDED:
                _put_down(node, task, playbook, record)
                raise Ignore
            return _told(node, task, record)
        except AWAY as error:
            failure = RunRefused(f"the ledger is away: {error}")
            raise task.retry(exc=failure, countdown=RETRY_AFTER, max_retries=RETRIES) from None
        except RunFailed:
            raise
        except OpsrunnerError as error:
            raise RunRefused(" · ".join(line.strip() for line in error.lines())) from None

    @signals.task_revoked.connect(weak=False)  # type: ignore[untyped-decorator]
    def _discarded(sender: Any, request: Any, **extra: Any) -> None:
        """Celery drops the message of a task that was revoked, and with it what would have taken the task up."""
        if getattr(sender, "name", None) == RUN_PLAYBOOK:
            with suppress(*AWAY):
                requests.taken_up(node_of(), request.id)


def _start(node: Node, task: Task, playbook: Any, more: tuple[Any, ...], given: Mapping[str, Any]) -> RunRecord | None:
    if more:
        raise InputError(f"{RUN_PLAYBOOK} takes one argument, the playbook", remedy="name the others: limit='web'")
    compiled = confined(playbook, given, node.settings)
    notifiers = notifiers_of(checked(given), node.settings, base=Path())
    user = f"celery {task.request.origin or 'unknown'}"
    return requests.start_once(node, task.request.id, compiled, user, notifiers)


def _put_down(node: Node, task: Task, playbook: str, record: RunRecord | None) -> None:
    """The message goes without its arguments, which may hold what nobody else should see: the run is there."""
    if record is None:
        return  # the delivery that is at it does
    message = task.signature_from_request(
        args=(playbook,), kwargs={}, expires=None, argsrepr=f"{playbook}, run {record.id}"
    )
    requests.put_down(node, task.request.id, record.id, dict(message))
    task.backend.mark_as_started(task.request.id, run=record.id)


def _told(node: Node, task: Task, record: RunRecord) -> dict[str, Any]:
    """The task's result. Raises RunFailed, and Ignore for a run that was cancelled: its task is REVOKED."""
    requests.taken_up(node, task.request.id)
    stats = node.reader.stats(record)
    if record.status == "cancelled":
        task.backend.mark_as_revoked(task.request.id, f"run {record.id} was {record.reason}", request=task.request)
        raise Ignore
    if record.exit_code:
        raise RunFailed.of(record.id, record.status, stats, record.reason)
    return {"run": record.id, "status": record.status, "exit_code": record.exit_code, "stats": stats}


# ---------------------------------------------------------------------- what a message may ask for
def confined(playbook: Any, given: Mapping[str, Any], settings: Settings) -> Compiled:
    """The playbook of a message, compiled. Raises InputError and InputErrors."""
    if not settings.playbook_dir:
        raise InputError(
            f"{RUN_PLAYBOOK} is not allowed on this worker",
            why="whoever reaches the broker could start any playbook that lies here",
            remedy="set OPSRUNNER_PLAYBOOK_DIR to the folder of those that may be started",
        )
    folder = Path(settings.playbook_dir).expanduser().absolute()
    if not isinstance(playbook, str) or not playbook:
        raise InputError(f"{RUN_PLAYBOOK} wants the path of a playbook, beside playbook_dir")
    wanted = checked(given)
    if "private_key" in wanted:
        raise InputError("private_key cannot be named by a message", remedy="put it into the inventory")
    if "inventory" in wanted:
        named = wanted["inventory"]
        wanted["inventory"] = tuple(
            _inside(folder, one, "inventory") for one in ((named,) if isinstance(named, str) else named)
        )
    _check_limit(wanted)
    wanted["extra_vars"] = {name: _verbatim(name, value) for name, value in wanted.get("extra_vars", {}).items()}
    path = Path(_inside(folder, playbook, "playbook"))
    return compile_wanted(path, wanted, settings, base=folder, open_reader=_no_reader)


def _no_reader() -> Any:
    raise InputError("a message cannot select hosts by another run", remedy="name them")


def _inside(folder: Path, named: str, what: str) -> str:
    """The path, which lies in the folder whatever links and dots it has."""
    try:
        found = (folder / named).resolve(strict=True)
    except (OSError, ValueError):
        raise InputError(f"no {what} {named!r} in {folder}") from None
    if not found.is_relative_to(folder.resolve()):
        raise InputError(f"{what} {named!r} is outside of {folder}", why="a message reaches nothing else")
    return str(found)


def _check_limit(wanted: Wanted) -> None:
    for part in patterns.split(wanted.get("limit", "")):
        if part.lstrip("!&").startswith("@"):
            raise InputError(f"limit {part!r} names a file or a run", why="a message reaches neither")


def _verbatim(name: str, value: Any) -> Any:
    """A value as it is: templates would be carried out on this worker. Raises InputError for a reserved name."""
    if name.startswith(RESERVED):
        raise InputError(f"variable {name} cannot be set by a message", remedy="set it in the inventory")
    return _plain(value)


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return Verbatim(value)
    if isinstance(value, list):
        return [_plain(one) for one in value]
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    return value
