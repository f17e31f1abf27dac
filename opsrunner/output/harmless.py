"""Text from hosts, made harmless for the operator's terminal and log files."""

from __future__ import annotations

import re

#: What must not reach a terminal as it is: C0 and C1 controls but tab and newline, delete, lone
#: surrogates, and the marks that turn the direction of writing or hide (they forge what is read).
_HARMFUL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb\ud800-\udfff]"
)

#: Those of ASCII, for a look that takes a sixth of the time.
_CONTROLS = bytes(code for code in range(128) if _HARMFUL.match(chr(code)))

#: Characters of one line that are worth reading in a summary.
LINE_LIMIT = 1000


def harmless(text: str) -> str:
    r"""``text`` with control characters shown as escapes (``\x1b``); tabs and newlines stay.

    The carriage return before a newline is dropped: that is how a pty ends a line.
    """
    if text.isascii() and len(text.encode().translate(None, _CONTROLS)) == len(text):
        return text
    if "\r" in text:
        text = text.replace("\r\n", "\n")
    return _HARMFUL.sub(_escaped, text)


def harmless_line(text: str) -> str:
    """As :func:`harmless`, and newlines are shown as escapes too: the answer is one line."""
    return harmless(text).replace("\n", "\\n")


def lines_of(text: str) -> list[str]:
    """Lines of a host's text, without the empty one after its last newline.

    Cut at newlines only: ``str.splitlines`` would cut at form feeds and the like, too.
    """
    text = text.replace("\r\n", "\n")
    return text.removesuffix("\n").split("\n") if text else []


def tail(text: str, count: int) -> list[str]:
    """The last ``count`` lines, each cut to :data:`LINE_LIMIT`, led by a note on what is left out."""
    # Only the end is looked at: the text may be many megabytes.
    cut = text.rstrip()
    start = len(cut)
    for _ in range(count):
        start = cut.rfind("\n", 0, start)
        if start < 0:
            break
    left_out = cut.count("\n", 0, start) + 1 if start > 0 else 0
    shown = [shortened(line) for line in lines_of(cut[start + 1 :])]
    return [f"[{left_out} more lines above]", *shown] if left_out else shown


def shortened(line: str, limit: int = LINE_LIMIT) -> str:
    """The line, or its beginning and how much more there is."""
    return line if len(line) <= limit else f"{line[:limit]}… ({len(line) - limit} more characters)"


def encodable(text: str, encoding: str | None) -> str:
    """``text`` with what ``encoding`` cannot write shown as escapes, so that printing never fails.

    None stands for a stream that takes any text.
    """
    if text.isascii():
        return text
    name = encoding or "utf-8"
    return text.encode(name, "backslashreplace").decode(name)


def _escaped(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code == 13:
        return "\\r"
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"
