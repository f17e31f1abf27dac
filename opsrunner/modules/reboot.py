"""reboot: restart the host, and wait until it is another boot in which commands run."""

from __future__ import annotations

from opsrunner.errors import BecomeFailed, ConnectionLost, RemoteCancelled, RemoteTimeout, Unreachable
from opsrunner.ledger.records import Result
from opsrunner.modules.contract import Argument, Context, ModuleFailure, Spec
from opsrunner.modules.posix import word
from opsrunner.modules.programs import SURROUNDINGS

SPEC = Spec(
    summary="Restart the host, and wait until it is back",
    arguments={
        "reboot_timeout": Argument("int", "seconds until it is given up", default=600),
        "pre_reboot_delay": Argument("int", "seconds before; shutdown is told whole minutes", default=0),
        "post_reboot_delay": Argument("int", "seconds after, before the host is tried", default=0),
        "connect_timeout": Argument("int", "seconds that one try may take", default=10),
        "test_command": Argument("str", "what has to succeed for the host to be back", default="whoami"),
        "boot_time_command": Argument(
            "str", "what says something else in each boot", default="cat /proc/sys/kernel/random/boot_id"
        ),
        "reboot_command": Argument("str", "what restarts it, instead of shutdown -r"),
        "msg": Argument("str", "what users are told", default="Reboot initiated by Ansible"),
    },
    check_mode="full",
    asynchronous="refused",
    refused={"search_paths": "commands are looked for in the PATH, /usr/sbin, /sbin and /usr/local/sbin"},
    examples="""
- reboot: reboot_timeout=900
- reboot:
    reboot_command: systemctl reboot
    test_command: systemctl is-active app
""",
)

#: Seconds between two tries, the first and the longest.
_FIRST, _LONGEST = 1.0, 12.0


def run(context: Context) -> Result:
    """A link that breaks here is what is asked for; anything else that goes wrong fails the step."""
    arguments = context.arguments
    if context.remote.is_local:
        raise ModuleFailure("Running reboot with local connection would reboot the control node.", rebooted=False)
    if context.check:
        return {"changed": True, "elapsed": 0, "rebooted": True}
    before = _said(context, arguments["boot_time_command"])
    if before is None:
        raise ModuleFailure("cannot tell one boot of the host from another: boot_time_command fails", rebooted=False)
    start = context.monotonic()
    _restart(context)
    if arguments["post_reboot_delay"] > 0:
        context.sleep(arguments["post_reboot_delay"])
    delay = _FIRST
    while (reason := _not_back(context, before)) is not None:
        elapsed = int(context.monotonic() - start)
        if elapsed >= arguments["reboot_timeout"]:
            msg = f"Timed out waiting for {reason} (timeout={arguments['reboot_timeout']})"
            raise ModuleFailure(msg, changed=True, rebooted=True, elapsed=elapsed)
        context.sleep(delay)
        delay = min(_LONGEST, 2 * delay)
    return {"changed": True, "rebooted": True, "elapsed": int(context.monotonic() - start)}


def _restart(context: Context) -> None:
    arguments = context.arguments
    minutes = max(0, arguments["pre_reboot_delay"]) // 60
    command = arguments["reboot_command"] or f"shutdown -r {minutes or 'now'} {word(arguments['msg'])}"
    if arguments["reboot_command"] and arguments["pre_reboot_delay"] > 0:
        context.sleep(arguments["pre_reboot_delay"])
    try:
        completed = context.exec(SURROUNDINGS + command)
    except ConnectionLost:
        return
    # A signal is what a shell gets whose host goes down.
    if completed.rc != 0 and completed.rc < 128:
        said = (completed.stderr or completed.stdout).decode("utf-8", "replace").strip()
        raise ModuleFailure(f"Reboot command failed: {said}", rebooted=False, rc=completed.rc)


def _not_back(context: Context, before: str) -> str | None:
    """What is still waited for; None when the host is in another boot, and its test succeeds."""
    try:
        now = _said(context, context.arguments["boot_time_command"])
        if now is None or now == before:
            return "last boot time check"
        if _said(context, context.arguments["test_command"]) is None:
            return "post-reboot test command"
    except RemoteCancelled:
        raise
    except (Unreachable, BecomeFailed, ConnectionLost, RemoteTimeout) as error:
        return f"last boot time check: {error.what}"
    return None


def _said(context: Context, command: str) -> str | None:
    """What a command prints; None where it fails."""
    completed = context.exec(SURROUNDINGS + command, timeout=max(1, context.arguments["connect_timeout"]))
    return completed.stdout.decode("utf-8", "replace").strip() if completed.rc == 0 else None
