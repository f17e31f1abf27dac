"""dnf: packages of Fedora, Red Hat and their kin, by dnf or yum."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from opsrunner.ledger.records import Result
from opsrunner.modules.contract import Argument, Context, ModuleFailure, Spec
from opsrunner.modules.posix import facts, word
from opsrunner.modules.programs import SURROUNDINGS, Ended, run_program

SPEC = Spec(
    summary="Install, upgrade and remove packages with dnf, or yum where there is no dnf",
    arguments={
        "name": Argument(
            "list",
            "packages, also name-version, patterns, @groups, files and addresses",
            aliases=("pkg",),
            elements="str",
        ),
        "state": Argument(
            "str",
            "what they are to be; default present, or absent with autoremove",
            choices=("absent", "present", "installed", "removed", "latest"),
        ),
        "enablerepo": Argument("list", "repositories to use as well", default=(), elements="str"),
        "disablerepo": Argument("list", "repositories to leave aside", default=(), elements="str"),
        "exclude": Argument("list", "packages to leave aside", default=(), elements="str"),
        "update_cache": Argument("bool", "fetch the lists of packages first", default=False, aliases=("expire-cache",)),
        "update_only": Argument("bool", "with latest: install nothing new", default=False),
        "security": Argument("bool", "with latest: security updates only", default=False),
        "bugfix": Argument("bool", "with latest: bug fixes only", default=False),
        "autoremove": Argument("bool", "remove what nothing depends on any more", default=False),
        "allowerasing": Argument("bool", "remove what is in the way", default=False),
        "best": Argument("bool", "the newest version or none"),
        "nobest": Argument("bool", "the opposite of best"),
        "skip_broken": Argument("bool", "leave aside what cannot be installed", default=False),
        "install_weak_deps": Argument("bool", "install what they recommend", default=True),
        "disable_gpg_check": Argument("bool", "take what nobody signed", default=False),
        "disable_excludes": Argument("str", "all, main or a repository whose excludes do not count"),
        "installroot": Argument("path", "a root of its own", default="/"),
        "releasever": Argument("str", "the release whose packages are meant"),
        "cacheonly": Argument("bool", "use what is in the cache only", default=False),
        "sslverify": Argument("bool", "check the certificates of repositories", default=True),
        "lock_timeout": Argument("int", "means nothing here: dnf waits for its lock", default=30),
        "use_backend": Argument(
            "str", "which of them", default="auto", choices=("auto", "dnf", "dnf4", "dnf5", "yum", "yum4")
        ),
    },
    mutually_exclusive=(("best", "nobest"),),
    required_one_of=(("name", "update_cache", "autoremove"),),
    check_mode="full",
    refused={
        "list": "package lists are not there yet: write a command, and read its output",
        "allow_downgrade": "going back to older versions is not there yet",
        "conf_file": "another configuration is not there yet",
        "download_only": "it leaves nothing that tells that it is done",
        "download_dir": "it leaves nothing that tells that it is done",
        "enable_plugin": "plugins cannot be chosen yet",
        "disable_plugin": "plugins cannot be chosen yet",
        "validate_certs": "addresses are fetched by dnf itself; write sslverify",
        "install_repoquery": "nothing is needed on the host but dnf or yum",
    },
    examples="""
- dnf: name=httpd state=latest
- yum:
    name: [postgresql-server, "@development"]
    enablerepo: [epel]
- dnf: name=* state=latest security=true
""",
)

# $1 which of them; then names: whether rpm has each of them, by name, as name-version …, or as what another provides.
_LOOK = (
    SURROUNDINGS
    + r"""
case $1 in
auto) set -- "dnf5 dnf yum" "$@" ;;
dnf4|yum4) set -- dnf "$@" ;;
*) set -- "$1" "$@" ;;
esac
for program in $1; do
    if has "$program"; then found=$program; break; fi
done
[ -n "${found:-}" ] || give_up "the host has none of: $1"
fact program "$found"
shift 2
for name; do
    if said=$(rpm -qa --qf '%{name}\n' -- "$name" 2>/dev/null) && [ -n "$said" ]; then fact "installed $name" "$said"
    elif said=$(rpm -q --whatprovides --qf '%{name}\n' -- "$name" 2>/dev/null); then fact "installed $name" "$said"; fi
