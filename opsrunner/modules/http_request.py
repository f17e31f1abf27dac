"""One HTTP request, sent by the host itself with its curl or its wget.

What is asked goes to the host by standard input and lies there in files that only the step's user
can read, so that no password, header or address is ever seen in a list of processes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from http import HTTPStatus
from urllib.parse import urljoin, urlsplit

from msgspec import Struct, field

from opsrunner.modules.contract import Argument, Context, ModuleFailure
from opsrunner.modules.posix import expanded_word, facts, facts_and_content, shown, word

#: Bytes of an answer that may become part of a result.
CONTENT_LIMIT = 1024 * 1024

REQUEST_ARGUMENTS: dict[str, Argument] = {
    "url": Argument("str", "address, http or https", required=True),
    "url_username": Argument("str", "user of the server; sent at once (basic)", aliases=("user",)),
    "url_password": Argument("str", "password of that user", aliases=("password",)),
    "headers": Argument("dict", "headers of the request", default={}),
    "http_agent": Argument("str", "what it calls itself", default="ansible-httpget"),
    "force": Argument("bool", "ask for it even where the host has it already", default=False),
    "force_basic_auth": Argument("bool", "accepted: user and password are always sent at once", default=False),
    "use_proxy": Argument("bool", "use the proxy that the environment names", default=True),
    "use_netrc": Argument("bool", "take user and password from the host's .netrc", default=True),
    "validate_certs": Argument("bool", "the server's certificate must be good", default=True),
    "client_cert": Argument("path", "file of the host with a certificate to show"),
    "client_key": Argument("path", "file of the host with its key"),
}

REFUSED_REQUEST_ARGUMENTS: dict[str, str] = {
    "use_gssapi": "only user and password are sent",
    "ciphers": "the host's curl decides",
    "decompress": "content is asked for as it is",
    "unredirected_headers": "headers go wherever the request goes",
}

# $1 bytes of the configuration for curl, $2 of that for wget; what is left of the input is the body.
# $3 yes: there is a body, $4 method, $5 folder for the answer (empty: the host's own for such things),
# $6 a file of the host to send, $7 yes: keep the answer, $8 bytes of it to tell
_SEND = r"""
PATH=$PATH:/usr/local/bin
LC_ALL=C
export PATH LC_ALL
umask 077
folder=$(mktemp -d ${5:+"$5/.opsrunner.XXXXXX"} 2>&1) || give_up "cannot make a folder for the answer: $folder"
trap 'rm -rf -- "$folder"' EXIT
trap 'exit 143' HUP INT TERM
cat >"$folder/input"
head -c "$1" <"$folder/input" >"$folder/curl"
tail -c "+$(($1 + 1))" <"$folder/input" | head -c "$2" >"$folder/wget"
tail -c "+$(($1 + $2 + 1))" <"$folder/input" >"$folder/body"
rm -f -- "$folder/input"
if [ -n "$6" ]; then cat -- "$6" >"$folder/body" || give_up "Unable to open source file $6"; fi
: >"$folder/content"
sent=; [ "$3" != yes ] || sent=$folder/body
if has curl; then
    curl -q -sS -K "$folder/curl" ${sent:+--data-binary "@$sent"} -D "$folder/head" \
        -o "$folder/content" 2>"$folder/said"
    code=$?
elif has wget && wget --version 2>/dev/null | grep -q '^GNU Wget'; then
    sed -n 's/^#url //p' "$folder/wget" >"$folder/url"
    wget --config="$folder/wget" ${sent:+--body-file="$sent"} --method="$4" -S --content-on-error -i "$folder/url" \
        -O "$folder/content" 2>"$folder/log"
    code=$?
    sed -n 's/^  //p' "$folder/log" >"$folder/head"
    grep -v '^ ' "$folder/log" | tail -n 3 >"$folder/said"
    [ "$code" != 8 ] || code=0
