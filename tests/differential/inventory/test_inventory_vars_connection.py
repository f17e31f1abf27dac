"""Which spelling, level or option says how a host is reached: the options of Ansible's plugins beside ours."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from opsrunner.inventory.connection import connection

#: Options of ssh and the variables that set them, each with two values that differ.
SPELLINGS: dict[str, tuple[str, str, tuple[str, ...], tuple[Any, Any]]] = {
    "host": ("connection", "address", ("ansible_host", "ansible_ssh_host"), ("10.0.0.1", "10.0.0.2")),
    "port": ("connection", "port", ("ansible_port", "ansible_ssh_port"), (2201, 2202)),
    "remote_user": ("connection", "user", ("ansible_user", "ansible_ssh_user"), ("ann", "bob")),
    "password": (
        *("connection", "password"),
        ("ansible_password", "ansible_ssh_pass", "ansible_ssh_password"),
        ("one", "two"),
    ),
    "private_key_file": (
        *("connection", "private_key_file"),
        ("ansible_private_key_file", "ansible_ssh_private_key_file"),
        ("/one", "/two"),
    ),
    # ansible_timeout alone is for paramiko: ssh of 2.19 does not ask for it.
    "timeout": ("connection", "timeout", ("ansible_ssh_timeout",), (11, 12)),
    "become_user": ("become", "become_user", ("ansible_become_user", "ansible_sudo_user"), ("ann", "bob")),
    "become_pass": (
        *("become", "become_password"),
        ("ansible_become_password", "ansible_become_pass", "ansible_sudo_pass"),
        ("one", "two"),
    ),
    "become_flags": ("become", "become_flags", ("ansible_become_flags", "ansible_sudo_flags"), ("-H", "-n")),
}
PAIRS = [
    (option, first, second)
    for option, (_kind, _field, names, _values) in SPELLINGS.items()
    for first in names
    for second in names
]


@pytest.fixture(scope="module")
def plugins(ansible: None) -> SimpleNamespace:
    from ansible.playbook.play_context import PlayContext
    from ansible.plugins.loader import become_loader, connection_loader

    return SimpleNamespace(
        connection=connection_loader.get("ssh", PlayContext(), None), become=become_loader.get("sudo")
    )


@pytest.mark.parametrize(("option", "first", "second"), PAIRS)
def test_the_same_spelling_wins(plugins: SimpleNamespace, option: str, first: str, second: str) -> None:
    kind, field, _names, (one, two) = SPELLINGS[option]
    variables = {first: one} | ({second: two} if second != first else {})
    plugin = getattr(plugins, kind)
    plugin.set_options(var_options={**variables, "inventory_hostname": "h"})
    theirs = plugin.get_option(option)
    ours = getattr(connection("h", variables), field)
    assert ours == theirs
