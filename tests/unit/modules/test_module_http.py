"""uri and get_url against a real server, with curl and with wget, beside ansible-core's own modules."""

from __future__ import annotations

import hashlib
import http.server
import io
import json
import os
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.differential import ansible_module
from tests.unit.modules.programs import Programs

FILES = {"/file": b"content\n", "/bin": bytes(range(256)), "/big": b"x" * 1_100_000}
SUM = hashlib.sha256(FILES["/file"]).hexdigest()
FILES["/SUMS"] = f"{'0' * 64}  other\n{SUM}  file\n".encode()
SINCE = "Sat, 01 Jan 2000 00:00:00 GMT"


class Handler(http.server.BaseHTTPRequestHandler):
    """Echoes what it was asked; serves a few files; redirects; fails."""

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.asked.append((self.command, self.path, dict(self.headers), body))  # type: ignore[attr-defined]
        status, headers, content = self.found(body)
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def found(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        if self.path in FILES:
            if self.headers.get("If-Modified-Since"):
                return 304, [], b""
            return 200, [("Content-Type", "text/plain"), ("Last-Modified", SINCE)], FILES[self.path]
        if self.path == "/echo":
            wanted = ("Content-Type", "X-Mine", "Authorization", "User-Agent")
            told = {"method": self.command, "body": body.decode(), **{key: self.headers.get(key) for key in wanted}}
            cookies = [("Set-Cookie", "a=1; Path=/"), ("Set-Cookie", "b=2")]
            return 200, [("Content-Type", "application/json"), *cookies], json.dumps(told).encode()
        if self.path == "/moved":
            return 302, [("Location", "/file")], b""
        if self.path == "/named":
            return 200, [("Content-Disposition", 'attachment; filename="called"')], b"named\n"
        if self.path == "/sly":
            return 200, [("Failed", "true"), ("Unreachable", "1"), ("Ansible-Facts", "x"), ("X-Fine", "y")], b""
        if self.path == "/made":
            return 201, [], b"made"
        return 404, [("Content-Type", "text/plain")], b"nothing here"

    do_GET = do_POST = do_PUT = do_HEAD = answer

    def log_message(self, *words: Any) -> None:
        """Says nothing."""


class Server(http.server.ThreadingHTTPServer):
    """``asked`` is what came: method, path, headers, body."""

    asked: list[tuple[str, str, dict[str, str], bytes]]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server(("127.0.0.1", 0), Handler) as serving:
        serving.asked = []
        thread = threading.Thread(target=serving.serve_forever, args=(0.02,))
        thread.start()
        yield serving
        serving.shutdown()
        thread.join()


@pytest.fixture(scope="module", params=["curl", "wget"])
def path(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A PATH with all that this machine has, but of the two programs only one."""
    folder = tmp_path_factory.mktemp(request.param)
    for found in (*Path("/bin").iterdir(), *Path("/usr/bin").iterdir()):
        link = folder / found.name
        if found.name not in {"curl", "wget"} - {request.param} and not link.is_symlink():
            link.symlink_to(found)
    return folder


@pytest.fixture
def asking(path: Path, programs: Programs, server: Server) -> Asking:
    return Asking(programs, f"http://127.0.0.1:{server.server_port}", server, path)


class Asking:
    """A host that has one of the two programs and not the other."""

    def __init__(self, programs: Programs, url: str, server: Server, path: Path) -> None:
        self.programs = programs
        self.home = programs.host.home
        self.url = url
        self.server = server
        self.path: str = f"{programs.folder}:{path}"

    def run(self, module: str, path: str, **arguments: Any) -> dict[str, Any]:
        self.server.asked.clear()
        options = {"check": arguments.pop("check", False), "environment": {"PATH": self.path}}
        return self.programs.host.run(module, {"url": self.url + path, **arguments}, **options)

    def unarchive(self, **arguments: Any) -> dict[str, Any]:
        return self.programs.host.run("unarchive", arguments, environment={"PATH": self.path})

    def theirs(self, module: str, path: str, scratch: Path, **arguments: Any) -> dict[str, Any]:
        return ansible_module.answer(module, {"url": self.url + path, **arguments}, scratch)


CALLS: list[tuple[str, dict[str, Any]]] = [
    ("/file", {"return_content": True}),
    ("/nothing", {}),
    ("/made", {"status_code": "200,201", "method": "PUT", "body": "x"}),
    ("/moved", {"return_content": True}),
    ("/moved", {"follow_redirects": "none", "status_code": 302}),
    ("/moved", {"method": "POST", "body": "x"}),
    (
        "/echo",
        {"method": "POST", "body": 'raw \\ " text\n\n', "headers": {"X-Mine": 'a "b" \\ c', "Content-Type": "t/x"}},
    ),
    ("/echo", {"user": "me", "password": "pa ss:\"w'", "force_basic_auth": True, "http_agent": "mine/1"}),
    ("/file", {"method": "HEAD"}),
]
#: What is made of them before either program is asked, and of the answer behind it.
WHATEVER_PROGRAM: list[tuple[str, dict[str, Any]]] = [
    ("/nothing", {"status_code": [404, 200], "return_content": True}),
    ("/echo", {"method": "POST", "body": {"a": [1, "é"]}, "body_format": "json"}),
    ("/echo", {"method": "PUT", "body": {"a": ["1", "2 3"], "b": "&"}, "body_format": "form-urlencoded"}),
]
#: For what does not depend on the program.
with_one_program = pytest.mark.parametrize("path", ["curl"], indirect=True)
#: Of the server's moment, and what a HTTP library adds.
VOLATILE = {"body", "date", "server", "elapsed", "connection"}


@pytest.mark.parametrize(("address", "arguments"), CALLS)
def test_uri_is_ansibles(asking: Asking, tmp_path: Path, address: str, arguments: dict[str, Any]) -> None:
    ours = asking.run("uri", address, **arguments)
    theirs = asking.theirs("uri", address, tmp_path, **arguments)
    told = [{key: value for key, value in one.items() if key not in VOLATILE} for one in (ours, theirs)]
    assert {"failed": False, **told[0]} == {"failed": False, **told[1]}


@with_one_program
@pytest.mark.parametrize(("address", "arguments"), WHATEVER_PROGRAM)
def test_uri_is_ansibles_whatever_the_program(
    asking: Asking, tmp_path: Path, address: str, arguments: dict[str, Any]
) -> None:
    test_uri_is_ansibles(asking, tmp_path, address, arguments)


def test_uri_that_reaches_nobody(asking: Asking) -> None:
    asking.url = "http://127.0.0.1:1"
    answer = asking.run("uri", "/")
    assert answer["failed"] and answer["status"] == -1
    assert answer["msg"].startswith("Status code was -1 and not [200]: Request failed: ")
    assert "efused" in answer["msg"] or "connect" in answer["msg"]


def test_uri_writes_files_and_looks_at_them(asking: Asking) -> None:
    home = asking.home
    written = asking.run("uri", "/bin", dest="kept", mode="0640")
    assert (written["changed"], written["path"], written["mode"]) == (True, "kept", "0640")
    assert (home / "kept").read_bytes() == FILES["/bin"]
    assert asking.run("uri", "/bin", dest="kept", status_code=[200, 304])["changed"] is False
    assert asking.run("uri", "/file", creates="kept")["stdout"] == "skipped, since 'kept' exists"
    assert asking.run("uri", "/file", removes="no")["stdout"] == "skipped, since 'no' does not exist"
    assert not asking.server.asked
    (home / "folder").mkdir()
    assert asking.run("uri", "/named", dest="folder")["path"] == "folder/called"
    assert (home / "folder/called").read_text() == "named\n"
    assert "write it to a dest" in asking.run("uri", "/big", return_content=True)["msg"]
    assert asking.run("uri", "/big", dest="big")["changed"] is True
    asking.run("uri", "/echo", method="POST", src="kept", remote_src=True)
    assert asking.server.asked[0][3] == FILES["/bin"]
    asking.programs.host.files.write("sent", b"sent\0", folder="files")
    asking.run("uri", "/nothing", method="POST", src="sent")
    assert asking.server.asked[0][3] == b"sent\0"


@with_one_program
def test_headers_do_not_tell_how_the_step_went(asking: Asking) -> None:
    answer = asking.run("uri", "/sly")
    assert answer["x_fine"] == "y"
    assert not {"failed", "unreachable", "ansible_facts"} & answer.keys()


@with_one_program
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"method": "G T"}, "single word"),
        ({"headers": {"a": "b\nc: d"}}, "one line each"),
        ({"method": "PUT", "follow_redirects": "all"}, "GET, HEAD and POST"),
        ({"body_format": "form-multipart"}, "form-multipart"),
    ],
)
def test_uri_refuses(asking: Asking, arguments: dict[str, Any], words: str) -> None:
    answer = asking.run("uri", "/echo", **arguments)
    assert answer["failed"] and words in answer["msg"]
    assert not asking.server.asked


def test_no_secret_is_seen_among_the_processes(asking: Asking, path: Path, tmp_path: Path) -> None:
    name = path.name.rstrip("0123456789")
    program = asking.programs.folder / name
    program.write_text(f'#!/bin/sh\necho "$@" >>{tmp_path}/words\nexec /usr/bin/{name} "$@"\n')
    program.chmod(0o755)
    asking.run(
        "uri", "/echo?s3cret", user="me", password="s3cret", headers={"X": "s3cret"}, body="s3cret", method="PUT"
    )
    assert b"s3cret" in asking.server.asked[0][3]
    assert "s3cret" not in (tmp_path / "words").read_text()
    assert all("s3cret" not in command.line for command in asking.programs.host.remote.commands)


@with_one_program
def test_a_host_with_neither_program(asking: Asking) -> None:
    for name in ("mktemp", "cat", "head", "tail", "rm", "wc"):
        (asking.programs.folder / name).symlink_to(f"/usr/bin/{name}")
    asking.path = str(asking.programs.folder)
    assert "neither curl nor GNU wget" in asking.run("uri", "/file")["msg"]


def test_get_url(asking: Asking, tmp_path: Path) -> None:
    first = asking.run("get_url", "/file", dest="f", mode="0600")
    theirs = asking.theirs("get_url", "/file", tmp_path, dest=str(tmp_path / "f"), mode="0600")
    assert set(theirs) - set(first) == set()
    same = ("changed", "checksum_src", "checksum_dest", "md5sum", "msg", "status_code", "mode", "size", "state", "url")
    assert {key: first[key] for key in same} == {key: theirs[key] for key in same}
    assert (asking.home / "f").read_bytes() == FILES["/file"]
    again = asking.run("get_url", "/file", dest="f")
    their_second = asking.theirs("get_url", "/file", tmp_path, dest=str(tmp_path / "f"))
    same = ("changed", "msg", "status_code")
    assert {key: again[key] for key in same} == {key: their_second[key] for key in same}
    forced = asking.run("get_url", "/bin", dest="f", force=True, backup=True)
    assert forced["changed"] and (asking.home / forced["backup_file"]).read_bytes() == FILES["/file"]
    assert forced["mode"] == "0600"
    assert asking.run("get_url", "/bin", dest="f", force=True)["changed"] is False
    assert not list(Path("/tmp").glob("opsrunner*/content"))


@pytest.mark.parametrize(("path", "sum_of"), [("wget", "sha256:{}"), ("curl", "sha256:URL/SUMS")], indirect=["path"])
def test_get_url_by_checksum(asking: Asking, sum_of: str) -> None:
    wanted = sum_of.format(SUM).replace("URL", asking.url)
    assert asking.run("get_url", "/file", dest="f", check=True, checksum=wanted)["changed"] is True
    assert not (asking.home / "f").exists()
    assert asking.run("get_url", "/file", dest="f", checksum=wanted)["changed"] is True
    again = asking.run("get_url", "/file", dest="f", checksum=wanted)
    assert (again["changed"], again["msg"]) == (False, "file already exists")
    assert "/file" not in [path for _, path, _, _ in asking.server.asked]
    mode = asking.run("get_url", "/file", dest="f", checksum=wanted, mode="0611")
    assert (mode["changed"], mode["msg"]) == (True, "file already exists but file attributes changed")
    (asking.home / "f").write_text("other")
    assert asking.run("get_url", "/file", dest="f", checksum=wanted)["changed"] is True
    assert (asking.home / "f").read_bytes() == FILES["/file"]


def test_get_url_of_what_is_not_there(asking: Asking) -> None:
    assert asking.run("get_url", "/nothing", dest="f")["msg"] == "Request failed"
    assert not list(asking.home.iterdir())


@with_one_program
@pytest.mark.parametrize(
    ("address", "arguments", "msg"),
    [
        ("/file", {"dest": "no/f"}, "Destination no does not exist"),
        ("/file", {"dest": "f", "checksum": "abc"}, "in format <algorithm>:<checksum>"),
        ("/file", {"dest": "f", "checksum": "sha256:xyz"}, "checksum format is invalid"),
        ("/file", {"dest": "f", "checksum": "crc:1"}, "no checksum 'crc'"),
        ("/file", {"dest": "f", "checksum": "sha1:abc"}, "did not match abc; it was"),
        ("/bin", {"dest": "f", "checksum": "sha256:URL/SUMS"}, "Unable to find a checksum for file 'bin'"),
        ("/file", {"dest": "f", "tmp_dest": "no"}, "no directory does not exist"),
    ],
)
def test_get_url_fails(asking: Asking, address: str, arguments: dict[str, Any], msg: str) -> None:
    given = {name: value.replace("URL", asking.url) for name, value in arguments.items()}
    answer = asking.run("get_url", address, **given)
    assert answer["failed"] and msg in answer["msg"]
    assert not list(asking.home.iterdir())


def test_get_url_into_a_folder(asking: Asking) -> None:
    (asking.home / "folder").mkdir()
    assert asking.run("get_url", "/named", dest="folder")["dest"] == "folder/called"
    assert asking.run("get_url", "/moved", dest="folder/", tmp_dest="folder")["dest"] == "folder/file"
    assert sorted(path.name for path in (asking.home / "folder").iterdir()) == ["called", "file"]


def test_unarchive_downloads_and_takes_along(asking: Asking) -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        member = tarfile.TarInfo("in/file")
        member.size, member.uid, member.gid = 3, os.getuid(), os.getgid()
        archive.addfile(member, io.BytesIO(b"abc"))
    FILES["/packed.tgz"] = packed.getvalue()
    asking.programs.host.files.write("packed.tgz", packed.getvalue())
    for number, src in enumerate((f"{asking.url}/packed.tgz", "packed.tgz")):
        (asking.home / f"{number}").mkdir()
        arguments = {"src": src, "dest": f"{number}", "remote_src": number == 0}
        assert asking.unarchive(**arguments)["changed"] is True
        assert (asking.home / f"{number}/in/file").read_text() == "abc"
        assert asking.unarchive(**arguments)["changed"] is False
    assert "needs remote_src" in asking.unarchive(src=f"{asking.url}/x", dest="0")["msg"]
    assert asking.unarchive(src=f"{asking.url}/x", dest="0", remote_src=True)["msg"] == "Request failed"
