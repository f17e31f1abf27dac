"""Interfaces, addresses, default routes."""

from __future__ import annotations

import ipaddress
import itertools
import re
from typing import Any

from opsrunner.modules.gathering.protocol import Collector, Facts, Told, below

_TARGETS = {"ipv4": "8.8.8.8", "ipv6": "2404:6800:400a:800::1012"}
_KINDS = {"1": "ether", "32": "infiniband", "512": "ppp", "772": "loopback", "65534": "tunnel"}
_PROBE = (
    r"""
if has ip; then
    answer addresses ip addr show
"""
    + "\n".join(
        f"    answer route_{family} ip -{family[-1]} route get {target}\n"
        f"    answer local_{family} ip -{family[-1]} route show table local"
        for family, target in _TARGETS.items()
    )
    + r"""
    for path in /sys/class/net/*; do
        [ -d "$path" ] || continue
        device=${path##*/}
        told "net/$device/there" yes
        for key in address mtu operstate type speed flags bridge/bridge_id bridge/stp_state \
            bonding/slaves bonding/mode bonding/miimon bonding/lacp_rate bonding/primary bonding/all_slaves_active \
            bonding_slave/perm_hwaddr
        do line "net/$device/$key" "$path/$key"; done
        for other in "$path"/brif/*; do there "net/$device/brif/${other##*/}" "$other"; done
        for key in bridge bonding bonding_slave; do there "net/$device/has/$key" "$path/$key"; done
        [ ! -e "$path/device" ] || told "net/$device/pciid" "$(readlink "$path/device")"
        [ ! -e "$path/device/driver/module" ] ||
            told "net/$device/module" "$(readlink -f "$path/device/driver/module")"
    done
elif has ifconfig; then
    answer ifconfig ifconfig -a
    answer defaultroute route -n get default
fi
"""
)


def _read(told: Told, facts: Facts) -> Facts:
    if "addresses" not in told:
        return _of_bsd(told) if "ifconfig" in told else {}
    interfaces = {name: _interface(name, values) for name, values in below(told, "net").items()}
    defaults = {family: _route(told.get(f"route_{family}", ""), target) for family, target in _TARGETS.items()}
    every: dict[str, list[str]] = {"ipv4": [], "ipv6": []}
    for device, words, secondary in _addresses(told["addresses"]):
        if device not in interfaces:
            continue
        if words[0] == "inet":
            _add_ipv4(interfaces, device, words, secondary, defaults["ipv4"], every["ipv4"])
        else:
            _add_ipv6(interfaces, device, words, defaults["ipv6"], every["ipv6"])
    interfaces = {name.replace(":", "_"): values for name, values in interfaces.items()}
    return {
        **interfaces,
        "interfaces": list(interfaces),
        **{f"default_{family}": route for family, route in defaults.items()},
        **{f"all_{family}_addresses": addresses for family, addresses in every.items()},
        "locally_reachable_ips": {family: _local(told.get(f"local_{family}", "")) for family in _TARGETS},
    }


def _interface(name: str, told: dict[str, str]) -> dict[str, Any]:
    values = {key: value.strip() for key, value in told.items()}
    found: dict[str, Any] = {"device": name}
    if values.get("address", "00:00:00:00:00:00") not in ("00:00:00:00:00:00", ""):
        found["macaddress"] = values["address"]
    if "mtu" in values:
        found["mtu"] = int(values["mtu"])
    if "operstate" in values:
        found["active"] = values["operstate"] != "down"
    if "type" in values:
        found["type"] = _KINDS.get(values["type"], "unknown")
    if "has/bridge" in values:
        found |= {"type": "bridge", "interfaces": [key[5:] for key in values if key.startswith("brif/")]}
        found |= {"id": values.get("bridge/bridge_id", ""), "stp": values.get("bridge/stp_state") == "1"}
    if "has/bonding" in values:
        found |= {"type": "bonding", "slaves": values.get("bonding/slaves", "").split()}
        found |= {key: (values.get(f"bonding/{key}", "").split() or [""])[0] for key in ("mode", "miimon", "lacp_rate")}
        if values.get("bonding/primary"):
            found["primary"] = values["bonding/primary"]
            found["all_slaves_active"] = values.get("bonding/all_slaves_active") == "1"
    if "has/bonding_slave" in values:
        found["perm_macaddress"] = values.get("bonding_slave/perm_hwaddr", "")
    for key in ("module", "pciid"):
        if key in values:
            found[key] = values[key].rpartition("/")[2]
    if values.get("speed"):
        found["speed"] = int(values["speed"])
    if values.get("flags"):
        found["promisc"] = int(values["flags"], 16) & 0x100 > 0
    return found


