"""apt: packages of Debian and its kin, installed, upgraded and removed by apt-get."""

from __future__ import annotations

import re
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any

from opsrunner.ledger.records import Result
from opsrunner.modules.contract import Argument, Context, ModuleFailure, Spec
from opsrunner.modules.posix import expanded_word, facts, word
from opsrunner.modules.programs import SURROUNDINGS, Ended, run_program

SPEC = Spec(
    summary="Install, upgrade and remove packages with apt-get",
    arguments={
        "name": Argument(
            "list",
            "packages, also name=version, patterns (web-*) and versions (1.2*)",
            aliases=("package", "pkg"),
            elements="str",
        ),
        "state": Argument(
            "str",
            "what they are to be; fixed also mends broken dependencies",
            default="present",
            choices=("absent", "fixed", "latest", "present"),
        ),
        "update_cache": Argument("bool", "run apt-get update first", aliases=("update-cache",)),
        "cache_valid_time": Argument("int", "seconds for which the lists of packages need no update", default=0),
        "update_cache_retries": Argument("int", "how often an update is tried", default=5),
        "update_cache_retry_max_delay": Argument("int", "seconds between two tries at most", default=12),
        "upgrade": Argument(
            "str",
            "upgrade what is installed; dist and full also remove what is in the way",
            default="no",
            choices=("dist", "full", "no", "safe", "yes"),
        ),
        "deb": Argument("path", "a .deb file of the host to install"),
        "purge": Argument("bool", "remove configuration files, too", default=False),
        "autoremove": Argument("bool", "remove what nothing depends on any more", default=False),
        "autoclean": Argument("bool", "remove old files from the cache of packages", default=False),
        "clean": Argument("bool", "empty the cache of packages", default=False),
        "default_release": Argument("str", "the release that is preferred", aliases=("default-release",)),
        "install_recommends": Argument("bool", "install what they recommend", aliases=("install-recommends",)),
        "only_upgrade": Argument("bool", "upgrade what is installed, install nothing new", default=False),
        "fail_on_autoremove": Argument("bool", "fail where something would be removed", default=False),
        "allow_unauthenticated": Argument(
            "bool", "take what nobody signed", default=False, aliases=("allow-unauthenticated",)
        ),
        "allow_downgrade": Argument(
            "bool",
            "older versions may replace newer ones",
            default=False,
            aliases=("allow-downgrade", "allow_downgrades", "allow-downgrades"),
        ),
        "allow_change_held_packages": Argument("bool", "change packages that are on hold", default=False),
        "force": Argument(
            "bool",
            "all three, and remove what is essential, as --force-yes once did",
            default=False,
        ),
        "dpkg_options": Argument("str", "options of dpkg", default="force-confdef,force-confold"),
        "force_apt_get": Argument("bool", "means nothing here: it is apt-get in any case", default=False),
        "lock_timeout": Argument("int", "seconds to wait for somebody else's lock", default=60),
    },
    mutually_exclusive=(("deb", "name", "upgrade"),),
    required_one_of=(("autoremove", "autoclean", "clean", "deb", "name", "update_cache", "upgrade"),),
    check_mode="full",
    refused={
        "policy_rc_d": "it would write /usr/sbin/policy-rc.d",
        "auto_install_module_deps": "nothing is needed on the host but apt-get",
    },
    examples="""
- apt: name=nginx state=present update_cache=true cache_valid_time=3600
- apt:
    name: [curl, "openssl=3.0*"]
    install_recommends: false
- apt: {upgrade: dist, autoremove: true}
""",
)

_QUIET = {"DEBIAN_FRONTEND": "noninteractive", "DEBIAN_PRIORITY": "critical"}
_NOTHING = "\n0 upgraded, 0 newly installed, 0 to remove"
_READ = "Reading state information..."
_SUMMARY = re.compile(r"\d+ upgraded")

