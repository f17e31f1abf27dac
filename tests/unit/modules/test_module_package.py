"""package: finds the host's manager and lets its module do it."""

from __future__ import annotations

from tests.unit.modules.programs import Programs

APT_GET = "echo '0 upgraded, 1 newly installed, 0 to remove and 0 not upgraded.'"


def test_it_is_apt(programs: Programs) -> None:
    programs.add("apt-get", APT_GET)
    programs.add("dpkg-query", "exit 1")
    result = programs.run("package", {"name": ["rsync", "curl"], "state": "present", "install_recommends": False})
    assert result["changed"] is True, result
    (call,) = programs.done("apt-get")
    assert call.endswith("-o APT::Install-Recommends=no install -- rsync curl")
    wrong = programs.run("package", {"name": "rsync", "state": "present", "instal_recommends": False})
    assert "managed by apt: Unsupported parameters for (apt) module: instal_recommends" in wrong["msg"]
    assert programs.run("package", {"name": "rsync", "state": "gone"})["failed"]
    assert programs.done("apt-get") == []
    assert programs.run("package", {"name": "rsync"})["changed"] is True


def test_it_is_dnf(programs: Programs) -> None:
    for name in ("rpm", "dnf"):
        programs.add(name, "exit 1")
    result = programs.run("package", {"name": "rsync", "state": "present", "use": "yum"})
    assert result["failed"]
    assert programs.done("dnf") == ["dnf -y install rsync"]
