"""Facts of a host under Ansible's names, found by one POSIX sh script and read on the worker.

A collector is one of Ansible's gather subsets. Only the pieces of the script that are wanted are sent.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from opsrunner.modules.contract import Context, ModuleFailure
from opsrunner.modules.gathering import distribution, hardware, identity, network, system, virtual
from opsrunner.modules.gathering.protocol import WORDS, Collector, Facts
from opsrunner.modules.posix import expanded_word, parse_facts

#: In the order in which they run: each builds on those before it. env comes first, before the script sets its own.
COLLECTORS: Mapping[str, Collector] = {
    one.name: one
    for one in (
        *identity.COLLECTORS,
        *distribution.COLLECTORS,
        *system.COLLECTORS,
        *virtual.COLLECTORS,
        *hardware.COLLECTORS,
        *network.COLLECTORS,
    )
}
#: Gathered unless it is told ``!min``.
MINIMUM = frozenset(
    (
        *("apparmor", "caps", "cmdline", "date_time", "distribution", "dns", "env", "fips", "local", "lsb"),
        *("pkg_mgr", "platform", "python", "selinux", "service_mgr", "ssh_pub_keys", "user"),
    )
)
#: Subsets of Ansible's that need a program of their own: they find nothing here.
EMPTY = frozenset(("facter", "ohai", "systemd"))

_BEGIN = r"""
PATH=$PATH:/sbin:/usr/sbin:/usr/local/sbin; LC_ALL=C; export PATH LC_ALL
"""


def wanted(subsets: Iterable[str]) -> tuple[str, ...]:
    """Names of the collectors that ``gather_subset`` asks for. Raises ModuleFailure for one that Ansible lacks too."""
    every = frozenset(COLLECTORS)
    aliases = {alias: name for name, one in COLLECTORS.items() for alias in one.names}
    chosen, left_out, named = set(MINIMUM), set[str](), set[str]()
    for subset in subsets:
        bare = subset.removeprefix("!")
        if subset == "all":
            chosen |= every
        elif subset == "!all":
            left_out |= every - MINIMUM
        elif bare == "min":
            (chosen if bare == subset else left_out).update(MINIMUM)
        elif bare != subset:
            left_out.add(aliases.get(bare, bare))
        elif bare in every or bare in aliases:
            named.add(aliases.get(bare, bare))
        elif bare not in EMPTY:
            valid = ", ".join(sorted({*every, *aliases, *EMPTY, "min"}))
            raise ModuleFailure(f"Bad subset '{bare}' given to Ansible. gather_subset options allowed: all, {valid}")
    chosen = (chosen - left_out) | named
    chosen |= {need for name in chosen for need in COLLECTORS[name].needs}
    return tuple(name for name in COLLECTORS if name in chosen)


def script(names: Sequence[str], *, fact_path: str, timeout: int) -> str:
    """The sh program that tells what those collectors read; ``timeout`` (seconds) is for each file system."""
    first = identity.ENVIRONMENT if "env" in names else ""
    head = f"FACT_PATH={expanded_word(fact_path)} GATHER_TIMEOUT={timeout}"
    return "\n".join((WORDS, head, first, _BEGIN, *(COLLECTORS[name].probe for name in names), "told complete yes"))


def gather(context: Context, subsets: Sequence[str], *, fact_path: str, timeout: int) -> Facts:
    """All facts of those subsets, under names that begin with ``ansible_``. Raises ModuleFailure."""
    names = wanted(subsets)
    completed = context.exec(script(names, fact_path=fact_path, timeout=timeout))
    told = parse_facts(completed.stdout)
    if "complete" not in told:
        said = completed.stderr.decode(errors="replace").strip()
        raise ModuleFailure(said or "the host told less than all of its facts", rc=completed.rc)
    found: Facts = {}
    for name in names:
        found |= COLLECTORS[name].read(told, found)
    return {f"ansible_{name}": _shown(value) for name, value in found.items()}


def filtered(facts: Facts, patterns: Sequence[str]) -> Facts:
    """Those whose names match one of the shell patterns; ``ansible_`` may be left out of them."""
    if not any(patterns):
        return facts
    both = {*patterns, *(f"ansible_{one}" for one in patterns if not one.startswith(("ansible_", "facter", "ohai")))}
    return {name: value for name, value in facts.items() if any(fnmatch.fnmatchcase(name, one) for one in both)}


def _shown(value: Any) -> Any:
    """Bytes that were no UTF-8 become replacement characters, at any depth."""
    if isinstance(value, str):
        return value.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    if isinstance(value, dict):
        return {_shown(key): _shown(one) for key, one in value.items()}
    return [_shown(one) for one in value] if isinstance(value, list) else value
