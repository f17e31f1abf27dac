"""setup beside ansible-core's own on this machine: every fact, key by key."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from differential.ansible_module import answer
from unit.modules.shell_host import SHELLS, FolderFiles, Host

pytest.importorskip("ansible")

#: Facts that change from one moment to the next, or tell of the process that asks: only their shape is compared.
VOLATILE = frozenset(
    (
        *("ansible_loadavg", "ansible_memfree_mb", "ansible_swapfree_mb", "ansible_memory_mb"),
        *("ansible_env", "ansible_uptime_seconds", "ansible_python", "ansible_python_version"),
    )
)
#: Facts that Ansible gives where a program or library of its own is there.
NOT_OURS = frozenset(("ansible_facter", "ansible_ohai", "ansible_systemd"))
#: Keys of an interface that ethtool tells.
BY_ETHTOOL = ("features", "timestamping", "hw_timestamp_filters", "phc_index")
SIZES = ("size_available", "block_available", "block_used", "inode_available", "inode_used")
MOMENT = ("epoch", "epoch_int", "iso8601", "iso8601_micro", "iso8601_basic", "iso8601_basic_short", "second", "minute")


def comparable(name: str, value: Any) -> Any:
    """What must be equal of a fact: without order where there is none, without what passes."""
    if name in VOLATILE:
        return type(value)
    if name == "ansible_date_time":
        return {key: len(text) if key in (*MOMENT, "time") else text for key, text in value.items()}
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
