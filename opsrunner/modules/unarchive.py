"""unarchive: what a tar or zip archive holds, in a directory of the host."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import structs

from opsrunner.ledger.records import Result
from opsrunner.modules import get_url
from opsrunner.modules.arguments import validate
from opsrunner.modules.contract import STILL_ENCRYPTED, Argument, Context, ModuleFailure, Spec
from opsrunner.modules.entries import (
    FILE_ARGUMENTS,
    LOOK,
    REFUSED_FILE_ARGUMENTS,
    attribute_changes,
    entry_of,
    names_to_look_up,
    wanted,
)
from opsrunner.modules.posix import expanded_word, facts, shown, word

SPEC = Spec(
    summary="Unpack an archive with the host's GNU tar or unzip",
    arguments={
        "src": Argument("path", "the archive, in files/ beside the playbook", required=True, bundled_from="files"),
        "dest": Argument("path", "directory to unpack into; it has to be there", required=True),
        "remote_src": Argument("bool", "src is a file on the host, or an address it is downloaded from", default=False),
        "copy": Argument("bool", "the older way: copy: false is remote_src: true"),
        "creates": Argument("path", "nothing is unpacked where that is on the host"),
        "decrypt": Argument("bool", "open a src that is encrypted with Ansible Vault", default=True),
        "exclude": Argument("list", "patterns of what is left out", default=[], elements="str"),
        "include": Argument("list", "patterns of what is unpacked, and nothing else", default=[], elements="str"),
        "extra_opts": Argument("list", "options of tar or unzip", default=[], elements="str"),
        "keep_newer": Argument("bool", "leave alone what is newer on the host", default=False),
        "list_files": Argument("bool", "tell the names of what the archive holds", default=False),
        "validate_certs": Argument("bool", "the certificate of a server that src names must be good", default=True),
        **FILE_ARGUMENTS,
    },
    mutually_exclusive=(("include", "exclude"), ("copy", "remote_src")),
    check_mode="full",
    asynchronous="refused",
    refused={
        **REFUSED_FILE_ARGUMENTS,
        "io_buffer_size": "files are not read by opsrunner",
    },
    examples="""
- unarchive: src=/opt/app-1.4.tar.gz dest=/srv remote_src=true
- unarchive:
    src: https://releases.example.com/app-1.4.zip
    dest: /srv/app
    remote_src: true
    creates: /srv/app/VERSION
    owner: app
""",
)

# $1 dest, $2 creates, $3 the archive on the host (empty: it is the input), $4 owner, $5 group,
# $6 yes: keep newer files, $7 yes: check mode, $8 which differences count (a pattern), $9 yes: tell names
_BEGIN = (
    LOOK
    + r"""
