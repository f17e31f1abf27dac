"""service_facts: which services there are, and in what state."""

from __future__ import annotations

import re
from typing import Any

from opsrunner.ledger.records import Result
from opsrunner.modules.contract import Context, ModuleFailure, Spec
from opsrunner.modules.posix import facts, shown

SPEC = Spec(
    summary="Tell the services of systemd, OpenRC or System V init with their state, as the fact services",
    reads_only=True,
    gathers=True,
    check_mode="run",
    examples="- service_facts:\n- debug: msg=\"{{ ansible_facts.services['ssh.service'].state }}\"\n",
)

_LOOK = r"""
PATH=$PATH:/sbin:/usr/sbin; export LC_ALL=C
if has rc-status; then
    fact openrc "$(rc-status -a -s -m 2>/dev/null | grep '^ ' | tr -d '[]')"
    fact runlevels "$(rc-update show -v 2>/dev/null | grep '|')"
elif has service && ! has chkconfig; then
    fact sysv "$(service --status-all 2>/dev/null </dev/null)"
fi
if has systemctl && { [ -e /run/systemd/system/ ] || [ -e /dev/.run/systemd/ ] || [ -e /dev/.systemd/ ]; }; then
    units=$(systemctl list-units --no-pager --type service --all --plain 2>/dev/null)
    files=$(systemctl list-unit-files --no-pager --type service --all 2>/dev/null)
    fact units "$units"; fact files "$files"
    fact states "$(printf '%s\n' "$files" | while read -r name rest; do
        case $name in *@.service) ;; *.service) case $units in *"$name"*) ;; *) echo "$name" ;; esac ;; esac
    done | xargs systemctl show --property=Id --property=ActiveState 2>/dev/null)"
fi
fact complete yes
"""
_BAD = ("not-found", "masked", "failed")
Services = dict[str, dict[str, Any]]


def run(context: Context) -> Result:
    """One look; skipped where nothing is found that manages services."""
    told = {name: shown(text) for name, text in facts(context, _LOOK).items()}
    if "complete" not in told:
        raise ModuleFailure("the host told less than all of its services")
    services = _of_openrc(told) | _of_sysv(told) | _of_systemd(told)
    if not services:
        why = "Failed to find any services. This can be due to privileges or some other configuration issue."
        return {"changed": False, "skipped": True, "msg": why}
    return {"changed": False, "ansible_facts": {"services": services}}


def _of_sysv(told: dict[str, str]) -> Services:
    rows = re.findall(r"^\s*\[ ([+-]) \]\s+(.+)$", told.get("sysv", ""), re.MULTILINE)
    return {
        name: {"name": name, "state": "running" if sign == "+" else "stopped", "source": "sysv"} for sign, name in rows
    }


def _of_openrc(told: dict[str, str]) -> Services:
    levels = {}
    for row in told.get("runlevels", "").splitlines():
        name, _, words = row.partition("|")
        levels[name.strip()] = words.split() or None
    found: Services = {}
    for row in told.get("openrc", "").splitlines():
        fields = row.split()
        if len(fields) > 1 and fields[0] in levels:
            name, state = fields[:2]
            found[name] = {"name": name, "runlevels": levels[name], "state": state, "source": "openrc"}
    return found


def _of_systemd(told: dict[str, str]) -> Services:
    found: Services = {}
    for row in told.get("units", "").splitlines():
        fields = row.split()
        if ".service" not in row or len(fields) < 4:
            continue
        status = next((bad for bad in _BAD if bad in fields[:-1]), fields[2])
        state = "running" if fields[3] == "running" else "stopped"
        found[fields[0]] = {"name": fields[0], "state": state, "status": status, "source": "systemd"}
    states = dict(re.findall(r"^Id=(.*)\nActiveState=(.*)$", told.get("states", ""), re.MULTILINE))
    for row in told.get("files", "").splitlines():
        if ".service" not in row or len(row.split()) < 2:
            continue
        name, status = row.split()[:2]
        if name not in found:
            state = states.get(name, "unknown")
            found[name] = {"name": name, "state": state, "status": status, "source": "systemd"}
        elif found[name]["status"] not in _BAD:
            found[name]["status"] = status
    return found
