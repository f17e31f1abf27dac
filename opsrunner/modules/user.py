"""user: an account exists as described, or does not exist."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from typing import Any

from opsrunner.ledger.records import Result
from opsrunner.modules import user_files
from opsrunner.modules.accounts import LOOK, split
from opsrunner.modules.contract import Argument, Context, ModuleFailure, Spec
from opsrunner.modules.posix import expanded_word, facts, word
from opsrunner.modules.programs import Ended, run_program

_ELSEWHERE = "it is for another operating system than Linux"

SPEC = Spec(
    summary="Make, change or remove an account",
    arguments={
        "name": Argument("str", "the account", required=True, aliases=("user",)),
        "state": Argument("str", "whether it exists", default="present", choices=("absent", "present")),
        "uid": Argument("int", "its number"),
        "non_unique": Argument("bool", "the number may be another account's, too", default=False),
        "group": Argument("str", "its first group"),
        "groups": Argument("list", "its further groups; an empty text takes it out of all", elements="str"),
        "append": Argument("bool", "leave it in other groups as well", default=False),
        "comment": Argument("str", "who it is"),
        "home": Argument("path", "its home"),
        "create_home": Argument("bool", "make the home where it is missing", default=True, aliases=("createhome",)),
        "move_home": Argument("bool", "move what is in the old home to a new one", default=False),
        "skeleton": Argument("str", "folder that a new home is a copy of"),
        "umask": Argument("str", "umask of a new home"),
        "shell": Argument("path", "its shell"),
        "password": Argument("str", "the hash of its password; it goes to the host by standard input"),
        "update_password": Argument(
            "str", "when the password is set", default="always", choices=("always", "on_create")
        ),
        "password_lock": Argument("bool", "whether the password is locked"),
        "password_expire_max": Argument("int", "days after which the password has to be changed"),
        "password_expire_min": Argument("int", "days for which it cannot be changed"),
        "password_expire_warn": Argument("int", "days of warning before"),
        "password_expire_account_disable": Argument("int", "days from there until the account is disabled"),
        "expires": Argument("float", "when the account ends, in seconds since 1970; less than 0: never"),
        "system": Argument("bool", "a new account gets a number of the system's", default=False),
        "uid_min": Argument("int", "least number of a new account"),
        "uid_max": Argument("int", "greatest number of a new account"),
        "force": Argument("bool", "remove it while somebody is logged in; make a key over an old one", default=False),
        "remove": Argument("bool", "remove its home, too", default=False),
        "generate_ssh_key": Argument("bool", "make a key for ssh where it has none", default=False),
        "ssh_key_bits": Argument("int", "bits of the key; 0: ssh-keygen decides", default=0),
        "ssh_key_type": Argument("str", "kind of the key", default="rsa"),
        "ssh_key_file": Argument("path", "where the key is, seen from the home; default .ssh/id_TYPE"),
        "ssh_key_comment": Argument("str", "comment of the key; default: ansible-generated on HOSTNAME"),
    },
    check_mode="full",
    refused={
        "local": "opsrunner has no luseradd; useradd changes the host's own files",
        "ssh_key_passphrase": "ssh-keygen takes it on its command line only, where all users of the host see it",
        "seuser": "SELinux users are not there yet",
        **dict.fromkeys(("hidden", "login_class", "profile", "authorization", "role"), _ELSEWHERE),
    },
    examples="""
- user:
    name: deploy
    groups: [www-data, docker]
    append: true
    shell: /bin/bash
    password: "{{ lookup('env', 'DEPLOY_HASH') }}"
    update_password: on_create
- user: name=old state=absent remove=true
""",
)

# $1 name, $2 first group, $3 home that is asked for; then further groups. The hash is a line on standard input, as
# it is nobody's business on the host's list of processes, and compared here, so that none comes back.
_LOOK = (
    LOOK
    + r"""
name=$1
IFS= read -r password
if found=$(entry passwd "$name"); then fact entry "$found"; fi
if entry group "$name" >/dev/null; then fact own_group yes; fi
home=$3
if [ -z "$home" ]; then home=${found%:*} home=${home##*:}; fi
if [ -d "$home" ]; then fact home_is_there yes; fi
fact home "$home"
fact member "$(entries group | while IFS=: read -r group x number members; do
    case ",$members," in *",$name,"*) printf '%s\n' "$group" ;; esac
