"""Who the host is and as whom one is there: platform, user, env, python, machine's identity."""

from __future__ import annotations

import re
from typing import Any

from opsrunner.modules.gathering.protocol import Collector, Facts, Told, content

# The environment comes first: the script changes its own afterwards.
ENVIRONMENT = r"""
if [ -r /proc/self/environ ]; then printf 'env\0'; cat /proc/self/environ | tr '\0' '\1'; printf '\0'
else printf 'env\0'; env; printf '\0'; fi
"""

# Two collectors tell of it; the host is asked once.
_PYTHON = r"""
for program in /usr/bin/python3 /usr/local/bin/python3 /usr/libexec/platform-python /usr/bin/python; do
    [ -z "$python_seen" ] || break
    if [ -x "$program" ]; then told python "$program $("$program" -V 2>&1 </dev/null)"; break; fi
done
python_seen=yes
"""


def _python(told: Told) -> tuple[str, int, int, int] | None:
    """Path and version of the system's Python, as far as they are told without running a program in it."""
    found = re.fullmatch(r"(\S+) Python (\d+)\.(\d+)\.(\d+)\S*", told.get("python", "").strip())
    return (found[1], int(found[2]), int(found[3]), int(found[4])) if found else None


def _read_python(told: Told, facts: Facts) -> Facts:
    found = _python(told)
    if found is None:
        return {}
    path, major, minor, micro = found
    version: dict[str, Any] = {"major": major, "minor": minor, "micro": micro, "releaselevel": "final", "serial": 0}
    python = {"executable": path, "type": "cpython", "has_sslcontext": True, "version": version}
    return {"python": python | {"version_info": [*version.values()]}}


_PLATFORM = r"""
told system "$(uname -s)"; told kernel "$(uname -r)"; told kernel_version "$(uname -v)"
told machine "$(uname -m)"
node=$(uname -n); told node "$node"
if has getent; then
    address=$(getent ahosts "$node" 2>/dev/null </dev/null | { read -r first rest; echo "$first"; })
    [ -z "$address" ] || told names "$(getent hosts "$address" 2>/dev/null </dev/null)"
else told fqdn "$(hostname -f 2>/dev/null)"; fi
told bits "$(getconf LONG_BIT 2>/dev/null)"
line machine_id /var/lib/dbus/machine-id || line machine_id /etc/machine-id
"""


def _read_platform(told: Told, facts: Facts) -> Facts:
    node, machine = told["node"], told["machine"]
    fqdn = _qualified(told, node)
    found: Facts = {
        "system": told["system"],
        "kernel": told["kernel"],
        "kernel_version": told["kernel_version"],
        "machine": machine,
        "nodename": node,
        "hostname": node.partition(".")[0],
        "fqdn": fqdn,
        "domain": fqdn.partition(".")[2],
        "userspace_bits": content(told, "bits") or ("64" if "64" in machine else "32"),
    }
    intel = machine == "x86_64" or re.fullmatch(r"i([3456]86|86pc)", machine) is not None
    if intel:
        found["userspace_architecture"] = "x86_64" if found["userspace_bits"] == "64" else "i386"
    found["architecture"] = machine if machine == "x86_64" or not intel else "i386"
    if python := _python(told):
        found["python_version"] = ".".join(map(str, python[1:]))
    if content(told, "machine_id"):
        found["machine_id"] = told["machine_id"].strip()
    return found


def _qualified(told: Told, node: str) -> str:
    """The host's full name, as Python's getfqdn finds it: by address, and the first name that has a dot."""
    names = told.get("names", "").split()[1:]
    if names:
        return next((name for name in names if "." in name), names[0])
    return content(told, "fqdn") or node


