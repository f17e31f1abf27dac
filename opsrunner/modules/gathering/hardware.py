"""Processors, memory, disks, mounts, firmware, uptime."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from opsrunner.modules.gathering.protocol import Collector, Facts, Told, below, content

_DMI = {
    **{name: name for name in ("bios_date", "bios_vendor", "bios_version", "board_asset_tag", "board_name")},
    **{name: name for name in ("board_serial", "board_vendor", "board_version", "chassis_asset_tag")},
    **{name: name for name in ("chassis_serial", "chassis_vendor", "chassis_version", "product_name")},
    **{name: name for name in ("product_serial", "product_uuid", "product_version")},
    "form_factor": "chassis_type",
    "system_vendor": "sys_vendor",
}
_FORMS = (
    *("Unknown", "Other", "Unknown", "Desktop", "Low Profile Desktop", "Pizza Box", "Mini Tower", "Tower", "Portable"),
    *("Laptop", "Notebook", "Hand Held", "Docking Station", "All In One", "Sub Notebook", "Space-saving", "Lunch Box"),
    *("Main Server Chassis", "Expansion Chassis", "Sub Chassis", "Bus Expansion Chassis", "Peripheral Chassis"),
    *("RAID Chassis", "Rack Mount Chassis", "Sealed-case PC", "Multi-system", "CompactPCI", "AdvancedTCA", "Blade"),
    *("Blade Enclosure", "Tablet", "Convertible", "Detachable", "IoT Gateway", "Embedded PC", "Mini PC", "Stick PC"),
)
_ATTRIBUTES = (
    *("size", "removable", "device/vendor", "device/model", "device/sas_address", "device/sas_device_handle"),
    *("device/serial", "queue/discard_max_hw_bytes", "queue/discard_granularity", "queue/rotational"),
    *("queue/scheduler", "queue/logical_block_size", "dm/name"),
)
_PROBE = (
    r"""
if [ -r /proc/cpuinfo ]; then
    keys='model name|Processor|vendor_id|cpu|Vendor|processor|physical id|core id|cpu cores|siblings'
    keys="$keys|# processors|max thread id|ncpus active"
    answer cpu grep -E "^($keys)[[:space:]]*:" /proc/cpuinfo
    told flags "$(grep '^flags' /proc/cpuinfo | tail -n 1)"
elif has sysctl; then
    told ncpu "$(sysctl -n hw.ncpu)"; told cpumodel "$(sysctl -n machdep.cpu.brand_string || sysctl -n hw.model)"
    told memsize "$(sysctl -n hw.memsize || sysctl -n hw.physmem)"; told boottime "$(sysctl -n kern.boottime)"
fi 2>/dev/null
told nproc "$(nproc 2>/dev/null)"
text meminfo /proc/meminfo
line uptime /proc/uptime || told now "$(date +%s)"
"""
    + f"for name in {' '.join(_DMI.values())}; do "
    + r"""line "dmi/id/$name" "/sys/devices/virtual/dmi/id/$name"; done
if [ -d /sys/block ]; then
    answer links ls -l /dev/disk/by-id /dev/disk/by-uuid /dev/disk/by-label
    told block yes
    if has lspci; then answer pci lspci -D; answer blocks ls -l /sys/block; fi
fi
for path in /sys/block/*; do
    [ -d "$path" ] || continue
    name=${path##*/}
