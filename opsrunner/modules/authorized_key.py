"""authorized_key: which keys may log in as a user."""

from __future__ import annotations

import re
from typing import Any

from msgspec import Struct, structs

from opsrunner.ledger.records import Result
from opsrunner.modules.contract import Argument, Context, ModuleFailure, Spec
from opsrunner.modules.editing import Edit, Found, edit
from opsrunner.modules.posix import expanded_word, facts, shown, word

SPEC = Spec(
    summary="Add and remove SSH keys of a user's authorized_keys",
    arguments={
        "user": Argument("str", "whose file it is", required=True),
        "key": Argument("str", "the keys, one a line", required=True),
        "state": Argument("str", "whether they are to be in it", default="present", choices=("absent", "present")),
        "key_options": Argument("str", "options that stand before each key; those that it has by itself count else"),
        "comment": Argument("str", "comment of each key instead of its own"),
        "exclusive": Argument("bool", "take all other keys out", default=False),
        "manage_dir": Argument("bool", "make the folder, and set its owner and mode", default=True),
        "path": Argument("path", "the file, where it is not ~/.ssh/authorized_keys"),
        "follow": Argument("bool", "accepted: a link at path is always followed", default=False),
    },
    check_mode="full",
    refused={"validate_certs": "keys are not downloaded: use get_url, or the lookup file"},
    examples="""
- authorized_key:
    user: deploy
    key: ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGWjBnjKZ6tNqpfOBvTOhmAmy8u7Ub5rB4d7gcM8x2Ad deploy@ci
    key_options: no-pty,from="10.0.0.0/8"
- ansible.posix.authorized_key:
    user: deploy
    key: "{{ keys | join('\\n') }}"
    exclusive: true
""",
)

_KINDS = re.compile(r"(?:ssh|ecdsa|sk-ssh|sk-ecdsa|x509v3)-[A-Za-z0-9@.-]+")

# $1 user, $2 path (empty: the user's own), $3 yes: make the folder
_PREPARE = r"""
if has getent; then entry=$(getent passwd "$1"); else entry=$(grep "^$1:" /etc/passwd); fi
[ -n "$entry" ] || give_up "Failed to lookup user $1"
rest=${entry#*:*:}
uid=${rest%%:*}; rest=${rest#*:}
gid=${rest%%:*}; rest=${rest#*:*:}
path=$2
if [ -z "$path" ]; then path=${rest%%:*}/.ssh/authorized_keys; fi
fact uid "$uid"
fact gid "$gid"
fact path "$path"
folder=${path%/*}
[ "$3" = yes ] || exit 0
if [ ! -d "$folder" ]; then
    said=$(mkdir -- "$folder" 2>&1) || [ -d "$folder" ] || give_up "Failed to create directory $folder: $said"
fi
if [ "$(stat -c %u:%g -- "$folder")" != "$uid:$gid" ]; then
    said=$(chown "$uid:$gid" -- "$folder" 2>&1) || give_up "Failed to set the owner of $folder: $said"
fi
said=$(chmod 0700 -- "$folder" 2>&1) || give_up "Failed to set the mode of $folder: $said"
"""


class Key(Struct, frozen=True):
    """One line with a key. The same ``blob`` is the same key, whatever stands around it."""

    options: str
    kind: str
    blob: str
    comment: str

    def line(self) -> str:
        return " ".join(part for part in (self.options, self.kind, self.blob, self.comment) if part)


def run(context: Context) -> Result:
    """Where the file is, then one change of it as lineinfile makes it."""
    arguments = context.arguments
    keys = _wanted(arguments)
    manage = arguments["manage_dir"] and arguments["state"] == "present" and not context.check
    path = expanded_word(arguments["path"]) if arguments["path"] else "''"
    told = facts(context, _PREPARE, [word(arguments["user"]), path, "yes" if manage else "no"])
    own: dict[str, Any] = {"path": told["path"], "owner": told["uid"], "group": told["gid"], "mode": "0600"}
    if arguments["state"] == "absent":
        own |= {"owner": None, "group": None, "mode": None}
    editing = {**arguments, "backup": False, "validate": None, **own}

    def change(found: Found) -> Edit | Result:
        if found.data is None and arguments["state"] == "absent":
            return {"changed": False}
        before = found.data or b""
        after = _changed(before.decode("utf-8", "surrogateescape"), keys, arguments)
        data = after.encode("utf-8", "surrogateescape")
        return Edit(data, "", data != before or found.data is None)

    result = edit(structs.replace(context, arguments=editing), change)
    result.pop("msg", None)
    names = ("user", "key", "state", "key_options", "comment", "exclusive", "manage_dir")
    return {**result, "keyfile": shown(told["path"]), **{name: arguments[name] for name in names}}


def _wanted(arguments: Any) -> list[Key]:
    found = []
    for line in arguments["key"].splitlines():
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        key = _parsed(line)
        if key is None:
            raise ModuleFailure("invalid key specified: a line is no public key for ssh")
        if arguments["key_options"] is not None:
            key = structs.replace(key, options=arguments["key_options"])
        if arguments["comment"] is not None:
            key = structs.replace(key, comment=arguments["comment"])
        found.append(key)
    if not found and not arguments["exclusive"]:
        raise ModuleFailure("no keys to add: key holds no public key for ssh")
    return found


def _changed(text: str, keys: list[Key], arguments: Any) -> str:
    """The file's new text; lines that are no keys stay where they are."""
    wanted = {key.blob: key for key in keys}
    lines: list[str] = []
    there: set[str] = set()
    for line in text.splitlines():
        present = _parsed(line)
        if present is None:
            lines.append(line)
        elif present.blob in wanted:
            if arguments["state"] == "present" and present.blob not in there:
                there.add(present.blob)
                mine = wanted[present.blob]
                lines.append(line if present == mine else mine.line())
        elif not (arguments["exclusive"] and arguments["state"] == "present"):
            lines.append(line)
    if arguments["state"] == "present":
        lines += [key.line() for blob, key in wanted.items() if blob not in there]
    return "".join(f"{line}\n" for line in lines)


def _parsed(line: str) -> Key | None:
    """The key on a line; None where none is. Blanks in an option's quotes belong to the option."""
    line = line.strip()
    if line.startswith("#"):
        return None
    found = re.match(r'(?P<options>(?:"(?:\\.|[^"\\])*"|[^\s"])+)?\s*(?P<rest>.*)$', line)
    for options, rest in (("", line), (found["options"] or "", found["rest"]) if found else ("", "")):
        parts = rest.split(None, 2)
        if len(parts) >= 2 and _KINDS.fullmatch(parts[0]):
            return Key(options, parts[0], parts[1], parts[2] if len(parts) > 2 else "")
    return None
