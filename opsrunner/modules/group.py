"""group: a group exists, or does not."""

from __future__ import annotations

from opsrunner.ledger.records import Result
from opsrunner.modules.accounts import LOOK
from opsrunner.modules.contract import Argument, Context, ModuleFailure, Spec
from opsrunner.modules.posix import facts, word
from opsrunner.modules.programs import run_program

SPEC = Spec(
    summary="Make, change or remove a group",
    arguments={
        "name": Argument("str", "the group", required=True),
        "state": Argument("str", "whether it exists", default="present", choices=("absent", "present")),
        "gid": Argument("int", "its number"),
        "system": Argument("bool", "a new one gets a number of the system's", default=False),
        "non_unique": Argument("bool", "the number may be another group's, too", default=False),
        "force": Argument("bool", "remove it even where it is somebody's first group", default=False),
        "gid_min": Argument("int", "least number of a new group"),
        "gid_max": Argument("int", "greatest number of a new group"),
    },
    required_if=(("non_unique", True, ("gid",), False),),
    check_mode="full",
    refused={"local": "opsrunner has no lgroupadd; groupadd changes the host's own files"},
    examples="- group: name=deploy gid=1500\n- group: name=old state=absent\n",
)

_LOOK = (
    LOOK
    + r"""
if found=$(entry group "$1"); then fact entry "$found"; fi
:
"""
)


def run(context: Context) -> Result:
    """Look, and call groupadd, groupmod or groupdel where something differs."""
    arguments = context.arguments
    name = arguments["name"]
    before = _gid(context)
    words = _command(context, before)
    result: Result = {"name": name, "state": arguments["state"], "changed": bool(words)}
    if words and context.check and (before is None) == (arguments["state"] == "present"):
        return {"changed": True}
    if words and not context.check:
        ended = run_program(context, [*words, "--", name])
        if ended.rc != 0:
            raise ModuleFailure(ended.reason(), name=name)
        result |= {key: text for key, text in (("stdout", ended.stdout), ("stderr", ended.stderr)) if text}
    after = _gid(context) if words else before
    if after is not None:
        result |= {"system": arguments["system"], "gid": after}
    return result


def _gid(context: Context) -> int | None:
    entry = facts(context, _LOOK, [word(context.arguments["name"])]).get("entry")
    return int(entry.split(":")[2]) if entry else None


def _command(context: Context, gid: int | None) -> list[str]:
    arguments = context.arguments
    if arguments["state"] == "absent":
        return [] if gid is None else ["groupdel", *(["-f"] if arguments["force"] else [])]
    number = [] if arguments["gid"] is None else ["-g", str(arguments["gid"])]
    if arguments["non_unique"]:
        number.append("-o")
    if gid is not None:
        return ["groupmod", *number] if arguments["gid"] not in (None, gid) else []
    limits = [(key.upper(), arguments[key]) for key in ("gid_min", "gid_max") if arguments[key] is not None]
    system = ["-r"] if arguments["system"] else []
    return ["groupadd", *number, *system, *(part for key, limit in limits for part in ("-K", f"{key}={limit}"))]