done
:
"""
)

_SWITCHES = {
    "allowerasing": "--allowerasing",
    "skip_broken": "--skip-broken",
    "disable_gpg_check": "--nogpgcheck",
    "cacheonly": "--cacheonly",
    "security": "--security",
    "bugfix": "--bugfix",
    "best": "--best",
    "nobest": "--nobest",
}
#: dnf's own words for having had nothing to do.
_NOTHING = re.compile(r"^(Nothing to do|No packages marked for )", re.MULTILINE)

_HEADING = re.compile("(Installed|Upgraded|Updated|Removed|Downgraded|Reinstalled|Dependency Installed):")


def run(context: Context) -> Result:
    """Ask rpm what is there, and let dnf do what is missing."""
    arguments = context.arguments
    names = [name.strip() for name in arguments["name"] or () if name.strip()]
    state = arguments["state"] or ("absent" if arguments["autoremove"] else "present")
    _check(names, state, arguments)
    looked_up = [name for name in names if _is_asked_of_rpm(name)]
    backend = arguments["use_backend"]
    told = facts(context, _LOOK, [backend, *map(word, looked_up)])
    updated = _update(context, told["program"]) if arguments["update_cache"] else None
    if not names and not arguments["autoremove"]:
        return {"changed": False, "results": [], "rc": 0, "msg": "Cache updated" if updated else ""}
    words = _command(names, state, told, arguments)
    if not words:
        return {"changed": False, "results": [], "rc": 0, "msg": "Nothing to do"}
    return _done(context, told["program"], words)


def _check(names: list[str], state: str, arguments: Mapping[str, Any]) -> None:
    if arguments["autoremove"] and state not in ("absent", "removed"):
        raise ModuleFailure("Autoremove should be used alone or with state=absent")
    wrong = [name for name in names if name.startswith("-")]
    if wrong:
        raise ModuleFailure(f"{wrong[0]} is no name of a package")
    if arguments["update_only"] and state != "latest":
        raise ModuleFailure("update_only is for state=latest")


def _is_asked_of_rpm(name: str) -> bool:
    """Of a group, a file or an address only dnf knows whether it is installed."""
    return name != "*" and not name.startswith("@") and not name.endswith(".rpm") and "://" not in name


def _command(names: list[str], state: str, told: Mapping[str, str], arguments: Mapping[str, Any]) -> list[str]:
    """The words behind dnf's options; none where nothing is to be done."""
    installed = {name for name in names if f"installed {name}" in told}
    if state in ("absent", "removed"):
        gone = [name for name in names if name in installed or not _is_asked_of_rpm(name)]
        if not names:
            return ["autoremove"]
        return ["autoremove" if arguments["autoremove"] else "remove", *gone] if gone else []
    if state == "latest":
        known = names if arguments["update_only"] else [name for name in names if name in installed or name == "*"]
        if "*" in names:
            return ["upgrade"]
        # One command that upgrades what is there and installs what is not: install does both.
        return ["upgrade", *known] if arguments["update_only"] or known == names else ["install", *names]
    missing = [name for name in names if name not in installed]
    return ["install", *missing] if missing else []


def _options(arguments: Mapping[str, Any]) -> list[str]:
    options = [option for key, option in _SWITCHES.items() if arguments[key]]
    for key in ("enablerepo", "disablerepo", "exclude"):
        options += [f"--{key}={','.join(arguments[key])}"] if arguments[key] else []
    if not arguments["install_weak_deps"]:
        options.append("--setopt=install_weak_deps=False")
    if not arguments["sslverify"]:
        options.append("--setopt=sslverify=False")
    if arguments["disable_excludes"]:
        options.append(f"--disableexcludes={arguments['disable_excludes']}")
    if arguments["installroot"] != "/":
        options.append(f"--installroot={arguments['installroot']}")
    if arguments["releasever"]:
        options.append(f"--releasever={arguments['releasever']}")
    return options


def _update(context: Context, program: str) -> Ended | None:
    if context.check:
        return None
    ended = run_program(context, [program, *_options(context.arguments), "-y", "-q", "makecache"])
    if ended.rc != 0:
        raise ModuleFailure(f"Failed to update cache: {ended.reason()}", results=[], **ended.result())
    return ended


def _done(context: Context, program: str, words: list[str]) -> Result:
    # Nobody is asked in check mode: dnf says what it would do, and ends without having done it.
    answer = "--assumeno" if context.check else "-y"
    ended = run_program(context, [program, *_options(context.arguments), answer, *words])
    nothing = _NOTHING.search(f"{ended.stdout}\n{ended.stderr}") is not None
    refused = context.check and "Operation aborted" in f"{ended.stdout}{ended.stderr}"
    if ended.rc != 0 and not refused and not (nothing and context.check):
        raise ModuleFailure(_reason(ended), results=[], **ended.result())
    changed = not nothing
    return {**ended.result(), "rc": 0, "changed": changed, "msg": "", "results": _changes(ended.stdout)}


def _reason(ended: Ended) -> str:
    said = f"{ended.stdout}\n{ended.stderr}"
    missing = re.findall(
        r"(?:Unable to find a match|No match for argument|No package (?=\S+ available)):? *(\S+)", said
    )
    if missing:
        return f"Failed to install some of the specified packages: No package {missing[0]} available."
    return ended.reason()


def _changes(stdout: str) -> list[str]:
    """``Installed: web-1.0`` and so on, from the list that dnf ends with."""
    found: list[str] = []
    kind = ""
    for line in stdout.splitlines():
        heading = re.fullmatch(
            r"(Installed|Upgraded|Updated|Removed|Downgraded|Reinstalled|Dependency Installed):", line
        )
        if heading:
            kind = heading.group(1)
        elif kind and line.startswith(" "):
            found += [f"{kind}: {one}" for one in line.split()]
        else:
            kind = ""
    return found
