"""reboot: a host whose boot is a file, and whose link breaks when it goes down."""

from __future__ import annotations

import pytest

from opsrunner.errors import ConnectionLost, Unreachable
from opsrunner.remote import Command, Completed
from tests.unit.modules.programs import Programs
from tests.unit.modules.shell_host import ShellRemote

BOOT = {"boot_time_command": "cat boot"}


@pytest.fixture
def machine(programs: Programs) -> Programs:
    (programs.host.home / "boot").write_text("1\n")
    programs.add("shutdown", "echo 2 >boot")
    return programs


def test_shutdown_and_back(machine: Programs) -> None:
    answer = machine.run("reboot", {**BOOT, "msg": "off; now", "pre_reboot_delay": 130, "post_reboot_delay": 4})
    assert answer == {"changed": True, "rebooted": True, "elapsed": 0}
    assert machine.done() == ["shutdown -r 2 off; now"]
    assert machine.host.slept == [4]


def test_a_link_that_breaks(machine: Programs, monkeypatch: pytest.MonkeyPatch) -> None:
    works = ShellRemote.exec
    coming = [ConnectionLost("cut", host="here"), Unreachable("down", host="here")]

    def exec_(remote: ShellRemote, command: Command, **options: object) -> Completed:
        done = works(remote, command)
        if coming and (remote.directory / "boot").read_text() == "2\n":
            raise coming.pop(0)
        return done

    monkeypatch.setattr(ShellRemote, "exec", exec_)
    assert machine.run("reboot", BOOT)["rebooted"] is True
    assert machine.host.slept == [1]


@pytest.mark.parametrize(
    ("arguments", "msg"),
    [
        ({"reboot_command": "true", "reboot_timeout": 0}, "Timed out waiting for last boot time check (timeout=0)"),
        ({"test_command": "false", "reboot_timeout": 0}, "Timed out waiting for post-reboot test command (timeout=0)"),
        ({"reboot_command": "echo no >&2; exit 3"}, "Reboot command failed: no"),
        ({"boot_time_command": "false"}, "cannot tell one boot"),
    ],
)
def test_what_fails(machine: Programs, arguments: dict[str, object], msg: str) -> None:
    answer = machine.run("reboot", {**BOOT, **arguments})
    assert answer["failed"] and msg in answer["msg"]


def test_check_mode(machine: Programs) -> None:
    assert machine.run("reboot", BOOT, check=True)["rebooted"] is True
    assert machine.done() == []
