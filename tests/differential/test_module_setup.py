"""setup beside ansible-core's own on this machine: every fact, key by key."""

from __future__ import annotations

import datetime
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.facts.system.date_time import DateTimeFactCollector
from differential.ansible_module import answer
from unit.modules.shell_host import SHELLS, FolderFiles, Host

#: Facts that change from one moment to the next, or tell of the process that asks: only their shape is compared.
VOLATILE = frozenset(
    (
        *("ansible_loadavg", "ansible_memfree_mb", "ansible_swapfree_mb", "ansible_memory_mb"),
        *("ansible_env", "ansible_uptime_seconds", "ansible_python", "ansible_python_version"),
        "ansible_date_time",  # key by key below, at one moment
    )
)
#: Facts that Ansible gives where a program or library of its own is there.
NOT_OURS = frozenset(("ansible_facter", "ansible_ohai", "ansible_systemd"))
#: Keys of an interface that ethtool tells.
BY_ETHTOOL = ("features", "timestamping", "hw_timestamp_filters", "phc_index")
SIZES = ("size_available", "block_available", "block_used", "inode_available", "inode_used")


def comparable(name: str, value: Any) -> Any:
    """What must be equal of a fact: without order where there is none, without what passes."""
    if name in VOLATILE:
        return type(value)
    if name == "ansible_mounts":
        kept = [{key: one for key, one in mount.items() if key not in SIZES} for mount in value]
        return sorted(kept, key=lambda mount: str(mount["mount"]))
    if name == "ansible_interfaces" or name.endswith("_addresses"):
        return sorted(value)
    if name.startswith("ansible_virtualization_tech"):
        return sorted(value)
    if isinstance(value, dict):
        return {key: one for key, one in value.items() if key not in BY_ETHTOOL}
    return value


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    told = answer("setup", {}, tmp_path_factory.mktemp("setup"))
    facts: dict[str, Any] = told["ansible_facts"]
    return facts


@pytest.mark.parametrize("shell", SHELLS, ids=lambda shell: Path(shell[0]).name)
def test_facts_are_ansibles(shell: list[str], theirs: dict[str, Any], tmp_path: Path) -> None:
    host = Host(shell, tmp_path, FolderFiles(tmp_path))
    environment = {name: os.environ[name] for name in ("LOGNAME", "USER", "LNAME", "USERNAME") if name in os.environ}
    ours = host.run("setup", environment=environment)["ansible_facts"]
    assert len(host.remote.commands) == 1
    assert theirs.keys() - ours.keys() <= NOT_OURS
    assert ours.keys() <= theirs.keys() | {"ansible_python"}
    different = {
        name: (comparable(name, theirs[name]), comparable(name, ours[name]))
        for name in ours.keys() & theirs.keys()
        if comparable(name, theirs[name]) != comparable(name, ours[name])
    }
    assert different == {}


@pytest.fixture
def zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The time zone of this process meanwhile."""
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield request.param
    monkeypatch.undo()
    time.tzset()


# Zones whose clocks are never changed: what a zone is called Ansible asks of the present moment.
@pytest.mark.parametrize("zone", ["UTC", "Asia/Kathmandu", "America/Caracas"], indirect=True)
def test_the_date_is_what_ansible_would_tell_at_that_moment(
    zone: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = Host(["/bin/sh"], tmp_path, FolderFiles(tmp_path))
    ours = host.run("setup", {"gather_subset": ["!all", "date_time"]}, environment={"TZ": zone})
    told: dict[str, str] = ours["ansible_facts"]["ansible_date_time"]
    moment = datetime.datetime.fromisoformat(told["iso8601_micro"]).timestamp()
    monkeypatch.setattr(time, "time", lambda: moment)
    theirs: dict[str, str] = DateTimeFactCollector().collect()["date_time"]
    assert told == theirs


@pytest.mark.parametrize(
    "subsets",
    [["min"], ["!all"], ["!all", "!min", "network"], ["!min", "!hardware", "!network"], ["!all", "!min", "processor"]],
    ids=" ".join,
)
def test_subsets_are_ansibles(subsets: list[str], tmp_path: Path) -> None:
    told = answer("setup", {"gather_subset": subsets}, tmp_path)["ansible_facts"]
    ours = Host(["/bin/sh"], tmp_path, FolderFiles(tmp_path)).run("setup", {"gather_subset": subsets})["ansible_facts"]
    assert ours.keys() == told.keys() - NOT_OURS


def test_services_are_ansibles(tmp_path: Path) -> None:
    told = answer("service_facts", {}, tmp_path)
    ours = Host(["/bin/sh"], tmp_path, FolderFiles(tmp_path)).run("service_facts")
    assert ours.get("ansible_facts") == told.get("ansible_facts") and ours.get("skipped") == told.get("skipped")
