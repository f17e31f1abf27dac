"""How a step's result stands in Redis: JSON, and beside it what a host printed at length, compressed by itself.

Who counts, folds or passes a result on needs none of its megabytes; who prints them takes one host's at a time.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from opsrunner.ledger.compressing import LONG, compressed, opened
from opsrunner.ledger.encoding import COMPRESS_FROM, DAMAGE, damaged
from opsrunner.ledger.records import Result, as_variable

STREAMS = ("stdout", "stderr")
#: Opened streams that stay at hand: many hosts print the same.
AT_HAND = 2

#: Bytes of the JSON and of each stream, 0 for one that stands in the JSON.
_SIZES = struct.Struct(">III")
# json.dumps makes an encoder for every call with arguments of its own.
_JSON = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, default=str)
_DECODER = json.JSONDecoder()
_LINES = tuple((stream, f"{stream}_lines") for stream in STREAMS)


class StoredResult(Mapping[str, Any]):
    """A result with long streams as its readers get it: they are opened each time that somebody asks for one.

    So thousands of results may be kept. ``dict(result)`` is what was encoded. A stream that cannot be opened raises
    LedgerDamaged.
    """

    __slots__ = ("_streams", "rest")

    def __init__(self, rest: Result, streams: Mapping[str, bytes]) -> None:
        #: Every key, with nothing in place of the streams.
        self.rest = rest
        self._streams = streams

    def __getitem__(self, key: str) -> Any:
        if key in self._streams:
            return _opened(self._streams[key])
        if (stream := key.removesuffix("_lines")) != key and stream in self._streams:
            return _opened(self._streams[stream]).splitlines()
        return self.rest[key]

    def __contains__(self, key: object) -> bool:
        return key in self.rest

    def as_variable(self) -> StoredResult:
        """As later steps see it."""
        return StoredResult(as_variable(self.rest), self._streams)

    def __iter__(self) -> Iterator[str]:
        return iter(self.rest)

    def __len__(self) -> int:
        return len(self.rest)


def encode_result(result: Mapping[str, Any]) -> bytes:
    """JSON, and long streams. Lists of lines are left out: they follow from the text."""
    long = [name for name in STREAMS if isinstance(text := result.get(name), str) and len(text) >= LONG]
    if not long:
        return _encode_json(result)
    rest = _encode_json({**result, **dict.fromkeys(long, "")})
    streams = [compressed(result[name]) if name in long else b"" for name in STREAMS]
    return b"".join((b"l", _SIZES.pack(len(rest), *map(len, streams)), rest, *streams))


def read_result(data: bytes) -> Mapping[str, Any]:
    """What :func:`encode_result` was given, for who looks at some of it. Raises LedgerDamaged."""
    try:  # a context manager would cost as much as the rest
        if data[:1] != b"l":
            return _decode_json(data)
        size, *sizes = _SIZES.unpack_from(data, 1)
        at = 1 + _SIZES.size
        rest = _decode_json(data[at : (at := at + size)])
        streams = {name: data[at : (at := at + size)] for name, size in zip(STREAMS, sizes, strict=True) if size}
        if at != len(data) or not streams.keys() <= rest.keys():
            raise ValueError("its streams are cut")
        return StoredResult(rest, streams)
    except (*DAMAGE, struct.error) as error:
        raise damaged("a result", error) from None


def decode_result(data: bytes) -> Result:
    """All of it. Raises LedgerDamaged."""
    return dict(read_result(data))


def read_variable(data: bytes) -> Mapping[str, Any]:
    """The same as later steps see it that look at some of it. Raises LedgerDamaged."""
    found = read_result(data)
    return found.as_variable() if isinstance(found, StoredResult) else as_variable(dict(found))


def is_long(value: Any) -> bool:
    """Whether it is a result with a long stream."""
    if not isinstance(value, Mapping):
        return False
    return any(isinstance(text := value.get(name), str) and len(text) >= LONG for name in STREAMS)


def _encode_json(result: Mapping[str, Any]) -> bytes:
    data = _JSON.encode(_without_lines(result)).encode("utf-8", errors="surrogatepass")
    return b"z" + zlib.compress(data, 1) if len(data) >= COMPRESS_FROM else b"j" + data


def _decode_json(data: bytes) -> Result:
    text = zlib.decompress(data[1:]) if data[:1] == b"z" else data[1:]
    result = _DECODER.decode(text.decode("utf-8", errors="surrogatepass"))
    if not isinstance(result, dict):
        raise TypeError("it is no mapping")
    return _with_lines(result)


@lru_cache(maxsize=AT_HAND)
def _opened(stream: bytes) -> str:
    try:
        return opened(stream)
    except DAMAGE as error:
        raise damaged("a result", error) from None


def _without_lines(result: Mapping[str, Any]) -> dict[str, Any]:
    kept = dict(result)
    for stream, lines in _LINES:
        if isinstance(result.get(stream), str):
            kept.pop(lines, None)
    items = kept.get("results")
    if isinstance(items, list):
        kept["results"] = [_without_lines(item) if isinstance(item, dict) else item for item in items]
    return kept


def _with_lines(result: Result) -> Result:
    for stream, lines in _LINES:
        if isinstance(text := result.get(stream), str):
            result[lines] = text.splitlines()
    items = result.get("results")
    if isinstance(items, list):
        for item in items:
            if isinstance(item, dict):
                _with_lines(item)
    return result
