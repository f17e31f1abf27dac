"""service: managers played by scripts that keep a service's state in files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from opsrunner.modules import service_managers
from tests.unit.modules.shell_host import Host

SYSTEMCTL = """
verb=$1; for unit; do :; done
case $verb in
show) if [ ! -e "$STATE/$unit.known" ]; then echo LoadState=not-found; echo ActiveState=inactive; exit 0; fi
    echo "Id=$unit.service"; echo LoadState=loaded
    if [ -e "$STATE/$unit.running" ]; then echo ActiveState=active; else echo ActiveState=inactive; fi
    exit 0 ;;
is-enabled) [ -e "$STATE/$unit.enabled" ]; exit ;;
"""

CHANGES = """
start) touch "$STATE/$unit.running" ;;
stop) rm -f "$STATE/$unit.running" ;;
restart|reload|zap) ;;
enable|add|on) touch "$STATE/$unit.enabled" ;;
disable|del|off) rm -f "$STATE/$unit.enabled" ;;
*) echo "cannot $verb" >&2; exit 1 ;;
esac
echo "$verb $unit" >>"$STATE/log"
if [ -e "$STATE/broken" ]; then echo "it broke"; exit 3; fi
(sleep 20 &)
"""

RC_SERVICE = """
if [ "$1" = --exists ]; then [ -e "$STATE/$2.known" ]; exit; fi
unit=$1 verb=$2
case $verb in
status) if [ -e "$STATE/$unit.crashed" ]; then echo " * status: crashed"; exit 32; fi
    if [ -e "$STATE/$unit.running" ]; then echo " * status: started"; else echo " * status: stopped"; exit 3; fi
    exit 0 ;;