"""
    + f"    for key in {' '.join(_ATTRIBUTES)}; do"
    + r""" line "block/$name/$key" "$path/$key"; done
    for other in "$path"/slaves/*; do there "block/$name/slaves/${other##*/}" "$other"; done
    for other in "$path"/holders/*; do there "block/$name/holders/${other##*/}" "$other"; done
    for part in "$path/$name"*; do
        [ -r "$part/start" ] || continue
        for key in start size; do line "block/$name/part/${part##*/}/$key" "$part/$key"; done
        for other in "$part"/holders/*; do there "block/$name/part/${part##*/}/holders/${other##*/}" "$other"; done
    done
done
mounts=/proc/mounts; [ ! -e /etc/mtab ] || mounts=/etc/mtab
text mounts "$mounts"
if has findmnt; then answer findmnt findmnt --list --noheadings --notruncate; fi
if has lsblk; then answer lsblk lsblk --list --noheadings --paths --output NAME,UUID --exclude 2; fi
limit=; ! has timeout || limit="timeout $GATHER_TIMEOUT"
[ ! -r "$mounts" ] || while read -r device mount kind options; do
    case $device in /*|*:/*) ;; *) continue ;; esac
    [ "$kind" != none ] || continue
    path=$(printf '%b' "$mount")
    told "statfs/x/$mount" "$($limit stat -f -c '%S %b %a %s %c %d' -- "$path" 2>/dev/null </dev/null)"
done <"$mounts"
if has vgs && [ "$(id -u)" = 0 ]; then
    form='--noheadings --nosuffix --units g --separator ,'
    answer vgs vgs $form; answer lvs lvs $form; answer pvs pvs $form
fi
"""
)


def _read(told: Told, facts: Facts) -> Facts:
    return {
        **_processors(told, facts.get("architecture", "")),
        **_memory(told),
        **_firmware(told),
        **_devices(told),
        **_uptime(told),
        **_volumes(told),
        **_mounts(told),
    }


# ---------------------------------------------------------------------- processors and memory
def _processors(told: Told, architecture: str) -> Facts:
    if "cpu" not in told:
        told_count = told.get("ncpu", "").strip()
        known: Facts = {"processor": [told["cpumodel"].strip()]} if content(told, "cpumodel") else {}
        if told_count.isdigit():
            names = ("processor_count", "processor_cores", "processor_vcpus")
            known |= dict.fromkeys(names, int(told_count))
        return known
    rows = [(key.strip(), value.strip()) for key, _, value in (row.partition(":") for row in told["cpu"].splitlines())]
    named = ("model name", "Processor", "vendor_id", "cpu", "Vendor", "processor")
    found: Facts = {"processor": [value for key, value in rows if key in named]}
    if content(told, "flags"):
        found["flags"] = told["flags"].partition(":")[2].split()
    seen = {key: sum(1 for one, _ in rows if one == key) for key in ("vendor_id", "model name", "processor")}
    count = len(found["processor"])
    if seen["vendor_id"] and seen["vendor_id"] == seen["model name"]:
        count = seen["vendor_id"]
    if architecture.startswith(("armv", "aarch", "ppc")):
        count = seen["processor"]
    found |= _topology(rows, count)
    nproc = told.get("nproc", "").strip()
    found["processor_nproc"] = int(nproc) if nproc.isdigit() else seen["processor"]
    return found


def _topology(rows: Iterable[tuple[str, str]], count: int) -> Facts:
    """Sockets, cores and threads as /proc/cpuinfo tells of them, each CPU in turn."""
    sockets: dict[Any, int] = {}
    cores: dict[Any, int] = {}
    socket: Any = 0
    core: Any = 0
    for key, value in rows:
        if key == "physical id":
            socket = value
            sockets.setdefault(socket, 1)
        elif key == "core id":
            core = value
            cores.setdefault(core, 1)
        elif key == "cpu cores":
            sockets[socket] = int(value)
        elif key == "siblings":
            cores[core] = int(value)
    per_socket = next(iter(sockets.values()), 0) or 1
    threads = round(next(iter(cores.values()), 1) / per_socket)
    found = len(sockets) or count
    return {
        "processor_count": found,
        "processor_cores": per_socket,
        "processor_threads_per_core": threads,
        "processor_vcpus": threads * found * per_socket,
    }


def _memory(told: Told) -> Facts:
    if "meminfo" not in told:
        size = told.get("memsize", "").strip()
        return {"memtotal_mb": int(size) // 1024 // 1024} if size.isdigit() else {}
    sizes = {
        key: int(value.split()[0]) // 1024
        for key, _, value in (row.partition(":") for row in told["meminfo"].splitlines())
        if key in ("MemTotal", "SwapTotal", "MemFree", "SwapFree", "Buffers", "Cached", "SwapCached")
    }
    total, free = sizes.get("MemTotal", 0), sizes.get("MemFree", 0)
    swap, swap_free = sizes.get("SwapTotal", 0), sizes.get("SwapFree", 0)
    unused = sizes.get("Cached", 0) + free + sizes.get("Buffers", 0)
    return {
        "memtotal_mb": total,
        "memfree_mb": free,
        "swaptotal_mb": swap,
        "swapfree_mb": swap_free,
        "memory_mb": {
            "real": {"total": total, "used": total - free, "free": free},
            "nocache": {"free": unused, "used": total - unused},
            "swap": {
                "total": swap,
                "free": swap_free,
                "used": swap - swap_free,
                "cached": sizes.get("SwapCached", 0),
            },
        },
    }


def _firmware(told: Told) -> Facts:
    if "cpu" not in told:
        return {}
    found: Facts = {name: content(told, f"dmi/id/{key}") or "NA" for name, key in _DMI.items()}
    if found["form_factor"].isdigit():
        number = int(found["form_factor"])
        found["form_factor"] = _FORMS[number] if number < len(_FORMS) else f"unknown ({number})"
    return found


def _uptime(told: Told) -> Facts:
    if content(told, "uptime"):
        return {"uptime_seconds": int(float(told["uptime"].split()[0]))}
    booted = re.search(r"sec = (\d+)", told.get("boottime", ""))
    return {"uptime_seconds": int(told["now"]) - int(booted[1])} if booted and "now" in told else {}


def _volumes(told: Told) -> Facts:
    if "vgs" not in told:
        return {"lvm": "N/A"} if "cpu" in told else {}
    groups = [row.strip().split(",") for row in told["vgs"].splitlines() if "," in row]
    volumes = [row.strip().split(",") for row in told.get("lvs", "").splitlines() if "," in row]
    disks = [row.strip().split(",") for row in told.get("pvs", "").splitlines() if "," in row]
    lvm = {
        "vgs": {row[0]: {"size_g": row[-2], "free_g": row[-1], "num_lvs": row[2], "num_pvs": row[1]} for row in groups},
        "lvs": {row[0]: {"size_g": row[3], "vg": row[1]} for row in volumes},
        "pvs": {row[0]: {"size_g": row[4], "free_g": row[5], "vg": row[1]} for row in disks},
    }
    return {"lvm": lvm}


# ---------------------------------------------------------------------- disks and mounts
def _devices(told: Told) -> Facts:
    if "block" not in told:
        return {}
    blocks = below(told, "block")
    links = _links(told, blocks)
    pci = dict(row.split(" ", 1) for row in told.get("pci", "").splitlines() if " " in row)
    paths = dict(re.findall(r"(\S+) -> (\S+)$", told.get("blocks", ""), re.MULTILINE))
    found = {name: _device(name, values, links, blocks) for name, values in blocks.items()}
    for name, device in found.items():
        address = re.match(r".+/([a-f0-9]{4}:[a-f0-9]{2}:[01][a-f0-9]\.[0-7])/", paths.get(name, ""))
        device["host"] = pci.get(address[1], "") if address else ""
    return {"devices": found, "device_links": links}


def _links(told: Told, blocks: Mapping[str, Mapping[str, str]]) -> dict[str, dict[str, list[str]]]:
    """Other names of disks and partitions: kind → device → names."""
    found: dict[str, dict[str, list[str]]] = {"ids": {}, "uuids": {}, "labels": {}, "masters": {}}
    kind: dict[str, list[str]] = {}
    for row in told.get("links", "").splitlines():
        if row.startswith("/dev/disk/by-"):
            kind = found[row.removeprefix("/dev/disk/by-").rstrip(":") + "s"]
        elif pair := re.search(r"(\S+) -> (\S+)$", row):
            kind.setdefault(pair[2].rpartition("/")[2], []).append(pair[1])
    for name, values in blocks.items():
        for key in values:
            if key.startswith("slaves/"):
                found["masters"].setdefault(key.removeprefix("slaves/"), []).append(name)
    return {one: {device: sorted(names) for device, names in devices.items()} for one, devices in found.items()}


def _device(
    name: str, values: Mapping[str, str], links: Mapping[str, Mapping[str, list[str]]], blocks: Mapping[str, Any]
) -> dict[str, Any]:
    def read(key: str) -> str | None:
        return values.get(key, "").strip() or None

    scheduler = re.match(r".*?\[(.*)\]", values.get("queue/scheduler", ""))
    sector = read("queue/logical_block_size") or "512"
    sectors = int(read("size") or 0) * 512 // int(sector)
    found: dict[str, Any] = {
        "virtual": 1,
        "links": _links_of(name, links),
        **{key: read(f"device/{key}") for key in ("vendor", "model", "sas_address", "sas_device_handle")},
        "removable": read("removable"),
        "support_discard": "0" if read("queue/discard_max_hw_bytes") == "0" else read("queue/discard_granularity"),
        "partitions": _partitions(values, links, blocks),
        "rotational": read("queue/rotational"),
        "scheduler_mode": scheduler[1] if scheduler else "",
        "sectorsize": sector,
        "sectors": sectors,
        "size": _readable(sectors * int(sector)),
        "holders": _holders(values, "holders/", blocks),
    }
    if read("device/serial"):
        found["serial"] = read("device/serial")
    if wide := [one[4:] for one in links["ids"].get(name, ()) if one.startswith("wwn-")]:
        found["wwn"] = wide[-1]
    return found


def _partitions(
    values: Mapping[str, str], links: Mapping[str, Mapping[str, list[str]]], blocks: Mapping[str, Any]
) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, start in values.items():
        if not (key.startswith("part/") and key.endswith("/start")):
            continue
        name = key.split("/")[1]
        sectors = int(values.get(f"part/{name}/size", "0"))
        found[name] = {
            "links": _links_of(name, links),
            "start": start,
            "sectorsize": 512,
            "sectors": sectors,
            "size": _readable(sectors * 512),
            "uuid": next(iter(links["uuids"].get(name, ())), None),
            "holders": _holders(values, f"part/{name}/holders/", blocks),
        }
    return found


def _links_of(name: str, links: Mapping[str, Mapping[str, list[str]]]) -> dict[str, list[str]]:
    return {kind: list(devices.get(name, ())) for kind, devices in links.items()}


def _holders(values: Mapping[str, str], prefix: str, blocks: Mapping[str, Any]) -> list[str]:
    names = [key.removeprefix(prefix) for key in values if key.startswith(prefix)]
    return [blocks.get(name, {}).get("dm/name", name) for name in names if name.startswith("dm-")]


def _readable(size: float) -> str:
    for unit in ("Bytes", "KB", "MB", "GB", "TB", "PB", "EB", "ZB"):
        if size < 1024:
            return f"{size:.2f} {unit}"
        size /= 1024
    return f"{size:.2f} YB"


def _mounts(told: Told) -> Facts:
    if "mounts" not in told:
        return {}
    bound = {row.split()[0] for row in told.get("findmnt", "").splitlines() if len(row.split()) > 1 and _is_bind(row)}
    ids: dict[str, str] = {}
    for row in told.get("lsblk", "").splitlines():
        if len(words := row.split()) > 1:
            ids.setdefault(words[0], words[1])
    found: dict[str, dict[str, Any]] = {}
    for row in told["mounts"].splitlines():
        fields = [_plain(field) for field in row.split()]
        if len(fields) < 6 or fields[2] == "none" or not (fields[0].startswith(("/", "\\")) or ":/" in fields[0]):
            continue
        device, mount, kind, options = fields[:4]
        if mount in bound and "bind" not in options:
            options += ",bind"
        found[mount] = {
            "mount": mount,
            "device": device,
            "fstype": kind,
            "options": options,
            "dump": int(fields[4]),
            "passno": int(fields[5]),
            **_sizes(told.get(f"statfs/x/{row.split()[1]}", "")),
            "uuid": ids.get(device, "N/A"),
        }
    return {"mounts": list(found.values())}


def _is_bind(row: str) -> bool:
    return "]" in row.split()[1]


def _plain(field: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), field)


def _sizes(told: str) -> dict[str, Any]:
    words = told.split()
    if len(words) != 6 or not all(word.isdigit() for word in words):
        return {"note": "Could not get extra information due to timeout"} if not words else {}
    fragment, total, available, block, inodes, inodes_free = (int(word) for word in words)
    return {
        "size_total": fragment * total,
        "size_available": fragment * available,
        "block_size": block,
        "block_total": total,
        "block_available": available,
        "block_used": total - available,
        "inode_total": inodes,
        "inode_available": inodes_free,
        "inode_used": inodes - inodes_free,
    }


COLLECTORS = (
    Collector(
        "hardware",
        _PROBE,
        _read,
        ("devices", "mounts", "processor", "processor_cores", "processor_count"),
        ("platform",),
    ),
)
