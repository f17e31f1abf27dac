"""The modules a task can name: one explicit table, each module imported when it is first used."""

from __future__ import annotations

import difflib
import importlib
from functools import cache
from typing import cast

from opsrunner.modules.contract import Module

REGISTRY: dict[str, str] = {
    "add_host": "opsrunner.modules.add_host",
    "apt": "opsrunner.modules.apt",
    "assemble": "opsrunner.modules.assemble",
    "assert": "opsrunner.modules.assert_",
    "async_status": "opsrunner.modules.async_status",
    "authorized_key": "opsrunner.modules.authorized_key",
    "blockinfile": "opsrunner.modules.blockinfile",
    "command": "opsrunner.modules.command",
    "copy": "opsrunner.modules.copy",
    "cron": "opsrunner.modules.cron",
    "debug": "opsrunner.modules.debug",
    "dnf": "opsrunner.modules.dnf",
    "fail": "opsrunner.modules.fail",
    "fetch": "opsrunner.modules.fetch",
    "file": "opsrunner.modules.file",
    "find": "opsrunner.modules.find",
    "gather_facts": "opsrunner.modules.gather_facts",
    "get_url": "opsrunner.modules.get_url",
    "getent": "opsrunner.modules.getent",
    "git": "opsrunner.modules.git",
    "group": "opsrunner.modules.group",
    "group_by": "opsrunner.modules.group_by",
    "hostname": "opsrunner.modules.hostname",
    "include_role": "opsrunner.modules.include_role",
    "include_tasks": "opsrunner.modules.include_tasks",
    "include_vars": "opsrunner.modules.include_vars",
    "ini_file": "opsrunner.modules.ini_file",
    "lineinfile": "opsrunner.modules.lineinfile",
    "meta": "opsrunner.modules.meta",
    "mount": "opsrunner.modules.mount",
    "package": "opsrunner.modules.package",
    "package_facts": "opsrunner.modules.package_facts",
    "pause": "opsrunner.modules.pause",
    "ping": "opsrunner.modules.ping",
    "pip": "opsrunner.modules.pip",
    "raw": "opsrunner.modules.raw",
    "reboot": "opsrunner.modules.reboot",
    "replace": "opsrunner.modules.replace",
    "script": "opsrunner.modules.script",
    "service": "opsrunner.modules.service",
    "service_facts": "opsrunner.modules.service_facts",
    "set_fact": "opsrunner.modules.set_fact",
    "set_stats": "opsrunner.modules.set_stats",
    "setup": "opsrunner.modules.setup",
    "shell": "opsrunner.modules.shell",
    "slurp": "opsrunner.modules.slurp",
    "stat": "opsrunner.modules.stat",
    "sysctl": "opsrunner.modules.sysctl",
    "systemd": "opsrunner.modules.systemd",
    "tempfile": "opsrunner.modules.tempfile",
    "template": "opsrunner.modules.template",
    "unarchive": "opsrunner.modules.unarchive",
    "uri": "opsrunner.modules.uri",
    "user": "opsrunner.modules.user",
    "validate_argument_spec": "opsrunner.modules.validate_argument_spec",
    "wait_for": "opsrunner.modules.wait_for",
    "wait_for_connection": "opsrunner.modules.wait_for_connection",
}

#: Prefixes under which Ansible knows its own modules too.
PREFIXES = ("ansible.builtin.", "ansible.legacy.")

#: Modules that are at home in another collection than ansible.builtin, which knows them all the same.
COLLECTIONS = {
    "authorized_key": "ansible.posix.",
    "ini_file": "community.general.",
    "mount": "ansible.posix.",
    "sysctl": "ansible.posix.",
}

#: Other names of modules.
ALIASES = {"dnf5": "dnf", "systemd_service": "systemd", "yum": "dnf"}

#: Modules of ansible.builtin that opsrunner does not have, so that an error can tell them from a typo.
ELSEWHERE: frozenset[str] = frozenset(
    (
        "apt_key",
        "apt_repository",
        "deb822_repository",
        "debconf",
        "dpkg_selections",
        "expect",
        "import_playbook",
        "import_role",
        "import_tasks",
        "iptables",
        "known_hosts",
        "mount_facts",
        "rpm_key",
        "subversion",
        "sysvinit",
        "yum_repository",
    )
)


def names() -> tuple[str, ...]:
    """Every module's short name, sorted."""
    return tuple(sorted(REGISTRY))


def canonical(name: str) -> str | None:
    """The short name of a module that opsrunner has, also for ``ansible.builtin.NAME``; else None."""
    short = _short(name)
    return short if short in REGISTRY else None


def is_known_elsewhere(name: str) -> bool:
    """Whether Ansible ships a module of that name which opsrunner does not have."""
    return _short(name) in ELSEWHERE


def nearest(name: str) -> str | None:
    """The module whose name is most like a misspelt one, None when nothing comes close."""
    found = difflib.get_close_matches(_short(name), REGISTRY, n=1)
    return found[0] if found else None


@cache
def get(name: str) -> Module:
    """The module of that name, imported on first use. Raises KeyError for a name it does not know."""
    short = canonical(name)
    if short is None:
        raise KeyError(name)
    return _load(short)


def repeatable(name: str, rerun: str | None) -> bool:
    """Whether a step of that module whose outcome is not known may be run again; ``rerun`` is what the step says."""
    return rerun == "safe" or (rerun is None and get(name).SPEC.reads_only)


@cache
def _load(short: str) -> Module:
    # Some modules are only reached through one task of one playbook; importing all of them would
    # cost every command line verb its start-up time.
    return cast(Module, importlib.import_module(REGISTRY[short]))


def _short(name: str) -> str:
    last = name.rpartition(".")[2]
    if name == COLLECTIONS.get(last, "") + last:
        return ALIASES.get(last, last)
    prefix = next((one for one in PREFIXES if name.startswith(one)), "")
    name = name.removeprefix(prefix)
    return ALIASES.get(name, name)
