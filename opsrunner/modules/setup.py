"""setup: gather the facts of a host."""

from __future__ import annotations

from opsrunner.ledger.records import Result
from opsrunner.modules.contract import Argument, Context, Spec
from opsrunner.modules.gathering import filtered, gather

SPEC = Spec(
    summary="Gather facts of the host: system, network, hardware, date",
    arguments={
        "gather_subset": Argument(
            "list",
            "which facts; all, min, hardware, network, virtual … and each with a ! before it",
            default=["all"],
            elements="str",
        ),
        "gather_timeout": Argument("int", "seconds that one file system may take to answer", default=10),
        "filter": Argument("list", "shell patterns of names; only these facts are kept", default=[], elements="str"),
        "fact_path": Argument("path", "the host's folder of *.fact files", default="/etc/ansible/facts.d"),
    },
    reads_only=True,
    gathers=True,
    check_mode="run",
    examples="""
- setup: gather_subset=!all,network
- debug: msg="{{ ansible_facts.default_ipv4.address | default('no route') }}"
""",
)


def run(context: Context) -> Result:
    """One command; the facts become the host's, and are not shown."""
    arguments = context.arguments
    subsets = arguments["gather_subset"]
    facts = gather(context, subsets, fact_path=arguments["fact_path"], timeout=arguments["gather_timeout"])
    told = filtered(facts, arguments["filter"])
    return {"changed": False, "ansible_facts": {**told, "gather_subset": subsets, "module_setup": True}}
