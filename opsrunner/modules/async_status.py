"""async_status: what became of a job that was begun with ``async`` and ``poll: 0``."""

from __future__ import annotations

from opsrunner.ledger.records import Result
from opsrunner.modules import jobs
from opsrunner.modules.contract import Argument, Context, ModuleFailure, Spec
from opsrunner.modules.running import Terms, concluded

SPEC = Spec(
    summary="Ask for a job that was begun with async and poll: 0, or remove what is known of it",
    arguments={
        "jid": Argument("str", "the job's ansible_job_id", required=True),
        "mode": Argument(
            "str",
            "status tells how it stands; cleanup removes its folder",
            default="status",
            choices=("status", "cleanup"),
        ),
    },
    reads_only=True,
    check_mode="run",
    asynchronous="refused",
    examples="""
- command: /usr/local/bin/backup --all
  async: 3600
  poll: 0
  register: backup
- async_status:
    jid: "{{ backup.ansible_job_id }}"
  register: job
  until: job is finished
  retries: 60
  delay: 60
- async_status: jid={{ backup.ansible_job_id }} mode=cleanup
""",
)

_GONE = "the job has left no result: its processes were killed, or the host was restarted"


def run(context: Context) -> Result:
    """Look, or erase; the result of a job that has ended is that of its command."""
    jid = context.arguments["jid"]
    told: Result = {"ansible_job_id": jid, "stdout": "", "stderr": "", "stdout_lines": [], "stderr_lines": []}
    if context.arguments["mode"] == "cleanup":
        found = jobs.erase(context, jid)
        told |= {"erased": found.path, "started": False, "finished": False, "changed": False}
    else:
        found = jobs.look(context, jid)
        told |= {"results_file": found.path, "started": True, "finished": found.state != "running", "changed": False}
    if found.state == "none":
        raise ModuleFailure("could not find job", **{**told, "started": True, "finished": True})
    if found.state == "gone":
        raise ModuleFailure(_GONE, **told)
    if found.state == "ended":
        return _ended(context, found, told)
    return told


def _ended(context: Context, found: jobs.Found, told: Result) -> Result:
    if found.told["status"] == "timeout":
        raise ModuleFailure("Timeout exceeded", **told, child_pid=found.told.get("pid"))
    given = found.terms
    terms = Terms(
        cmd=given.get("cmd"),
        strip=bool(given.get("strip", True)),
        marker=str(given.get("marker", "")),
        check=bool(given.get("check")),
        conditional=bool(given.get("conditional")),
    )
    try:
        return {**told, **concluded(terms, jobs.completion(context, found))}
    except ModuleFailure as failure:
        raise ModuleFailure(failure.msg, **{**told, **failure.extra}) from None
