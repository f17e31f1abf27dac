"""What the facts are made of on systems other than this one."""

from __future__ import annotations

from typing import Any

import pytest

from opsrunner.modules.contract import ModuleFailure
from opsrunner.modules.gathering import COLLECTORS, filtered, wanted

UBUNTU = 'NAME="Ubuntu"\nVERSION_ID="22.04"\nVERSION_CODENAME=jammy\nID=ubuntu\n'
ROCKY = 'NAME="Rocky Linux"\nVERSION="9.3 (Blue Onyx)"\nID="rocky"\nVERSION_ID="9.3"\n'
RHEL = 'NAME="Red Hat Enterprise Linux"\nVERSION="8.9 (Ootpa)"\nID="rhel"\nVERSION_ID="8.9"\n'
CENTOS = 'NAME="CentOS Linux"\nVERSION="7 (Core)"\nID="centos"\nVERSION_ID="7"\n'
FEDORA = 'NAME="Fedora Linux"\nVERSION="39 (Server Edition)"\nID=fedora\nVERSION_ID=39\nVERSION_CODENAME=""\n'
SLES = 'NAME="SLES"\nVERSION="15-SP5"\nVERSION_ID="15.5"\nID="sles"\nPRETTY_NAME="SUSE Linux Enterprise 15"\n'
AMAZON = 'NAME="Amazon Linux"\nVERSION="2023"\nID="amzn"\nVERSION_ID="2023"\n'


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"/etc/os-release": UBUNTU}, "Ubuntu 22.04 22 jammy Debian"),
        ({"/etc/os-release": ROCKY, "/etc/redhat-release": "Rocky Linux release 9.3"}, "Rocky 9.3 9 Blue Onyx RedHat"),
        (
            {"/etc/os-release": RHEL, "/etc/redhat-release": "Red Hat Enterprise Linux release 8.9 (Ootpa)"},
            "RedHat 8.9 8 Ootpa RedHat",
        ),
        (
            {
                "/etc/os-release": CENTOS,
                "/etc/centos-release": "CentOS Linux release 7.9.2009 (Core)",
                "/etc/redhat-release": "CentOS Linux release 7.9.2009 (Core)",
            },
            "CentOS 7.9 7 Core RedHat",
        ),
        ({"/etc/os-release": FEDORA, "/etc/redhat-release": "Fedora release 39"}, "Fedora 39 39  RedHat"),
        ({"/etc/os-release": SLES}, "SLES 15.5 15 5 Suse"),
        ({"/etc/os-release": AMAZON}, "Amazon 2023 2023 NA RedHat"),
        (
            {"/etc/os-release": "ID=alpine\nVERSION_ID=3.19.1\n", "/etc/alpine-release": "3.19.1"},
            "Alpine 3.19.1 3 NA Alpine",
        ),
        (
            {"/etc/os-release": 'NAME="Arch Linux"\nID=arch\n', "there:/etc/arch-release": "yes"},
            "Archlinux NA NA NA Archlinux",
        ),
        ({}, "OtherLinux NA NA NA OtherLinux"),
        ({"system": "FreeBSD", "kernel": "14.0-RELEASE-p4"}, "FreeBSD 14.0 14 14.0-RELEASE-p4 FreeBSD"),
        ({"system": "Darwin", "macos": "14.2.1"}, "MacOSX 14.2.1 14 14.2.1 Darwin"),
    ],
)
def test_distributions(files: dict[str, str], expected: str) -> None:
    found = COLLECTORS["distribution"].read(files, {})
    keys = ("distribution", "distribution_version", "distribution_major_version", "distribution_release", "os_family")
    assert " ".join(found[key] for key in keys) == expected


