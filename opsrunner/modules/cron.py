"""cron: a job, or a variable, in somebody's crontab or in a file of jobs."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from typing import Any

from opsrunner.ledger.records import Result
from opsrunner.modules.contract import Argument, Context, ModuleFailure, Spec
from opsrunner.modules.crontab import Crontab
from opsrunner.modules.posix import expanded_word, facts, shown, word
from opsrunner.modules.programs import SURROUNDINGS

_TIMES = ("reboot", "yearly", "annually", "monthly", "weekly", "daily", "hourly")

SPEC = Spec(
    summary="Put a job or a variable into a crontab or a file of jobs, or take it out",
    arguments={
        "name": Argument("str", "what the job is known by, in a comment above it; or the variable", required=True),
        "state": Argument("str", "whether it is there", default="present", choices=("absent", "present")),
        "job": Argument("str", "the command; or the variable's value", aliases=("value",)),
        "user": Argument("str", "whose crontab; in a file of jobs, as whom it runs"),
        "cron_file": Argument("path", "a file of jobs, in /etc/cron.d where it is no whole path"),
        "minute": Argument("str", "when: 0-59, *, */2 …", default="*"),
        "hour": Argument("str", "when: 0-23 …", default="*"),
        "day": Argument("str", "when: 1-31 …", default="*", aliases=("dom",)),
        "month": Argument("str", "when: 1-12 …", default="*"),
        "weekday": Argument("str", "when: 0-6 from Sunday on, or names …", default="*", aliases=("dow",)),
        "special_time": Argument("str", "when, in a word", choices=_TIMES),
        "disabled": Argument("bool", "the job is there as a comment only", default=False),
        "env": Argument("bool", "it is about a variable", default=False),
        "insertafter": Argument("str", "behind which other variable a new one goes"),
        "insertbefore": Argument("str", "before which other variable a new one goes"),
        "backup": Argument("bool", "keep a copy of what was there, in the folder for scratch files", default=False),
    },
    mutually_exclusive=(("insertafter", "insertbefore"),),
    check_mode="full",
    examples="""
- cron: name="tidy up" special_time=daily job="/usr/local/bin/tidy > /dev/null"
- cron:
    name: report
    minute: "*/15"
    weekday: 1-5
    user: app
    job: /usr/local/bin/report
    cron_file: report
- cron: name=MAILTO env=true job=root@example.com
""",
)

# $1 a file of jobs (empty: the crontab), $2 whose crontab (empty: one's own)
_LOOK = (
    SURROUNDINGS
    + r"""
if [ -n "$1" ]; then
    fact path "$1"
    if [ -f "$1" ]; then fact there yes; fi
    if [ -r "$1" ]; then fact text "$(cat -- "$1"; printf .)"; else fact text .; fi
    exit 0
