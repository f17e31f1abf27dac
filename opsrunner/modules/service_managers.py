"""systemd, OpenRC and System V init: how to find out, and what to run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from opsrunner.modules.contract import Context
from opsrunner.modules.posix import word

#: Exists where systemd is the running init.
SYSTEMD_MARK = "/run/systemd/system"
INIT_DIRECTORY = "/etc/init.d"
#: Holds rc2.d to rc5.d.
RUNLEVEL_DIRECTORY = "/etc"

# $1 name, $2 wanted manager or auto, $3 runlevel, $4 systemd's mark, $5 init scripts, $6 where rc?.d
# are, $7 yes: look for a process instead of asking for the status, $8 yes: the state is wanted.
# The pattern for $7 is the line on standard input.
LOOK = r"""
PATH=$PATH:/sbin:/usr/sbin:/usr/local/sbin
: opsrunner-looks-for-a-service
script=$5/$1
manager=$2
if [ "$manager" = auto ]; then
    if has systemctl && [ -d "$4" ]; then manager=systemd
    elif has rc-service; then manager=openrc
    elif [ -e "$script" ] || has service; then manager=sysvinit
    else give_up "found no service manager: looked for systemctl with $4, rc-service, service and $script"; fi
fi
fact manager "$manager"
process_runs() {
    IFS= read -r pattern
    listing=$(ps auxww 2>/dev/null) || listing=$(ps -ef 2>/dev/null) || listing=$(ps 2>/dev/null) ||
        give_up "the host has no ps to look for a process with"
    printf '%s\n' "$listing" | while IFS= read -r line; do
        case $line in *opsrunner-looks-for-a-service*) continue ;; esac
        case $line in *"$pattern"*) echo yes; break ;; esac
    done
}
look_systemd() {
    has systemctl || give_up "the host has no systemctl"
    status=$(systemctl show -p Id -p Description -p LoadState -p ActiveState -p SubState -p UnitFileState \
        -p MainPID -p Result -p ExecMainStatus -- "$1" 2>&1) || give_up "systemctl failed: $status"
    fact status "$status"
    fact searched "host"
    case "
$status
" in
    *"
LoadState=not-found
"*|*"
LoadState=error
"*) return ;;
    esac
    fact found yes
    case $status in
    *ActiveState=active*|*ActiveState=activating*|*ActiveState=reloading*) fact running yes ;;
    *ActiveState=deactivating*) fact stopping yes ;;
    esac
    if systemctl is-enabled -- "$1" >/dev/null 2>&1; then fact enabled yes; fi
}
look_openrc() {
    has rc-service || give_up "the host has no rc-service"
    fact searched "rc-service knows no such script"
    rc-service --exists "$1" >/dev/null 2>&1 || return
    fact found yes
    if [ -n "$(rc-update show "$3" 2>/dev/null | while read -r one rest; do
        if [ "$one" = "$1" ]; then echo yes; fi
    done)" ]; then fact enabled yes; fi
    if [ "$7" = yes ]; then
        if [ -n "$(process_runs)" ]; then fact running yes; fi
        return
    fi
    case $(rc-service "$1" status 2>&1 </dev/null) in
    *crashed*) fact crashed yes ;;
    *started*) fact running yes ;;
    esac
}
look_sysvinit() {
    if [ -x "$script" ]; then fact script "$script"
    elif has service && service "$1" status >/dev/null 2>&1 </dev/null; then fact script ""
    else fact searched "there is no $script"; return; fi
    fact found yes
    for tool in update-rc.d chkconfig rc-update; do
        if has $tool; then fact enable_tool $tool; enable_tool=$tool; break; fi
    done
    [ -n "${enable_tool:-}" ] ||
        fact cannot_enable "found no tool to enable it: looked for update-rc.d, chkconfig, rc-update"
    for link in "$6"/rc[2345].d/S[0-9][0-9]"$1" "$6"/rc.d/rc[2345].d/S[0-9][0-9]"$1"; do
        if [ -e "$link" ] || [ -L "$link" ]; then fact enabled yes; break; fi
    done
    [ "$8" = yes ] || return 0
    if [ "$7" = yes ]; then
        if [ -n "$(process_runs)" ]; then fact running yes; fi
        return
    fi
    if [ -x "$script" ]; then set -- "$script"; else set -- service "$1"; fi
    said=$("$@" status 2>&1 </dev/null)
    code=$?
    case $code in
    0) case $said in
        *"not running"*|*" stopped"*|*" dead "*|*" inactive"*) ;;
        *) fact running yes ;;
        esac ;;
    1|2|3|4|69) ;;
    *) give_up "failed determining service state (its status ended with $code): try pattern" ;;
    esac
}
look_$manager "$@"
:
"""

# run WHAT COMMAND…: its output goes to a file and not to a pipe, which a daemon that it leaves
# behind would hold open. $1 is the service's name.
RUN = r"""
PATH=$PATH:/sbin:/usr/sbin:/usr/local/sbin
said=$(mktemp) || give_up "cannot create a scratch file"
trap 'rm -f -- "$said"' EXIT
run() {
    what=$1
    shift
    "$@" >"$said" 2>&1 </dev/null && return 0
    give_up "$what: $(cat "$said")"
}
"""


class Manager(Protocol):
    """Lines of sh that act on the service ``$1``."""

    def control(self, told: Mapping[str, str], action: str, extra: str) -> str: ...

    def enable(self, told: Mapping[str, str], context: Context) -> str: ...

    def disable(self, told: Mapping[str, str], context: Context) -> str: ...


def _run(what: str, command: str) -> str:
    return f'run "Unable to {what} service $1" {command}'


class _Systemd:
    def control(self, told: Mapping[str, str], action: str, extra: str) -> str:
        return _run(action, f'systemctl {action} -- "$1"')

    def enable(self, told: Mapping[str, str], context: Context) -> str:
        return _run("enable", 'systemctl enable -- "$1"')

    def disable(self, told: Mapping[str, str], context: Context) -> str:
        return _run("disable", 'systemctl disable -- "$1"')


class _Openrc:
    def control(self, told: Mapping[str, str], action: str, extra: str) -> str:
        return _run(action, f'rc-service "$1" {action}{extra}')

    def enable(self, told: Mapping[str, str], context: Context) -> str:
        return _run("enable", f'rc-update add "$1" {word(context.arguments["runlevel"])}')

    def disable(self, told: Mapping[str, str], context: Context) -> str:
        return _run("disable", f'rc-update del "$1" {word(context.arguments["runlevel"])}')


class _Sysvinit:
    def control(self, told: Mapping[str, str], action: str, extra: str) -> str:
        if told["script"]:
            return _run(action, f"{word(told['script'])} {action}{extra}")
        return _run(action, f'service "$1" {action}{extra}')

    def enable(self, told: Mapping[str, str], context: Context) -> str:
        commands = {
            "update-rc.d": 'sh -c \'update-rc.d "$1" defaults && update-rc.d "$1" enable\' sh "$1"',
            "chkconfig": 'sh -c \'chkconfig --add "$1" && chkconfig "$1" on\' sh "$1"',
            "rc-update": 'rc-update add "$1"',
        }
        return _run("enable", commands[told["enable_tool"]])

    def disable(self, told: Mapping[str, str], context: Context) -> str:
        commands = {
            "update-rc.d": 'update-rc.d "$1" disable',
            "chkconfig": 'chkconfig "$1" off',
            "rc-update": 'rc-update del "$1"',
        }
        return _run("disable", commands[told["enable_tool"]])


MANAGERS: Mapping[str, Manager] = {"systemd": _Systemd(), "openrc": _Openrc(), "sysvinit": _Sysvinit()}
