"""Jobs: commands that are left to themselves on their host, and asked for later by ``async_status``.

A job has a folder of its own, ``~/.ansible_async/NAME``, that only its user can enter: ``terms`` (JSON:
what its result depends on), ``pid`` (who watches it, and since when), ``out``, ``err``, and in the end
``rc`` (the status or ``timeout``, and when). It has a session of its own, and so needs neither the
connection nor whoever began it. Nothing removes the folder but ``async_status`` with ``mode: cleanup``.
"""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Mapping
from typing import Any, Literal

from msgspec import Struct, field, structs

from opsrunner.attempt import IDENTIFY
from opsrunner.ledger.records import Result
from opsrunner.modules.contract import Context, JobOrder, ModuleFailure
from opsrunner.modules.posix import expanded_word, facts, shown, word
from opsrunner.remote import Completed

#: What may be a job's name; whatever else is asked for is not there.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")
_STAMP = re.compile(r"([0-9]{1,12})(?:\.([0-9]{1,9}))?")

# $1 the folder of a job, $2 the seconds that it may take. It leads a session, so that its number is that of the
# process group: all that the command leaves running dies with it. Whoever writes rc first decides how it ended. The
# clock goes on when the folder has been removed, and is ended together with its sleep when the command is over. The
# command is started by exec in brackets, as dash would have its own "Killed" in err otherwise.
_WATCH = (
    IDENTIFY
    + r"""
stamp() { date -u +%s.%N; }
ended() { (set -C; echo "$1 $(stamp)" >"$job/rc"); } 2>/dev/null
job=$1
identify $$
{ printf '%s\n' $$ "$guard_who" "$(stamp)" >"$job/pid.new" && mv "$job/pid.new" "$job/pid"; } 2>/dev/null || exit 1
{
    trap 'kill $!; exit' TERM
    sleep "$2" &
    wait $!
    { ended timeout || [ ! -d "$job" ]; } && kill -s KILL -- "-$$"
} </dev/null >/dev/null 2>&1 &
clock=$!
{ (exec /bin/sh "$job/program" <"$job/input" >"$job/out" 2>"$job/err"); status=$?; } 2>/dev/null
ended $status
{ kill $clock; wait $clock; rm -f "$job/program" "$job/input"; } 2>/dev/null
"""
)

# $1 the folder of all jobs, $2 the name, $3 the seconds, $4 the terms, $5 the command, $6 what watches it. The
# command goes into a file: its text may be longer than an argument can be, and hold what nobody is to see in ps.
_BEGIN = r"""
before=$(umask)
umask 077
said=$(mkdir -p -- "$1" 2>&1) || give_up "could not create directory: $1 - $said"
job=$(CDPATH= cd -- "$1" && pwd)/$2
if has setsid; then session=setsid
elif has perl; then session='perl -MPOSIX -e POSIX::setsid();exec@ARGV'
else give_up "a job needs a session of its own, and the host has neither setsid nor perl"; fi
said=$(mkdir -- "$job" 2>&1) || give_up "could not create directory: $job - $said"
lost() { rm -rf -- "$job"; give_up "$1"; }
{ printf %s "$4" >"$job/terms" && printf '%s\n' "$5" >"$job/program" && cat >"$job/input"; } 2>/dev/null ||
    lost "cannot write into $job"
umask "$before"
$session /bin/sh -c "$6" opsrunner-job "$job" "$3" </dev/null >/dev/null 2>&1 &
fact job "$job"
set -- 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1
until [ -s "$job/pid" ]; do
    [ $# -gt 0 ] || lost "the job did not begin"
    shift
    sleep .1 2>/dev/null || sleep 1
done
"""

# $1 the folder of all jobs, $2 the name.
_FIND = r"""
job=$(CDPATH= cd -- "$1" 2>/dev/null && pwd)/$2
fact job "$job"
[ -d "$job" ] || { fact state none; exit 0; }
"""
_LOOK = (
    IDENTIFY
    + _FIND
    + r"""
ended() { read -r status at <"$job/rc" && fact status "$status" && fact ended "$at" && fact state ended; } 2>/dev/null
known() { { read -r pid && read -r who && read -r since; } <"$job/pid"; } 2>/dev/null
alive() { identify "$pid"; [ -n "$guard_who" ] && [ "$guard_who" = "$who" ]; }
known || { fact state running; exit 0; }
fact pid "$pid"
fact begun "$since"
fact terms "$(cat "$job/terms" 2>/dev/null)"
ended || { if alive; then fact state running; else ended || fact state gone; fi; }
exit 0
"""
)
_ERASE = _FIND + 'fact state erased\nsaid=$(rm -rf -- "$job" 2>&1) || give_up "$said"\n'


class Found(Struct, frozen=True):
    """A job as it is on its host. ``path`` is its folder; ``told`` what the host says of it."""

    state: Literal["none", "running", "ended", "gone", "erased"]
    path: str
    told: Mapping[str, str] = field(default_factory=dict)

    @property
    def terms(self) -> Mapping[str, Any]:
        """What :func:`begin` was given, nothing where it cannot be read."""
        try:
            terms = json.loads(self.told.get("terms", ""))
        except ValueError:
            return {}
        return terms if isinstance(terms, dict) else {}


def begin(context: Context, order: JobOrder, text: str, stdin: bytes, terms: Mapping[str, Any]) -> Result:
    """Leave sh text to itself on the host. Raises ModuleFailure where that cannot be, and then it does not run."""
    words = [
        *(expanded_word(context.jobs), word(order.name), str(order.seconds)),
        *(word(json.dumps(terms)), word(text), word(_WATCH)),
    ]
    told = facts(context, _BEGIN, words, stdin=stdin)
    return {
        "changed": True,
        "started": True,
        "finished": False,
        "ansible_job_id": order.name,
        "results_file": shown(told["job"]),
    }


def look(context: Context, name: str) -> Found:
    """What the host knows of a job."""
    return _asked(context, name, _LOOK)


def erase(context: Context, name: str) -> Found:
    """Remove all that is known of a job; one that is running goes on."""
    return _asked(context, name, _ERASE)


def _asked(context: Context, name: str, script: str) -> Found:
    if not _NAME.fullmatch(name):
        return Found("none", f"{context.jobs}/{name}")
    told = facts(context, script, [expanded_word(context.jobs), word(name)])
    return Found(told["state"], shown(told["job"]), told)  # type: ignore[arg-type]


def completion(context: Context, found: Found) -> Completed:
    """What came of the command of a job that has ended by itself. Raises ModuleFailure where it cannot be read."""
    status = found.told["status"]
    if not re.fullmatch(r"[0-9]{1,3}", status):
        raise ModuleFailure(f"could not read {found.path}: its status is {status!r}")
    job = word(found.told["job"])
    completed = context.exec(f"cat {job}/out && cat {job}/err >&2")
    if completed.rc != 0:
        raise ModuleFailure(f"could not read {found.path}: {completed.stderr.decode(errors='replace').strip()}")
    started = _time(found.told.get("begun", ""), completed.started)
    ended = max(started, _time(found.told["ended"], started))
    return structs.replace(completed, rc=int(status), started=started, ended=ended)


def _time(stamp: str, default: datetime.datetime) -> datetime.datetime:
    """The host's clock; not every ``date`` knows parts of a second."""
    found = _STAMP.match(stamp)
    if found is None:
        return default
    micros = int(f"{found[2] or 0:0<6}"[:6])
    return datetime.datetime.fromtimestamp(int(found[1]), datetime.UTC) + datetime.timedelta(microseconds=micros)
