"""lineinfile, blockinfile and replace beside ansible-core's own: the same files, answers and differences."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from differential.ansible_module import answer
from hypothesis import given, settings
from hypothesis import strategies as st
from unit.modules.shell_host import FolderFiles, Host

from opsrunner.modules.posix import shown
from opsrunner.remote import Command, FakeRemote


class Case(NamedTuple):
    module: str
    #: Content of ``f``; None where there is no file.
    before: bytes | None
    arguments: dict[str, Any]


def line(before: bytes | None, /, **arguments: Any) -> Case:
    return Case("lineinfile", before, arguments)


def block(before: bytes | None, /, **arguments: Any) -> Case:
    return Case("blockinfile", before, {"marker": "# {mark}", **arguments})


def replace(before: bytes | None, /, **arguments: Any) -> Case:
    return Case("replace", before, arguments)


ABC = b"a\nb\nc\n"
BLOCK = b"a\n# BEGIN\nold\n# END\nb\n"

CASES = [
    # Which line is replaced, and what is no change.
    line(ABC, line="b"),
    line(ABC, line="d"),
    line(b"a\nb", line="c"),
    line(b"a\nb", line="b"),
    line(b"", line="a"),
    line(b"a\r\nb\r\n", line="a"),
    line(b"a\r\nb\r\n", line="c"),
    line(b"a\r\nb\r\n", regexp="^b$", line="B"),
    line(b"x=1\nx=2\n", regexp="^x=", line="x=3"),
    line(b"x=1\nx=2\n", regexp="^x=", line="x=3", firstmatch=True),
    line(b"x=1\n", regex="^y=", value="x=1"),
    line(ABC, regexp="", line="d"),
    line(ABC, search_string="b", line="B"),
    line(ABC, search_string="a.", line="B"),
    line(ABC, search_string="", line="B"),
    line(b"\xff\xfea\n\xc3\xa9=1\n", regexp="^é", line="é=2"),
    line(ABC, line="two\nlines"),
    line(ABC, line="a\n"),
    line(b"a\rb\r", line="c"),
    # Back references.
    line(b"key = 1\n", regexp=r"^(\w+) = (?P<value>.)", line=r"\1=\g<value>", backrefs=True),
    line(ABC, regexp="^z", line="z", backrefs=True),
    line(ABC, regexp="^(b)", line=r"\2", backrefs=True),
    line(ABC, regexp="^b", line=r"\1"),
    line(ABC, line="x", backrefs=True),
    # Where a new line goes.
    line(ABC, line="x", insertafter="EOF"),
    line(ABC, line="x", insertafter="BOF"),
    line(ABC, line="x", insertbefore="BOF"),
    line(ABC, line="x", insertbefore="EOF"),
    line(ABC, line="x", insertafter="^[ab]"),
    line(ABC, line="x", insertafter="^[ab]", firstmatch=True),
    line(ABC, line="x", insertbefore="^[bc]"),
    line(ABC, line="x", insertbefore="^[bc]", firstmatch=True),
    line(ABC, line="x", insertafter="nothing"),
    line(ABC, line="x", insertafter="^c"),
    line(ABC, line="x", insertafter=""),
    line(ABC + ABC, line="b", insertafter="^a", firstmatch=True),
    line(ABC, regexp="^z", line="c", insertafter="^a"),
    line(ABC, regexp="^b", line="x", insertafter="^a"),
    # Taking out.
    line(ABC, regexp="[bc]", state="absent"),
    line(ABC, line="b", state="absent"),
    line(b"b\r\nb", line="b", state="absent"),
    line(ABC, search_string="c", state="absent"),
    line(ABC, regexp="z", state="absent"),
    line(None, regexp="z", state="absent"),
    line(ABC, state="absent"),
    line(ABC, regexp="^b", line="c", state="absent"),
    # Files: created, refused, with attributes, kept a copy of, validated.
    line(None, line="a"),
    line(None, line="a", create=True),
    line(None, line="a", create=True, path="new/deep/f", mode="0600"),
    line(None, line="a", create=True, mode="u=rw,g=r,o="),
    line(None, regexp="a", line="a", create=True, backrefs=True),
    line(ABC, line="d", mode="0600"),
    line(ABC, line="a", mode="u+x,g="),
    line(ABC, line="a", path="directory"),
    line(ABC, line="d", path="link"),
    line(ABC, line="d", path="dangling"),
    line(None, line="d", path="dangling", create=True),
    line(ABC, line="d", backup=True),
    line(ABC, line="a", backup=True),
    line(ABC, line="d", backup=True, path="link"),
    line(ABC, line="d", validate="grep -q d %s"),
    line(ABC, line="d", validate="grep -q x %s"),
    line(ABC, line="d", validate="sh -c 'echo no >&2; exit 7' %s"),
    line(ABC, line="d", validate="true"),
    line(ABC, line="a", validate="true"),
    line(ABC),
    line(ABC, line="a", insertafter="x", insertbefore="y"),
    line(ABC, line="a", regexp="x", search_string="y"),
    line(ABC, line="a", regexp="("),
    # Blocks.
    block(ABC, block="x\ny"),
    block(ABC, block="x\ny\n"),
    block(b"a", block="x"),
    block(b"a\r\n", block="x\r\n"),
    block(BLOCK, block="new"),
    block(BLOCK, block="old"),
    block(BLOCK, block=""),
    block(BLOCK, state="absent"),
    block(BLOCK, block="new", state="absent"),
    block(ABC, state="absent"),
    block(b"# END\nx\n# BEGIN\nz\n", block="new"),
    block(b"# BEGIN\nx\n", block="new"),
    block(BLOCK + BLOCK, block="new"),
    block(b"a\n# BEGIN\r\nold\r\n# END\r\n", block="new"),
    block(b"a\n# BEGIN\nold\n# END", block="new"),
    block(ABC, block="x", insertafter="^[ab]"),
    block(ABC, block="x", insertbefore="^[bc]"),
    block(ABC, block="x", insertbefore="BOF"),
    block(ABC, block="x", insertafter="EOF"),
    block(ABC, block="x", insertafter="nothing"),
    block(ABC, block="x", insertbefore="nothing"),
    block(ABC + ABC, block="x", insertafter="(?m)^a\nb"),
    block(ABC + ABC, block="x", insertbefore="(?m)^b\nc"),
    block(ABC, block="x", insertbefore="(?m)nothing"),
    block(ABC, block="x", insertafter="^a", append_newline=True, prepend_newline=True),
    block(ABC, block="x", append_newline=True, prepend_newline=True),
    block(b"a\n\nb\n", block="x", insertafter="^$", append_newline=True, prepend_newline=True),
    block(ABC, block="x", marker="<!-- {mark} -->", marker_begin="open", marker_end="close"),
    block(ABC, block="x", marker="# fixed"),
    block(ABC, block="x", marker_begin=r"a\tb"),
    block(ABC, content="é"),
    block(None, block="x"),
    block(None, block="x", create=True),
    block(None, block="", create=True),
    block(None, block="x", create=True, path="new/f", mode="0640"),
    block(None, create=True, state="absent"),
    block(ABC, block="x", backup=True, path="link"),
    block(ABC, block="x", validate="grep -q z %s"),
    block(ABC, block="x", path="directory"),
    # Replacements.
    replace(ABC, regexp="^b$", replace="B"),
    replace(ABC, regexp="b\n"),
    replace(ABC, regexp="z"),
    replace(ABC, regexp="b", replace="b"),
    replace(b"a1 a2\n", regexp=r"a(?P<n>\d)", replace=r"\g<n>a"),
    replace(ABC, regexp="(b)", replace=r"\2"),
    replace(ABC, regexp="b", replace=r"\g<n>"),
    replace(b"x\n[s]\nx\n[t]\nx\n", regexp="x", replace="y", after=r"\[s\]"),
    replace(b"x\n[s]\nx\n[t]\nx\n", regexp="x", replace="y", before=r"\[t\]"),
    replace(b"x\n[s]\nx\n[t]\nx\n", regexp="x", replace="y", after=r"\[s\]", before=r"\[t\]"),
    replace(b"x\n[s]\nx\n", regexp="x", replace="y", after="nothing"),
    replace(b"x\n[s]\nx\n", regexp="x", replace="y", before="nothing", mode="0600"),
    replace(b"\xff\xe9x\n", regexp="x", replace="é"),
    replace(b"\xe9\n", regexp="é", replace="x", encoding="latin-1"),
    replace("ä\n".encode("utf-16"), regexp="ä", replace="ö", encoding="utf-16"),
    replace(b"\xff", regexp="x", encoding="utf-16"),
    replace(ABC, regexp="a", encoding="no-such"),
    replace(b"a\r\nb\r\n", regexp="$", replace=";"),
    replace(ABC, regexp="b", replace="B", backup=True, mode="0600"),
    replace(ABC, regexp="z", mode="0600"),
    replace(ABC, regexp="b", replace="B", path="link"),
    replace(ABC, regexp="b", replace="B", validate="grep -q z %s"),
    replace(None, regexp="b"),
    replace(None, regexp="b", path="directory"),
    replace(ABC),
]


class Sides:
    """A folder for either side's turn: the same files under the same names."""

    def __init__(self, root: Path) -> None:
        self.home = root / "home"
        self.scratch = root / "scratch"
        self.scratch.mkdir()
        self.home.mkdir()
        self.host = Host(["/bin/sh"], self.home, FolderFiles(root))

    def prepare(self, before: bytes | None) -> None:
        for path in self.home.iterdir():
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        if before is not None:
            (self.home / "f").write_bytes(before)
            (self.home / "f").chmod(0o644)
        (self.home / "directory").mkdir()
        (self.home / "link").symlink_to("f")
        (self.home / "dangling").symlink_to("target")

    def tree(self) -> dict[str, Any]:
        """Names (a backup's without process and time) with mode and content."""
        found: dict[str, Any] = {}
        for path in sorted(self.home.rglob("*")):
            content = path.readlink() if path.is_symlink() else path.is_file() and path.read_bytes()
            found[unstamped(str(path.relative_to(self.home)))] = (path.lstat().st_mode, content)
        return found

    def theirs(self, case: Case, check: bool) -> tuple[dict[str, Any], dict[str, Any]]:
        self.prepare(case.before)
        result = answer(case.module, {"path": "f", **case.arguments}, self.scratch, check=check, diff=True)
        return result, self.tree()

    def ours(self, case: Case, check: bool) -> tuple[dict[str, Any], dict[str, Any]]:
        self.prepare(case.before)
        result = self.host.run(case.module, {"path": "f", **case.arguments}, check=check, diff=True)
        return result, self.tree()


