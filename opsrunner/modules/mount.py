"""mount: a line of fstab, and whether what it names is mounted."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import structs

from opsrunner.ledger.records import Result
from opsrunner.modules.contract import Argument, Context, ModuleFailure, Spec
from opsrunner.modules.editing import Edit, Found, edit
from opsrunner.modules.posix import expanded_word, facts
from opsrunner.modules.programs import run_program

_STATES = ("absent", "mounted", "present", "remounted", "unmounted")

SPEC = Spec(
    summary="Mount and unmount, and keep the line of fstab (ansible.posix.mount)",
    arguments={
        "path": Argument("path", "where it is mounted", required=True, aliases=("name",)),
        "src": Argument("path", "what is mounted: a device, UUID=…, host:/path"),
        "fstype": Argument("str", "kind of the file system"),
        "opts": Argument("str", "options", default="defaults"),
        "dump": Argument("str", "dump's field", default="0"),
        "passno": Argument("str", "fsck's field", default="0"),
        "state": Argument(
            "str",
            "mounted: now and in fstab; present: in fstab; unmounted: not now; remounted: anew; absent: neither, "
            "and the empty folder is removed",
            required=True,
            choices=_STATES,
        ),
        "fstab": Argument("path", "the file", default="/etc/fstab"),
        "backup": Argument("bool", "keep a copy of fstab", default=False),
    },
    required_if=(
        ("state", "mounted", ("src", "fstype"), False),
        ("state", "present", ("src", "fstype"), False),
    ),
    check_mode="full",
    refused={
        "boot": "write the option noauto",
        "opts_no_log": "write no_log",
    },
    examples="""
- ansible.posix.mount:
    path: /srv/data
    src: UUID=b3e48f45-f933-4c8e-a700-22a159ec9077
    fstype: ext4
    opts: noatime
    state: mounted
- mount: path=/srv/old state=absent
""",
)

# $1 path
_LOOK = r"""
fact path "$1"
real=$(readlink -f -- "$1" 2>/dev/null) || real=$1
if [ -e "$1" ]; then fact there yes; fi
while read -r source target rest; do
    case $target in *\\*) target=$(printf '%b' "$(printf %s "$target" | sed 's/\\\([0-7]\)/\\0\1/g')") ;; esac
    if [ "$target" = "$real" ]; then fact mounted yes; fi
done </proc/mounts
:
"""


def run(context: Context) -> Result:
    """fstab first, then what is mounted."""
    arguments = context.arguments
    told = facts(context, _LOOK, [expanded_word(arguments["path"])])
    path, state = told["path"], arguments["state"]
    result: Result = {key: arguments[key] for key in ("fstab", "src", "fstype", "opts", "dump", "passno")}
    result |= {"name": path, "changed": False, "backup_file": ""}
    edited: Result = {"changed": False}
    if state in ("mounted", "present", "absent"):
        edited = _edit(context, path)
        result |= {"changed": edited["changed"], "backup_file": edited.get("backup_file", "")}
    if "diff" in edited:
        result["diff"] = edited["diff"]
    try:
        result["changed"] |= _settle(context, path, told, changed=edited["changed"])
    except ModuleFailure:
        if edited["changed"] and state == "mounted" and not context.check and "mounted" not in told:
            _take_back(context, edited["before"])
        raise
    return result


def _settle(context: Context, path: str, told: Mapping[str, str], *, changed: bool) -> bool:
    """Mount or unmount as the state says; whether anything is another than before."""
    state, mounted = context.arguments["state"], "mounted" in told
    if state == "present":
        return False
    if state in ("unmounted", "absent"):
        if mounted:
            _run(context, ["umount", path], "unmounting")
        if state == "absent" and "there" in told and not context.check:
            facts(context, 'if [ -d "$1" ]; then rmdir -- "$1" 2>/dev/null; fi; :', [expanded_word(path)])
        return mounted
    if state == "remounted":
        if not mounted:
            raise ModuleFailure(f"{path} is not mounted")
        _run(context, ["mount", "-o", f"remount,{context.arguments['opts']}", path], "remounting")
        return True
    if mounted and changed:
        _run(context, ["mount", *_fstab(context), "-o", "remount", path], "remounting")
    elif not mounted:
        if not context.check:
            facts(context, 'mkdir -p -- "$1" || give_up "Error making dir $1"', [expanded_word(path)])
        _run(context, ["mount", *_fstab(context), path], "mounting")
    return changed or not mounted


def _fstab(context: Context) -> list[str]:
    fstab = context.arguments["fstab"]
    return [] if fstab == "/etc/fstab" else ["-T", fstab]


def _run(context: Context, words: list[str], what: str) -> None:
    if context.check:
        return
    ended = run_program(context, words)
    if ended.rc != 0:
        raise ModuleFailure(f"Error {what} {words[-1]}: {ended.reason()}", **ended.result())


def _edit(context: Context, path: str) -> Result:
    arguments = context.arguments
    fields = None
    if arguments["state"] != "absent":
        fields = [arguments["src"], path, *(arguments[key] for key in ("fstype", "opts", "dump", "passno"))]
    before: list[bytes] = []

    def change(file: Found) -> Edit:
        before[:] = [file.data or b""]
        text = before[0].decode("utf-8", "surrogateescape")
        after = changed_fstab(text, path, arguments["src"], fields)
        return Edit(after.encode("utf-8", "surrogateescape"), "", after != text)

    result = edit(_editing(context), change)
    return {**result, "before": before[0]}


def _editing(context: Context) -> Context:
    arguments = context.arguments
    nothing = dict.fromkeys(("mode", "owner", "group", "validate"))
    return structs.replace(context, arguments={**nothing, "path": arguments["fstab"], "backup": arguments["backup"]})


def _take_back(context: Context, before: bytes) -> None:
    """fstab as it was: a line that cannot be mounted would keep the host from starting."""
    editing = _editing(context)
    editing = structs.replace(editing, arguments={**editing.arguments, "backup": False})
    edit(editing, lambda file: Edit(before, "", True))


def changed_fstab(text: str, path: str, src: str | None, fields: list[str] | None) -> str:
    """fstab with one line for the path, which has these fields; None takes it out.

    Of swap, which is mounted nowhere, what is mounted tells the line.
    """
    kept: list[str] = []
    done = fields is None
    for line in text.splitlines(keepends=True):
        found = line.split()
        if not found or found[0].startswith("#") or len(found) < 3 or not _is_it(found, path, src):
            kept.append(line if line.endswith("\n") else f"{line}\n")
        elif fields is not None and not done:
            there = [_unescaped(one) for one in found] + ["0", "0"][len(found) - 4 :]
            kept.append(line if there == fields else _line(fields))
            done = True
    if not done and fields is not None:
        kept.append(_line(fields))
    return text if "".join(kept).rstrip("\n") == text.rstrip("\n") else "".join(kept)


def _is_it(found: list[str], path: str, src: str | None) -> bool:
    if _unescaped(found[1]) != path:
        return False
    return path not in ("none", "swap") or src is None or _unescaped(found[0]) == src


def _line(fields: list[str]) -> str:
    return (
        " ".join(field.replace("\\", "\\134").replace(" ", "\\040").replace("\t", "\\011") for field in fields) + "\n"
    )


def _unescaped(field: str) -> str:
    return field.replace("\\040", " ").replace("\\011", "\t").replace("\\134", "\\")
