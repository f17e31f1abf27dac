"""Connection variables: their spellings, their types, and what is refused."""

from __future__ import annotations

import pytest

from opsrunner.errors import InputError, InputErrors
from opsrunner.inventory import Connection, connection
from opsrunner.inventory.connection import zone


def test_nothing_set():
    assert connection("web1", {}) == Connection(kind="ssh", address="web1")


def test_everything_set():
    found = connection(
        "web1",
        {
            "ansible_host": "10.0.0.1",
            "ansible_port": "2222",
            "ansible_user": "ops",
            "ansible_password": "secret",
            "ansible_ssh_private_key_file": "~/.ssh/ops",
            "ansible_connection": "smart",
            "ansible_timeout": "7.5",
            "ansible_become": "yes",
            "ansible_become_user": "app",
            "ansible_become_method": "su",
            "ansible_become_pass": "other",
            "ansible_become_flags": "-l",
            "ansible_shell_executable": "/bin/bash",
            "opsrunner_zone": "berlin",
            "opsrunner_known_hosts": "/keys",
            "opsrunner_ssh_shell": "no",
        },
    )
    assert found == Connection(
        kind="ssh",
        address="10.0.0.1",
        port=2222,
        user="ops",
        password="secret",
        private_key_file="~/.ssh/ops",
        known_hosts_files=("/keys",),
        timeout=7.5,
        become=True,
        become_user="app",
        become_method="su",
        become_password="other",
        become_flags="-l",
        shell_executable="/bin/bash",
        ssh_shell=False,
        zone="berlin",
    )
    assert "secret" not in repr(found)
    assert "other" not in repr(found)


def test_old_spellings_and_which_wins():
    found = connection(
        "h",
        {
            "ansible_ssh_host": "a",
            "ansible_host": "b",
            "ansible_ssh_port": 23,
            "ansible_ssh_user": "u",
            "ansible_ssh_pass": 1,
        },
    )
    assert (found.address, found.port, found.user, found.password) == ("a", 23, "u", "1")
    assert connection("h", {"ansible_sudo_pass": "x"}).become_password == "x"
    assert connection("h", {"ansible_su_pass": "x"}).become_password is None


@pytest.mark.parametrize(("value", "kind"), [("local", "local"), ("paramiko", "ssh"), ("ansible.builtin.ssh", "ssh")])
def test_kinds(value, kind):
    assert connection("h", {"ansible_connection": value}).kind == kind


@pytest.mark.parametrize("value", [True, "True", "on", "1", 1, 1.0])
def test_truth(value):
    assert connection("h", {"ansible_become": value}).become is True


@pytest.mark.parametrize(
    ("variables", "checking", "files", "only"),
    [
        ({}, "yes", (), False),
        ({"ansible_host_key_checking": False}, "no", (), False),
        ({"ansible_ssh_common_args": "-o StrictHostKeyChecking=accept-new"}, "accept-new", (), False),
        # Switched off, it comes before the common arguments, and ssh heeds the first.
        (
            {"ansible_host_key_checking": "no", "ansible_ssh_common_args": "-oStrictHostKeyChecking=yes"},
            "no",
            (),
            False,
        ),
        ({"ansible_host_key_checking": "no", "ansible_ssh_args": "-oStrictHostKeyChecking=yes"}, "yes", (), False),
        (
            {
                "ansible_ssh_extra_args": "-o UserKnownHostsFile='/a b' -o 'GlobalKnownHostsFile /c /d' "
                "-oIdentitiesOnly=yes",
                "ansible_ssh_private_key_file": "/key",
            },
            "yes",
            ("/a", "b", "/c", "/d"),
            True,
        ),
        (
            {"ansible_ssh_common_args": "-o userknownhostsfile=/dev/null"},
            "yes",
            ("/dev/null", "/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2"),
            False,
        ),
        (
            {"ansible_ssh_common_args": "-o UserKnownHostsFile=/a", "opsrunner_known_hosts": ["/b", "/c"]},
            "yes",
            ("/b", "/c"),
            False,
        ),
        ({"ansible_ssh_args": "-C -o ControlMaster=auto -o ControlPersist=60s"}, "yes", (), False),
    ],
)
def test_arguments_of_ssh(variables, checking, files, only):
    found = connection("h", variables)
    assert (found.host_key_checking, found.known_hosts_files, found.identities_only) == (checking, files, only)


@pytest.mark.parametrize(
    ("name", "value", "remedy"),
    [
        ("ansible_port", "ssh", "1 to 65535"),
        ("ansible_port", 0, "1 to 65535"),
        ("ansible_port", True, "1 to 65535"),
        ("ansible_port", 22.5, "1 to 65535"),
        ("ansible_user", ["a"], "quote"),
        ("ansible_timeout", -1, "seconds"),
        ("ansible_timeout", "soon", "seconds"),
        ("ansible_become", "maybe", "true or false"),
        ("ansible_become_method", "sudu", "did you mean sudo?"),
        ("ansible_connection", "winrm", "use one of ssh"),
        ("ansible_connection", "docker", "use one of ssh"),
        ("opsrunner_known_hosts", {"a": 1}, "known_hosts"),
        ("opsrunner_ssh_shell", "perhaps", "true or false"),
        ("ansible_ssh_common_args", "-o ProxyJump=bastion", "opsrunner_zone"),
        ("ansible_ssh_common_args", "-J bastion", "opsrunner_zone"),
        ("ansible_ssh_common_args", "-o StrictHostKeyCheking=no", "did you mean -o StrictHostKeyChecking"),
        ("ansible_ssh_common_args", "-o StrictHostKeyChecking=ask", "use yes, no or accept-new"),
        ("ansible_ssh_extra_args", "-o Ciphers=aes", "take it out"),
        ("ansible_ssh_extra_args", "-o IdentitiesOnly", "Name=value"),
        ("ansible_ssh_extra_args", "-o 'IdentitiesOnly=yes", "close the quote"),
        ("ansible_become_exe", "/opt/sudo", "PATH"),
        ("ansible_ssh_private_key", "-----", "into a file"),
    ],
)
def test_wrong_values(name, value, remedy):
    with pytest.raises(InputError) as caught:
        connection("web1", {name: value})
    assert name in caught.value.what
    assert "web1" in caught.value.what
    assert remedy in str(caught.value.remedy)


def test_identities_only_needs_a_key():
    with pytest.raises(InputError, match="IdentitiesOnly=yes without a key"):
        connection("h", {"ansible_ssh_args": "-o IdentitiesOnly=yes"})


def test_all_wrong_values_are_told_at_once():
    with pytest.raises(InputErrors) as caught:
        connection("h", {"ansible_port": "x", "ansible_connection": "x"})
    assert len(caught.value.errors) == 2


def test_only_names_that_matter_are_asked_for():
    class Lazy(dict):
        def __iter__(self):
            raise AssertionError("would render every variable")

    assert connection("h", Lazy(ansible_host="a")).address == "a"


def test_zone_asks_for_nothing_else():
    assert zone("h", {"opsrunner_zone": 7, "ansible_port": "{{ unrendered }}"}) == "7"
    assert zone("h", {}) == "default"