def unstamped(name: str) -> str:
    return re.sub(r"\.\d+\.\d{4}-\d\d-\d\d@\d\d:\d\d:\d\d~", ".BACKUP", name)


def comparable(value: Any, key: str = "") -> Any:
    """A result without what is never the same; bytes that are no text show as such."""
    if isinstance(value, dict):
        return {key: comparable(part, key) for key, part in value.items() if key not in ("failed", "warnings")}
    if isinstance(value, list):
        return [comparable(part) for part in value]
    if isinstance(value, str):
        return unstamped(value) if key.startswith("backup") else shown(value)
    return value


@pytest.fixture(scope="module")
def sides(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sides]:
    umask = os.umask(0o022)
    made = Sides(tmp_path_factory.mktemp("editing"))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(made.home)
        yield made
    os.umask(umask)


def name(case: Case) -> str:
    return f"{case.module}-{case.before!r}-{case.arguments}"


def compare(ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    assert bool(ours.get("failed")) is bool(theirs.get("failed")), (ours, theirs)
    if not ours.get("failed"):
        assert comparable(ours) == comparable(theirs)
    elif "rc" in theirs or "failed to validate" in theirs["msg"]:
        assert (ours.get("rc"), ours["msg"]) == (theirs.get("rc"), theirs["msg"])


@pytest.mark.parametrize("case", CASES, ids=name)
def test_file_and_answer_are_ansibles(sides: Sides, case: Case) -> None:
    theirs, their_tree = sides.theirs(case, check=False)
    ours, our_tree = sides.ours(case, check=False)
    assert our_tree == their_tree
    compare(ours, theirs)


@pytest.mark.parametrize("case", [*CASES[::6], *(case for case in CASES if case.before is None)], ids=name)
def test_check_mode_says_what_ansibles_says_and_does_nothing(sides: Sides, case: Case) -> None:
    theirs, before = sides.theirs(case, check=True)
    ours, after = sides.ours(case, check=True)
    assert after == before
    compare(ours, theirs)


LINES = [b"a\n", b"b\n", b"aa\n", b"\n", b"a\r\n", b"# BEGIN\n", b"# END\n", b"x=1\n", b"\xff\n", b"\r", b"ab"]
REGEXES = ["a", "^a$", "^(.)(.)?", "x=(.*)", ".", "", "^$", "EOF", "BOF", "a*", "zz", r"\s", "(?m)^a$", "(?P<n>a|b)"]
TEXTS = ["a", "aa", "x=2", r"\1", r"\g<n>", "a\n", "", "é", r"\2"]
CONTENT = st.lists(st.sampled_from(LINES), max_size=6).map(b"".join)
FLAG = st.just(True)
REGEX = st.sampled_from(REGEXES)
TEXT = st.sampled_from(TEXTS)
ANCHORS = st.one_of(
    st.just({}), st.fixed_dictionaries({"insertafter": REGEX}), st.fixed_dictionaries({"insertbefore": REGEX})
)
FLAGS = {"line": TEXT, "regexp": REGEX, "backrefs": FLAG, "firstmatch": FLAG, "state": st.just("absent")}
ARGUMENTS = {
    "lineinfile": st.fixed_dictionaries({}, optional=FLAGS),
    "blockinfile": st.fixed_dictionaries(
        {"marker": st.just("# {mark}")},
        optional={"block": TEXT, "append_newline": FLAG, "prepend_newline": FLAG, "state": st.just("absent")},
    ),
    "replace": st.fixed_dictionaries(
        {"regexp": REGEX}, optional={"replace": TEXT, "after": st.sampled_from(["a", "(?m)^a"]), "before": TEXT}
    ),
}


def differs_on_purpose(case: Case) -> bool:
    """Whether Ansible would glue a line to the one before: insertafter matches a last line without an end."""
    anchor = case.arguments.get("insertafter")
    return case.module == "lineinfile" and anchor is not None and not (case.before or b"\n").endswith(b"\n")


class FileOfMemory:
    """Answers the two commands of a module that changes a file; what they do on a host is tried above."""

    def __init__(self, content: bytes) -> None:
        self.content = content

    def __call__(self, command: Command) -> tuple[int, bytes, bytes]:
        if "wc -c" in command.line and not command.stdin and "$temporary" not in command.line:
            entry = f"81a4 0 0 1 7 {len(self.content)} 1 0 0 0 root:root"
            told = {"path": "f", "umask": "0022", "entry": entry, "real": "f", "target": entry, "content": ""}
            facts = "".join(f"{key}\0{value}\0" for key, value in told.items()).encode()
            return 0, facts + b"bytes\0" + self.content, b""
        self.content = command.stdin
        return 0, b"", b""


@pytest.mark.parametrize("module", list(ARGUMENTS))
@settings(max_examples=int(os.environ.get("FUZZ_EXAMPLES", "100")), deadline=None, derandomize=True)
@given(data=st.data())
def test_content_is_ansibles_whatever_is_asked(sides: Sides, module: str, data: st.DataObject) -> None:
    arguments = data.draw(ARGUMENTS[module])
    if module != "replace":
        arguments |= data.draw(ANCHORS)
    case = Case(module, data.draw(CONTENT), arguments)
    theirs, _ = sides.theirs(case, check=False)
    if theirs.get("crashed") or differs_on_purpose(case):
        return
    file = FileOfMemory(case.before or b"")
    sides.host.remote, remote = FakeRemote("here", file), sides.host.remote
    ours = sides.host.run(module, {"path": "f", **arguments}, diff=True)
    sides.host.remote = remote
    assert (file.content, bool(ours.get("failed"))) == ((sides.home / "f").read_bytes(), bool(theirs.get("failed")))
    if not ours.get("failed"):
        assert comparable(ours) == comparable(theirs)