done)"
if shadow=$(entry shadow "$name" 2>/dev/null) && [ -n "$shadow" ]; then
    rest=${shadow#*:}
    stored=${rest%%:*}
    fact ages "${rest#*:}"
    case $stored in '!'*) fact locked yes ;; esac
    while case $stored in '!'*) true ;; *) false ;; esac; do stored=${stored#!}; done
    while case $password in '!'*) true ;; *) false ;; esac; do password=${password#!}; done
    if [ "$stored" = "$password" ]; then fact same_password yes; fi
fi
first=$2
shift 3
for group in ${first:+"$first"} "$@"; do
    if line=$(entry group "$group"); then fact "group $group" "$line"; fi
done
:
"""
)


def run(context: Context) -> Result:
    """Look, then call userdel, useradd or usermod, and see to home, key and the password's age."""
    arguments = context.arguments
    told = _look(context)
    result: Result = {"name": arguments["name"], "state": arguments["state"], "changed": False}
    if arguments["state"] == "absent":
        if "entry" in told and context.check:
            return {"changed": True}
        return result | (_remove(context) if "entry" in told else {})
    _check_groups(told, arguments)
    ended: Ended | None
    if "entry" not in told:
        if context.check:
            return {"changed": True}
        ended = _create(context, told)
        result |= {"system": arguments["system"], "create_home": arguments["create_home"]}
    else:
        ended = _modify(context, told)
        result |= {"append": arguments["append"], "move_home": arguments["move_home"]}
    if ended is not None:
        result |= {"changed": True, **_said(ended)}
        told = told if context.check else _look(context)
    if arguments["password"] is not None:
        result["password"] = "NOT_LOGGING_PASSWORD"
        if not _looks_hashed(arguments["password"]):
            result["warnings"] = [_NOT_HASHED]
    _tell(result, told, arguments)
    result["changed"] |= user_files.make_home(context, told)
    if arguments["generate_ssh_key"]:
        user_files.make_key(context, told, result)
    result["changed"] |= _set_ages(context, told)
    return result


def _look(context: Context) -> dict[str, str]:
    arguments = context.arguments
    home = expanded_word(arguments["home"]) if arguments["home"] else "''"
    words = [word(arguments["name"]), word(arguments["group"] or ""), home, *map(word, _groups(arguments))]
    return facts(context, _LOOK, words, stdin=(arguments["password"] or "").encode() + b"\n")


def _groups(arguments: Mapping[str, Any]) -> list[str]:
    return sorted({name.strip() for name in arguments["groups"] or () if name.strip()})


def _check_groups(told: Mapping[str, str], arguments: Mapping[str, Any]) -> None:
    for name in [*([arguments["group"]] if arguments["group"] else []), *_groups(arguments)]:
        if f"group {name}" not in told:
            raise ModuleFailure(f"Group {name} does not exist")


def _said(ended: Ended) -> dict[str, str]:
    return {key: text for key, text in (("stdout", ended.stdout), ("stderr", ended.stderr)) if text}


def _remove(context: Context) -> Result:
    arguments = context.arguments
    options = [option for key, option in (("force", "-f"), ("remove", "-r")) if arguments[key]]
    ended = _run(context, ["userdel", *options])
    return {"changed": True, "force": arguments["force"], "remove": arguments["remove"], **_said(ended)}


def _create(context: Context, told: Mapping[str, str]) -> Ended:
    arguments = context.arguments
    words = _numbered(arguments)
    if arguments["group"] is not None:
        words += ["-g", arguments["group"]]
    elif "own_group" in told:
        words.append("-N")
    if _groups(arguments):
        words += ["-G", ",".join(_groups(arguments))]
    for key, option in (("comment", "-c"), ("shell", "-s")):
        if arguments[key] is not None:
            words += [option, arguments[key]]
    if arguments["home"] is not None:
        words += ["-d", told["home"]]
        if arguments["create_home"]:
            user_files.make_parent(context, told["home"])
    if arguments["expires"] is not None:
        words += ["-e", _date(arguments["expires"])]
    if arguments["password_expire_account_disable"] is not None:
        words += ["-f", str(arguments["password_expire_account_disable"])]
    words += ["-m"] if arguments["create_home"] else ["-M"]
    if arguments["create_home"]:
        words += ["-k", arguments["skeleton"]] if arguments["skeleton"] else []
        words += ["-K", f"UMASK={arguments['umask']}"] if arguments["umask"] else []
    words += ["-r"] if arguments["system"] else []
    for key in ("uid_min", "uid_max"):
        words += ["-K", f"{key.upper()}={arguments[key]}"] if arguments[key] is not None else []
    ended = _run(context, ["useradd", *words])
    if arguments["password"] is not None:
        _set_password(context)
    return ended


def _numbered(arguments: Mapping[str, Any]) -> list[str]:
    if arguments["uid"] is None:
        return []
    return ["-u", str(arguments["uid"]), *(["-o"] if arguments["non_unique"] else [])]


def _modify(context: Context, told: Mapping[str, str]) -> Ended | None:
    arguments = context.arguments
    entry = split(told["entry"])
    words = [] if arguments["uid"] in (None, int(entry[2])) else _numbered(arguments)
    if arguments["group"] is not None:
        number = split(told[f"group {arguments['group']}"])[2]
        words += ["-g", number] if number != entry[3] else []
    words += _memberships(told, arguments)
    if arguments["comment"] not in (None, entry[4]):
        words += ["-c", arguments["comment"]]
    if arguments["home"] is not None and told["home"] != entry[5]:
        words += ["-d", told["home"], *(["-m"] if arguments["move_home"] else [])]
    if arguments["shell"] not in (None, entry[6]):
        words += ["-s", arguments["shell"]]
    ages = _ages(told)
    if arguments["expires"] is not None and _date(arguments["expires"]) != _date_of(ages[5]):
        words += ["-e", _date(arguments["expires"])]
    inactive = arguments["password_expire_account_disable"]
    if inactive is not None and str(inactive) != (ages[4] or "-1"):
        words += ["-f", str(inactive)]
    new_password = (
        arguments["password"] is not None and arguments["update_password"] == "always" and "same_password" not in told
    )
    locked = "locked" in told
    if arguments["password_lock"] not in (None, locked) and not new_password:
        words.append("-L" if arguments["password_lock"] else "-U")
    if not words and not new_password:
        return None
    if context.check:
        return Ended(0, "", "")
    ended = _run(context, ["usermod", *words]) if words else Ended(0, "", "")
    if new_password:
        _set_password(context)
    return ended


def _memberships(told: Mapping[str, str], arguments: Mapping[str, Any]) -> list[str]:
    if arguments["groups"] is None:
        return []
    current = set(told["member"].split())
    wanted = {split(told[f"group {name}"])[0] for name in _groups(arguments)}
    if wanted <= current if arguments["append"] else wanted == current:
        return []
    return [*(["-a"] if arguments["append"] else []), "-G", ",".join(sorted(wanted))]


def _date(seconds: float) -> str:
    return "" if seconds < 0 else time.strftime("%Y-%m-%d", time.gmtime(seconds))


def _date_of(days: str) -> str:
    return _date(int(days) * 86400) if days else ""


def _ages(told: Mapping[str, str]) -> list[str]:
    """Of /etc/shadow behind the hash: last change, least, greatest, warning, inactive, end (all in days)."""
    return (split(told.get("ages", "")) + [""] * 6)[:6]


def _set_password(context: Context) -> None:
    arguments = context.arguments
    lock = "!" if arguments["password_lock"] else ""
    line = f"{arguments['name']}:{lock}{arguments['password']}\n"
    ended = run_program(context, ["chpasswd", "-e"], stdin=line.encode())
    if ended.rc != 0:
        raise ModuleFailure(f"cannot set the password: {ended.reason()}", name=arguments["name"], rc=ended.rc)


def _set_ages(context: Context, told: Mapping[str, str]) -> bool:
    ages = _ages(told)
    words = []
    for key, option, now in (("min", "-m", ages[1]), ("max", "-M", ages[2]), ("warn", "-W", ages[3])):
        wanted = context.arguments[f"password_expire_{key}"]
        if wanted is not None and str(wanted) != (now or "-1"):
            words += [option, str(wanted)]
    if words and not context.check:
        _run(context, ["chage", *words])
    return bool(words)


def _run(context: Context, words: list[str]) -> Ended:
    name = context.arguments["name"]
    ended = run_program(context, [*words, "--", name])
    if ended.rc != 0:
        raise ModuleFailure(ended.reason(), name=name, rc=ended.rc)
    return ended


def _tell(result: Result, told: Mapping[str, str], arguments: Mapping[str, Any]) -> None:
    _, _, uid, gid, comment, home, shell = split(told["entry"])
    result |= {"uid": int(uid), "group": int(gid), "comment": comment, "home": home, "shell": shell}
    if arguments["groups"] is not None:
        result["groups"] = ",".join(arguments["groups"])
    if arguments["append"] and arguments["groups"] is None:
        result["warnings"] = [*result.get("warnings", ()), "'append' is set, but no 'groups' are specified."]


_NOT_HASHED = (
    "The input password appears not to have been hashed. "
    "The 'password' argument must be encrypted for this module to work properly."
)
#: Characters of a hash by what crypt calls its method.
_LENGTHS = {"1": 22, "5": 43, "6": 86, "y": 43}


def _looks_hashed(password: str) -> bool:
    if password in ("", "*", "!", "*************"):
        return True
    fields = password.split("$")
    if len(fields) < 3 or any(sign in password for sign in ":*!") or re.search(r"[^a-zA-Z0-9./=]", fields[-1]):
        return False
    return len(fields[-1]) == _LENGTHS.get(fields[1], len(fields[-1]))
