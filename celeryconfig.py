"""The whole Celery configuration of opsrunner, its own settings first.

Every Celery setting may stand here; ``celery -A opsrunner …`` reads this file too. A copy of it in the current
directory wins over the one that was installed.
"""

import os as _os
from typing import Any as _Any

from opsrunner import brokers as _brokers
from opsrunner.settings import broker_url as _broker_url

# opsrunner's own settings; docs/settings.md lists them all. The environment (OPSRUNNER_…) wins over these.
opsrunner: dict[str, _Any] = {
    "retention_days": 30,
}

# Unset, a private Redis on a unix socket is started by the first verb that needs one; naming its socket here
# starts nothing.
broker_url = _broker_url(_os.environ, opsrunner)
# Chords need a backend; the ledger's Redis serves where the broker is none.
_rabbitmq = _brokers.is_amqp(broker_url)
result_backend = _os.environ.get("CELERY_RESULT_BACKEND") or (
    _os.environ.get("OPSRUNNER_LEDGER_URL") or opsrunner.get("ledger_url") if _rabbitmq else None
)
result_backend = result_backend or broker_url

# A message is a hint and the ledger the truth: acknowledged early, a task is never run again by the
# broker; what a dead worker leaves behind is found and sent again by the steward.
task_acks_late = False
task_reject_on_worker_lost = False
# Reserved messages would be delivered a second time after the visibility time-out, which RabbitMQ does not have.
worker_disable_prefetch = not _rabbitmq
worker_prefetch_multiplier = 1
# A publish whose answer was lost would queue two messages; sending again is the steward's.
task_publish_retry = False
# Without it a worker goes deaf after Redis was restarted, and chords whose members end meanwhile never fire.
result_backend_always_retry = True
# And a Redis that is full would cost a slot of the pool with every task that ends.
override_backends = {
    **dict.fromkeys(("redis", "rediss"), "opsrunner.engine.results:ResultBackend"),
    "sentinel": "opsrunner.engine.results:SentinelResultBackend",
}
# Shorter than the slowest member of a chord, the chord would never fire.
result_expires = 7 * 86400
result_chord_expires = 7 * 86400

# One process shares all SSH connections; deadlines and cancelling are opsrunner's own.
worker_pool = "threads"
# Shards at work at once in one process; a thread that waits costs next to nothing, the hosts' threads are apart.
worker_concurrency = 64
# Events tell of tasks, not of hosts; the ledger has its own stream. `celery worker -E` turns them on for flower.
worker_send_task_events = False
# A worker logs to its own standard error and to nothing that a library set up before.
worker_hijack_root_logger = True
# The embedded server may end before its worker does, and an outcome is kept until Redis is back.
worker_cancel_long_running_tasks_on_connection_loss = False

# What is said of sentinels (sentinel://…): the name by which they know the Redis that is meant, and a login of theirs.
_sentinels: dict[str, _Any] = {}
if "sentinel" in (_brokers.scheme(broker_url), _brokers.scheme(result_backend)):
    from redis.backoff import NoBackoff as _NoBackoff
    from redis.retry import Retry as _Retry

    _login = {
        word: _os.environ.get(f"OPSRUNNER_SENTINEL_{name.upper()}") or opsrunner.get(f"sentinel_{name}")
        for word, name in (("username", "user"), ("password", "password"))
    }
    _sentinels = {
        "master_name": _os.environ.get("OPSRUNNER_SENTINEL_MASTER") or opsrunner.get("sentinel_master") or "mymaster",
        # One that is down is passed over at once; redis-py would try it for seconds with every connection.
        "sentinel_kwargs": {
            "socket_timeout": 5,
            "socket_connect_timeout": 5,
            "retry": _Retry(_NoBackoff(), 0),
            **{word: text for word, text in _login.items() if text},
        },
    }
broker_transport_options: dict[str, _Any]
if _rabbitmq:
    # Replicated, and never lost with one node; the topic exchange is what Celery delays messages with.
    task_default_queue_type = task_create_missing_queue_type = "quorum"
    task_default_exchange_type = task_create_missing_queue_exchange_type = "topic"
    # A message counts as sent when RabbitMQ says that it has it.
    broker_transport_options = {"confirm_publish": True}
else:
    broker_transport_options = {
        # Longer than any shard: what was delivered is never delivered again by a clock.
        "visibility_timeout": 43200,
        # A half-open connection to Redis must be noticed.
        "socket_timeout": 10,
        "health_check_interval": 25,
        **_sentinels,
    }
    # A unix socket knows no keepalive: redis-py refuses the option there, and Celery sets it by default.
    if not _brokers.is_socket(broker_url):
        broker_transport_options["socket_keepalive"] = True
result_backend_transport_options = dict(_sentinels)
redis_socket_keepalive = not _brokers.is_socket(result_backend)
redis_socket_timeout = 10
redis_backend_health_check_interval = 25
# A worker outlives Redis: it waits for it at the start and whenever it is away, for as long as it takes.
broker_connection_retry_on_startup = True
broker_connection_max_retries = None
# So is a Redis that is full or has become a replica: without this, the worker ends.
broker_channel_error_retry = True

task_default_queue = "opsrunner"
# Nothing that could run code when it is read.
task_serializer = "json"
result_serializer = "json"
accept_content = ["json"]
enable_utc = True
timezone = "UTC"

# schedules.yml beside beat_schedule; a due time is started once however many beats run.
beat_scheduler = "opsrunner.schedule.beat:Scheduler"
# Seconds until a changed clock or schedule is noticed.
beat_max_loop_interval = 5
