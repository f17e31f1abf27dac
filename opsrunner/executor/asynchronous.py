"""Steps with ``async``: waited for up to a number of seconds, or left to themselves on the host."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable

from msgspec.structs import replace

from opsrunner.errors import RemoteCancelled, RemoteTimeout
from opsrunner.executor.results import failure
from opsrunner.ledger.records import Result
from opsrunner.modules.contract import Context, JobOrder, Module, ModuleFailure
from opsrunner.remote import NOT_STARTED, Become, Command, Completed, OnOutput, Remote, WrappedRemote

#: Where nobody says how often a job is looked at it is waited for, as under Ansible's DEFAULT_POLL_INTERVAL.
POLL = 15


def job_name(attempt: str, number: int) -> str:
    """``ansible_job_id`` of a step's job, counted from 0: the same whoever tries this attempt, of Ansible's shape."""
    digits = int(hashlib.sha256(attempt.encode()).hexdigest(), 16) % 10**12
    return f"j{digits}.{number}"


def refusal(name: str, module: Module, seconds: float, poll: float) -> str | None:
    """Why a module cannot be run so, None where it can."""
    if not seconds:
        return None
    spec = module.SPEC
    if spec.local or spec.asynchronous == "refused":
        return f"This action ({name}) does not support async."
    if not poll and spec.asynchronous != "job":
        return f"{name} cannot be left to itself on the host (poll: 0): a worker sends its commands one by one"
    return None


def carry_out(module: Module, context: Context, order: JobOrder, *, poll: float) -> Result:
    """Run the module as the job ``order``. Raises what modules raise."""
    if not poll:
        return dict(module.run(replace(context, job=order)))
    began = context.monotonic()

    def left() -> float:
        return order.seconds - (context.monotonic() - began)

    limited = replace(
        context,
        remote=_Limited(context.remote, left),
        sleep=lambda seconds: context.sleep(max(0.0, min(seconds, left()))),
    )
    job: Result = {"ansible_job_id": order.name, "results_file": f"{context.jobs}/{order.name}", "started": True}
    empty: Result = {"stdout": "", "stderr": "", "stdout_lines": [], "stderr_lines": []}
    try:
        result = dict(module.run(limited))
    except ModuleFailure as error:
        result = failure(error)
    except RemoteTimeout as error:
        if isinstance(error, RemoteCancelled) or left() > 0:
            raise
        message = f"async task did not complete within the requested time - {order.seconds}s"
        said = {name: data.decode(errors="replace") for name, data in _said(error)}
        asked = {**empty, **job, **said, "finished": False, "changed": False}
        return {"msg": message, "failed": True, "changed": False, "why": error.fate, "async_result": asked}
    return {**empty, **job, "finished": True, **result}


def _said(error: RemoteTimeout) -> tuple[tuple[str, bytes], ...]:
    return ("stdout", error.stdout), ("stderr", error.stderr)


class _Limited(WrappedRemote):
    """A Remote for all of whose commands together there is only so much time."""

    def __init__(self, inner: Remote, left: Callable[[], float]) -> None:
        """``left``: how many seconds there are still."""
        super().__init__(inner)
        self._left = left

    def exec(
        self, command: Command, *, on_output: OnOutput | None = None, stop: threading.Event | None = None
    ) -> Completed:
        limited = replace(command, timeout=self._within(command.timeout))
        return self._inner.exec(limited, on_output=on_output, stop=stop)

    def put(
        self,
        data: bytes,
        path: str,
        *,
        mode: int = 0o600,
        become: Become | None = None,
        timeout: float | None = None,
    ) -> None:
        self._inner.put(data, path, mode=mode, become=become, timeout=self._within(timeout))

    def get(self, path: str, *, become: Become | None = None, timeout: float | None = None) -> bytes:
        return self._inner.get(path, become=become, timeout=self._within(timeout))

    def _within(self, timeout: float | None) -> float:
        left = self._left()
        if left <= 0:
            raise RemoteTimeout("the time is over", host=self.host, fate=NOT_STARTED)
        return left if timeout is None else min(left, timeout)
