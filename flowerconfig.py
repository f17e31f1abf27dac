"""What Flower (``celery -A opsrunner flower``) reads from the current directory: readable tasks, a link to each run.

Flower asks for no password by itself, and its buttons revoke tasks: ``basic_auth``, ``auth_provider`` and ``read_only``
are options of its own that may stand here.
"""

import json as _json
import os as _os
import re as _re
from pathlib import Path as _Path
from typing import Any as _Any

from flower.urls import settings as _pages
from tornado.web import TemplateModule as _TemplateModule

from opsrunner import settings as _settings

address = "127.0.0.1"
tasks_columns = "name,args,kwargs,state,received,runtime,worker"
natural_time = True
max_tasks = 10_000

#: Where `opsrunner web` serves if nothing else is said.
_web = (_settings.load(_os.environ, _Path.cwd()).web_url or "http://127.0.0.1:8040").rstrip("/")
_run = _re.compile(r"\b\d{6}-\d{6}-[0-9a-f]{4}\b")


def format_task(task: _Any) -> _Any:
    """The run's page in place of the keyword arguments: ours have none, and a playbook's variables may be secret."""
    if (task.name or "").startswith("opsrunner."):
        run = _run.search(f"{task.args} {task.result} {task.exception}")
        task.kwargs = f"{_web}/runs/{run[0]}" if run else "{…}"
    return task


#: Flower escapes all that comes from tasks; what is the address of a run's page, and nothing else, leads there.
_LINKS = """
(() => {
  const runs = %s;
  const link = () => document.querySelectorAll("td, code").forEach((cell) => {
    const address = cell.textContent.trim();
    if (cell.childElementCount || !address.startsWith(runs) || !/^[0-9a-f-]+$/.test(address.slice(runs.length))) return;
    const anchor = document.createElement("a");
    anchor.href = address;
    anchor.textContent = address.slice(runs.length);
    cell.replaceChildren(anchor);
  });
  new MutationObserver(link).observe(document.body, {childList: true, subtree: true});
  link();
})();
"""


class _Page(_TemplateModule):
    """Tornado's own way to give pages a script: Flower's navigation is such a module, and stands on each of them."""

    def embedded_javascript(self) -> str:
        return _LINKS % _json.dumps(f"{_web}/runs/").replace("<", "\\u003c")


_pages["ui_modules"] = {"Template": _Page}
