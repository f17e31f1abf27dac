"""uri: talk to a web service from the host, and look at what it answers."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from email.message import Message
from email.utils import formatdate
from typing import Any
from urllib.parse import urlencode, urljoin

from msgspec import structs

from opsrunner.ledger.records import Result
from opsrunner.modules.contract import Argument, Context, ModuleFailure, Spec
from opsrunner.modules.entries import FILE_ARGUMENTS, LOOK, REFUSED_FILE_ARGUMENTS, entry_of
from opsrunner.modules.http_request import (
    CONTENT_LIMIT,
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
from opsrunner.modules.posix import expanded_word, facts, shown

SPEC = Spec(
    summary="Let the host ask a web service, with its curl or GNU wget",
    arguments={
        **REQUEST_ARGUMENTS,
        "ca_path": Argument("path", "file of the host with certificates to trust"),
        "method": Argument("str", "GET, POST, PUT …", default="GET"),
        "body": Argument("raw", "what is sent"),
        "body_format": Argument(
            "str", "how a body that is no text is written", default="raw", choices=("form-urlencoded", "json", "raw")
        ),
        "src": Argument("path", "file whose content is sent", bundled_from="files"),
        "remote_src": Argument("bool", "src is a file on the host", default=False),
        "dest": Argument("path", "where the content is put on the host"),
        "return_content": Argument("bool", "content becomes part of the result", default=False),
        "status_code": Argument("list", "statuses that are no failure", default=[200], elements="int"),
        "follow_redirects": Argument(
            "str",
            "safe: those of GET and HEAD",
            default="safe",
            choices=("all", "no", "none", "safe", "urllib2", "yes"),
        ),
        "timeout": Argument("int", "seconds without a byte until it is given up", default=30),
        "creates": Argument("path", "nothing is sent where that is on the host"),
        "removes": Argument("path", "nothing is sent where that is not on the host"),
        **FILE_ARGUMENTS,
    },
    mutually_exclusive=(("body", "src"),),
    check_mode="skip",
    refused={
        **REFUSED_FILE_ARGUMENTS,
        **REFUSED_REQUEST_ARGUMENTS,
        "unix_socket": "only http and https are spoken: write a command",
    },
    examples="""
- uri:
    url: https://app.example.com/health
    return_content: true
  register: health
  until: health.status == 200
  retries: 10
- uri:
    url: https://app.example.com/users
    method: POST
    body_format: json
    body: {name: ada}
    url_username: admin
    url_password: "{{ password }}"
    status_code: [200, 201]
""",
)

#: What tells how a step went; no server has a say in that, whatever it calls its headers.
_OUTCOME = frozenset(
    ("ansible_facts", "changed", "failed", "failed_when_result", "rc", "results", "skipped", "unreachable", "warnings")
)

_LOOK = (
    LOOK
    + r"""
if [ -n "$1" ] && [ -e "$1" ]; then fact creates yes; fi
if [ -n "$2" ] && [ ! -e "$2" ]; then fact removed yes; fi
if [ -n "$3" ]; then
    fact dest "$3"
    if [ -d "$3" ]; then fact folder yes; else look there "$3" -L; fi
fi
:
"""
)


def run(context: Context) -> Result:
    """One request; a look before it only where the answer depends on the host's files."""
    arguments = context.arguments
    told: Mapping[str, str] = {}
    names = ("creates", "removes", "dest")
    if any(arguments[name] for name in names):
        told = facts(context, _LOOK, [file_word(arguments[name]) or "''" for name in names])
    if "creates" in told:
        return {"changed": False, "stdout": f"skipped, since '{arguments['creates']}' exists"}
    if "removed" in told:
        return {"changed": False, "stdout": f"skipped, since '{arguments['removes']}' does not exist"}
    request = _request(context, told)
    started = context.monotonic()
    response = send(context, request, keep=bool(arguments["dest"]))
    try:
        elapsed = int(context.monotonic() - started)
        result = {**_told(request, response), "elapsed": elapsed, "changed": False}
        if response.status not in arguments["status_code"]:
            _content(context, response, result)
            wanted = list(arguments["status_code"])
            raise _failure(f"Status code was {response.status} and not {wanted}: {response.msg}", result)
        if arguments["dest"]:
            result |= _kept(context, response, told)
        _content(context, response, result)
        return result
    finally:
        forget(context, response)


# ---------------------------------------------------------------------- what is asked
def _request(context: Context, told: Mapping[str, str]) -> Request:
    arguments = context.arguments
    method = arguments["method"].upper()
    if not (method.isascii() and method.isalpha()):
        raise ModuleFailure("Parameter 'method' needs to be a single word in uppercase, like GET or POST.")
    headers = dict(arguments["headers"] or {})
    body = _body(context, headers)
    there = entry_of(told, "there")
    if there and there.is_file and not arguments["force"]:
        headers.setdefault("If-Modified-Since", formatdate(there.modified, usegmt=True))
    if arguments["force"]:
        headers.setdefault("Cache-Control", "no-cache")
    source = expanded_word(arguments["src"]) if arguments["src"] and arguments["remote_src"] else None
    redirects = _redirects(arguments["follow_redirects"], method)
    return Request(arguments["url"], method, headers, body, source, arguments["timeout"], redirects)


