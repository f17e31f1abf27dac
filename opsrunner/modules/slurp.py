"""slurp: the content of a file of the host, as base64."""

from __future__ import annotations

import base64

from opsrunner.ledger.records import Result
from opsrunner.modules.contract import Argument, Context, ModuleFailure, Spec
from opsrunner.modules.posix import expanded_word, facts_and_content, shown

SPEC = Spec(
    summary="Read a file of the host; its content is in the result, as base64",
    arguments={"src": Argument("path", "the file", required=True, aliases=("path",))},
    reads_only=True,
    check_mode="run",
    examples="""
- slurp: src=/proc/mounts
  register: mounts
- debug: msg="{{ mounts.content | b64decode }}"
""",
)

#: Bytes that are read at most of what has no end (a device); less is kept.
_MOST = 64 * 1024 * 1024

_READ = """
fact path "$1"
[ ! -d "$1" ] || give_up "Source is a directory and must be a file: $1"
if [ ! -e "$1" ]; then
    case $(LC_ALL=C ls -d -- "$1" 2>&1) in *"ermission denied"*) give_up "File is not readable: $1" ;; esac
    give_up "File not found: $1"
fi
[ -r "$1" ] || give_up "File is not readable: $1"
content "$1" "$2"
"""


def run(context: Context) -> Result:
    """One round trip; files under /proc, which have no size before they are read, can be read as well."""
    told, data = facts_and_content(context, _READ, [expanded_word(context.arguments["src"]), str(_MOST)])
    path = shown(told["path"])
    if data is None or len(data) >= _MOST:
        raise ModuleFailure(f"{path} is larger than what is kept of a command's output (the output_limit setting)")
    return {"changed": False, "content": base64.b64encode(data).decode(), "source": path, "encoding": "base64"}
