"""Which files of the host hold a match of a regular expression (``find: contains``)."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence

from opsrunner.modules.bounded import bounded
from opsrunner.modules.contract import Context, ModuleFailure
from opsrunner.modules.editing import EDIT_LIMIT
from opsrunner.modules.posix import facts_and_content, shown, word
from opsrunner.modules.searching import Seen

#: Bytes and files that are read in one round trip.
_BATCH_BYTES = 512 * 1024
_BATCH_FILES = 100

# Pairs of path and size: exactly so many bytes of each file, filled up where it has become shorter. A byte
# before them tells whether it could be read.
_READ = r"""
begin_content
while [ $# -gt 0 ]; do
    if [ -r "$1" ]; then printf y; else printf n; fi
    { cat -- "$1" 2>/dev/null; head -c "$2" /dev/zero; } | head -c "$2"
    shift 2
done
:
"""


def holding(context: Context, files: Sequence[Seen], limit: int | None) -> tuple[list[Seen], str | None]:
    """The files that hold a match, no more than ``limit``, and why the search stopped before its end.

    Raises ModuleFailure for a file that is too large to be looked through.
    """
    arguments = context.arguments
    found: list[Seen] = []
    for batch in _batches(files):
        contents = _read(context, batch)
        answers = bounded(
            matches, contents, arguments["contains"], arguments["read_whole_file"], arguments["encoding"] or "utf-8"
        )
        for seen, answer in zip(batch, answers, strict=False):
            if isinstance(answer, str):
                return found, answer.format(path=shown(seen.path), encoding=_encoding(arguments["encoding"]))
            if answer:
                found.append(seen)
            if len(found) == limit:
                return found, None
    return found, None


def _encoding(given: str | None) -> str:
    return given or 'None (default determined by the Python built-in function "open")'


def _batches(files: Sequence[Seen]) -> Iterator[list[Seen]]:
    batch: list[Seen] = []
    size = 0
    for seen in files:
        if batch and (size + seen.size > _BATCH_BYTES or len(batch) == _BATCH_FILES):
            yield batch
            batch, size = [], 0
        batch.append(seen)
        size += seen.size
    if batch:
        yield batch


def _read(context: Context, batch: Sequence[Seen]) -> list[bytes | None]:
    """Contents; None of a file that cannot be read."""
    words = []
    for seen in batch:
        if seen.size > EDIT_LIMIT:
            raise ModuleFailure(
                f"{shown(seen.path)} has {seen.size} bytes, more than the {EDIT_LIMIT} that can be looked through;"
                f" leave it out, for example with size: -{EDIT_LIMIT // 1024**2}m"
            )
        words += [word(seen.path if seen.path.startswith("/") else f"./{seen.path}"), str(seen.size)]
    data = None
    if sum(seen.size for seen in batch) <= _BATCH_BYTES:
        _, data = facts_and_content(context, _READ, words)
    if data is None:
        return [_fetched(context, seen.path) for seen in batch]
    stream = io.BytesIO(data)
    frames = [(stream.read(1), stream.read(seen.size)) for seen in batch]
    return [content if readable == b"y" else None for readable, content in frames]


def _fetched(context: Context, path: str) -> bytes | None:
    try:
        return context.remote.get(path, become=context.become, timeout=context.timeout)
    except OSError:
        return None


def matches(contents: Sequence[bytes | None], regex: str, whole: bool, encoding: str) -> list[bool | str]:
    """Whether each of the contents matches: at the beginning of a line, or anywhere in the whole of it.

    A text in its place, the last one, says why a file is no text in that encoding.
    """
    try:
        pattern = re.compile(regex)
        "".encode(encoding)
    except re.error as error:
        raise ModuleFailure(f"invalid regular expression {regex}: {error}") from None
    except LookupError as error:
        return [str(error).replace("{", "{{").replace("}", "}}")]
    answers: list[bool | str] = []
    for content in contents:
        if content is None:
            answers.append(False)
            continue
        lines = io.TextIOWrapper(io.BytesIO(content), encoding=encoding)
        try:
            if whole:
                answers.append(pattern.search(lines.read()) is not None)
            else:
                answers.append(any(pattern.match(line) for line in lines))
        except UnicodeDecodeError:
            return [*answers, "Failed to read the file {path} due to an encoding error. current encoding: {encoding}"]
    return answers
