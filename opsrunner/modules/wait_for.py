"""wait_for: wait until a port of some host, seen from the target, or a file of the target is as wanted."""

from __future__ import annotations

import re
from collections.abc import Callable

from msgspec import Struct

from opsrunner.ledger.records import Result
from opsrunner.modules.contract import Argument, Context, ModuleFailure, Spec
from opsrunner.modules.port_probe import PORT_PROBE
from opsrunner.modules.posix import PRELUDE, expanded_word, facts, parse_facts, program, shown, word

SPEC = Spec(
    summary="Wait for a port to open or close, a file to come or go, or a text to appear",
    arguments={
        "host": Argument("str", "whose port, as the target sees it", default="127.0.0.1"),
        "port": Argument("int", "TCP port"),
        "path": Argument("path", "file on the target"),
        "state": Argument(
            "str",
            "started or present: there; stopped or absent: gone",
            default="started",
            choices=("absent", "present", "started", "stopped"),
        ),
        "search_regex": Argument("str", "Python regular expression to find in the file or in what the port sends"),
        "timeout": Argument("int", "seconds until it fails", default=300),
        "delay": Argument("int", "seconds before the first look", default=0),
        "sleep": Argument("int", "seconds between two looks", default=1),
        "connect_timeout": Argument("int", "seconds for one attempt to connect", default=5),
        "msg": Argument("str", "message when it fails"),
    },
    mutually_exclusive=(("port", "path"),),
    reads_only=True,
    check_mode="skip",
    refused={
        "active_connection_states": "it belongs to state: drained, which is not supported",
        "exclude_hosts": "it belongs to state: drained, which is not supported",
    },
    examples="""
- wait_for: port=8080 delay=5
- wait_for:
    path: /var/log/app.log
    search_regex: "ready in (\\\\d+) ms"
    timeout: 60
- wait_for: host=db1 port=5432 state=stopped
""",
)

#: Seconds after which a file is searched again even where its stat tells of no change: some hosts
#: count times in whole seconds, and two writes may fall into one.
_SEARCH_AGAIN = 10

# $1 milliseconds left, $2 seconds between looks; defines left: succeeds while there is time.
_CLOCK = r"""
clock() {
    if [ -r /proc/uptime ]; then
        read -r up rest </proc/uptime
        now=${up%.*}${up#*.}0
    else
        now=$(date +%s)000
    fi
}
clock
deadline=$((now + $1))
pause=$2
left() { clock; [ "$now" -lt "$deadline" ]; }
first=yes
again() {
    if [ "$first" = yes ]; then first=no; return 0; fi
    left || return 1
    sleep "$pause"
    left
}
"""

# $3 path, $4 there or gone
_WAIT_PATH = r"""
while again; do
    if [ "$4" = there ]; then
        if [ -e "$3" ]; then fact met yes; exit 0; fi
    elif [ ! -e "$3" ]; then fact met yes; exit 0; fi
done
fact path "$3"
"""

# $3 path, $4 what its stat said at the last look
_WAIT_CHANGE = r"""
while again; do
    said=$(stat -L -c '%i %s %y %z' -- "$3" 2>/dev/null) || said=
    if [ -n "$said" ] && [ "$said" != "$4" ]; then break; fi
done
fact said "$said"
fact path "$3"
"""

# $3 host, $4 port, $5 connect timeout, $6 there or gone
_WAIT_PORT = r"""
while again; do
    if connected "$3" "$4" "$5"; then reached=there; else reached=gone; fi
    if [ $reached = "$6" ]; then fact met yes; exit 0; fi
done
:
"""

# $3 host, $4 port, $5 connect timeout, $6 seconds of silence that end an answer
_WAIT_ANSWER = r"""
scratch=$(mktemp) || give_up "cannot create a scratch file for what the port sends"
trap 'rm -f -- "$scratch"' EXIT
while again; do
    received "$3" "$4" "$5" "$6" >"$scratch"
    if [ -s "$scratch" ]; then break; fi
done
printf 'data\0'
cat "$scratch"
"""


class _Wait(Struct):
    """One wait, with the clock that all its rounds share."""

    context: Context
    start: float

    def elapsed(self) -> float:
        return self.context.monotonic() - self.start

    def remaining(self) -> float:
        return max(0.0, float(self.context.arguments["timeout"]) - self.elapsed())

    def clock_words(self, seconds: float) -> list[str]:
        return [str(int(seconds * 1000)), str(max(0, self.context.arguments["sleep"]))]


