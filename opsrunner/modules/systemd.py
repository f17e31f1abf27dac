"""systemd: start, stop, enable and mask a unit, and have systemd read its files anew."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from opsrunner.ledger.records import Result
from opsrunner.modules.contract import Argument, Context, ModuleFailure, Spec
from opsrunner.modules.posix import facts, shown, word
from opsrunner.modules.programs import SURROUNDINGS, run_program

#: Where init scripts are, for units that are none.
INIT_DIRECTORY = "/etc/init.d"

SPEC = Spec(
    summary="Control a unit of systemd",
    arguments={
        "name": Argument("str", "the unit", aliases=("service", "unit")),
        "state": Argument("str", "what it is to be", choices=("reloaded", "restarted", "started", "stopped")),
        "enabled": Argument("bool", "whether it starts at boot"),
        "masked": Argument("bool", "whether it is masked, so that nothing can start it"),
        "force": Argument("bool", "replace links of other units (--force)"),
        "daemon_reload": Argument("bool", "read all units anew first", default=False, aliases=("daemon-reload",)),
        "daemon_reexec": Argument("bool", "run systemd itself anew first", default=False, aliases=("daemon-reexec",)),
        "scope": Argument("str", "whose units", default="system", choices=("system", "user", "global")),
        "no_block": Argument("bool", "do not wait until it is done", default=False),
    },
    check_mode="full",
    examples="""
- systemd: name=app state=restarted daemon_reload=true
- ansible.builtin.systemd_service:
    name: sshd.service
    enabled: true
    masked: false
""",
)

# $1 unit (empty: none), $2 directory of init scripts, $3 daemon-reload and/or daemon-reexec, then systemctl's options
_LOOK = (
    SURROUNDINGS
    + r"""
has systemctl || give_up 'Failed to find required executable "systemctl" in paths: '"$PATH"
: "${XDG_RUNTIME_DIR:=/run/user/$(id -u)}"
export XDG_RUNTIME_DIR
unit=$1 script=$2/$1 verbs=$3
shift 3
offline() {
    [ "${SYSTEMD_OFFLINE:-}" = 1 ] && return 0
    inside=$(stat -Lc %d:%i /. 2>/dev/null) outside=$(stat -Lc %d:%i /proc/1/root/. 2>/dev/null)
    [ -n "$inside" ] && [ -n "$outside" ] && [ "$inside" != "$outside" ]
}
if offline; then fact offline yes; fi
for verb in $verbs; do
    said=$(systemctl "$@" "$verb" 2>&1) && continue
    code=$?
    offline || give_up "failure $code during $verb: $said"
    why="$verb failed, but target is a chroot or systemd is offline"
    fact "warning $verb" "$why. Continuing. Error was: $code / $said"
done
[ -n "$unit" ] || exit 0
if [ -x "$script" ]; then fact script yes; fi
for link in /etc/rc[2345].d/S[0-9][0-9]"$unit"; do
    if [ -e "$link" ]; then fact script_enabled yes; break; fi