else give_up "the host has neither curl nor GNU wget"
fi
fact code "$code"
fact said "$(cat "$folder/said" 2>/dev/null)"
fact head "$(cat "$folder/head" 2>/dev/null)"
size=$(wc -c <"$folder/content")
fact size "$((size))"
if [ "$7" = yes ]; then fact kept "$folder/content"; trap - EXIT; fi
begin_content
head -c "$8" <"$folder/content"
"""


class Request(Struct, frozen=True):
    """What is asked. ``redirects``: how many are followed."""

    url: str
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    #: A file of the host that is sent instead of a body, as a word of sh.
    source: str | None = None
    timeout: int = 30
    redirects: int = 10


class Response(Struct, frozen=True):
    """What came back: ``status`` is -1 where nothing did, and ``msg`` says why."""

    url: str
    status: int
    msg: str
    #: Names in small letters; of several of one name all, with commas between.
    headers: Mapping[str, str]
    cookies: Mapping[str, str]
    size: int
    content: bytes
    #: Where the host keeps the content, when it was asked to.
    path: str | None = None

    @property
    def cut(self) -> bool:
        return self.size > len(self.content)


def send(context: Context, request: Request, *, keep: bool = False, folder: str | None = None) -> Response:
    """Let the host ask. With ``keep`` the content stays on it (in ``folder``) until :func:`forget`."""
    curl, wget = (_lines(one).encode() for one in (_for_curl(context, request), _for_wget(context, request)))
    has_body = request.body is not None or request.source is not None
    words = [str(len(curl)), str(len(wget)), "yes" if has_body else "no", word(request.method)]
    words += [folder or "''", request.source or "''", "yes" if keep else "no", str(CONTENT_LIMIT)]
    told, content = facts_and_content(context, _SEND, words, stdin=curl + wget + (request.body or b""))
    return _response(request, told, content or b"")


def forget(context: Context, response: Response) -> None:
    """Remove what :func:`send` kept on the host."""
    if response.path is not None:
        facts(context, 'rm -rf -- "${1%/*}"', [word(response.path)])


def masked(url: str) -> str:
    """An address without the password that may stand in it."""
    return re.sub(r"(?<=://)([^/@:]*):[^/@]*@", r"\1:********@", url)


def file_name(response: Response) -> str:
    """What the server calls the content, else the last part of the address, else index.html."""
    named = re.search(r'filename="?([^";]+)"?', response.headers.get("content-disposition", ""))
    name = named.group(1).rpartition("/")[2] if named else ""
    return name or urlsplit(response.url).path.rpartition("/")[2] or "index.html"


# ---------------------------------------------------------------------- what is asked
def _for_curl(context: Context, request: Request) -> Iterator[str]:
    """Lines of a configuration file of curl."""
    arguments = context.arguments

    def quoted(text: str) -> str:
        return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'

    yield f"url = {quoted(request.url)}"
    # A semicolon is how curl is told of a header without a value.
    yield from (f"header = {quoted(f'{name}: {value}' if value else f'{name};')}" for name, value in _headers(request))
    yield f"user-agent = {quoted(arguments['http_agent'])}"
    yield f"connect-timeout = {request.timeout}"
    # As long without a byte is what a time-out is to Ansible.
    yield from (f"speed-time = {request.timeout}", "speed-limit = 1", 'proto = "=http,https"', "globoff")
    if request.method == "HEAD":
        yield "head"
    elif request.method != ("POST" if request.body is not None or request.source is not None else "GET"):
        yield f"request = {quoted(request.method)}"
    if request.redirects:
        yield from ("location", f"max-redirs = {request.redirects}")
    if arguments["url_username"]:
        yield "user = " + quoted(f"{arguments['url_username']}:{arguments['url_password'] or ''}")
    elif arguments["use_netrc"]:
        yield "netrc-optional"
    if not arguments["use_proxy"]:
        yield 'noproxy = "*"'
    if not arguments["validate_certs"]:
        yield "insecure"
    for option, name in (("cacert", "ca_path"), ("cert", "client_cert"), ("key", "client_key")):
        if arguments.get(name):
            yield f"{option} = {quoted(arguments[name])}"


def _for_wget(context: Context, request: Request) -> Iterator[str]:
    """Lines of a configuration file of wget; the address stands in a comment, for a file of its own."""
    arguments = context.arguments
    yield f"#url {request.url}"
    yield from (f"header = {name}: {value}" for name, value in _headers(request))
    yield from (f"user_agent = {arguments['http_agent']}", f"timeout = {request.timeout}", "tries = 1")
    # A connection that is kept may just be closed by the server when a redirect is to use it.
    yield "http_keep_alive = off"
    yield from (f"max_redirect = {request.redirects}", f"netrc = {'on' if arguments['use_netrc'] else 'off'}")
    if arguments["url_username"]:
        yield from (f"user = {arguments['url_username']}", "auth_no_challenge = on")
        yield f"password = {arguments['url_password'] or ''}"
    if not arguments["use_proxy"]:
        yield "use_proxy = off"
    if not arguments["validate_certs"]:
        yield "check_certificate = off"
    for option, name in (
        ("ca_certificate", "ca_path"),
        ("certificate", "client_cert"),
        ("private_key", "client_key"),
    ):
        if arguments.get(name):
            yield f"{option} = {arguments[name]}"


def _headers(request: Request) -> Iterator[tuple[str, str]]:
    for name, value in request.headers.items():
        yield str(name), str(value)


def _lines(lines: Iterable[str]) -> str:
    """One setting a line. Raises ModuleFailure for a value that would become two."""
    found = list(lines)
    if any(character in line for line in found for character in "\n\r\0"):
        raise ModuleFailure("url, headers, user and password are of one line each")
    return "".join(f"{line}\n" for line in found)


# ---------------------------------------------------------------------- what came back
def _response(request: Request, told: Mapping[str, str], content: bytes) -> Response:
    url, status = request.url, -1
    pairs: list[tuple[str, str]] = []
    for line in shown(told["head"]).splitlines():
        if line.startswith("HTTP/"):
            location = next((value for name, value in pairs if name == "location"), None)
            if location and 300 <= status < 400:
                url = urljoin(url, location)
            status, pairs = int(line.split()[1]), []
        elif found := re.match(r"([A-Za-z0-9_-]+):\s*(.*)", line):
            pairs.append((found[1].lower(), found[2].strip()))
    headers: dict[str, str] = {}
    for name, value in pairs:
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    crumbs = (value.partition(";")[0].partition("=") for name, value in pairs if name == "set-cookie")
    cookies = {name.strip(): value for name, _, value in crumbs}
    if told["code"] != "0":
        status, msg = -1, f"Request failed: {shown(told['said']).strip() or 'status ' + told['code']}"
    elif 200 <= status < 300:
        msg = f"OK ({headers.get('content-length', 'unknown')} bytes)"
    else:
        msg = f"HTTP Error {status}: {_phrase(status)}"
    return Response(url, status, msg, headers, cookies, int(told["size"]), content, told.get("kept"))


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""


def file_word(path: str | None) -> str | None:
    """A path of the host as a word of sh, None for none."""
    return expanded_word(path) if path else None
