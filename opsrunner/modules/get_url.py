"""get_url: a file from a web server, put on the host by the host itself."""

from __future__ import annotations

import re
from collections.abc import Mapping
from email.utils import formatdate
from typing import Any
from urllib.parse import urlsplit

from msgspec import structs

from opsrunner.ledger.records import Result
from opsrunner.modules.contract import Argument, Context, ModuleFailure, Spec
from opsrunner.modules.entries import FILE_ARGUMENTS, LOOK, REFUSED_FILE_ARGUMENTS, entry_of
from opsrunner.modules.http_request import (
    REFUSED_REQUEST_ARGUMENTS,
    REQUEST_ARGUMENTS,
    Request,
    Response,
    file_name,
    file_word,
    forget,
    masked,
    send,
)
from opsrunner.modules.placing import Content, place
from opsrunner.modules.posix import expanded_word, facts, shown, word
from opsrunner.modules.sums import ALGORITHMS, SUM

SPEC = Spec(
    summary="Let the host download a file, with its curl or GNU wget",
    arguments={
        **REQUEST_ARGUMENTS,
        "url_username": Argument("str", "user of the server; sent at once (basic)", aliases=("username",)),
        "headers": Argument("dict", "headers of the request"),
        "dest": Argument("path", "where to put it; in a directory it goes by the server's name for it", required=True),
        "checksum": Argument(
            "str", "ALGORITHM:SUM that it must have; the sum may be the address of a list of sums", default=""
        ),
        "timeout": Argument("int", "seconds without a byte until it is given up", default=10),
        "tmp_dest": Argument("path", "directory of the host that it is downloaded to first"),
        "backup": Argument("bool", "keep a copy of what it replaces", default=False),
        **FILE_ARGUMENTS,
    },
    check_mode="full",
    refused={**REFUSED_FILE_ARGUMENTS, **REFUSED_REQUEST_ARGUMENTS},
    examples="""
- get_url:
    url: https://releases.example.com/app-1.4.tar.gz
    dest: /opt/app.tar.gz
    checksum: sha256:https://releases.example.com/SHA256SUMS
    mode: "0644"
- get_url: url=https://example.com/motd dest=/etc/motd force=true
""",
)

# $1 dest, $2 a sum to make of it (empty: none), $3 tmp_dest
_LOOK = (
    LOOK
    + SUM
    + r"""
fact dest "$1"
if [ -n "$3" ] && [ ! -d "$3" ]; then
    [ ! -e "$3" ] || give_up "$3 is a file but should be a directory."
    give_up "$3 directory does not exist."
fi
if [ -d "$1" ]; then fact folder yes
elif look there "$1" -L; then
    [ -z "$2" ] || fact sum "$(sum_of "$2" "$1")"
    fact sha1 "$(sum_of 1 "$1")"
else
    case $1 in */*) parent=${1%/*} ;; *) parent=. ;; esac
    [ -d "${parent:=/}" ] || give_up "Destination $parent does not exist"
fi
"""
)


def run(context: Context) -> Result:
    """Ask only for what the host has not: by the checksum, else by the time of its file."""
    arguments = context.arguments
    told, algorithm, wanted = _look(context)
    there = entry_of(told, "there")
    result: Result = {"url": masked(arguments["url"]), "dest": shown(told["dest"]), "elapsed": 0}
    result |= {"checksum_src": None, "checksum_dest": told.get("sha1")}
    headers = dict(arguments["headers"] or {})
    force = arguments["force"]
    if there and wanted and not force:
        if told["sum"] == wanted:
            return _kept(context, told, result)
        force = True
    if force:
        headers.setdefault("Cache-Control", "no-cache")
    elif there:
        headers.setdefault("If-Modified-Since", formatdate(there.modified, usegmt=True))
    response = _fetch(context, arguments["url"], headers, result, method="HEAD" if context.check else "GET")
    try:
        result |= {"msg": response.msg, "status_code": response.status}
        if response.status == 304:
            return result | {"changed": False}
        dest = told["dest"] if "folder" not in told else f"{told['dest'].rstrip('/')}/{file_name(response)}"
        result["dest"] = shown(dest)
        if context.check:
            return result | {"changed": True}
        return _placed(context, response, dest, algorithm, wanted, result)
    finally:
        forget(context, response)


