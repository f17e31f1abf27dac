"""package_facts: which packages are installed."""

from __future__ import annotations

from typing import Any

from opsrunner.ledger.records import Result
from opsrunner.modules.contract import Argument, Context, ModuleFailure, Spec
from opsrunner.modules.posix import facts, shown, word

#: Names that may be asked for → the database that is read.
_MANAGERS = {
    **dict.fromkeys(("apt", "aptitude", "apt-get"), "apt"),
    **dict.fromkeys(("rpm", "dnf", "dnf5", "yum", "zypper"), "rpm"),
    "apk": "apk",
}
SPEC = Spec(
    summary="Tell which packages are installed, as the fact packages: name, then a list of versions",
    arguments={
        "manager": Argument("list", "which databases: auto, apt, rpm, apk", default=["auto"], elements="str"),
        "strategy": Argument(
            "str", "stop at the first that has packages, or not", default="first", choices=("first", "all")
        ),
    },
    reads_only=True,
    gathers=True,
    check_mode="run",
    examples="- package_facts:\n- debug: msg=\"{{ ansible_facts.packages['openssl'][0].version }}\"\n",
)

_LOOK = r"""
export LC_ALL=C
for kind; do
    case $kind in
    apt) has dpkg-query || continue
        fact apt "$(dpkg-query -W -f '${db:Status-Status}\t${Package}\t${Version}\t${Architecture}\t${Section}\n')" ;;
    rpm) has rpm || continue
        fact rpm "$(rpm -qa --qf '%{NAME}\t%{VERSION}\t%{RELEASE}\t%{EPOCH}\t%{ARCH}\n')" ;;
    apk) has apk || continue
        fact apk "$(apk info -v 2>/dev/null)" ;;
    esac
done 2>/dev/null
fact complete yes
"""


def run(context: Context) -> Result:
    """One look at all databases that are asked for."""
    asked = [one.lower() for one in context.arguments["manager"]]
    unknown = [one for one in asked if one != "auto" and one not in _MANAGERS]
    if unknown:
        raise ModuleFailure(f"Unsupported package managers requested: {', '.join(unknown)}")
    kinds = [kind for one in asked for kind in (("apk", "apt", "rpm") if one == "auto" else (_MANAGERS[one],))]
    kinds = list(dict.fromkeys(kinds))
    told = facts(context, _LOOK, [word(kind) for kind in kinds])
    if "complete" not in told:
        raise ModuleFailure("the host told less than all of its packages")
    packages: dict[str, list[dict[str, Any]]] = {}
    for kind in kinds:
        found = [_package(kind, row) for row in shown(told.get(kind, "")).splitlines()]
        for package in filter(None, found):
            packages.setdefault(package["name"], []).append(package)
        if packages and context.arguments["strategy"] == "first":
            break
    if not packages:
        raise ModuleFailure(f"Could not detect a supported package manager from the following list: {kinds}")
    return {"changed": False, "ansible_facts": {"packages": packages}}


def _package(kind: str, row: str) -> dict[str, Any] | None:
    if kind == "apk":
        parts = row.rsplit("-", 2)
        names = ("name", "version", "release")
        return {**dict(zip(names, parts, strict=True)), "source": "apk"} if len(parts) == 3 else None
    fields = row.split("\t")
    if len(fields) != 5:
        return None
    if kind == "apt":
        status, name, version, arch, section = fields
        known = {"name": name, "version": version, "arch": arch, "category": section, "source": "apt"}
        return known if status == "installed" else None
    name, version, release, epoch, arch = fields
    number = int(epoch) if epoch.isdigit() else None
    return {"name": name, "version": version, "release": release, "epoch": number, "arch": arch, "source": "rpm"}
