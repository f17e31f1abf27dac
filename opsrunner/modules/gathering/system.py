"""How the system is set up: managers, security, clock, resolver, kernel's command line, local facts."""

from __future__ import annotations

import configparser
import json
import shlex
from datetime import UTC, datetime
from typing import Any

from opsrunner.modules.gathering.protocol import Collector, Facts, Told, content

#: Programs by which package managers are known; the last one that is there counts.
_MANAGERS = (
    *(("/usr/bin/yum", "dnf"), ("/usr/bin/dnf-3", "dnf")),
    *(("/usr/bin/dnf5", "dnf5"), ("/usr/bin/apt-get", "apt"), ("/usr/bin/zypper", "zypper")),
    *(("/usr/sbin/urpmi", "urpmi"), ("/usr/bin/pacman", "pacman"), ("/bin/opkg", "opkg")),
    *(("/usr/pkg/bin/pkgin", "pkgin"), ("/opt/local/bin/pkgin", "pkgin"), ("/opt/tools/bin/pkgin", "pkgin")),
    *(("/opt/local/bin/port", "macports"), ("/usr/local/bin/brew", "homebrew"), ("/opt/homebrew/bin/brew", "homebrew")),
    *(("/sbin/apk", "apk"), ("/usr/sbin/pkg", "pkgng"), ("/usr/sbin/swlist", "swdepot")),
    *(("/usr/bin/emerge", "portage"), ("/usr/sbin/pkgadd", "svr4pkg"), ("/usr/bin/pkg", "pkg5")),
    *(("/usr/bin/xbps-install", "xbps"), ("/usr/local/sbin/pkg", "pkgng"), ("/usr/bin/swupd", "swupd")),
    *(("/usr/sbin/sorcery", "sorcery"), ("/usr/bin/installp", "installp")),
)
_PACKAGES = (
    f"for path in {' '.join(path for path, _ in _MANAGERS)};"
    + r""" do there "manager:$path" "$path"; done
there ostree /run/ostree-booted
for path in /usr/bin/dnf /usr/bin/microdnf; do
    if [ -e "$path" ]; then told dnf "$(readlink -f "$path")"; break; fi
done
if [ -x /usr/bin/apt-get ] && [ -x /usr/bin/rpm ] && rpm -q --whatprovides /usr/bin/apt-get >/dev/null 2>&1
then told apt_rpm yes; fi
"""
)


def _read_packages(told: Told, facts: Facts) -> Facts:
    family, found = facts.get("os_family"), "unknown"
    for path, name in _MANAGERS:
        if f"manager:{path}" in told and not (family == "Altlinux" and path == "/usr/bin/pkg"):
            found = name
    if facts.get("system") == "OpenBSD":
        found = "openbsd_pkg"
    if family == "RedHat":
        found = "dnf5" if told.get("dnf") == "/usr/bin/dnf5" else "dnf" if "dnf" in told else "unknown"
        found = "atomic_container" if "ostree" in told else found
    elif family == "Debian" and found != "apt":
        found = "apt"
    if found == "apt" and ("apt_rpm" in told or family == "Altlinux"):
        found = "apt_rpm"
    return {"pkg_mgr": found}


_SERVICES = r"""
line first /proc/1/comm || told first "$(ps -p 1 -o comm 2>/dev/null | tail -n 1)"
if [ -L /sbin/init ]; then told init "$(readlink /sbin/init)"; fi
if has systemctl; then told systemctl yes; fi
if has initctl; then there upstart /etc/init/; fi
there booted /run/systemd/system/; there booted /dev/.run/systemd/; there booted /dev/.systemd/
there openrc /sbin/openrc; there sysvinit /etc/init.d/; there dinit /etc/dinit.d/
"""
_FIRST = {"procd": "openwrt_init", "runit-init": "runit", "svscan": "svc", "openrc-init": "openrc"}


def _read_services(told: Told, facts: Facts) -> Facts:
    first = content(told, "first") or told.get("init", "")
    first = "" if first == "COMMAND" else first.rpartition("/")[2]
    # init says nothing, and a shell is what a container was started with.
    if first and first != "init" and not first.endswith("sh"):
        return {"service_mgr": _FIRST.get(first, first)}
    system = facts.get("system", "")
    if facts.get("distribution") == "MacOSX":
        return {"service_mgr": "launchd"}
    if "BSD" in system or system == "DragonFly":
        return {"service_mgr": "bsdinit"}
    if facts.get("distribution") in ("OpenWrt", "SMGL"):
        return {"service_mgr": {"OpenWrt": "openwrt_init", "SMGL": "simpleinit_msb"}[facts["distribution"]]}
    systemd = "systemctl" in told
    signs = (
        ("systemd", systemd and "booted" in told),
        ("upstart", "upstart" in told),
        ("openrc", "openrc" in told),
        ("systemd", systemd and told.get("init", "").rpartition("/")[2] == "systemd"),
        ("sysvinit", "sysvinit" in told),
        ("dinit", "dinit" in told),
    )
    return {"service_mgr": next((name for name, holds in signs if holds and system == "Linux"), "service")}