def _route(text: str, target: str) -> dict[str, Any]:
    """Where ``ip route get`` sends a packet to the world."""
    words = (text.splitlines() or [""])[0].split()
    if not words or words[0] != target:
        return {}
    names = {"dev": "interface", "src": "address", "via": "gateway"}
    pairs = itertools.pairwise(words)
    return {names[key]: value for key, value in pairs if key in names and not (key == "via" and value == target)}


def _addresses(text: str) -> list[tuple[str, list[str], bool]]:
    """(device, words of its inet line, whether it is secondary): a device's primary ones first."""
    found: dict[str, list[tuple[str, list[str], bool]]] = {}
    device = ""
    for row in text.splitlines():
        header = re.match(r"\d+: ([^:@\s]+(?::\S+?)?)(?:@[^:]*)?: ", row)
        words = row.split()
        if header:
            device = header[1]
        elif words and words[0] in ("inet", "inet6"):
            secondary = "secondary" in words or "temporary" in words
            found.setdefault(device, []).append((device, words, secondary))
    return [one for rows in found.values() for one in sorted(rows, key=lambda row: row[2])]


def _add_ipv4(
    interfaces: dict[str, dict[str, Any]],
    device: str,
    words: list[str],
    secondary: bool,
    default: dict[str, Any],
    every: list[str],
) -> None:
    address, _, prefix = words[1].partition("/")
    network = ipaddress.ip_interface(f"{address}/{prefix or 32}").network
    entry = {
        "address": address,
        "broadcast": words[3] if prefix and words[2] == "brd" else "",
        "netmask": str(network.netmask),
        "network": str(network.network_address),
        "prefix": prefix or "32",
    }
    label = words[-1]
    if label != device:
        interfaces[label] = {}
    if not secondary and "ipv4" not in interfaces[label]:
        interfaces[label]["ipv4"] = entry
    else:
        interfaces[label].setdefault("ipv4_secondaries", []).append(entry)
    if secondary and label != device:
        interfaces[device].setdefault("ipv4_secondaries", []).append(dict(entry))
    if default.get("address") == address:
        default |= {**entry, **_link(interfaces[device]), "alias": label}
    if not address.startswith("127."):
        every.append(address)


def _add_ipv6(
    interfaces: dict[str, dict[str, Any]], device: str, words: list[str], default: dict[str, Any], every: list[str]
) -> None:
    peer = words[2] == "peer"
    address = words[1].partition("/")[0]
    prefix = (words[3] if peer else words[1]).partition("/")[2]
    entry = {"address": address, "prefix": prefix, "scope": words[5 if peer else 3]}
    interfaces[device].setdefault("ipv6", []).append(entry)
    if default.get("address") == address:
        default |= {**entry, **_link(interfaces[device])}
    if address != "::1":
        every.append(address)


def _link(interface: dict[str, Any]) -> dict[str, Any]:
    return {
        "macaddress": interface.get("macaddress", "00:00:00:00:00:00"),
        "mtu": interface.get("mtu"),
        "type": interface.get("type", "unknown"),
    }


def _local(text: str) -> list[str]:
    rows = (row.split() for row in text.splitlines())
    return list(dict.fromkeys(words[1] for words in rows if len(words) > 1 and words[0] == "local"))


def _of_bsd(told: Told) -> Facts:
    """What ifconfig says: names, MAC, MTU, addresses."""
    interfaces: dict[str, dict[str, Any]] = {}
    current: dict[str, Any] = {}
    for row in told["ifconfig"].splitlines():
        words = row.split()
        if header := re.match(r"(\S+?): ", row):
            current = interfaces[header[1]] = {"device": header[1], "ipv4": [], "ipv6": []}
            if mtu := re.search(r"mtu (\d+)", row):
                current["mtu"] = mtu[1]
        elif words[:1] in (["ether"], ["lladdr"]) and len(words) > 1:
            current |= {"macaddress": words[1], "type": "ether"}
        elif words[:1] == ["inet"] and len(words) > 1:
            current["ipv4"].append({"address": words[1]})
        elif words[:1] == ["inet6"] and len(words) > 1:
            current["ipv6"].append({"address": words[1].partition("%")[0]})
    found: Facts = {**interfaces, "interfaces": list(interfaces)}
    for family, own in (("ipv4", "127."), ("ipv6", "::1")):
        each = [one["address"] for values in interfaces.values() for one in values[family]]
        found[f"all_{family}_addresses"] = [address for address in each if not address.startswith(own)]
    route = dict(re.findall(r"^\s*(interface|gateway): (\S+)", told.get("defaultroute", ""), re.MULTILINE))
    known = interfaces.get(route.get("interface", ""), {})
    found["default_ipv4"] = {**known, **route, **(known["ipv4"][0] if known.get("ipv4") else {})} if route else {}
    return found


COLLECTORS = (
    Collector(
        "network",
        _PROBE,
        _read,
        ("all_ipv4_addresses", "all_ipv6_addresses", "default_ipv4", "default_ipv6", "interfaces"),
        ("distribution", "platform"),
    ),
)