# $1 the lists, $2 the stamp of the last update; then patterns of packages, of which every one that dpkg knows is told.
_LOOK = (
    SURROUNDINGS
    + r"""
has apt-get && has dpkg-query || give_up "the host has no apt-get"
fact now "$(date +%s)"
for stamp in "$2" "$1"; do
    if seconds=$(stat -Lc %.9Y -- "$stamp" 2>/dev/null); then fact updated "$seconds"; break; fi
done
shift 2
if [ $# -gt 0 ]; then
    format='${binary:Package}\t${Version}\t${db:Status-Status}\n'
    fact packages "$(dpkg-query -W -f "$format" -- "$@" 2>/dev/null)"
fi
:
"""
)
LISTS = "/var/lib/apt/lists"
STAMP = "/var/lib/apt/periodic/update-success-stamp"


def run(context: Context) -> Result:
    """Update the lists, look, and let apt-get do the one thing that is asked for."""
    arguments = context.arguments
    wanted = [name.strip() for name in arguments["name"] or () if name.strip()]
    told = _look(context, [split(name)[0] for name in wanted])
    cache = _updated(context, told)
    cleaned = _cleaned(context) if arguments["clean"] else None
    if "*" in wanted and arguments["state"] == "latest":
        if len(wanted) > 1:
            raise ModuleFailure("unable to install additional packages when upgrading all installed packages")
        return _upgraded(context, "yes")
    if arguments["upgrade"] != "no":
        return _upgraded(context, arguments["upgrade"]) | cache
    if arguments["deb"] is not None:
        return _deb(context)
    if wanted or arguments["state"] == "fixed":
        known = _known(told)
        if arguments["state"] == "absent":
            return _removed(context, wanted, known)
        return _installed(context, wanted, known) | cache
    for verb in ("autoclean", "autoremove"):
        if arguments[verb]:
            return _tidied(context, verb)
    if cleaned is not None:
        return {"changed": True, "msg": cleaned.stdout, "stdout": cleaned.stdout, "stderr": cleaned.stderr}
    return {"changed": cache.get("cache_updated", False), **cache}


def split(text: str) -> tuple[str, str]:
    """Name and wanted version of ``name``, ``name=version``. Raises ModuleFailure."""
    name, sign, version = text.partition("=")
    if "=" in version or name.endswith((">", "<")) or (sign and not (name and version)):
        raise ModuleFailure(f"invalid package spec: {text}: write name or name=version")
    if name.startswith("-") or any(one.isspace() for one in text):
        raise ModuleFailure(f"invalid package spec: {text}: that is no name of a package")
    return name, version


def _look(context: Context, names: list[str]) -> dict[str, str]:
    patterns = [name.partition("/")[0] for name in names if name != "*"]
    return facts(context, _LOOK, [word(LISTS), word(STAMP), *map(word, patterns)])


def _updated(context: Context, told: Mapping[str, str]) -> dict[str, Any]:
    arguments = context.arguments
    before = float(told.get("updated", 0))
    if not (arguments["update_cache"] or arguments["cache_valid_time"]):
        return {"cache_updated": False, "cache_update_time": int(before)}
    valid = arguments["cache_valid_time"]
    if valid and before + valid >= int(told["now"]):
        return {"cache_updated": False, "cache_update_time": int(before)}
    if context.check:
        return {"cache_updated": True, "cache_update_time": int(before)}
    tries = max(1, arguments["update_cache_retries"])
    for number in range(tries):
        ended = _apt_get(context, ["-q", "update"], simulated=False)
        if ended.rc == 0:
            break
        if number + 1 < tries:
            context.sleep(min(2**number, arguments["update_cache_retry_max_delay"]))
    else:
        raise ModuleFailure(f"Failed to update apt cache after {tries} retries: {ended.reason()}", **ended.result())
    after = float(_look(context, []).get("updated", 0))
    return {"cache_updated": after != before, "cache_update_time": int(after)}


