"""getent: look into the host's databases of users, groups, hosts …"""

from __future__ import annotations

from typing import Any

from opsrunner.ledger.records import Result
from opsrunner.modules.contract import Argument, Context, ModuleFailure, Spec
from opsrunner.modules.posix import facts, shown, word

SPEC = Spec(
    summary="Look up an entry of a database such as passwd, group, hosts; it becomes the fact getent_DATABASE",
    arguments={
        "database": Argument("str", "which database", required=True),
        "key": Argument("str", "which entry; without it all that can be listed"),
        "service": Argument("str", "which service of nsswitch.conf is asked"),
        "split": Argument("str", "what is between two fields; a colon for passwd, shadow, group and gshadow"),
        "fail_key": Argument("bool", "an entry that is not there is a failure", default=True),
    },
    reads_only=True,
    gathers=True,
    check_mode="run",
    examples='- getent: database=passwd key=root\n- debug: msg="{{ ansible_facts.getent_passwd.root[4] }}"\n',
)

_ASK = r"""
PATH=$PATH:/sbin:/usr/sbin
has getent || give_up "the host has no getent"
answer=$(LC_ALL=C getent "$@" 2>/dev/null </dev/null); fact code "$?"; fact answer "$answer"
"""
_WITH_COLONS = frozenset(("passwd", "shadow", "group", "gshadow"))
_FAILURES = {
    "1": "Missing arguments, or database unknown.",
    "2": "One or more supplied key could not be found in the database.",
    "3": "Enumeration not supported on this database.",
}


def run(context: Context) -> Result:
    """One look; fields behind the first are the value of the entry that the first names."""
    arguments = context.arguments
    database, key, service = arguments["database"], arguments["key"], arguments["service"]
    words = [database, *([key] if key is not None else []), *(["-s", service] if service is not None else [])]
    told = facts(context, _ASK, [word(one) for one in words])
    name = f"getent_{database}"
    if told["code"] == "2" and not arguments["fail_key"]:
        return {"changed": False, "msg": _FAILURES["2"], "ansible_facts": {name: {key: None}}}
    if told["code"] != "0":
        raise ModuleFailure(_FAILURES.get(told["code"], "Unexpected failure!"))
    split = arguments["split"]
    if split is None and database in _WITH_COLONS:
        split = ":"
    entries: dict[str, Any] = {}
    several: set[str] = set()
    for row in shown(told["answer"]).splitlines():
        first, *rest = row.split(split)
        if first not in entries:
            entries[first] = rest
            continue
        if first not in several:
            entries[first] = [entries[first]]
            several.add(first)
        entries[first].append(rest)
    return {"changed": False, "ansible_facts": {name: entries}}
