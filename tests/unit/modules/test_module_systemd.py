"""systemd: a systemctl played by a script."""

from __future__ import annotations

from typing import Any

import pytest

from opsrunner.modules.systemd import properties
from tests.differential import ansible_module
from tests.unit.modules.programs import Programs

SYSTEMCTL = r"""
while :; do case $1 in -*) shift ;; *) break ;; esac; done
verb=$1; shift
unit=
for word; do case $word in -*) ;; *) unit=$word ;; esac; done
has() { [ -e "$STATE/$unit.$1" ]; }
case $verb in
show)
    if has broken; then echo "LoadState=error"; echo "LoadError=no such executable"; exit 0; fi
    echo "Id=$unit.service"
    if has masked; then echo LoadState=masked; elif has known; then echo LoadState=loaded
    else echo LoadState=not-found; fi
    if has running; then echo ActiveState=active; else echo ActiveState=inactive; fi ;;
is-enabled)
    if has masked; then echo masked; exit 1; fi
    if has indirect; then echo indirect; exit 0; fi
    if has enabled; then echo enabled; else echo disabled; exit 1; fi ;;
list-unit-files) has known || exit 1 ;;
start|restart) touch "$STATE/$unit.running" ;;
stop) rm -f "$STATE/$unit.running" ;;
reload|daemon-reload|daemon-reexec) if [ -e "$STATE/refuses" ]; then echo "Failed: no bus" >&2; exit 1; fi ;;
enable) rm -f "$STATE/$unit.indirect"; touch "$STATE/$unit.enabled" ;;
disable) rm -f "$STATE/$unit.enabled" ;;
mask) touch "$STATE/$unit.masked" ;;
unmask) rm -f "$STATE/$unit.masked" ;;
esac
"""
LOOKING = ("show", "is-enabled", "list-unit-files")

#: What is there, what is asked, what systemctl is told beside looking.
CASES: list[tuple[str, dict[str, Any], list[str]]] = [
    ("known", {"name": "web", "state": "started"}, ["start web"]),
    ("known running", {"name": "web", "state": "started"}, []),
    ("known running", {"name": "web", "state": "restarted"}, ["restart web"]),
    ("known", {"name": "web", "state": "restarted"}, ["start web"]),
    ("known running", {"name": "web", "state": "reloaded"}, ["reload web"]),
    ("known running", {"name": "web", "state": "stopped", "enabled": False}, ["stop web"]),
    ("known enabled", {"name": "web", "enabled": False}, ["disable web"]),
    ("known indirect", {"name": "web", "enabled": True}, ["enable web"]),
    ("known", {"name": "web", "enabled": True, "state": "started"}, ["enable web", "start web"]),
    ("known", {"name": "web", "masked": True}, ["mask web"]),
    ("known masked", {"name": "web", "masked": False, "enabled": True}, ["unmask web", "enable web"]),
    ("", {"name": "web", "masked": True}, ["mask web"]),
    ("", {"name": "web", "state": "started"}, []),
    ("", {"name": "web", "state": "started", "daemon_reload": True}, ["daemon-reload"]),
    ("broken", {"name": "web", "state": "started"}, []),
    ("", {"daemon_reload": True, "daemon_reexec": True}, ["daemon-reload", "daemon-reexec"]),
    ("known", {"unit": "web", "state": "started", "scope": "user", "no_block": True}, ["--user --no-block start web"]),
    ("known", {"name": "web*", "state": "started"}, []),
    ("refuses", {"daemon-reload": True}, ["daemon-reload"]),
    ("known", {"name": "web"}, []),
    ("known active", {"name": "web", "daemon_reload": False}, []),
]


@pytest.fixture
def systemd(programs: Programs) -> Programs:
    programs.add("systemctl", SYSTEMCTL)
    return programs


def prepare(programs: Programs, there: str) -> None:
    for path in programs.state.iterdir():
        path.unlink()
    for name in there.split():
        (programs.state / (name if name == "refuses" else f"web.{name}")).touch()


def told(programs: Programs) -> list[str]:
    """What systemctl was told to do, its -- left out."""
    calls = [line.removeprefix("systemctl ").replace("-- ", "").replace("'", "") for line in programs.done()]
    return [call for call in calls if not any(verb in call.split() for verb in LOOKING)]


@pytest.mark.parametrize(("there", "arguments", "done"), CASES)
def test_what_is_done(
    systemd: Programs, there: str, arguments: dict[str, Any], done: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The calls, and the result beside that of ansible-core's own module with the same systemctl."""
    prepare(systemd, there)
    ours = systemd.run("systemd", arguments)
    assert told(systemd) == done
    prepare(systemd, there)
    monkeypatch.setenv("PATH", str(systemd.folder), prepend=":")
    theirs = ansible_module.answer("systemd_service", arguments, systemd.state)
    assert told(systemd) == done
    same = ("changed", "failed", "name", "state", "enabled", "status", "msg")
    theirs = {"changed": False, **theirs, "msg": theirs["msg"].strip() if "msg" in theirs else None}
    assert {key: ours.get(key) for key in same} == {key: theirs.get(key) for key in same}


@pytest.mark.parametrize(("there", "arguments"), [(there, arguments) for there, arguments, done in CASES if done])
def test_check_mode_only_looks(systemd: Programs, there: str, arguments: dict[str, Any]) -> None:
    prepare(systemd, there)
    predicted = systemd.run("systemd", arguments, check=True)
    assert told(systemd) == []
    if "refuses" not in there:
        assert predicted["changed"] is systemd.run("systemd", arguments)["changed"]


def test_a_name_is_needed(systemd: Programs) -> None:
    assert (
        systemd.run("systemd_service", {"state": "started"})["msg"] == "missing parameter(s) required by 'state': name"
    )


def test_properties_of_several_lines() -> None:
    text = "Id=a\nExecStart={ path=/bin/x ;\n argv[]=a=b }\nDescription={ odd\nLoadState=loaded"
    assert properties(text) == {
        "Id": "a",
        "ExecStart": "{ path=/bin/x ;\n argv[]=a=b }",
        "Description": "{ odd",
        "LoadState": "loaded",
    }
