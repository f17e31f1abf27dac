"""add_host: a host that later plays of the run may be for."""

from __future__ import annotations

from typing import Any

from opsrunner.inventory import addresses
from opsrunner.inventory.additions import AddedHost
from opsrunner.ledger.records import Result
from opsrunner.modules.contract import Argument, Context, ModuleFailure, Spec

#: Arguments that are no variables of the host; ``host`` and ``group`` become that as well, as in Ansible.
_NO_VARIABLES = frozenset(("name", "hostname", "groupname", "groups"))
_NAMES, _GROUPS = ("name", "hostname", "host"), ("groupname", "groups", "group")

SPEC = Spec(
    summary="Add a host, and groups, to the inventory of the run; anything else it is given is a variable of the host",
    arguments={
        "name": Argument("str", "the host; name:port gives it a port, too"),
        "hostname": Argument("str", "the same"),
        "host": Argument("str", "the same"),
        "groups": Argument("raw", "groups to put it into, a list or parted by commas; made where they are new"),
        "groupname": Argument("raw", "the same"),
        "group": Argument("raw", "the same"),
    },
    any_argument=True,
    required_one_of=(_NAMES,),
    local=True,
    reads_only=True,
    once=True,
    check_mode="run",
    examples="""
- add_host:
    name: "{{ item }}"
    groups: [created, web]
    ansible_user: admin
  loop: "{{ addresses }}"
""",
)


def run(context: Context) -> Result:
    """Add it; ``changed`` tells whether it was new, or new in a group, or has other variables now."""
    given = {name: value for name, value in context.arguments.items() if value is not None}
    said = str(next(given[name] for name in _NAMES if name in given))
    name, port = addresses.parse(said) or (said, None)
    if "[" in name and name != said:
        name, port = said, None  # a range names no single host
    groups = _groups(next((given[one] for one in _GROUPS if one in given), None))
    variables = {key: value for key, value in given.items() if key not in _NO_VARIABLES}
    if port is not None:
        variables["ansible_ssh_port"] = port
    changed = context.add(AddedHost(name, tuple(groups), variables))
    return {"changed": changed, "add_host": {"host_name": name, "groups": groups, "host_vars": variables}}


def _groups(said: Any) -> list[str]:
    if not said:
        return []
    if not isinstance(said, (list, str)):
        raise ModuleFailure("Groups must be specified as a list.")
    names = said.split(",") if isinstance(said, str) else said
    if not all(isinstance(name, str) for name in names):
        raise ModuleFailure("Groups must be specified as a list of names.")
    return [name.strip() for name in dict.fromkeys(names)]
