"""tempfile: a new file or directory of a name that nothing had before."""

from __future__ import annotations

from opsrunner.ledger.records import Result
from opsrunner.modules.contract import Argument, Context, ModuleFailure, Spec
from opsrunner.modules.entries import LOOK, entry_of
from opsrunner.modules.posix import expanded_word, facts, shown, word

SPEC = Spec(
    summary="Make an empty file or directory of a new name, open to its owner only",
    arguments={
        "state": Argument("str", "what to make", default="file", choices=("directory", "file")),
        "path": Argument("path", "directory it goes into; without it $TMPDIR, $TEMP, $TMP, /tmp or /var/tmp"),
        "prefix": Argument("str", "how its name begins", default="ansible."),
        "suffix": Argument("str", "how its name ends", default=""),
    },
    check_mode="skip",
    examples="""
- tempfile: state=directory suffix=build
  register: scratch
- file: path="{{ scratch.path }}" state=absent
""",
)

#: Names tried before it is given up.
_TRIES = 100

# $1 directory (empty: the host's own for such things), $2 prefix, $3 suffix, $4 file or directory, $5 tries
_MAKE = (
    LOOK
    + r"""
for folder in "$1" "$TMPDIR" "$TEMP" "$TMP" /tmp /var/tmp /usr/tmp .; do
    [ -n "$folder" ] || continue
    if [ -n "$1" ] || { [ -d "$folder" ] && [ -w "$folder" ] && [ -x "$folder" ]; }; then break; fi
done
[ -d "$folder" ] || give_up "No such directory: $folder"
# As Python makes such paths: whole, but not resolved.
case $folder in /*) ;; .) folder=$PWD ;; *) folder=$PWD/${folder#./} ;; esac
while case $folder in ?*/) ;; *) false ;; esac; do folder=${folder%/}; done
umask 077
number=0
while [ "$number" -lt "$5" ]; do
    random=$(od -An -N6 -tx1 /dev/urandom 2>/dev/null | tr -d ' \n')
    made=${folder%/}/$2${random:-$$.$number}$3
    # Both fail where something stands already, be it a link; so nobody can have put anything in the way.
    if [ "$4" = directory ]; then said=$(mkdir -m 700 -- "$made" 2>&1)
    else said=$( (set -C; : >"$made") 2>&1); fi && { fact made "$made"; look entry "$made"; exit 0; }
    if [ ! -e "$made" ] && [ ! -L "$made" ]; then give_up "cannot make a $4 in $folder: ${said##*: }"; fi
    number=$((number + 1))
done
give_up "no free name in $folder"
"""
)


def run(context: Context) -> Result:
    """One round trip; file and name come into being at once."""
    arguments = context.arguments
    for part in ("prefix", "suffix"):
        if "/" in arguments[part]:
            raise ModuleFailure(f"{part} must be a valid file name component, got {arguments[part]!r}")
    words = [
        expanded_word(arguments["path"]) if arguments["path"] else "''",
        word(arguments["prefix"]),
        word(arguments["suffix"]),
        arguments["state"],
        str(_TRIES),
    ]
    told = facts(context, _MAKE, words)
    entry = entry_of(told, "entry")
    return {"changed": True, "path": shown(told["made"]), **(entry.result() if entry else {})}