def run(context: Context) -> Result:
    """Loop on the host itself; only a text to be found is looked for here, by Python's rules."""
    arguments = context.arguments
    wait = _Wait(context, context.monotonic())
    pattern = _compiled(arguments["search_regex"])
    if arguments["path"] and arguments["state"] == "stopped":
        raise ModuleFailure("state=stopped should only be used for checking a port in the wait_for module", elapsed=0)
    context.sleep(max(0, arguments["delay"]))
    match: re.Match[bytes] | None = None
    if not arguments["port"] and not arguments["path"]:
        context.sleep(max(0, arguments["timeout"]))
    elif arguments["state"] in ("absent", "stopped") or pattern is None:
        _wait_plainly(wait)
    else:
        match = _search(wait, pattern, _file_content(wait) if arguments["path"] else _answer(wait))
    return {
        "changed": False,
        "elapsed": int(wait.elapsed()),
        "state": arguments["state"],
        "port": arguments["port"],
        "path": arguments["path"],
        "search_regex": arguments["search_regex"],
        "match_groups": [_text(group) for group in match.groups()] if match else [],
        "match_groupdict": {key: _text(group) for key, group in match.groupdict().items()} if match else {},
    }


def _compiled(regex: str | None) -> re.Pattern[bytes] | None:
    if regex is None:
        return None
    try:
        return re.compile(regex.encode("utf-8", "surrogateescape"), re.MULTILINE)
    except re.error as error:
        raise ModuleFailure(f"Invalid regular expression: {error}") from None


def _text(group: bytes | None) -> str | None:
    return None if group is None else group.decode("utf-8", "replace")


def _wait_plainly(wait: _Wait) -> None:
    arguments = wait.context.arguments
    wanted = "gone" if arguments["state"] in ("absent", "stopped") else "there"
    words = wait.clock_words(wait.remaining())
    if arguments["path"]:
        told = facts(wait.context, _CLOCK + _WAIT_PATH, [*words, expanded_word(arguments["path"]), wanted])
    else:
        told = facts(wait.context, _CLOCK + PORT_PROBE + _WAIT_PORT, [*words, *_address(wait), wanted])
    if "met" not in told:
        _fail(wait, wanted, shown(told.get("path", "")))


def _address(wait: _Wait) -> list[str]:
    arguments = wait.context.arguments
    return [word(arguments["host"]), str(arguments["port"]), str(max(1, arguments["connect_timeout"]))]


def _fail(wait: _Wait, wanted: str, path: str | None = None) -> None:
    """Raise with Ansible's message for what did not happen in time."""
    arguments = wait.context.arguments
    regex = arguments["search_regex"]
    where = path or arguments["path"] or f"{arguments['host']}:{arguments['port']}"
    if wanted == "gone":
        text = f"{where} to be absent" if arguments["path"] else f"{where} to stop"
    elif regex is not None:
        text = f"search string {regex} in {where}"
    else:
        text = f"file {where}" if arguments["path"] else where
    end = "." if wanted == "gone" else ""
    raise ModuleFailure(arguments["msg"] or f"Timeout when waiting for {text}{end}", elapsed=int(wait.elapsed()))


def _search(wait: _Wait, pattern: re.Pattern[bytes], content: Callable[[], bytes]) -> re.Match[bytes]:
    while True:
        match = pattern.search(content())
        if match:
            return match
        if wait.remaining() <= 0:
            _fail(wait, "there")
        wait.context.sleep(min(wait.remaining(), max(0.1, wait.context.arguments["sleep"])))


def _file_content(wait: _Wait) -> Callable[[], bytes]:
    """Gives the file's content each time that it may have changed; nothing when it cannot be read."""
    context = wait.context
    seen = ""

    def content() -> bytes:
        nonlocal seen
        words = wait.clock_words(min(wait.remaining(), _SEARCH_AGAIN))
        told = facts(context, _CLOCK + _WAIT_CHANGE, [*words, expanded_word(context.arguments["path"]), word(seen)])
        seen = told["said"]
        if not seen:
            return b""
        try:
            return context.remote.get(told["path"], become=context.become, timeout=context.timeout)
        except OSError:
            return b""

    return content


def _answer(wait: _Wait) -> Callable[[], bytes]:
    """Gives what the port sends after connecting, up to a silence that grows from round to round."""
    context = wait.context
    silence = 1

    def content() -> bytes:
        nonlocal silence
        words = [*wait.clock_words(wait.remaining()), *_address(wait), str(silence)]
        silence = min(2 * silence, 60)
        completed = context.exec(program(PRELUDE + _CLOCK + PORT_PROBE + _WAIT_ANSWER, words))
        head, _, data = completed.stdout.partition(b"data\0")
        told = parse_facts(head)
        if "failed" in told:
            raise ModuleFailure(told["failed"], elapsed=int(wait.elapsed()))
        return data

    return content