def _redirects(rule: str, method: str) -> int:
    if rule in ("no", "none"):
        return 0
    if method in ("GET", "HEAD"):
        return 10
    if rule == "safe":
        return 0
    if method != "POST":
        raise ModuleFailure(f"follow_redirects: {rule} is for GET, HEAD and POST; with {method} it is none or safe")
    return 10


def _body(context: Context, headers: dict[str, Any]) -> bytes | None:
    arguments = context.arguments
    body, form = arguments["body"], arguments["body_format"]
    if arguments["src"]:
        if arguments["remote_src"]:
            return None
        return context.files.read(arguments["src"], folder="files")
    if form != "raw" and "content-type" not in (name.lower() for name in headers):
        kinds = {"json": "application/json", "form-urlencoded": "application/x-www-form-urlencoded"}
        headers["Content-Type"] = kinds[form]
    if form == "json" and not isinstance(body, str):
        return json.dumps(body).encode()
    if form == "form-urlencoded" and isinstance(body, (Mapping, Sequence)) and not isinstance(body, str):
        return _urlencoded(body).encode()
    if body is None:
        return None
    text = body if isinstance(body, str) else json.dumps(body)
    return text.encode("utf-8", "surrogateescape")


def _urlencoded(body: Mapping[str, Any] | Sequence[Any]) -> str:
    pairs = []
    try:
        for key, given in body.items() if isinstance(body, Mapping) else body:
            many = isinstance(given, (Mapping, Sequence)) and not isinstance(given, str)
            pairs += [(str(key), str(value)) for value in (given if many else [given]) if value is not None]
    except (TypeError, ValueError) as error:
        raise ModuleFailure(f"failed to parse body as form_urlencoded: {error}") from None
    return urlencode(pairs, doseq=True)


# ---------------------------------------------------------------------- what came back
def _told(request: Request, response: Response) -> Result:
    """Headers are keys of the result, too: in small letters, with underscores."""
    headers = {name.replace("-", "_"): value for name, value in response.headers.items()}
    result: Result = {name: value for name, value in headers.items() if name not in _OUTCOME}
    url = masked(response.url)
    result |= {"url": url, "status": response.status, "msg": response.msg, "redirected": url != masked(request.url)}
    if 200 <= response.status < 300:
        result["cookies"] = dict(response.cookies)
        result["cookies_string"] = "; ".join(f"{name}={value}" for name, value in response.cookies.items())
    if "location" in result:
        result["location"] = urljoin(masked(request.url), result["location"])
    return result


def _content(context: Context, response: Response, result: Result) -> None:
    """Adds ``content`` and ``json`` where they are wanted. Raises ModuleFailure where that is too much."""
    wanted = context.arguments["return_content"]
    header = Message()
    header["content-type"] = response.headers.get("content-type", "application/octet-stream")
    is_json = header.get_content_subtype().rpartition("+")[2] in ("json", "javascript", "x-json", "x-javascript")
    if response.cut and (wanted or is_json):
        what = f"the answer has {response.size} bytes, {CONTENT_LIMIT} may become part of a result"
        raise _failure(f"{what}: write it to a dest", result)
    try:
        text = response.content.decode(str(header.get_param("charset") or "utf-8"), "replace")
    except LookupError:
        text = response.content.decode("utf-8", "replace")
    if wanted:
        result["content"] = text
    if is_json:
        try:
            result["json"] = json.loads(text)
        except ValueError:
            return


def _failure(msg: str, result: Result) -> ModuleFailure:
    return ModuleFailure(msg, **{name: value for name, value in result.items() if name != "msg"})


def _kept(context: Context, response: Response, told: Mapping[str, str]) -> Result:
    """Put the content where dest says. A status that is no failure always counts as a change, as in Ansible."""
    dest = told["dest"] if "folder" not in told else f"{told['dest'].rstrip('/')}/{file_name(response)}"
    if response.status == 304:
        return {"path": shown(dest)}
    own = {"dest": dest, "force": True, "follow": True, "validate": None, "backup": False}
    placing = structs.replace(context, arguments={**context.arguments, **own})
    source = response.path or ""
    placed = place(placing, Content(b"", None, source=source, remote=source, downloaded=True))
    kept = ("uid", "gid", "owner", "group", "mode", "size", "state")
    return {"changed": True, "path": shown(dest), **{name: placed[name] for name in kept if name in placed}}
