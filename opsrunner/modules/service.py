"""service: start, stop, restart, reload and enable a service, whatever manages it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Literal

from opsrunner.ledger.records import Result
from opsrunner.modules import service_managers
from opsrunner.modules.contract import Argument, Context, ModuleFailure, Spec
from opsrunner.modules.posix import facts, word
from opsrunner.modules.service_managers import RUN, Manager

SPEC = Spec(
    summary="Control a service under systemd, OpenRC or System V init",
    arguments={
        "name": Argument("str", "the service", required=True),
        "state": Argument("str", "what it is to be", choices=("reloaded", "restarted", "started", "stopped")),
        "enabled": Argument("bool", "whether it starts at boot"),
        "pattern": Argument("str", "text of a process that tells that it runs, where it has no status"),
        "sleep": Argument("int", "seconds between stop and start of a restart"),
        "runlevel": Argument("str", "OpenRC's runlevel for enabled", default="default"),
        "arguments": Argument("str", "arguments for an init script", default="", aliases=("args",)),
        "use": Argument("str", "which manager", default="auto", choices=("auto", "systemd", "openrc", "sysvinit")),
    },
    required_one_of=(("state", "enabled"),),
    check_mode="full",
    examples="- service: name=nginx state=reloaded\n- service: name=sshd state=started enabled=true\n",
)

#: Arguments that mean something to init scripts only.
_SCRIPT_ARGUMENTS = ("pattern", "sleep", "arguments")


def run(context: Context) -> Result:
    """Look, work out what is to be done, do it."""
    arguments = context.arguments
    told = _look(context)
    manager = service_managers.MANAGERS[told["manager"]]
    result: Result = {"changed": False, "name": arguments["name"]}
    if told["manager"] == "systemd":
        ignored = [name for name in _SCRIPT_ARGUMENTS if arguments[name]]
        if ignored:
            result["warnings"] = [f'Ignoring "{name}" as it is not used in "systemd"' for name in ignored]
        result["status"] = dict(line.partition("=")[::2] for line in told["status"].splitlines())
    if "found" not in told:
        raise ModuleFailure(f"Could not find the requested service {arguments['name']}: {told['searched']}")
    lines: list[str] = []
    if arguments["enabled"] is not None:
        result["enabled"] = arguments["enabled"]
        if ("enabled" in told) != arguments["enabled"]:
            if "cannot_enable" in told:
                raise ModuleFailure(told["cannot_enable"])
            lines.append(manager.enable(told, context) if arguments["enabled"] else manager.disable(told, context))
    if arguments["state"] is not None:
        result["state"] = "stopped" if arguments["state"] == "stopped" else "started"
        lines += _state_lines(context, told, manager)
    result["changed"] = bool(lines)
    if lines and not context.check:
        facts(context, RUN + "\n".join(lines), [word(arguments["name"])])
    return result


def _look(context: Context) -> dict[str, str]:
    arguments = context.arguments
    words = [
        word(arguments["name"]),
        arguments["use"],
        word(arguments["runlevel"]),
        word(service_managers.SYSTEMD_MARK),
        word(service_managers.INIT_DIRECTORY),
        word(service_managers.RUNLEVEL_DIRECTORY),
        "yes" if arguments["pattern"] else "no",
        "yes" if arguments["state"] is not None else "no",
    ]
    # The pattern goes in by standard input: on a command line it would find our own process.
    return facts(context, service_managers.LOOK, words, stdin=(arguments["pattern"] or "").encode() + b"\n")


def _state_lines(context: Context, told: Mapping[str, str], manager: Manager) -> list[str]:
    action = _action(context.arguments["state"], told)
    if action is None:
        return []
    arguments = context.arguments
    extra = _extra_words(arguments["arguments"]) if told["manager"] != "systemd" else ""
    # Without sleep the script's own restart is trusted; with it, or after a crash, stop and start are.
    if action == "restart" and arguments["sleep"] and told["manager"] != "systemd":
        stop, start = manager.control(told, "stop", extra), manager.control(told, "start", extra)
        return [stop, f"sleep {arguments['sleep']}", start]
    if action == "start" and "crashed" in told:
        return [manager.control(told, "zap", ""), manager.control(told, "start", extra)]
    return [manager.control(told, action, extra)]


def _action(state: str, told: Mapping[str, str]) -> Literal["start", "stop", "restart", "reload"] | None:
    running = "running" in told
    if state == "started":
        return None if running else "start"
    if state == "stopped":
        return "stop" if running or "stopping" in told else None
    if state == "reloaded":
        return "reload" if running else "start"
    return "restart"


def _extra_words(text: str) -> str:
    try:
        return "".join(f" {word(part)}" for part in shlex.split(text))
    except ValueError as error:
        raise ModuleFailure(f"cannot split arguments into words: {error}") from None