LC_ALL=C
export LC_ALL
if [ -n "$2" ] && [ -e "$2" ]; then fact creates yes; exit 0; fi
[ -d "$1" ] || give_up "dest '$1' must be an existing dir"
case $1 in /*) dest=$1 ;; *) dest=$PWD/$1 ;; esac
fact dest "$1"
fact umask "$(umask)"
wanted_ids "$4" "$5"
scratch=$(mktemp -d) || give_up "cannot make a folder to work in"
trap 'rm -rf -- "$scratch"' EXIT
trap 'exit 143' HUP INT TERM
case $3 in '') archive=$scratch/source; cat >"$archive" ;; /*) archive=$3 ;; *) archive=$PWD/$3 ;; esac
[ -e "$archive" ] || give_up "Source '$archive' does not exist"
[ -r "$archive" ] || give_up "Source '$archive' not readable"
[ -s "$archive" ] || give_up "Invalid archive '$archive', the file is 0 bytes"
newer=$6 check=$7 counts=$8 told=$9
kind=$(head -c 4 <"$archive" | od -An -tx1 | tr -d ' \n')
case $kind in
504b*) handler=ZipArchive ;;
1f8b*) handler=TgzArchive ;;
425a*) handler=TarBzipArchive ;;
fd377a58) handler=TarXzArchive ;;
28b52ffd) handler=TarZstdArchive ;;
*) handler=TarArchive ;;
esac
fact handler $handler
list=$scratch/list err=$scratch/err
"""
)

# @OPTIONS@, @EXCLUDES@ and @INCLUDES@ are words of sh.
_TAR = r"""
unpack_tar() {
    tar=tar
    if has gtar; then tar=gtar; fi
    "$tar" --version 2>/dev/null | grep -q GNU || give_up "the host has no GNU tar"
    if [ "$newer" = yes ]; then newer=--keep-newer-files; else newer=; fi
    cd -- "$dest" || give_up "cannot enter $dest"
    "$tar" --list @OPTIONS@ @EXCLUDES@ -f "$archive" @INCLUDES@ >"$list" 2>"$err" ||
        give_up "Unable to list files in the archive: $(cat "$err")"
    [ -s "$list" ] || give_up "found no files in archive. Empty archive files are not supported."
    if [ "$check" = yes ]; then fact unforeseen yes; exit 0; fi
    "$tar" --diff $newer @OPTIONS@ @EXCLUDES@ -f "$archive" @INCLUDES@ >"$scratch/diff" 2>&1
    grep -v ': : Warning: Cannot stat' "$scratch/diff" | grep -Eq "$counts" || return 0
    fact changed yes
    "$tar" --extract $newer @OPTIONS@ @EXCLUDES@ -f "$archive" @INCLUDES@ >"$scratch/out" 2>"$err"
    fact rc "$?"
}
"""

# What is in the archive is compared with what is there by content and permission bits, not by time.
_ZIP = r"""
differs() {
    while IFS= read -r name; do
        ours=$dest/$name theirs=$scratch/tree/$name
        if [ "$newer" = yes ] && [ "$ours" -nt "$theirs" ]; then continue; fi
        case $name in
        */) [ -d "$ours" ] || return 0 ;;
        *) cmp -s -- "$theirs" "$ours" || return 0
            case $counts in *Mode*) [ "$(stat -c %a -- "$ours")" = "$(stat -c %a -- "$theirs")" ] || return 0 ;; esac ;;
        esac
    done <"$list"
    return 1
}
unpack_zip() {
    has unzip || give_up "the host has no unzip"
    unzip -Z1 "$archive" @INCLUDES@ @EXCLUDES@ >"$list" 2>"$err" ||
        give_up "Unable to list files in the archive: $(cat "$err")"
    unzip -qq -o @OPTIONS@ "$archive" @INCLUDES@ @EXCLUDES@ -d "$scratch/tree" >"$scratch/out" 2>"$err" ||
        give_up "failed to unpack $archive: $(cat "$err")"
    differs || return 0
    fact changed yes
    if [ "$check" = yes ]; then return 0; fi
    how=-o
    if [ "$newer" = yes ]; then how=-uo; fi
    unzip $how @OPTIONS@ "$archive" @INCLUDES@ @EXCLUDES@ -d "$dest" >"$scratch/out" 2>"$err"
    fact rc "$?"
}
"""

_END = r"""
case $handler in ZipArchive) unpack_zip ;; *) unpack_tar ;; esac
fact out "$(cat "$scratch/out" 2>/dev/null)"
fact err "$(cat "$err" 2>/dev/null)"
if [ "$told" = yes ]; then fact names "$(sed 's,^/,,' "$list")"; fi
look after "$dest"
:
"""


def run(context: Context) -> Result:
    """Unpack where something differs, in one round trip; then owner, group and mode of what was in it."""
    arguments = context.arguments
    on_the_host = arguments["remote_src"] or arguments["copy"] is False
    if on_the_host and "://" in arguments["src"]:
        return _downloaded(context)
    source, data = "''", b""
    if on_the_host:
        source = expanded_word(arguments["src"])
    elif "://" in arguments["src"]:
        raise ModuleFailure("an address as src needs remote_src: true")
    else:
        data = context.files.read(arguments["src"], folder="files" if arguments["decrypt"] else STILL_ENCRYPTED)
    return _unpacked(context, source, data)


def _unpacked(context: Context, source: str, data: bytes) -> Result:
    arguments = context.arguments
    user, group = names_to_look_up(context)
    attributes = any(arguments[name] is not None for name in ("owner", "group", "mode"))
    words = [expanded_word(arguments["dest"])]
    words.append(expanded_word(arguments["creates"]) if arguments["creates"] else "''")
    flags = [arguments["keep_newer"], context.check]
    words += [source, user, group, *("yes" if flag else "no" for flag in flags), word(_that_count(context))]
    words.append("yes" if arguments["list_files"] or attributes else "no")
    body = _BEGIN + _filled(context, _TAR, zipped=False) + _filled(context, _ZIP, zipped=True) + _END
    told = facts(context, body, words, stdin=data)
    if "creates" in told:
        return {"changed": False, "skipped": True, "msg": f"skipped, since {arguments['creates']} exists"}
    if "unforeseen" in told:
        msg = "remote module (ansible.legacy.unarchive) does not support check mode when using gtar"
        return {"changed": False, "skipped": True, "msg": msg}
    result: Result = {"changed": "changed" in told, "dest": shown(told["dest"]), "src": arguments["src"]}
    result["handler"] = told["handler"]
    if "rc" in told:
        result["extract_results"] = {"rc": int(told["rc"]), "out": shown(told["out"]), "err": shown(told["err"])}
        if told["rc"] != "0":
            raise ModuleFailure(f"failed to unpack {arguments['src']} to {result['dest']}", **result)
    names = told.get("names", "").splitlines()
    if attributes and not context.check:
        result["changed"] |= _set_attributes(context, told, names)
    if arguments["list_files"]:
        result["files"] = [shown(name) for name in names]
    after = entry_of(told, "after")
    return result | (after.result() if after else {})


def _that_count(context: Context) -> str:
    """Which of tar's words for a difference count: not those for what the task sets itself."""
    words = [
        *("Mod time differs", "Warning: Cannot stat: No such file or directory", "Symlink differs"),
        *("Contents differ", "Size differs", "Invalid owner.*", "Invalid group.*"),
    ]
    mine = (("owner", "Uid differs"), ("group", "Gid differs"), ("mode", "Mode differs"))
    words += [text for name, text in mine if context.arguments[name] is None]
    return f": ({'|'.join(words)})$"


