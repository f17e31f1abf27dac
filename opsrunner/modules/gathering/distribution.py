"""Which distribution the host runs, by the rules that give Ansible's names."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from opsrunner.modules.gathering.protocol import Collector, Facts, Told, content, settings

_FILES = (
    *("/etc/altlinux-release", "/etc/oracle-release", "/etc/slackware-version", "/etc/centos-release"),
    *("/etc/redhat-release", "/etc/vmware-release", "/etc/openwrt_release", "/etc/system-release"),
    *("/etc/alpine-release", "/etc/arch-release", "/etc/os-release", "/usr/lib/os-release", "/etc/SuSE-release"),
    *("/etc/gentoo-release", "/etc/lsb-release", "/etc/debian_version"),
)
_PROBE = (
    f"for path in {' '.join(_FILES)}; do"
    + r"""
    if [ -e "$path" ]; then told "there:$path" yes; text "$path" "$path"; fi
done
if has sw_vers; then told macos "$(sw_vers -productVersion)"; fi
told system "$(uname -s)"; told kernel "$(uname -r)"
"""
)
_LSB_PROBE = r"""
if has lsb_release; then answer lsb_release lsb_release -a; else text /etc/lsb-release /etc/lsb-release; fi
"""

_FAMILIES: Mapping[str, str] = {
    name: family
    for family, names in {
        "RedHat": "RHEL Fedora CentOS Scientific SLC Ascendos CloudLinux PSBM OracleLinux OVS OEL Amazon Amzn "
        "Virtuozzo XenServer Alibaba EulerOS openEuler AlmaLinux Rocky TencentOS EuroLinux MIRACLE "
        "Kylin_Linux_Advanced_Server",
        "Debian": "Ubuntu Raspbian Neon KDE_neon Linux_Mint SteamOS Devuan Kali Cumulus_Linux Pop!_OS Parrot "
        "Pardus_GNU/Linux Uos Deepin OSMC Linux_Mint_Debian_Edition",
        "Suse": "SuSE SLES SLED openSUSE openSUSE_Tumbleweed SLES_SAP openSUSE_Leap ALP-Dolomite SL-Micro "
        "openSUSE_MicroOS",
        "Archlinux": "Antergos Manjaro",
        "Mandrake": "Mandriva",
        "Gentoo": "Funtoo",
        "Darwin": "MacOSX",
        "FreeBSD": "TrueOS",
        "ClearLinux": "Clear_Linux_OS Clear_Linux_Mix",
    }.items()
    for name in names.split()
} | {"Pop!_OS": "Debian", "SLES_SAP": "Suse"}


def _read(told: Told, facts: Facts) -> Facts:
    system = told.get("system", "Linux")
    found = _of_linux(told) if system == "Linux" else _of_others(system, told)
    name = found["distribution"]
    found["os_family"] = _FAMILIES.get(name) or _FAMILIES.get(name.replace(" ", "_")) or name
    return found


def _of_others(system: str, told: Told) -> Facts:
    release = told.get("kernel", "NA")
    if system == "Darwin":
        release = told.get("macos", "NA")
        version, name = release, "MacOSX"
    else:
        number = re.match(r"\d+(\.\d+)*", release)
        version, name = (number[0] if number else release), system
    return {
        "distribution": name,
        "distribution_release": release,
        "distribution_version": version,
        "distribution_major_version": version.partition(".")[0],
    }


def _of_linux(told: Told) -> Facts:
    told = told if "/etc/os-release" in told else {**told, "/etc/os-release": told.get("/usr/lib/os-release", "")}
    release = dict(settings(told.get("/etc/os-release", "")))
    name = release.get("ID", "").capitalize() or "OtherLinux"
    version = _version(release, told)
    found: Facts = {
        "distribution": {"Amzn": "Amazon", "Rhel": "Redhat"}.get(name, name),
        "distribution_version": version,
        "distribution_release": _codename(release, told),
        "distribution_major_version": version.partition(".")[0] or "NA",
    }
    for path, variety, read in _READERS:
        text = told.get(path, "").strip()
        if text and (parsed := read(text, release)) is not None:
            ours = {"distribution_file_path": path, "distribution_file_variety": variety}
            return found | ours | {"distribution": variety, "distribution_file_parsed": True} | parsed
        if variety == "Archlinux" and f"there:{path}" in told and not text:
            ours = {"distribution_file_path": path, "distribution_file_variety": variety}
            return found | ours | {"distribution": variety}
    return found


def _version(release: Mapping[str, str], told: Told) -> str:
    """As precise as the files tell it where os-release knows no minor version."""
    version = release.get("VERSION_ID", "")
    if release.get("ID") == "debian":
        exact = told.get("/etc/debian_version", "").strip()
        version = exact if re.match(r"\d", exact) else version
    if release.get("ID") == "centos" or not version:
        text = told.get("/etc/redhat-release", "") or told.get("/etc/centos-release", "")
        exact_one = re.search(r"release (\d+(?:\.\d+)?)", text)
        version = exact_one[1] if exact_one else version
    return version or "NA"


def _codename(release: Mapping[str, str], told: Told) -> str:
    for key in ("VERSION_CODENAME", "UBUNTU_CODENAME"):
        if key in release:
            return release[key]
    for text in (release.get("VERSION", ""), told.get("/etc/redhat-release", "")):
        if found := re.search(r"\(([^)]*)\)|,\s*(\w[\w ]*)$", text):
            return found[1] or found[2] or "NA"
    return "NA"


def _named(variety: str, words: str) -> Callable[[str, Mapping[str, str]], Facts | None]:
    """A file that names its distribution: ``variety`` where the words are in it, else its first word."""

    def read(text: str, release: Mapping[str, str]) -> Facts | None:
        if words in text:
            return {"distribution": variety, "distribution_file_search_string": words}
        return {"distribution": text.split()[0]}

    return read


def _centos(text: str, release: Mapping[str, str]) -> Facts | None:
    if "CentOS Stream" in text:
        return {"distribution_release": "Stream"}
    return {"distribution": "TencentOS"} if "TencentOS Server" in text else None


def _amazon(text: str, release: Mapping[str, str]) -> Facts | None:
    if "Amazon" not in text:
        return None
    version = release.get("VERSION_ID", "")
    if not version:
        return {}
    major, _, minor = version.partition(".")
    return {
        "distribution_version": version,
        "distribution_major_version": major,
        "distribution_minor_version": minor or "NA",
    }


def _suse(text: str, release: Mapping[str, str]) -> Facts | None:
    if "suse" not in text.lower():
        return None
    number = re.match(r"([0-9]+)\.?([0-9]*)", release.get("VERSION_ID", ""))
    found: Facts = {"distribution": release.get("NAME", "SUSE")}
    if number:
        found |= {"distribution_version": number[0].rstrip("."), "distribution_major_version": number[1]}
        found["distribution_release"] = number[2] if "open" in text.lower() else number[2] or "0"
    variant = release.get("VARIANT_ID", "")
    if variant in ("server-sap", "sles-sap"):
        found["distribution"] = "SLES_SAP"
    elif variant == "transactional":
        found["distribution"] = "SL-Micro"
    return found


#: Words in os-release or lsb-release → the name of a distribution that is made from Debian.
_DEBIANS = (
    *(("Ubuntu", "Ubuntu"), ("SteamOS", "SteamOS"), ("Kali", "Kali"), ("Parrot", "Parrot"), ("Devuan", "Devuan")),
    *(("Cumulus", "Cumulus Linux"), ("Mint", "Linux Mint"), ("UOS", "Uos"), ("Uos", "Uos"), ("uos", "Uos")),
    *(("Deepin", "Deepin"), ("deepin", "Deepin"), ("LMDE", "Linux Mint Debian Edition")),
)


def _debian(text: str, release: Mapping[str, str]) -> Facts | None:
    if "Debian" in text or "Raspbian" in text:
        found: Facts = {"distribution": "Debian"}
        if named := re.search(r"PRETTY_NAME=[^(]+ \(?([^)]+?)\)", text):
            found["distribution_release"] = named[1]
        return found
    name = next((name for word, name in _DEBIANS if word in text), None)
    if name is None:
        return None
    found = {"distribution": name}
    if name in ("Linux Mint", "Uos", "Deepin", "Devuan", "Cumulus Linux") and "VERSION_ID" in release:
        version = release["VERSION_ID"]
        found |= {"distribution_version": version, "distribution_major_version": version.partition(".")[0]}
    return found


def _other(text: str, release: Mapping[str, str]) -> Facts:
    return {"distribution": release["NAME"]} if "NAME" in release else {}


_READERS: tuple[tuple[str, str, Callable[[str, Mapping[str, str]], Facts | None]], ...] = (
    ("/etc/altlinux-release", "Altlinux", _named("Altlinux", "ALT")),
    ("/etc/oracle-release", "OracleLinux", _named("OracleLinux", "Oracle Linux")),
    ("/etc/slackware-version", "Slackware", lambda text, release: {} if "Slackware" in text else None),
    ("/etc/centos-release", "CentOS", _centos),
    ("/etc/redhat-release", "RedHat", _named("RedHat", "Red Hat")),
    (
        "/etc/openwrt_release",
        "OpenWrt",
        lambda text, release: (
            {"distribution_version": dict(settings(text)).get("DISTRIB_RELEASE", "NA")} if "OpenWrt" in text else None
        ),
    ),
    ("/etc/os-release", "Amazon", _amazon),
    ("/etc/system-release", "Amazon", _amazon),
    ("/etc/alpine-release", "Alpine", lambda text, release: {"distribution_version": text}),
    ("/etc/arch-release", "Archlinux", lambda text, release: {}),
    ("/etc/os-release", "Archlinux", lambda text, release: {} if "Arch Linux" in text else None),
    ("/etc/os-release", "SUSE", _suse),
    ("/etc/SuSE-release", "SUSE", _suse),
    ("/etc/gentoo-release", "Gentoo", lambda text, release: {}),
    ("/etc/os-release", "Debian", _debian),
    ("/etc/lsb-release", "Debian", _debian),
    ("/etc/os-release", "NA", _other),
)


def _with_minor(told: Told, facts: Facts) -> Facts:
    found = _read(told, facts)
    minor = re.search(r"\d+\.(\d+)", told.get("/etc/debian_version", ""))
    if found["distribution"] == "Debian" and minor:
        found["distribution_minor_version"] = minor[1]
    return found


_LSB = {"Distributor ID": "id", "Description": "description", "Release": "release", "Codename": "codename"}


def _read_lsb(told: Told, facts: Facts) -> Facts:
    found: Facts = {}
    for row in told.get("lsb_release", "").splitlines():
        key, colon, value = row.partition(":")
        if colon and key in _LSB:
            found[_LSB[key]] = value.strip().strip("'\"\\")
    if not found and content(told, "/etc/lsb-release"):
        given = dict(settings(told["/etc/lsb-release"]))
        names = {"DISTRIB_ID": "id", "DISTRIB_RELEASE": "release", "DISTRIB_DESCRIPTION": "description"}
        names["DISTRIB_CODENAME"] = "codename"
        found = {name: given[key] for key, name in names.items() if key in given}
    if "release" in found:
        found["major_release"] = found["release"].partition(".")[0]
    return {"lsb": found}


COLLECTORS = (
    Collector(
        "distribution",
        _PROBE,
        _with_minor,
        ("distribution_major_version", "distribution_release", "distribution_version", "os_family"),
    ),
    Collector("lsb", _LSB_PROBE, _read_lsb),
)