_SECURITY = r"""
if [ -d /sys/kernel/security/apparmor ]; then told apparmor enabled; fi
"""
_SELINUX = r"""
if [ -e /sys/fs/selinux/enforce ]; then
    told selinux enabled; line policyvers /sys/fs/selinux/policyvers; line enforce /sys/fs/selinux/enforce
    text selinux_config /etc/selinux/config
fi
"""


def _read_selinux(told: Told, facts: Facts) -> Facts:
    if "selinux" not in told:
        return {"selinux": {"status": "disabled"}, "selinux_python_present": True}
    given = dict(row.split("=", 1) for row in told.get("selinux_config", "").splitlines() if "=" in row)
    found: dict[str, Any] = {
        "status": "enabled",
        "policyvers": int(content(told, "policyvers") or 0),
        "config_mode": given.get("SELINUX", "unknown").strip(),
        "mode": "enforcing" if content(told, "enforce") == "1" else "permissive",
        "type": given.get("SELINUXTYPE", "unknown").strip(),
    }
    return {"selinux": found, "selinux_python_present": True}


_CAPABILITIES = "if has capsh; then answer caps capsh --print; fi"


def _read_capabilities(told: Told, facts: Facts) -> Facts:
    row = next((row for row in told.get("caps", "").splitlines() if row.startswith("Current:")), None)
    if "caps" not in told:
        return {"system_capabilities": "N/A", "system_capabilities_enforced": "N/A"}
    if row is None or row.partition(":")[2].strip() == "=ep":
        return {"system_capabilities": [], "system_capabilities_enforced": "NA" if row is None else "False"}
    names = [name.strip() for name in row.split("=")[1].split(",")] if "=" in row else []
    return {"system_capabilities": names, "system_capabilities_enforced": "True"}


_CHROOT = r"""
told root "$(stat -c '%d:%i' / 2>/dev/null)"; told outer "$(stat -c '%d:%i' /proc/1/root/. 2>/dev/null)"
told rootkind "$(stat -f -c %T / 2>/dev/null)"; told debian_chroot "${debian_chroot-}"
"""


def _read_chroot(told: Told, facts: Facts) -> Facts:
    if told.get("debian_chroot"):
        return {"is_chroot": True}
    if content(told, "outer") and content(told, "root"):
        return {"is_chroot": told["outer"] != told["root"]}
    usual = {"btrfs": "256", "xfs": "128"}.get(told.get("rootkind", "").strip(), "2")
    return {"is_chroot": told.get("root", "").rpartition(":")[2] not in ("", usual)}


_DATE = r"""
told date "$(date '+%Y %m %A %w %W %d %H %M %S %s %N %Z %z')"
year=$(date +%Y)
told seasons "$(date -d "$year-01-01" '+%Z %z' 2>/dev/null) $(date -d "$year-07-02" '+%Z %z' 2>/dev/null)"
"""


def _read_date(told: Told, facts: Facts) -> Facts:
    year, month, weekday, number, week, day, hour, minute, second, epoch, nanos, zone, offset = told["date"].split(" ")
    micros = int(nanos[:6]) if nanos.isdigit() else 0
    utc = datetime.fromtimestamp(int(epoch), UTC).replace(microsecond=micros)
    found = {
        "year": year,
        "month": month,
        "weekday": weekday,
        "weekday_number": number,
        "weeknumber": week,
        "day": day,
        "hour": hour,
        "minute": minute,
        "second": second,
        "epoch": epoch,
        "epoch_int": epoch,
        "date": f"{year}-{month}-{day}",
        "time": f"{hour}:{minute}:{second}",
        "iso8601": utc.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "iso8601_micro": utc.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "iso8601_basic": f"{year}{month}{day}T{hour}{minute}{second}{micros:06}",
        "iso8601_basic_short": f"{year}{month}{day}T{hour}{minute}{second}",
        "tz": zone,
        "tz_offset": offset,
        "tz_dst": _summer_zone(told.get("seasons", "").split(), zone),
    }
    return {"date_time": found}


