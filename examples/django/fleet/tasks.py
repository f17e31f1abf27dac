"""What the project's own worker does: it waits for the run, so that the view need not."""

from typing import Any

from celery import shared_task
from django.conf import settings

from opsrunner import Runner


@shared_task(bind=True)
def play(self: Any, playbook: str, **wanted: Any) -> dict[str, Any]:
    """Run a playbook to its end; the task fails where a host did. Its state names the run meanwhile."""
    run = Runner(settings.OPSRUNNER_DIRECTORY).start(playbook, **wanted)
    self.update_state(state="STARTED", meta={"run": run.id})
    result = run.get().raise_for_status()
    return {"run": result.run, "status": result.status, "exit_code": result.exit_code, "stats": result.stats}