fi
has crontab || give_up 'Failed to find required executable "crontab"'
if [ -n "$2" ] && [ "$2" != "$(id -un)" ]; then set -- -u "$2" -l; else set -- -l; fi
said=$(crontab "$@" 2>/dev/null; printf .$?)
code=${said##*.}
[ "$code" -le 1 ] || give_up "Unable to read crontab"
fact text "${said%"$code"}"
"""
)

# $1 a file of jobs (empty: the crontab), $2 whose crontab, $3 yes: keep a copy of what was there;
# the text comes by standard input
_WRITE = (
    SURROUNDINGS
    + r"""
umask 022
if [ -n "$2" ] && [ "$2" != "$(id -un)" ]; then user=$2; else user=; fi
if [ "$3" = yes ]; then
    saved=$(mktemp "${TMPDIR:-/tmp}/crontabXXXXXX") || give_up "Could not make backup"
    if [ -z "$1" ]; then crontab ${user:+-u "$user"} -l >"$saved" 2>/dev/null
    elif [ -e "$1" ]; then cat -- "$1" >"$saved"; fi
    fact backup "$saved"
fi
if [ -n "$1" ]; then
    said=$( (cat >"$1") 2>&1) || give_up "cannot write $1: ${said##*: }"
    if has restorecon; then restorecon -- "$1" 2>/dev/null; fi
    exit 0
fi
file=$(mktemp) || give_up "cannot create a scratch file"
trap 'rm -f -- "$file"' EXIT
cat >"$file"
said=$(crontab ${user:+-u "$user"} "$file" 2>&1) || give_up "Failed to install new cronfile: $said"
:
"""
)


def run(context: Context) -> Result:
    """Read, change, write back; nothing is written where all is as it should be."""
    arguments = context.arguments
    warnings = _check(arguments)
    told = facts(context, _LOOK, [_file(arguments), word(arguments["user"] or "")])
    text = told["text"].removesuffix(".")
    crontab = Crontab(text, in_file=bool(arguments["cron_file"]))
    before = crontab.original
    changed = (_about_variable if arguments["env"] else _about_job)(crontab, arguments)
    gone = changed and not arguments["env"] and arguments["state"] == "absent" and crontab.is_empty()
    result: Result = {"changed": changed}
    if gone and arguments["cron_file"]:
        result |= {"changed": "there" in told, "cron_file": arguments["cron_file"], "state": "absent", "diff": {}}
        if not context.check:
            facts(context, 'rm -f -- "$1" || give_up "cannot remove $1"', [word(told["path"])])
        if context.diff:
            result["diff"] = {**_diff(arguments, told, before, ""), "after_header": "/dev/null"}
        return result
    if not changed and before and not before.endswith(("\r", "\n")):
        result["changed"] = True  # the last line lacks its end
    result |= {"jobs": crontab.jobs(), "envs": crontab.variables()}
    if arguments["cron_file"]:
        result["cron_file"] = arguments["cron_file"]
    if result["changed"]:
        if context.diff:
            result["diff"] = _diff(arguments, told, before, crontab.text())
        if not context.check:
            result |= _write(context, crontab.text())
    return result | ({"warnings": warnings} if warnings else {})


def _file(arguments: Mapping[str, Any]) -> str:
    name = arguments["cron_file"]
    if not name:
        return "''"
    return expanded_word(name) if name.startswith(("/", "~", "$")) else word(f"/etc/cron.d/{name}")


def _check(arguments: Mapping[str, Any]) -> list[str]:
    """Warnings. Raises ModuleFailure, with Ansible's words."""
    file, job = arguments["cron_file"], arguments["job"]
    warnings = []
    if file == "/etc/crontab":
        raise ModuleFailure("Will not manage /etc/crontab via cron_file, see documentation.")
    if file and not re.search("^[A-Za-z0-9_-]+$", posixpath.basename(file)):
        warnings.append(
            f'Filename portion of cron_file ("{posixpath.basename(file)}") should consist'
            " solely of upper- and lower-case letters, digits, underscores, and hyphens"
        )
    if arguments["special_time"] and any(arguments[key] != "*" for key in _FIELDS):
        raise ModuleFailure("You cannot combine special_time with any of the time or day/date parameters.")
    if arguments["state"] == "present":
        if file and not arguments["user"]:
            raise ModuleFailure("To use cron_file=... parameter you must specify user=... as well")
        if job is None:
            raise ModuleFailure("You must specify 'job' to install a new cron job or variable")
        if (arguments["insertafter"] or arguments["insertbefore"]) and not arguments["env"]:
            raise ModuleFailure("Insertafter and insertbefore parameters are valid only with env=yes")
        if not arguments["env"] and any(sign in job.strip("\r\n") for sign in "\r\n"):
            warnings.append("Job should not contain line breaks")
    if arguments["env"] and " " in arguments["name"]:
        raise ModuleFailure("Invalid name for environment variable")
    return warnings


_FIELDS = ("minute", "hour", "day", "month", "weekday")


def _about_variable(crontab: Crontab, arguments: Mapping[str, Any]) -> bool:
    if arguments["state"] == "absent":
        return crontab.remove_variable(arguments["name"])
    near = arguments["insertafter"] or arguments["insertbefore"]
    return crontab.set_variable(arguments["name"], arguments["job"], near, behind=bool(arguments["insertafter"]))


def _about_job(crontab: Crontab, arguments: Mapping[str, Any]) -> bool:
    if arguments["state"] == "absent":
        return crontab.remove_job(arguments["name"])
    special = arguments["special_time"]
    when = [f"@{special}"] if special else [arguments[key] for key in _FIELDS]
    who = [arguments["user"]] if arguments["cron_file"] else []
    line = " ".join([*when, *who, arguments["job"].strip("\r\n")])
    return crontab.set_job(arguments["name"], f"#{line}" if arguments["disabled"] else line)


def _write(context: Context, text: str) -> dict[str, str]:
    arguments = context.arguments
    words = [_file(arguments), word(arguments["user"] or ""), "yes" if arguments["backup"] else "no"]
    told = facts(context, _WRITE, words, stdin=text.encode("utf-8", "surrogateescape"))
    return {"backup_file": shown(told["backup"])} if "backup" in told else {}


def _diff(arguments: Mapping[str, Any], told: Mapping[str, str], before: str, after: str) -> dict[str, str]:
    user = arguments["user"]
    header = shown(told["path"]) if "path" in told else f'crontab for user "{user}"' if user else "crontab"
    return {"before": shown(before), "before_header": header, "after": shown(after), "after_header": header}