def _look(context: Context) -> tuple[dict[str, str], str, str]:
    """What the host has; the algorithm by sum_of's name for it, and the sum that is wanted (empty: any)."""
    arguments = context.arguments
    algorithm, wanted = _checksum(arguments["checksum"] or "")
    scratch = file_word(arguments["tmp_dest"]) or "''"
    told = facts(context, _LOOK, [expanded_word(arguments["dest"]), algorithm or "''", scratch])
    if urlsplit(wanted).scheme in ("http", "https"):
        wanted = _listed(context, wanted)
    wanted = re.sub(r"\W+", "", wanted).lower()
    if algorithm and not re.fullmatch("[0-9a-f]+", wanted):
        raise ModuleFailure("The checksum format is invalid", dest=shown(told["dest"]))
    return told, algorithm, wanted


def _checksum(text: str) -> tuple[str, str]:
    if not text:
        return "", ""
    name, colon, wanted = text.partition(":")
    if not colon:
        raise ModuleFailure("The checksum parameter has to be in format <algorithm>:<checksum>")
    if name not in ALGORITHMS:
        raise ModuleFailure(f"no checksum {name!r}: there are {', '.join(ALGORITHMS)}")
    return ALGORITHMS[name], wanted


def _listed(context: Context, url: str) -> str:
    """The sum that a list of sums has for the file; the list may also be one sum and nothing else."""
    response = _fetch(context, url, context.arguments["headers"] or {}, {}, keep=False)
    lines = response.content.decode("utf-8", "replace").splitlines()
    if len(lines) == 1 and len(lines[0].split()) == 1:
        return lines[0]
    name = urlsplit(context.arguments["url"]).path.rpartition("/")[2]
    for line in lines:
        bsd = re.match(r"\w+ ?\((?P<path>.+)\) ?= (?P<sum>[\w.]+)$", line)
        found = bsd or re.match(r"(?P<sum>[\w.]+)\s+(\*|\./|\.)?(?P<path>.+)$", line)
        if found and found["path"].lstrip("./") == name:
            return found["sum"]
    raise ModuleFailure(f"Unable to find a checksum for file '{name}' in '{masked(url)}'")


def _fetch(
    context: Context, url: str, headers: Mapping[str, Any], result: Result, *, method: str = "GET", keep: bool = True
) -> Response:
    """Raises ModuleFailure for any answer but the content, or that there is nothing newer."""
    arguments = context.arguments
    started = context.monotonic()
    request = Request(url, method, headers, timeout=arguments["timeout"])
    response = send(context, request, keep=keep, folder=file_word(arguments["tmp_dest"]))
    elapsed = int(context.monotonic() - started)
    if response.status in (200, 304):
        result["elapsed"] = elapsed
        return response
    forget(context, response)
    told = {"url": masked(url), "dest": result.get("dest"), "elapsed": elapsed}
    if response.status == -1:
        raise ModuleFailure(response.msg, **told)
    raise ModuleFailure("Request failed", status_code=response.status, response=response.msg, **told)


def _placed(context: Context, response: Response, dest: str, algorithm: str, wanted: str, result: Result) -> Result:
    source = response.path or ""
    told = facts(context, SUM + 'fact sum "$(sum_of "$2" "$1")"\n', [word(source), algorithm or "1"])
    if wanted and told["sum"] != wanted:
        del result["msg"]
        msg = f"The checksum for {masked(response.url)} did not match {wanted}; it was {told['sum']}."
        raise ModuleFailure(msg, **result)
    placed = place(_placing(context, dest), Content(b"", None, source=source, remote=source, downloaded=True))
    checksum = placed.pop("checksum")
    return {**placed, **result, "checksum_src": checksum, "changed": placed["changed"]}


def _kept(context: Context, told: Mapping[str, str], result: Result) -> Result:
    """The file that is wanted is there: owner, group and mode are all that may change."""
    placed = place(_placing(context, told["dest"]), Content(b"", None, remote=told["dest"], downloaded=True))
    msg = "file already exists but file attributes changed" if placed["changed"] else "file already exists"
    return {**placed, **result, "changed": placed["changed"], "msg": msg}


def _placing(context: Context, dest: str) -> Context:
    # Another file is replaced whatever ``force`` says: that asks for a download here.
    own = {"dest": dest, "force": True, "follow": True, "validate": None}
    return structs.replace(context, arguments={**context.arguments, **own})
