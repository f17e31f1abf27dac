"""apt: the real apt-get and dpkg, with a root and a repository of their own."""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from opsrunner.modules import apt
from opsrunner.modules.contract import ModuleFailure
from tests.unit.modules.shell_host import SHELLS, FolderFiles, Host


class Debian:
    """A scratch root; ``publish`` puts a package into its only repository."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root = root
        self.published = 0
        for folder in (
            "dpkg/info",
            "dpkg/updates",
            "lists/partial",
            "cache/archives/partial",
            "etc",
            "repository",
            "home",
        ):
            (root / folder).mkdir(parents=True)
        for name in ("dpkg/status", "dpkg/available", "log", "repository/Packages"):
            (root / name).touch()
        (root / "etc/sources.list").write_text(f"deb [trusted=yes] file:{root}/repository ./\n")
        (root / "apt.conf").write_text(
            f'Dir "{root}"; Dir::State "{root}"; Dir::State::status "{root}/dpkg/status"; Dir::Cache "{root}/cache";\n'
            f'Dir::Etc "{root}/etc"; Dir::Log "{root}"; Dir::State::lists "{root}/lists"; APT::Sandbox::User "root";\n'
            f'Dir::Bin::dpkg "/usr/bin/dpkg"; Dir::Bin::methods "/usr/lib/apt/methods";\n'
            f'DPkg::Options {{ "--admindir={root}/dpkg"; "--instdir={root}/installed"; "--log={root}/log"; '
            f'"--force-not-root"; "--force-script-chrootless"; "--force-bad-path"; }};\n'
        )
        (root / "installed").mkdir()
        monkeypatch.setattr(apt, "LISTS", str(root / "lists"))
        monkeypatch.setattr(apt, "STAMP", str(root / "stamp"))
        self.host = Host(SHELLS[0], root / "home", FolderFiles(root))

    def publish(self, name: str, version: str) -> Path:
        source = self.root / "source"
        (source / "DEBIAN").mkdir(parents=True, exist_ok=True)
        control = f"Package: {name}\nVersion: {version}\nArchitecture: all\nMaintainer: x <x@x>\nDescription: x\n"
        (source / "DEBIAN/control").write_text(control)
        file = self.root / "repository" / f"{name}_{version}_all.deb"
        subprocess.run(["dpkg-deb", "-Znone", "-b", str(source), str(file)], check=True, capture_output=True)
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        with (self.root / "repository/Packages").open("a") as packages:
            packages.write(f"{control}Filename: ./{file.name}\nSize: {file.stat().st_size}\nSHA256: {digest}\n\n")
        self.published += 1
        os.utime(self.root / "repository/Packages", (2e9 + self.published,) * 2)
        return file

    def apt(self, **arguments: Any) -> dict[str, Any]:
        options = {key: arguments.pop(key) for key in ("check", "diff") if key in arguments}
        environment = {"APT_CONFIG": str(self.root / "apt.conf"), "DPKG_ADMINDIR": str(self.root / "dpkg")}
        return self.host.run("apt", arguments, environment=environment, **options)

    def installed(self) -> dict[str, str]:
        format_ = "${Package} ${Version} ${db:Status-Status}\n"
        command = ["dpkg-query", f"--admindir={self.root}/dpkg", "-W", "-f", format_]
        lines = subprocess.run(command, capture_output=True, text=True, check=False).stdout.splitlines()
        return {line.split()[0]: line.split()[1] for line in lines if line.endswith(" installed")}


@pytest.fixture
def debian(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Debian:
    made = Debian(tmp_path, monkeypatch)
    made.publish("web", "1.0")
    made.publish("web-tools", "1.0")
    assert made.apt(update_cache=True)["cache_update_time"]
    return made


def test_present_latest_absent(debian: Debian) -> None:
    predicted = debian.apt(name="web", check=True, diff=True)
    assert (predicted["changed"], debian.installed()) == (True, {})
    assert "The following NEW packages will be installed:\n  web" in predicted["diff"]["prepared"]
    result = debian.apt(pkg="web,web-tools")
    assert (result["changed"], debian.installed()) == (True, {"web": "1.0", "web-tools": "1.0"}), result
    assert debian.apt(name=["web", "web-tools"])["changed"] is False
    debian.publish("web", "2.0")
    updated = debian.apt(name="web", state="latest", update_cache=True)
    assert (updated["changed"], debian.installed()["web"]) == (True, "2.0"), updated
    assert debian.apt(name="web", state="latest")["changed"] is False
    assert debian.apt(name="web*")["changed"] is False
    assert debian.apt(name="web", state="absent", check=True)["changed"] is True
    assert debian.apt(name="web*", state="absent")["changed"] is True
    assert debian.installed() == {}
    assert debian.apt(name="web", state="absent")["changed"] is False


def test_versions(debian: Debian) -> None:
    debian.publish("web", "2.0")
    debian.apt(update_cache=True)
    assert debian.apt(name="web=1.0")["changed"] is True
    assert debian.apt(name="web=1.*")["changed"] is False
    assert debian.apt(name="web")["changed"] is False
    assert debian.apt(upgrade="yes", check=True)["changed"] is True
    assert debian.apt(upgrade="dist")["changed"] is True
    assert debian.apt(upgrade="full")["changed"] is False
    assert "downgrade" in debian.apt(name="web=1.0")["msg"]
    assert debian.apt(name="web=1.0", allow_downgrade=True)["changed"] is True
    assert debian.installed() == {"web": "1.0"}
    assert debian.apt(upgrade="safe", force=True)["changed"] is True
    assert debian.apt(name="web=1.0", force=True)["changed"] is True
    assert debian.apt(name="web", state="absent", force=True)["changed"] is True


def test_a_file(debian: Debian) -> None:
    file = debian.publish("web", "3.0")
    assert debian.apt(deb=str(file), check=True)["changed"] is True
    assert debian.apt(deb=str(file))["changed"] is True
    assert debian.apt(deb=str(file))["changed"] is False
    assert debian.installed() == {"web": "3.0"}
    assert "no such file" in debian.apt(deb="/nowhere.deb")["msg"]


def test_the_lists_stay_valid(debian: Debian) -> None:
    fresh = debian.apt(update_cache=True, cache_valid_time=3600)
    assert (fresh["changed"], fresh["cache_updated"]) == (False, False)
    os.utime(debian.root / "lists", (1e9, 1e9))
    assert debian.apt(cache_valid_time=3600, update_cache=True, check=True)["cache_updated"] is True
    assert debian.apt(cache_valid_time=3600, name="web")["cache_updated"] is True


def test_what_is_nowhere(debian: Debian) -> None:
    missing = debian.apt(name="no-such-thing")
    assert missing["failed"]
    assert missing["msg"] == "No package matching 'no-such-thing' is available"
    assert missing["rc"] == 100
    assert debian.apt(name="web=9")["msg"] == "no available installation candidate for web=9"
    assert debian.apt(name="no-such-thing", only_upgrade=True)["changed"] is False
    assert debian.apt(clean=True)["changed"] is True
    assert debian.apt(autoremove=True)["changed"] is False


@pytest.mark.parametrize("text", ["web>=1", "web=", "=1", "-web", "a=b=c", "two words"])
def test_names_that_are_none(text: str) -> None:
    with pytest.raises(ModuleFailure, match="invalid package spec"):
        apt.split(text)
