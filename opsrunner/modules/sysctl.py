"""sysctl: a setting of the kernel, in a file for the next start and in the kernel now."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import structs

from opsrunner.ledger.records import Result
from opsrunner.modules.contract import Argument, Context, ModuleFailure, Spec
from opsrunner.modules.editing import Edit, Found, edit
from opsrunner.modules.programs import run_program

SPEC = Spec(
    summary="Set a variable of the kernel (ansible.posix.sysctl)",
    arguments={
        "name": Argument("str", "the variable: net.ipv4.ip_forward", required=True, aliases=("key",)),
        "value": Argument("str", "its value", aliases=("val",)),
        "state": Argument("str", "whether it is in the file", default="present", choices=("absent", "present")),
        "sysctl_file": Argument("path", "the file", default="/etc/sysctl.conf"),
        "sysctl_set": Argument("bool", "set it in the kernel now, where it is another", default=False),
        "reload": Argument("bool", "have the kernel read the file where it was changed", default=True),
        "ignoreerrors": Argument("bool", "pass over variables that the kernel does not know", default=False),
    },
    required_if=(("state", "present", ("value",), False),),
    check_mode="full",
    examples="""
- sysctl: name=vm.swappiness value=10
- ansible.posix.sysctl:
    name: net.ipv4.ip_forward
    value: "1"
    sysctl_file: /etc/sysctl.d/90-router.conf
    sysctl_set: true
""",
)


def run(context: Context) -> Result:
    """The kernel's value first, as it may refuse it; then the file, and the file into the kernel."""
    arguments = context.arguments
    name = arguments["name"].strip()
    if not name or any(sign in name for sign in "=\n"):
        raise ModuleFailure("name cannot be blank, and holds no =")
    value = _value(arguments["value"])
    if value is not None and ("\n" in value or not value):
        raise ModuleFailure("value cannot be blank, nor more than one line")
    set_now = arguments["state"] == "present" and arguments["sysctl_set"] and _differs(context, name, value or "")
    if set_now and not context.check:
        _sysctl(context, ["-w", f"{name}={value}"], "setting")

    def change(file: Found) -> Edit | Result:
        before = (file.data or b"").decode("utf-8", "surrogateescape")
        after = changed(before, name, value if arguments["state"] == "present" else None)
        return Edit(after.encode("utf-8", "surrogateescape"), "", after != before)

    edited = edit(structs.replace(context, arguments=_of_file(arguments)), change)
    if edited["changed"] and arguments["reload"] and not context.check:
        _sysctl(context, ["-p", arguments["sysctl_file"]], "reload")
    result: Result = {"changed": bool(edited["changed"] or set_now)}
    if "diff" in edited:
        result["diff"] = edited["diff"]
    return result


def _value(text: str | None) -> str | None:
    """true and false as YAML reads yes and no are what the kernel calls 1 and 0."""
    if text is None:
        return None
    return {"True": "1", "False": "0"}.get(text.strip(), text.strip())


def changed(text: str, name: str, value: str | None) -> str:
    """The file with the variable's one line; None takes it out."""
    kept: list[str] = []
    done = value is None
    for line in text.splitlines():
        key = line.partition("=")[0].strip()
        if "=" not in line or line.lstrip().startswith(("#", ";")) or _plain(key) != _plain(name):
            kept.append(line)
        elif not done:
            same = line.partition("=")[2].split() == (value or "").split()
            kept.append(line if same else f"{name}={value}")
            done = True
    if not done:
        kept.append(f"{name}={value}")
    return "".join(f"{line}\n" for line in kept)


def _plain(name: str) -> str:
    """A variable may be written with slashes and with a dash for errors that do not matter."""
    return name.removeprefix("-").replace("/", ".")


def _of_file(arguments: Mapping[str, Any]) -> dict[str, Any]:
    nothing = dict.fromkeys(("mode", "owner", "group", "validate"))
    return {**nothing, "path": arguments["sysctl_file"], "backup": False}


def _differs(context: Context, name: str, value: str) -> bool:
    ended = run_program(context, ["sysctl", "-e", "-n", name])
    return ended.stdout.split() != value.split()


def _sysctl(context: Context, words: list[str], what: str) -> None:
    options = ["-e"] if context.arguments["ignoreerrors"] else []
    ended = run_program(context, ["sysctl", *options, *words])
    # sysctl ends with 0 after some errors, and tells them.
    if ended.rc != 0 or ("cannot stat" in ended.stderr and not options) or "Invalid argument" in ended.stderr:
        raise ModuleFailure(f"{what} failed: {ended.reason()}", **ended.result())
