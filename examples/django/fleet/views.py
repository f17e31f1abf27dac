"""Start a run, and poll it. Who may is for the project to say: ``permission_required`` before ``start`` does."""

from uuid import UUID

from celery.result import AsyncResult
from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseBadRequest, JsonResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_POST

from fleet.tasks import play


@require_GET
def index(request: HttpRequest) -> HttpResponse:
    """The form."""
    return render(request, "fleet/index.html", {"playbooks": settings.OPSRUNNER_PLAYBOOKS})


@require_POST
def start(request: HttpRequest) -> HttpResponse:
    """Send the task and say where to look."""
    playbook = request.POST.get("playbook", "")
    if playbook not in settings.OPSRUNNER_PLAYBOOKS:
        return HttpResponseBadRequest("no such playbook")
    sent = play.delay(playbook, limit=request.POST.get("limit") or None)
    where = reverse("run", args=[sent.id])
    return JsonResponse({"task": sent.id, "poll": where}, status=202, headers={"Location": where})


@require_GET
def poll(request: HttpRequest, task: UUID) -> HttpResponse:
    """The task's state, and the run's id or result where it is known."""
    found = AsyncResult(str(task))
    state = found.state  # before its result: who is told of the end is told all of it
    told = found.result if isinstance(found.result, dict) else {"error": str(found.result)} if found.failed() else {}
    return JsonResponse({"state": state, **told})