def _summer_zone(seasons: list[str], zone: str) -> str:
    """The zone's name in summer, which has the greater offset on either hemisphere."""
    if len(seasons) != 4:
        return zone
    january, july = (seasons[0], int(seasons[1])), (seasons[2], int(seasons[3]))
    return january[0] if january[1] > july[1] else july[0]


_LOAD = "line loadavg /proc/loadavg || told loadavg \"$(sysctl -n vm.loadavg 2>/dev/null | tr -d '{}')\""


def _read_load(told: Told, facts: Facts) -> Facts:
    words = told.get("loadavg", "").split()[:3]
    return {"loadavg": dict(zip(("1m", "5m", "15m"), map(float, words), strict=False))} if words else {}


def _read_command_line(told: Told, facts: Facts) -> Facts:
    plain: dict[str, Any] = {}
    every: dict[str, Any] = {}
    try:
        pieces = shlex.split(told.get("cmdline", "").strip(), posix=False)
    except ValueError:
        pieces = []
    for piece in pieces:
        key, equals, text = piece.partition("=")
        value = text if equals else True
        plain[key] = value
        if equals and key in every:
            every[key] = [*(every[key] if isinstance(every[key], list) else [every[key]]), value]
        else:
            every[key] = value
    return {"cmdline": plain, "proc_cmdline": every} if pieces else {}


def _read_resolver(told: Told, facts: Facts) -> Facts:
    found: dict[str, Any] = {}
    for row in told.get("resolv", "").splitlines():
        keyword, *words = row.split() or [""]
        if keyword == "nameserver":
            found["nameservers"] = [*found.get("nameservers", ()), *words]
        elif keyword == "domain" and words:
            found["domain"] = words[0]
        elif keyword in ("search", "sortlist"):
            found[keyword] = words
        elif keyword == "options":
            split = (word.partition(":") for word in words)
            found["options"] = {name: value or True for name, _, value in split}
    return {"dns": found}


_LOCAL = r"""
if [ -n "$FACT_PATH" ] && [ -d "$FACT_PATH" ]; then
    for path in "$FACT_PATH"/*.fact; do
        [ -e "$path" ] || continue
        case $(ls -lLd -- "$path") in
        ???x*|???s*)
            output=$("$path" 2>&1 </dev/null); code=$?
            told "local/$path/rc" "$code"; told "local/$path/output" "$output" ;;
        *) text "local/$path/output" "$path" ;;
        esac
    done
fi
"""


def _read_local(told: Told, facts: Facts) -> Facts:
    found: dict[str, Any] = {}
    for key in told:
        if key.startswith("local/") and key.endswith("/output"):
            path = key[len("local/") : -len("/output")]
            code = told.get(f"local/{path}/rc", "0")
            name = path.rpartition("/")[2].replace(".fact", "")
            if code == "0":
                found[name] = _local_fact(told[key], path)
            else:
                found[name] = f"Failure executing fact script ({path}), rc: {code}, err: {told[key]}"
    return {"local": found}


def _local_fact(text: str, path: str) -> Any:
    """A file of local facts: JSON, or else the sections of an INI file."""
    try:
        return json.loads(text)
    except ValueError:
        parser = configparser.ConfigParser()
    try:
        parser.read_string(text)
        return {one: {name: parser.get(one, name) for name in parser.options(one)} for one in parser.sections()}
    except configparser.Error:
        return f"error loading facts as JSON or ini - please check content: {path}"


def _read_fips(told: Told, facts: Facts) -> Facts:
    return {"fips": content(told, "fips") == "1"}


def _read_apparmor(told: Told, facts: Facts) -> Facts:
    return {"apparmor": {"status": told.get("apparmor", "disabled")}}


COLLECTORS = (
    Collector("selinux", _SELINUX, _read_selinux),
    Collector("apparmor", _SECURITY, _read_apparmor),
    Collector("chroot", _CHROOT, _read_chroot, ("is_chroot",)),
    Collector("fips", "line fips /proc/sys/crypto/fips_enabled", _read_fips),
    Collector("caps", _CAPABILITIES, _read_capabilities, ("system_capabilities", "system_capabilities_enforced")),
    Collector("pkg_mgr", _PACKAGES, _read_packages, (), ("distribution",)),
    Collector("service_mgr", _SERVICES, _read_services, (), ("platform", "distribution")),
    Collector("cmdline", "text cmdline /proc/cmdline", _read_command_line),
    Collector("date_time", _DATE, _read_date),
    Collector("loadavg", _LOAD, _read_load),
    Collector("dns", "text resolv /etc/resolv.conf", _read_resolver),
    Collector("local", _LOCAL, _read_local),
)
