"""An Ansible callback that writes down, as JSON, what came of every task on every host."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
    name: tell
    type: notification
    short_description: writes results to a file
    description: Writes every result to the file that TELL_TO names.
"""


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "tell"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self) -> None:
        super().__init__()
        self.tasks: list[dict[str, Any]] = []

    def v2_playbook_on_task_start(self, task: Any, is_conditional: bool) -> None:
        debug = task.action.rpartition(".")[2] == "debug"
        self.tasks.append(
            {"name": task.get_name(), "uuid": task._uuid, "place": task.get_path(), "debug": debug, "hosts": {}}
        )

    v2_playbook_on_handler_task_start = lambda self, task: self.v2_playbook_on_task_start(task, False)  # noqa: E731

    def _keep(self, result: Any, status: str) -> None:
        task = next(one for one in reversed(self.tasks) if one["uuid"] == result._task._uuid)
        task["hosts"][result._host.get_name()] = {**result._result, "status": status}

    def v2_runner_on_ok(self, result: Any) -> None:
        self._keep(result, "changed" if result._result.get("changed") else "ok")

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        self._keep(result, "failed")

    def v2_runner_on_skipped(self, result: Any) -> None:
        # Of meta Ansible tells nothing but this, and counts nothing.
        if result._task.action.rpartition(".")[2] != "meta":
            self._keep(result, "skipped")

    def v2_runner_on_unreachable(self, result: Any) -> None:
        self._keep(result, "unreachable")

    def v2_playbook_on_stats(self, stats: Any) -> None:
        told = {host: stats.summarize(host) for host in sorted(stats.processed)}
        text = json.dumps({"tasks": self.tasks, "stats": told}, default=str)
        Path(os.environ["TELL_TO"]).write_text(text, encoding="utf-8")
