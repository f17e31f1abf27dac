"""What ``celery control`` and ``celery inspect`` ask of a worker: Celery's own, and in words why some will not do."""

from __future__ import annotations

import functools
import inspect
import logging
from collections.abc import Callable, Mapping
from typing import Any

from celery.app.utils import filter_hidden_settings
from celery.worker.control import Panel, nok

from opsrunner import brokers
from opsrunner.engine.tasks import FINISH_STAGE, RUN_SHARD

log = logging.getLogger("opsrunner.worker")

#: A command as the panel has it: the worker's state and named arguments → what is answered.
Command = Callable[..., Any]

_POOL = (
    "the pool is threads, which neither grow nor shrink: start the worker with another -c; "
    "how many hosts are at work at once is the setting `sessions`"
)
#: Commands that no worker of ours can obey → what it answers.
REFUSED = {
    "pool_grow": _POOL,
    "pool_shrink": _POOL,
    "autoscale": _POOL,
    "pool_restart": "it would cut off hosts at work: `control shutdown` (or SIGTERM) lets them end, start it anew",
    "time_limit": "a thread cannot be ended from outside: steps end by `timeout:` or the setting `step_timeout`",
}


def describe() -> None:
    """Have ``celery control --list`` say so, and any words pass: at what is no number Celery shows a traceback."""
    for name, why in REFUSED.items():
        meta = Panel.meta[name]
        Panel.meta[name] = meta._replace(help=f"Refused: {why}.", args=[(word, str) for word, _ in meta.args or ()])


def install(own_queue: str) -> None:
    """Have this process answer so; ``own_queue`` is the one that carries its hosts."""
    commands = Panel.data
    for name, why in REFUSED.items():
        commands[name] = functools.partial(_refuse, name, why)
    commands["rate_limit"] = functools.partial(_rate_limit, commands["rate_limit"])
    commands["add_consumer"] = functools.partial(_add_consumer, commands["add_consumer"])
    commands["cancel_consumer"] = functools.partial(_cancel_consumer, commands["cancel_consumer"], own_queue)
    commands["stats"] = functools.partial(_stats, commands["stats"])
    for name in commands:
        commands[name] = functools.partial(_in_words, name, commands[name])


def _refuse(name: str, why: str, state: Any, /, **arguments: Any) -> Any:
    return nok(f"{name} will not do: {why}")


def _in_words(name: str, command: Command, state: Any, /, **arguments: Any) -> Any:
    """The answer; what Celery would log with a traceback, at one word too few, is a sentence."""
    try:
        inspect.signature(command).bind(state, **arguments)
    except TypeError as error:
        wanted = getattr(Panel.meta.get(name), "signature", None)
        return nok(f"{name}: {error}" + (f" ({name} {wanted})" if wanted else ""))
    try:
        return command(state, **arguments)
    except Exception as error:
        log.debug("the remote command %s", name, exc_info=True)
        return nok(f"{name}: {error}")


def _rate_limit(celerys: Command, state: Any, /, task_name: str, rate_limit: Any) -> Any:
    """Celery's, but not for the parts of a run, whose messages would pile up faster than they are let through."""
    if task_name in (RUN_SHARD, FINISH_STAGE):
        why = "shards that wait are sent again, and would pile up: `forks`, `throttle` and `zone_forks` slow a run down"
        return nok(f"rate_limit of {task_name} will not do: {why}")
    if task_name not in state.app.tasks:
        return nok(f"no task is named {task_name}")
    return celerys(state, task_name=task_name, rate_limit=rate_limit)


def _add_consumer(
    celerys: Command,
    state: Any,
    /,
    queue: str,
    exchange: str | None = None,
    exchange_type: str | None = None,
    routing_key: str | None = None,
    **more: Any,
) -> Any:
    """Celery's; a queue that only has a name is declared as ``worker -Q`` would, or RabbitMQ might refuse it."""
    queues = state.app.amqp.queues
    if not exchange and queue not in queues:
        queues.add(queues.new_missing(queue))
    return celerys(state, queue=queue, exchange=exchange, exchange_type=exchange_type, routing_key=routing_key, **more)


def _cancel_consumer(celerys: Command, own_queue: str, state: Any, /, queue: str, **more: Any) -> Any:
    """Celery's, but not for the queue of this worker's hosts, which are sent nowhere else as long as it lives."""
    if queue == own_queue:
        why = "this worker's hosts would wait for as long as it lives: `control shutdown` hands them to other workers"
        return nok(f"cancel_consumer of {queue} will not do: {why}")
    return celerys(state, queue=queue, **more)


def _stats(celerys: Command, state: Any, /, **arguments: Any) -> Any:
    """Celery's without passwords, which it leaves in the addresses and logins of sentinels."""
    told = celerys(state, **arguments)
    return {**told, "broker": without_secrets(told["broker"])}


def without_secrets(value: Any) -> Any:
    """The same without passwords, in addresses and under names that tell of one."""
    if isinstance(value, str):
        return brokers.hide_password(value)
    if isinstance(value, Mapping):
        return {name: without_secrets(one) for name, one in filter_hidden_settings(value).items()}
    if isinstance(value, list | tuple):
        return [without_secrets(one) for one in value]
    return value
