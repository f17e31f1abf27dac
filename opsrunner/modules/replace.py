"""replace: every match of a regular expression in a text file becomes another text."""

from __future__ import annotations

import codecs
import re

from opsrunner.ledger.records import Result
from opsrunner.modules.bounded import bounded
from opsrunner.modules.contract import Argument, Context, ModuleFailure, Spec
from opsrunner.modules.editing import EDITING_ARGUMENTS, Edit, Found, edit
from opsrunner.modules.entries import REFUSED_FILE_ARGUMENTS
from opsrunner.modules.posix import shown

SPEC = Spec(
    summary="Replace every match of a regular expression in a text file",
    arguments={
        "regexp": Argument("regex", "Python regular expression; ^ and $ match at every line", required=True),
        "replace": Argument("str", "what takes its place; \\1 and \\g<name> are its groups", default=""),
        "after": Argument("str", "regular expression: only what comes behind its first match is changed"),
        "before": Argument("str", "regular expression: only what comes before its match is changed"),
        "encoding": Argument("str", "encoding of the file", default="utf-8"),
        **EDITING_ARGUMENTS,
    },
    check_mode="full",
    refused=dict(REFUSED_FILE_ARGUMENTS),
    examples="""
- replace:
    path: /etc/hosts
    regexp: '(\\s+)old\\.example\\.com(\\s+.*)?$'
    replace: '\\1new.example.com\\2'
    backup: true
- replace:
    path: /etc/app.conf
    after: ^\\[cache\\]$
    before: ^\\[
    regexp: '^size=.*$'
    replace: size=64
""",
)


def run(context: Context) -> Result:
    """Read, change, write back; nothing is written where nothing matches."""
    arguments = context.arguments
    section = _section(arguments["after"], arguments["before"])
    encoding = _known(arguments["encoding"])

    def change(file: Found) -> Edit | Result:
        if file.data is None:
            raise ModuleFailure(f"Path {shown(file.path)} does not exist !", rc=257)
        answer = bounded(replaced, file.data, arguments["regexp"], arguments["replace"], section, encoding)
        if answer is None:
            msg = f"Pattern for before/after params did not match the given file: {section}"
            return {"changed": False, "msg": msg, "rc": 0}
        data, count = answer
        return Edit(data, f"{count} replacements made" if count else "", bool(count), encoding)

    result = {**edit(context, change), "rc": 0}
    if "diff" in result:
        # As Ansible has it: of the content, and only where it changes.
        content = result.pop("diff")[0]
        if content.get("before") != content.get("after") or "before" not in content:
            path = content["before_header"].removesuffix(" (content)")
            result["diff"] = content | {"before_header": path, "after_header": path}
    return result


def _known(encoding: str) -> str:
    try:
        return codecs.lookup(encoding).name
    except LookupError as error:
        raise ModuleFailure(str(error)) from None


def _section(after: str | None, before: str | None) -> str | None:
    """The expression whose group ``subsection`` is what may be changed; None for all of it."""
    if after and before:
        return f"{after}(?P<subsection>.*?){before}"
    if after:
        return f"{after}(?P<subsection>.*)"
    return f"(?P<subsection>.*){before}" if before else None


def replaced(
    data: bytes, regexp: str, replacement: str, section: str | None, encoding: str
) -> tuple[bytes, int] | None:
    """New content and the number of replacements, 0 where it stays the same; None without the section.

    Raises ModuleFailure for what is no regular expression, and for an encoding that the file does not have.
    """
    try:
        text = data.decode(encoding, "surrogateescape")
    except UnicodeError as error:
        raise ModuleFailure(f"the file is not encoded as {encoding}: {error}") from None
    start, end = 0, len(text)
    if section:
        match = _compiled(section, re.DOTALL).search(text)
        if match is None:
            return None
        start, end = match.span("subsection")
    try:
        middle, count = _compiled(regexp, re.MULTILINE).subn(replacement, text[start:end])
    except (re.error, IndexError) as error:
        raise ModuleFailure(f"Unable to process replace due to error: {error}") from None
    if middle == text[start:end]:
        return data, 0
    return _encoded(text[:start] + middle + text[end:], encoding), count


def _compiled(regexp: str, flags: re.RegexFlag) -> re.Pattern[str]:
    try:
        return re.compile(regexp, flags)
    except (re.error, RecursionError, OverflowError) as error:
        raise ModuleFailure(f"invalid regular expression {regexp}: {error}") from None


def _encoded(text: str, encoding: str) -> bytes:
    try:
        return text.encode(encoding, "surrogateescape")
    except UnicodeEncodeError as error:
        # Ansible writes question marks instead, also for what did not match.
        raise ModuleFailure(f"cannot encode the result as {encoding}: {error}") from None