def _filled(context: Context, text: str, *, zipped: bool) -> str:
    arguments = context.arguments
    excluded = [pattern.rstrip("/") for pattern in arguments["exclude"]]
    if zipped:
        excludes = ["-x", *excluded] if excluded else []
        options = arguments["extra_opts"]
    else:
        excludes = [f"--exclude={pattern}" for pattern in excluded]
        options = ["--show-transformed-names", *arguments["extra_opts"]] if arguments["extra_opts"] else []
    return (
        text.replace("@OPTIONS@", _joined(options))
        .replace("@EXCLUDES@", _joined(excludes))
        .replace("@INCLUDES@", _joined(arguments["include"]))
    )


def _joined(words: Sequence[str]) -> str:
    return " ".join(map(word, words))


def _set_attributes(context: Context, told: dict[str, str], names: Sequence[str]) -> bool:
    """Owner, group and mode of everything that was in the archive, and of the folders that it lies in."""
    tops = {name.partition("/")[0] for name in names if "/" in name}
    paths = [f"{told['dest'].rstrip('/')}/{name}" for name in sorted({*names, *tops} - {"", "."})]
    wish = wanted(context, told)
    body = LOOK + 'number=0\nwhile IFS= read -r path; do look "$number" "$path"; number=$((number + 1)); done\n:\n'
    listed = "".join(f"{path}\n" for path in paths).encode("utf-8", "surrogateescape")
    found = facts(context, body, stdin=listed)
    entries = [(path, entry_of(found, str(number))) for number, path in enumerate(paths)]
    # The deepest first: a folder that loses its x bit would hide what is below it.
    changes = [attribute_changes(path, entry, wish) for path, entry in reversed(entries) if entry]
    lines = [line for change in changes for line in change.lines]
    if lines:
        # Through the input, as a command line has an end.
        script = "\n".join([*lines, ":"])
        facts(context, LOOK + 'eval "$(cat)"\n', stdin=script.encode("utf-8", "surrogateescape"))
    return bool(lines)


def _downloaded(context: Context) -> Result:
    """The host downloads the archive first; it is gone again when this ends."""
    arguments = context.arguments
    folder = facts(context, 'folder=$(mktemp -d) || give_up "cannot make a folder to work in"\nfact folder "$folder"')[
        "folder"
    ]
    try:
        asked = {"url": arguments["src"], "dest": f"{folder}/source", "validate_certs": arguments["validate_certs"]}
        given = validate("get_url", get_url.SPEC, asked)
        get_url.run(structs.replace(context, arguments=given, check=False))
        return _unpacked(context, word(f"{folder}/source"), b"")
    finally:
        facts(context, 'rm -rf -- "$1"', [word(folder)])