"""

RC_UPDATE = """
verb=$1 unit=$2
case $verb in
show) if [ -e "$STATE/web.enabled" ]; then echo "   web | $2"; fi; exit 0 ;;
"""

INIT_SCRIPT = """
unit=web verb=$1
shift
[ $# -eq 0 ] || echo "extra $*" >>"$STATE/log"
case $verb in
status) if [ -e "$STATE/web.running" ]; then echo running; else echo "web is stopped"; exit 3; fi; exit 0 ;;
"""

UPDATE_RC = """
unit=$1 verb=$2
case $verb in
defaults) exit 0 ;;
enable) mkdir -p "$STATE/rc3.d"; ln -s nowhere "$STATE/rc3.d/S20$unit" ;;
disable) rm "$STATE/rc3.d/S20$unit" ;;
esac
echo "$verb $unit" >>"$STATE/log"
"""


class Managed:
    """A host with one service ``web`` under one manager."""

    def __init__(self, host: Host, manager: str, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.host = host
        self.manager = manager
        self.state = root / "state"
        self.programs = root / "programs"
        self.init = root / "init.d"
        for folder in (self.state, self.programs, self.init):
            folder.mkdir()
        monkeypatch.setattr(service_managers, "SYSTEMD_MARK", str(root if manager == "systemd" else root / "none"))
        monkeypatch.setattr(service_managers, "INIT_DIRECTORY", str(self.init))
        monkeypatch.setattr(service_managers, "RUNLEVEL_DIRECTORY", str(self.state))
        (self.state / "web.known").touch()
        if manager == "systemd":
            self.write(self.programs / "systemctl", SYSTEMCTL + CHANGES)
        elif manager == "openrc":
            self.write(self.programs / "rc-service", RC_SERVICE + CHANGES)
            self.write(self.programs / "rc-update", RC_UPDATE + CHANGES)
        else:
            self.write(self.init / "web", INIT_SCRIPT + CHANGES)
            self.write(self.programs / "update-rc.d", UPDATE_RC)

    def write(self, path: Path, text: str) -> None:
        path.write_text(f"#!/bin/sh\nSTATE={self.state}\n{text}")
        path.chmod(0o755)

    def run(self, arguments: dict[str, Any], **options: Any) -> dict[str, Any]:
        environment = {"PATH": f"{self.programs}:{os.environ['PATH']}"}
        return self.host.run("service", {"name": "web", **arguments}, environment=environment, **options)

    def done(self) -> list[str]:
        log = self.state / "log"
        lines = log.read_text().splitlines() if log.exists() else []
        log.unlink(missing_ok=True)
        return lines


@pytest.fixture(params=["systemd", "openrc", "sysvinit"])
def managed(request: pytest.FixtureRequest, host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Managed:
    return Managed(host, request.param, tmp_path, monkeypatch)


@pytest.mark.parametrize(
    ("running", "state", "done"),
    [
        (False, "started", ["start web"]),
        (True, "started", []),
        (True, "stopped", ["stop web"]),
        (False, "stopped", []),
        (True, "restarted", ["restart web"]),
        (False, "restarted", ["restart web"]),
        (True, "reloaded", ["reload web"]),
        (False, "reloaded", ["start web"]),
    ],
)
def test_states(managed: Managed, running: bool, state: str, done: list[str]) -> None:
    if running:
        (managed.state / "web.running").touch()
    predicted = managed.run({"state": state}, check=True)
    assert managed.done() == []
    result = managed.run({"state": state})
    assert managed.done() == done
    assert predicted["changed"] is result["changed"] is bool(done)
    assert result["name"] == "web"
    assert result["state"] == ("stopped" if state == "stopped" else "started")
    assert "enabled" not in result


def test_enabling(managed: Managed) -> None:
    on = managed.run({"enabled": True})
    assert (on["changed"], on["enabled"]) == (True, True)
    assert managed.run({"enabled": "yes"})["changed"] is False
    both = managed.run({"enabled": False, "state": "started"}, check=True)
    assert (both["changed"], both["enabled"], both["state"]) == (True, False, "started")
    assert managed.run({"enabled": True})["changed"] is False
    assert managed.run({"enabled": False})["changed"] is True
    assert managed.run({"enabled": False})["changed"] is False


def test_a_service_that_is_not_there(managed: Managed) -> None:
    result = managed.run({"name": "wbe", "state": "started"})
    assert result["failed"] is True
    assert result["msg"].startswith("Could not find the requested service wbe: ")


def test_what_the_manager_said_when_it_failed(managed: Managed) -> None:
    (managed.state / "broken").touch()
    result = managed.run({"state": "started"})
    assert (result["failed"], result["msg"]) == (True, "Unable to start service web: it broke")


@pytest.mark.parametrize("managed", ["sysvinit", "openrc"], indirect=True)
def test_sleep_and_arguments_are_for_init_scripts(managed: Managed) -> None:
    managed.run({"state": "restarted", "sleep": 1})
    assert managed.done() == ["stop web", "start web"]
    if managed.manager == "sysvinit":
        managed.run({"state": "restarted", "args": "--fast 'two words'"})
        assert managed.done() == ["extra --fast two words", "restart web"]


@pytest.mark.parametrize("managed", ["systemd"], indirect=True)
def test_systemd_warns_of_what_it_does_not_use_and_tells_its_status(managed: Managed) -> None:
    result = managed.run({"state": "stopped", "pattern": "webd"})
    assert result["warnings"] == ['Ignoring "pattern" as it is not used in "systemd"']
    assert result["status"] == {"Id": "web.service", "LoadState": "loaded", "ActiveState": "inactive"}


@pytest.mark.parametrize("managed", ["openrc"], indirect=True)
def test_a_crashed_service_is_zapped_first(managed: Managed) -> None:
    (managed.state / "web.crashed").touch()
    managed.run({"state": "started"})
    assert managed.done() == ["zap web", "start web"]


@pytest.mark.parametrize("managed", ["sysvinit"], indirect=True)
def test_a_pattern_stands_for_a_status(managed: Managed) -> None:
    assert managed.run({"state": "started", "pattern": "no-process-is-called-this"})["changed"] is True
    assert managed.run({"state": "started", "pattern": "pytest"})["changed"] is False


@pytest.mark.parametrize("managed", ["sysvinit"], indirect=True)
def test_no_manager_says_what_was_looked_for(managed: Managed) -> None:
    (managed.init / "web").unlink()
    result = managed.run({"state": "started"})
    if "found no service manager" not in result["msg"]:  # this machine has a service command of its own
        assert f"there is no {managed.init}/web" in result["msg"]