@pytest.mark.parametrize(
    ("told", "facts", "expected"),
    [
        ({"manager:/usr/bin/yum": "yes", "dnf": "/usr/bin/dnf-3"}, {"os_family": "RedHat"}, "dnf"),
        ({"manager:/usr/bin/dnf5": "yes", "dnf": "/usr/bin/dnf5"}, {"os_family": "RedHat"}, "dnf5"),
        ({"manager:/usr/bin/apt-get": "yes", "manager:/usr/bin/zypper": "yes"}, {"os_family": "Debian"}, "apt"),
        ({"manager:/sbin/apk": "yes"}, {"os_family": "Alpine"}, "apk"),
        ({}, {}, "unknown"),
    ],
)
def test_package_managers(told: dict[str, str], facts: dict[str, Any], expected: str) -> None:
    assert COLLECTORS["pkg_mgr"].read(told, facts) == {"pkg_mgr": expected}


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({"first": "systemd"}, "systemd"),
        ({"first": "runit-init"}, "runit"),
        ({"first": "init", "openrc": "yes", "sysvinit": "yes"}, "openrc"),
        ({"first": "init", "sysvinit": "yes"}, "sysvinit"),
        ({"first": "bash", "systemctl": "yes", "booted": "yes"}, "systemd"),
        ({}, "service"),
    ],
)
def test_service_managers(told: dict[str, str], expected: str) -> None:
    assert COLLECTORS["service_mgr"].read(told, {"system": "Linux"}) == {"service_mgr": expected}


def test_a_disk_with_partitions() -> None:
    told = {
        "block": "yes",
        "block/sda/size": "2097152",
        "block/sda/queue/scheduler": "none [mq-deadline] kyber",
        "block/sda/part/sda1/start": "2048",
        "block/sda/part/sda1/size": "1048576",
        "block/sda/part/sda1/holders/dm-0": "yes",
        "block/dm-0/dm/name": "vg-root",
        "block/dm-0/slaves/sda1": "yes",
        "links": "/dev/disk/by-uuid:\nlrwxrwxrwx 1 root root 10 Jan 1 00:00 12-34 -> ../../sda1\n",
    }
    found = COLLECTORS["hardware"].read(told, {})["devices"]["sda"]
    assert (found["size"], found["scheduler_mode"]) == ("1.00 GB", "mq-deadline")
    part = found["partitions"]["sda1"]
    assert (part["size"], part["uuid"], part["holders"]) == ("512.00 MB", "12-34", ["vg-root"])
    assert part["links"] == {"ids": [], "uuids": ["12-34"], "labels": [], "masters": ["dm-0"]}


def test_a_second_address_and_a_bridge() -> None:
    told = {
        "addresses": "2: br0@if3: <UP> mtu 1500\n    inet 10.0.0.1/8 brd 10.255.255.255 scope global br0\n"
        "    inet 10.0.0.2/8 scope global secondary br0:1\n    inet6 fe80::1/64 scope link \n",
        "net/br0/address": "02:00:00:00:00:01",
        "net/br0/mtu": "1500",
        "net/br0/has/bridge": "yes",
        "net/br0/brif/eth1": "yes",
        "route_ipv4": "8.8.8.8 via 10.0.0.9 dev br0 src 10.0.0.1 uid 0\n    cache\n",
    }
    found = COLLECTORS["network"].read(told, {})
    assert found["br0"]["type"] == "bridge" and found["br0"]["interfaces"] == ["eth1"]
    assert found["br0"]["ipv4_secondaries"][0]["address"] == "10.0.0.2"
    assert found["interfaces"] == ["br0", "br0_1"]
    assert found["default_ipv4"]["gateway"] == "10.0.0.9" and found["default_ipv4"]["netmask"] == "255.0.0.0"
    assert found["all_ipv4_addresses"] == ["10.0.0.1", "10.0.0.2"] and found["default_ipv6"] == {}


def test_subsets_and_filters() -> None:
    assert wanted(["!all", "!min", "mounts"]) == ("platform", "hardware")
    with pytest.raises(ModuleFailure, match="Bad subset 'nonsense'"):
        wanted(["nonsense"])
    facts = {"ansible_kernel": 1, "ansible_kernel_version": 2, "ansible_fqdn": 3}
    assert filtered(facts, ["kernel*", "ansible_f*"]) == facts
    assert filtered(facts, ["kernel"]) == {"ansible_kernel": 1}
    assert filtered(facts, []) == facts