def _known(told: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """What dpkg knows: name → (version, status), with and without the architecture in the name."""
    known: dict[str, tuple[str, str]] = {}
    for line in told.get("packages", "").splitlines():
        name, version, status = line.split("\t")[:3]
        known.setdefault(name.partition(":")[0], (version, status))
        known[name] = (version, status)
    return known


def _matching(pattern: str, known: Mapping[str, tuple[str, str]]) -> list[str]:
    if not any(sign in pattern for sign in "*?["):
        return [pattern] if pattern in known else []
    return [name for name in known if ":" not in name and fnmatchcase(name, pattern)]


def _installed(context: Context, wanted: list[str], known: Mapping[str, tuple[str, str]]) -> Result:
    arguments = context.arguments
    words = [text for text in wanted if _is_needed(text, known, arguments)]
    if not words and arguments["state"] != "fixed":
        return {"changed": False}
    options = [*_force(arguments), *(option for key, option in _INSTALLING.items() if arguments[key])]
    if arguments["state"] == "fixed":
        options.append("--fix-broken")
    if arguments["state"] == "present" and not any("=" in one for one in words):
        # What a pattern finds may be installed already, and is to stay as it is.
        options.append("--no-upgrade")
    if arguments["install_recommends"] is not None:
        options += ["-o", f"APT::Install-Recommends={'yes' if arguments['install_recommends'] else 'no'}"]
    return _done(context, [*options, *_release(arguments), "install", "--", *words])


_INSTALLING = {
    "only_upgrade": "--only-upgrade",
    "autoremove": "--auto-remove",
    "fail_on_autoremove": "--no-remove",
    "allow_unauthenticated": "--allow-unauthenticated",
    "allow_downgrade": "--allow-downgrades",
    "allow_change_held_packages": "--allow-change-held-packages",
}


def _force(arguments: Mapping[str, Any]) -> tuple[str, ...]:
    """What apt-get has in place of --force-yes, which it has given up."""
    if not arguments["force"]:
        return ()
    return (
        *("--allow-downgrades", "--allow-remove-essential", "--allow-change-held-packages"),
        "--allow-unauthenticated",
    )


def _is_needed(text: str, known: Mapping[str, tuple[str, str]], arguments: Mapping[str, Any]) -> bool:
    name, version = split(text)
    name = name.partition("/")[0]
    is_pattern = any(sign in name for sign in "*?[")
    found = [known[one] for one in _matching(name, known) if known[one][1] == "installed"]
    if arguments["only_upgrade"] and not found:
        return False
    if version:
        return not any(fnmatchcase(one, version) for one, _ in found)
    return not found or is_pattern or arguments["state"] == "latest"


def _release(arguments: Mapping[str, Any]) -> list[str]:
    return ["-t", arguments["default_release"]] if arguments["default_release"] else []


def _removed(context: Context, wanted: list[str], known: Mapping[str, tuple[str, str]]) -> Result:
    arguments = context.arguments
    there = {"installed", "unpacked", "half-installed", "half-configured", "triggers-awaited", "triggers-pending"}
    if arguments["purge"]:
        there.add("config-files")
    words = [one for text in wanted for one in _matching(split(text)[0], known) if known[one][1] in there]
    if not words:
        return {"changed": False}
    options = [*_force(arguments), *(option for key, option in _REMOVING.items() if arguments[key])]
    result = _done(context, ["-q", *options, "remove", "--", *words], msg=f"'apt-get remove {' '.join(words)}' failed")
    return result | {"changed": True}


_REMOVING = {
    "purge": "--purge",
    "autoremove": "--auto-remove",
    "allow_change_held_packages": "--allow-change-held-packages",
}


def _upgraded(context: Context, mode: str) -> Result:
    arguments = context.arguments
    verb = ["dist-upgrade"] if mode in ("dist", "full") else ["upgrade", "--with-new-pkgs"]
    names = ("autoremove", "fail_on_autoremove", "allow_unauthenticated", "allow_downgrade")
    options = [*_force(arguments), *(_INSTALLING[key] for key in names if arguments[key])]
    result = _done(context, [*options, *_release(arguments), *verb])
    return result | {"msg": result["stdout"]}


def _tidied(context: Context, verb: str) -> Result:
    options = ["--purge"] if context.arguments["purge"] else []
    result = _done(context, [*options, verb], msg=f"'apt-get {verb}' failed")
    sign = "Del " if verb == "autoclean" else "The following packages will be REMOVED"
    return result | {"changed": sign in result["stdout"]}


def _cleaned(context: Context) -> Ended:
    if context.check:
        return Ended(0, "", "")
    ended = _apt_get(context, ["clean"], simulated=False)
    if ended.rc != 0:
        raise ModuleFailure(f"apt-get clean failed: {ended.reason()}", **ended.result())
    return ended


# $1 the file
_LOOK_INTO = (
    SURROUNDINGS
    + r"""
[ -f "$1" ] || give_up "Unable to install package: no such file: $1"
for field in Package Version; do
    said=$(dpkg --field "$1" "$field" 2>&1) || give_up "dpkg --field $1 $field failed: $said"
    fact "$field" "$said"
done
fact status "$(dpkg-query -W -f '${db:Status-Status} ${Version}' -- "$(dpkg --field "$1" Package)" 2>/dev/null)"
case $1 in /*) fact path "$1" ;; *) fact path "./$1" ;; esac
:
"""
)


def _deb(context: Context) -> Result:
    arguments = context.arguments
    if arguments["state"] != "present":
        raise ModuleFailure("deb only supports state=present")
    if "://" in arguments["deb"]:
        raise ModuleFailure("deb takes a file of the host: fetch it first")
    told = facts(context, _LOOK_INTO, [expanded_word(arguments["deb"])])
    if told["status"] == f"installed {told['Version']}":
        return {"changed": False}
    options = [option for key, option in _INSTALLING.items() if arguments[key]]
    return _done(context, [*options, "install", "--", told["path"]])


def _done(context: Context, words: list[str], *, msg: str | None = None) -> Result:
    ended = _apt_get(context, words, simulated=context.check)
    if ended.rc != 0:
        msg = msg or f"'apt-get {' '.join(words)}' failed"
        raise ModuleFailure(_reason(ended) or f"{msg}: {ended.reason()}", **ended.result())
    result: Result = {"changed": _NOTHING not in ended.stdout}
    kept = ended.result()
    del kept["rc"]
    if context.diff:
        result["diff"] = {"prepared": "\n".join(planned(ended.stdout))}
    return result | kept


def _reason(ended: Ended) -> str | None:
    """Ansible's words for a package that is nowhere to be had."""
    for line in ended.stderr.splitlines():
        if "Unable to locate package " in line:
            return f"No package matching '{line.rpartition(' ')[2]}' is available"
        if "Version '" in line and "' for '" in line and "was not found" in line:
            _, version, _, name, _ = line.split("'", 4)
            return f"no available installation candidate for {name}={version}"
    return None


def planned(stdout: str) -> list[str]:
    """The lines in which apt-get tells what it is going to do, the summary included."""
    lines = stdout.splitlines()
    start = lines.index(_READ) + 1 if _READ in lines else 0
    end = next((at + 1 for at, line in enumerate(lines) if _SUMMARY.match(line)), len(lines))
    return lines[start:end]


def _apt_get(context: Context, words: list[str], *, simulated: bool) -> Ended:
    arguments = context.arguments
    options = ["-y"]
    for option in filter(None, arguments["dpkg_options"].split(",")):
        options += ["-o", f"Dpkg::Options::=--{option.strip()}"]
    options += ["-o", f"DPkg::Lock::Timeout={arguments['lock_timeout']}"]
    if simulated:
        options.append("--simulate")
    return run_program(context, ["apt-get", *options, *words], environment=_QUIET)
