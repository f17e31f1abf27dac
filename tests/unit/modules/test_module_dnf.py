"""dnf: dnf and rpm played by scripts; what dnf is told."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.modules.programs import Programs

RPM = r"""
whole=$1
for name; do :; done
[ -e "$STATE/$name.installed" ] && { echo "$name"; exit 0; }
[ "$whole" = -qa ] || exit 1
"""
DNF = r"""
for word; do
    case $word in
    --assumeno) abort=yes ;;
    gone) echo "Error: Unable to find a match: gone" >&2; exit 1 ;;
    idle) echo "Nothing to do."; exit 0 ;;
    esac
done
if [ -n "$abort" ]; then echo "Operation aborted." >&2; exit 1; fi
printf 'Installed:\n  web-1.0.noarch  tools-1.0.noarch\n\nComplete!\n'
"""

CASES: list[tuple[str, dict[str, Any], str | None]] = [
    ("", {"name": "web"}, "-y install web"),
    ("web", {"name": "web"}, None),
    ("web", {"name": "web,tools", "state": "installed"}, "-y install tools"),
    ("web", {"name": "web", "state": "latest"}, "-y upgrade web"),
    ("web", {"name": ["web", "tools"], "state": "latest"}, "-y install web tools"),
    ("", {"name": "web", "state": "latest", "update_only": True}, "-y upgrade web"),
    ("", {"name": "*", "state": "latest", "security": True}, "--security -y upgrade"),
    ("", {"name": "web", "state": "absent"}, None),
    ("web", {"name": "web", "state": "removed", "autoremove": True}, "-y autoremove web"),
    ("", {"autoremove": True}, "-y autoremove"),
    ("", {"name": "@tools"}, "-y install @tools"),
    (
        "",
        {"name": "web", "enablerepo": "epel,extra", "exclude": "kernel*", "disable_gpg_check": True},
        "--nogpgcheck --enablerepo=epel,extra --exclude=kernel* -y install web",
    ),
]


@pytest.fixture
def redhat(programs: Programs) -> Programs:
    programs.add("rpm", RPM)
    programs.add("dnf", DNF)
    return programs


@pytest.mark.parametrize(("installed", "arguments", "told"), CASES)
def test_what_is_done(redhat: Programs, installed: str, arguments: dict[str, Any], told: str | None) -> None:
    for name in installed.split():
        (redhat.state / f"{name}.installed").touch()
    predicted = redhat.run("dnf", arguments, check=True)
    redhat.done()
    result = redhat.run("yum", arguments)
    assert redhat.done("dnf") == ([] if told is None else [f"dnf {told}"])
    assert predicted["changed"] is result["changed"] is (told is not None)


def test_what_it_answers(redhat: Programs) -> None:
    assert redhat.run("dnf", {"name": "web"})["results"] == ["Installed: web-1.0.noarch", "Installed: tools-1.0.noarch"]
    assert redhat.run("dnf", {"name": "idle"})["changed"] is False
    failed = redhat.run("dnf", {"name": "gone"})
    assert failed["failed"]
    assert failed["msg"] == "Failed to install some of the specified packages: No package gone available."
    assert redhat.run("dnf", {"name": "gone"}, check=True)["failed"]
    assert redhat.run("dnf", {"update_cache": True})["msg"] == "Cache updated"
    assert redhat.run("dnf", {"name": "web", "autoremove": True, "state": "latest"})["failed"]
    assert "no name" in redhat.run("dnf", {"name": "-web"})["msg"]
