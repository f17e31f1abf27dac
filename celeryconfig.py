"""The whole Celery configuration of opsrunner, and its own settings in the block at the end.

Every Celery setting may stand here; ``celery -A opsrunner …`` reads this file too.
"""

import os

from opsrunner.settings import broker_url as _broker_url

# Unset, a private Redis on a unix socket is started by the first verb that needs one.
broker_url = _broker_url(os.environ)
result_backend = os.environ.get("CELERY_RESULT_BACKEND") or broker_url

# A message is a hint and the ledger the truth: acknowledged early, a task is never run again by the
# broker; what a dead worker leaves behind is found and sent again by the steward.
task_acks_late = False
task_reject_on_worker_lost = False
# Reserved messages would be delivered a second time after the visibility time-out.
worker_disable_prefetch = True
worker_prefetch_multiplier = 1
# A publish whose answer was lost would queue two messages; sending again is the steward's.
task_publish_retry = False
# Without it a worker goes deaf after Redis was restarted, and chords whose members end meanwhile never fire.
result_backend_always_retry = True
# Shorter than the slowest member of a chord, the chord would never fire.
result_expires = 7 * 86400
result_chord_expires = 7 * 86400

# One process shares all SSH connections; deadlines and cancelling are opsrunner's own.
worker_pool = "threads"
worker_concurrency = 64
worker_send_task_events = False
worker_hijack_root_logger = True
# The embedded server may end before its worker does.
worker_cancel_long_running_tasks_on_connection_loss = False

broker_transport_options = {
    "visibility_timeout": 43200,
    "socket_timeout": 10,
    "socket_keepalive": True,
    "health_check_interval": 25,
}
broker_connection_retry_on_startup = True
broker_connection_max_retries = None

task_default_queue = "opsrunner"
task_serializer = "json"
result_serializer = "json"
accept_content = ["json"]
enable_utc = True
timezone = "UTC"

beat_scheduler = "opsrunner.schedule.beat:Scheduler"
beat_max_loop_interval = 5

# opsrunner's own settings; docs/settings.md lists them all. The environment (OPSRUNNER_…) wins over these.
opsrunner = {
    "retention_days": 30,
}