done
if status=$(systemctl "$@" show -- "$unit" 2>&1); then fact status "$status"; fi
enabled=$(systemctl "$@" is-enabled -- "$unit" 2>/dev/null)
fact enabled_status "$?"
fact enabled "$enabled"
if systemctl "$@" list-unit-files -- "$unit" >/dev/null 2>&1; then fact listed yes; fi
:
"""
)

_STATES_OF_FILES = frozenset(
    (
        *("enabled", "enabled-runtime", "linked", "linked-runtime", "masked", "masked-runtime"),
        *("static", "indirect", "disabled", "generated", "transient"),
    )
)
#: is-enabled is content with these, and the unit is not enabled for good all the same.
_ENABLED_FOR_NOW = frozenset(("enabled-runtime", "indirect", "alias"))


def run(context: Context) -> Result:
    """Reload systemd, look at the unit, and do what is missing: mask, enable, then its state."""
    arguments = context.arguments
    name = arguments["name"]
    _check(name, arguments)
    told = _look(context, name)
    warnings = [shown(text) for key, text in told.items() if key.startswith("warning ")]
    result: Result = {"name": name, "changed": False, "status": {}}
    if name is not None:
        result["status"] = status = properties(told.get("status", ""))
        is_unit = _is_unit(name, told, status)
        found = is_unit or "script" in told
        if found and not is_unit:
            warnings.append(f"The service ({name}) is actually an init script but the system is managed by systemd")
        _mask(context, told, result, found)
        _enable(context, told, result, found)
        _put_into_state(context, told, result, found, warnings)
    if warnings:
        result["warnings"] = warnings
    return result


def _check(name: str | None, arguments: Mapping[str, Any]) -> None:
    if name is None:
        for key in ("state", "enabled", "masked"):
            if arguments[key] is not None:
                raise ModuleFailure(f"missing parameter(s) required by '{key}': name")
    elif any(sign in name for sign in "*?["):
        sign = next(sign for sign in "*?[" if sign in name)
        raise ModuleFailure(
            f"This module does not currently support using glob patterns, found '{sign}' in service name: {name}"
        )


def _options(arguments: Mapping[str, Any]) -> list[str]:
    options = [] if arguments["scope"] == "system" else [f"--{arguments['scope']}"]
    return options + [option for key, option in (("no_block", "--no-block"), ("force", "--force")) if arguments[key]]


def _look(context: Context, name: str | None) -> dict[str, str]:
    arguments = context.arguments
    verbs = [verb for verb in ("daemon-reload", "daemon-reexec") if arguments[verb.replace("-", "_")]]
    words = [word(name or ""), word(INIT_DIRECTORY), word("" if context.check else " ".join(verbs))]
    return facts(context, _LOOK, [*words, *_options(arguments)])


def properties(text: str) -> dict[str, str]:
    """What ``systemctl show`` says, by name. Values of Exec… in braces may be several lines long."""
    if "=" not in text and ("ignoring request" in text or "ignoring command" in text):
        return {}
    found: dict[str, str] = {}
    open_key = ""
    for line in text.splitlines():
        if open_key:
            found[open_key] += f"\n{line}"
            if line.rstrip().endswith("}"):
                open_key = ""
            continue
        key, sign, value = line.partition("=")
        if sign:
            found[key] = shown(value.strip())
            if key.startswith("Exec") and value.lstrip().startswith("{") and not value.rstrip().endswith("}"):
                open_key = key
    return found


def _is_unit(name: str, told: Mapping[str, str], status: Mapping[str, str]) -> bool:
    if not status:
        return told["enabled"] in _STATES_OF_FILES or "listed" in told
    loaded = status.get("LoadState", "not-found")
    if loaded not in ("not-found", "masked") and "LoadError" in status:
        raise ModuleFailure(f"Error loading unit file '{name}': {status['LoadError']}")
    return loaded != "not-found"


def _must_be_there(context: Context, found: bool) -> None:
    if not found:
        raise ModuleFailure(f"Could not find the requested service {context.arguments['name']}: host")


def _systemctl(context: Context, action: str, msg: str) -> None:
    if context.check:
        return
    arguments = context.arguments
    # As in the look, a user's own systemd is found by this variable.
    line = ': "${XDG_RUNTIME_DIR:=/run/user/$(id -u)}"; export XDG_RUNTIME_DIR; exec systemctl "$@"'
    words = ["sh", "-c", line, "systemctl", *_options(arguments), action, "--", arguments["name"]]
    ended = run_program(context, words)
    if ended.rc != 0:
        raise ModuleFailure(f"{msg}: {ended.reason()}")


def _mask(context: Context, told: Mapping[str, str], result: Result, found: bool) -> None:
    wanted, name = context.arguments["masked"], context.arguments["name"]
    if wanted is None or (told["enabled"] == "masked") == wanted:
        return
    action = "mask" if wanted else "unmask"
    try:
        _systemctl(context, action, f"Failed to {action} the service ({name})")
    except ModuleFailure:
        # A unit that is yet to be installed can be masked by some versions of systemd only.
        _must_be_there(context, found)
        raise
    result["changed"] = True


def _enable(context: Context, told: Mapping[str, str], result: Result, found: bool) -> None:
    wanted, name = context.arguments["enabled"], context.arguments["name"]
    if wanted is None:
        return
    _must_be_there(context, found)
    said = told["enabled"].rstrip()
    enabled = told["enabled_status"] == "0" and said not in _ENABLED_FOR_NOW
    if told["enabled_status"] == "1" and context.arguments["scope"] == "system" and "script" in told:
        enabled = not said.endswith("disabled") and "script_enabled" in told
    result["enabled"] = wanted
    if enabled != wanted:
        action = "enable" if wanted else "disable"
        _systemctl(context, action, f"Unable to {action} service {name}")
        result["changed"] = True


def _put_into_state(
    context: Context, told: Mapping[str, str], result: Result, found: bool, warnings: list[str]
) -> None:
    wanted, name = context.arguments["state"], context.arguments["name"]
    if wanted is None:
        return
    _must_be_there(context, found)
    status = result["status"]
    result["state"] = wanted
    if "ActiveState" not in status:
        if "offline" not in told:
            raise ModuleFailure("Service is in unknown state", status=status)
        warnings.append(
            "Target is a chroot or systemd is offline. This can lead to false positives "
            "or prevent the init system tools from working."
        )
        return
    running = status["ActiveState"] in ("active", "activating")
    action = None
    if wanted == "stopped":
        action = "stop" if running or status["ActiveState"] == "deactivating" else None
    elif wanted == "started":
        action = None if running else "start"
    else:
        action = wanted.removesuffix("ed") if running else "start"
        result["state"] = "started"
    if action:
        _systemctl(context, action, f"Unable to {action} service {name}")
        result["changed"] = True