_USER = r"""
login=${LOGNAME:-${USER:-${LNAME:-${USERNAME:-$(id -un)}}}}
told login "$login"; told ids "$(id -ru) $(id -u) $(id -rg) $(id -g)"
entry=
if has getent; then entry=$(getent passwd "$login" || getent passwd "$(id -ru)")
else entry=$(grep "^$login:" /etc/passwd) || entry=$(id -P 2>/dev/null); fi
told passwd "$entry"
"""


def _read_user(told: Told, facts: Facts) -> Facts:
    real_user, effective_user, real_group, effective_group = (int(number) for number in told["ids"].split())
    found: Facts = {
        "user_id": told["login"],
        "real_user_id": real_user,
        "effective_user_id": effective_user,
        "real_group_id": real_group,
        "effective_group_id": effective_group,
    }
    fields = told["passwd"].split(":")
    if len(fields) >= 7:  # ten on BSD, where id -P tells
        found |= {"user_uid": int(fields[2]), "user_gid": int(fields[3])}
        found |= {"user_gecos": fields[-3], "user_dir": fields[-2], "user_shell": fields[-1]}
    return found


def _read_env(told: Told, facts: Facts) -> Facts:
    text = told.get("env", "")
    lines = text.split("\1") if "\1" in text else text.splitlines()
    return {"env": dict(line.split("=", 1) for line in lines if "=" in line)}


_KEYS = r"""
for folder in /etc/ssh /etc/openssh /etc; do
    seen=
    for kind in dsa rsa ecdsa ed25519; do line "hostkey_$kind" "$folder/ssh_host_${kind}_key.pub" && seen=yes; done
    [ -z "$seen" ] || break
done
"""


def _read_keys(told: Told, facts: Facts) -> Facts:
    found: Facts = {}
    for kind in ("dsa", "rsa", "ecdsa", "ed25519"):
        words = told.get(f"hostkey_{kind}", "").split()
        if len(words) >= 2:
            found |= {f"ssh_host_key_{kind}_public": words[1], f"ssh_host_key_{kind}_public_keytype": words[0]}
    return found


_PORTS = r"""
for path in /sys/class/fc_host/*/port_name; do [ -r "$path" ] && line "fc/$path" "$path"; done
"""


def _read_iscsi(told: Told, facts: Facts) -> Facts:
    found = re.search(r"^InitiatorName=(.*)$", told.get("iscsi", ""), re.MULTILINE)
    return {"iscsi_iqn": found[1].strip() if found else ""}


def _read_nvme(told: Told, facts: Facts) -> Facts:
    rows = (row.strip() for row in told.get("nvme", "").splitlines())
    return {"hostnqn": next((row for row in rows if row.startswith("nqn.")), "")}


def _read_fibre_channel(told: Told, facts: Facts) -> Facts:
    names = [value.strip().removeprefix("0x") for key, value in told.items() if key.startswith("fc/")]
    return {"fibre_channel_wwn": names}


COLLECTORS = (
    Collector("env", "", _read_env),
    Collector(
        "platform",
        _PYTHON + _PLATFORM,
        _read_platform,
        ("architecture", "kernel", "kernel_version", "machine", "machine_id", "python_version", "system"),
    ),
    Collector(
        "user",
        _USER,
        _read_user,
        (
            *("effective_group_ids", "effective_user_id", "real_user_id", "user_dir", "user_gecos", "user_gid"),
            *("user_id", "user_shell", "user_uid"),
        ),
    ),
    Collector("iscsi", "text iscsi /etc/iscsi/initiatorname.iscsi", _read_iscsi),
    Collector("nvme", "text nvme /etc/nvme/hostnqn", _read_nvme),
    Collector("fibre_channel_wwn", _PORTS, _read_fibre_channel),
    Collector("python", _PYTHON, _read_python),
    Collector(
        "ssh_pub_keys",
        _KEYS,
        _read_keys,
        ("ssh_host_pub_keys", *(f"ssh_host_key_{kind}_public" for kind in ("dsa", "rsa", "ecdsa", "ed25519"))),
    ),
)
