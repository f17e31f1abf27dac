"""What an account has on disk: its home, and its key for ssh."""

from __future__ import annotations

from collections.abc import Mapping

from opsrunner.ledger.records import Result
from opsrunner.modules.accounts import split
from opsrunner.modules.contract import Context
from opsrunner.modules.posix import expanded_word, facts, shown, word
from opsrunner.modules.programs import SURROUNDINGS

# $1 home, $2 skeleton, $3 umask (empty: the host's), $4 owner
_HOME = r"""
mask=$3 mode=
if [ -z "$mask" ] && [ -r /etc/login.defs ]; then
    while read -r key value rest; do
        case $key in UMASK) mask=$value ;; HOME_MODE) mode=$value ;; esac
    done </etc/login.defs
fi
said=$(mkdir -p -- "$1" 2>&1) || give_up "$said"
if [ -d "$2" ]; then said=$(cp -R -- "$2/." "$1" 2>&1) || give_up "$said"; fi
said=$(chown -R "$4" -- "$1" 2>&1) || give_up "$said"
said=$(chmod "${mode:-$(printf %o $((0777 & ~0${mask:-022})))}" -- "$1" 2>&1) || give_up "$said"
"""

# $1 the key, $2 owner, $3 force, $4 type, $5 bits, $6 comment, $7 check
_KEY = (
    SURROUNDINGS
    + r"""
make_key() {
    folder=${1%/*}
    for file in "$1" "$1.pub"; do
        [ -e "$file" ] || continue
        if [ "$3" != yes ]; then fact kept "$file"; return; fi
        fact overwritten "$file"
    done
    fact made yes
    [ "$7" != yes ] || return 0
    has ssh-keygen || give_up 'Failed to find required executable "ssh-keygen"'
    if [ ! -d "$folder" ]; then
        said=$( (umask 077; mkdir -- "$folder") 2>&1) || give_up "Failed to create $folder: $said"
        said=$(chown "$2" -- "$folder" 2>&1) || give_up "$said"
    fi
    rm -f -- "$1" "$1.pub"
    comment=${6:-ansible-generated on $(uname -n)}
    if [ "$5" -gt 0 ]; then bits="-b $5"; else bits=; fi
    # shellcheck disable=SC2086
    said=$(ssh-keygen -q -t "$4" $bits -C "$comment" -N '' -f "$1" 2>&1 </dev/null) || give_up "$said"
    said=$(chown "$2" -- "$1" "$1.pub" 2>&1) || give_up "$said"
}
make_key "$@"
if [ -r "$1.pub" ]; then fact public "$(cat "$1.pub")"; fi
if said=$(ssh-keygen -l -f "$1" 2>&1); then :; fi
fact fingerprint "$said"
"""
)


def make_parent(context: Context, home: str) -> None:
    """What is above a new home; nothing where it is there."""
    facts(context, 'mkdir -p -- "$(dirname -- "$1")" || give_up "cannot make the folder above $1"', [word(home)])


def _owner(told: Mapping[str, str]) -> str:
    entry = split(told["entry"])
    return f"{entry[2]}:{entry[3]}"


def make_home(context: Context, told: Mapping[str, str]) -> bool:
    """Make a home that is missing and wanted; whether it was."""
    arguments = context.arguments
    if "home_is_there" in told or not arguments["create_home"]:
        return False
    if not context.check:
        skeleton = word(arguments["skeleton"] or "/etc/skel")
        facts(context, _HOME, [word(told["home"]), skeleton, word(arguments["umask"] or ""), _owner(told)])
    return True


def make_key(context: Context, told: Mapping[str, str], result: Result) -> None:
    """A key for ssh where there is none, or by force; ``result`` tells of it."""
    arguments = context.arguments
    path = arguments["ssh_key_file"] or f".ssh/id_{arguments['ssh_key_type']}"
    key = expanded_word(path) if path.startswith(("/", "~", "$")) else word(f"{told['home']}/{path}")
    words = [key, _owner(told), "yes" if arguments["force"] else "no", word(arguments["ssh_key_type"])]
    words += [str(arguments["ssh_key_bits"]), word(arguments["ssh_key_comment"] or "")]
    answer = facts(context, f'fact key "$1"\n{_KEY}', [*words, "yes" if context.check else "no"])
    warnings = result.setdefault("warnings", [])
    if "overwritten" in answer:
        warnings.append(f'Overwriting existing ssh key file "{shown(answer["overwritten"])}"')
    if "kept" in answer:
        kept = shown(answer["kept"])
        warnings.append(f'Found existing ssh key file "{kept}", no force, so skipping ssh-keygen generation')
    if not warnings:
        del result["warnings"]
    result["changed"] |= "made" in answer
    result |= {
        "ssh_fingerprint": shown(answer["fingerprint"]),
        "ssh_key_file": shown(answer["key"]),
        "ssh_public_key": shown(answer.get("public", "")),
    }
