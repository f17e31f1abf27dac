"""Every keyword and every module stands in at least two of the cases, or is listed here with the reason."""

from __future__ import annotations

from opsrunner import modules
from opsrunner.playbook.keywords import INCLUDES, KINDS, SPECIAL, On
from tests.differential.playbooks.coverage import count
from tests.differential.playbooks.harness import cases

#: A case in which a word stands once could be the one that is wrong.
TWICE = 2
OURS = "Ansible has no such keyword"
NOT_INSTALLED = "of a collection that is not installed beside ansible-core"
NO_MANAGER = "the hosts of the cases have no such manager of packages"
WITHOUT = {
    **dict.fromkeys(("error_budget", "gate", "guard", "rerun", "serial_by", "unreachable_budget"), OURS),
    **dict.fromkeys(("with_cartesian", "with_community.general.cartesian"), NOT_INSTALLED),
    **dict.fromkeys(("with_flattened", "with_community.general.flattened"), NOT_INSTALLED),
    **dict.fromkeys(("module authorized_key", "module ini_file", "module mount", "module sysctl"), NOT_INSTALLED),
    **dict.fromkeys(("module dnf5", "module yum"), NO_MANAGER),
    "module include": "ansible-core has it no more",
    "with_url": "what it gives is compared as a lookup",
}
_ON: tuple[On, ...] = ("play", "block", "task", "handler", "role", "import", "include", "import_playbook")


def _wanted() -> set[str]:
    keywords = {word for on in _ON for word in (*KINDS[on], *SPECIAL[on])}
    in_loops = {f"loop_control {word}" for word in KINDS["loop_control"]}
    return keywords | in_loops | {f"module {name}" for name in (*modules.names(), *modules.ALIASES, *INCLUDES)}


def test_every_keyword_and_module_is_compared_with_ansible() -> None:
    found = count(cases())
    missing = {word for word in _wanted() if found[word] < TWICE}
    assert sorted(missing - set(WITHOUT)) == [], "write cases, or say here why there are none"
