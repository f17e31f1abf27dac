"""copy and template: real files, under every shell."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import pytest

from tests.unit.modules.shell_host import Host

SHA1_OF_HELLO = hashlib.sha1(b"hello\n").hexdigest()


def mode(path: Path) -> str:
    return f"{path.stat().st_mode & 0o7777:04o}"


def test_content_is_written_and_then_left_alone(host: Host) -> None:
    os.umask(0o022)
    first = host.run("copy", {"content": "hello\n", "dest": "f"})
    assert (host.home / "f").read_bytes() == b"hello\n"
    assert (first["changed"], first["checksum"], first["dest"]) == (True, SHA1_OF_HELLO, "./f")
    assert first["md5sum"] == hashlib.md5(b"hello\n").hexdigest()
    assert (first["mode"], first["size"], first["state"]) == ("0644", 6, "file")
    assert (first["uid"], first["gid"]) == (os.getuid(), os.getgid())
    assert host.round_trips == 2
    second = host.run("copy", {"content": "hello\n", "dest": "f"})
    assert (second["changed"], second["checksum"], second["path"]) == (False, SHA1_OF_HELLO, "./f")
    assert host.round_trips == 3
    assert [path.name for path in host.home.iterdir()] == ["f"]


@pytest.mark.parametrize("data", [b"", b"\0\1\xff binary \0", b"no newline", "umlaut ü\n".encode(), b"x" * 300_000])
def test_any_bytes_arrive(host: Host, data: bytes) -> None:
    host.files.write("blob", data)
    assert host.run("copy", {"src": "blob", "dest": f"{host.home}/it's a blob"})["changed"] is True
    assert (host.home / "it's a blob").read_bytes() == data
    assert host.run("copy", {"src": "blob", "dest": f"{host.home}/it's a blob"})["changed"] is False


@pytest.mark.parametrize(
    ("dest", "lands"),
    [
        ("directory", "directory/motd"),
        ("directory/", "directory/motd"),
        ("new/deep/", "new/deep/motd"),
        ("~/other name", "other name"),
        ("$SUB/x", "directory/x"),
        ("-dash", "-dash"),
    ],
)
def test_where_it_lands(host: Host, dest: str, lands: str) -> None:
    host.files.write("sub/motd", "hi")
    (host.home / "directory").mkdir()
    arguments = {"src": "sub/motd", "dest": dest}
    assert host.run("copy", arguments, environment={"SUB": "directory"})["changed"] is True
    assert (host.home / lands).read_text() == "hi"
    assert host.run("copy", arguments, environment={"SUB": "directory"})["changed"] is False


@pytest.mark.parametrize(
    ("arguments", "msg"),
    [
        ({"content": "x", "dest": "directory"}, "can not use content with a dir as dest"),
        ({"content": "x", "dest": "directory/"}, "can not use content with a dir as dest"),
        ({"content": "x", "dest": "no/such/f"}, "Destination directory no/such does not exist"),
        ({"content": "x", "dest": "f", "mode": "preserve"}, "mode: preserve needs a src"),
        ({"content": "x", "dest": "f", "checksum": "0" * 40}, "does not match the expected checksum"),
        ({"content": "x", "dest": "f", "validate": "true"}, "validate must contain %s: true"),
        ({"src": "missing", "dest": "f"}, "Could not find or access 'missing'"),
        ({"src": "missing", "dest": "f", "remote_src": True}, "Source missing not found"),
        ({"src": "directory", "dest": "no/f", "remote_src": True}, "Destination directory no does not exist"),
        ({"src": "missing/", "dest": "f", "remote_src": True}, "Source missing/ not found"),
        ({"content": "x", "dest": "f", "owner": "nobody-of-that-name"}, "failed to look up user nobody-of-that-name"),
        ({"content": "x", "dest": "f", "mode": "u=q"}, "mode must be in octal or symbolic form"),
        ({"content": "x", "src": "y", "dest": "f"}, "mutually exclusive: src|content"),
    ],
)
def test_what_fails_says_why_and_writes_nothing(host: Host, arguments: dict[str, Any], msg: str) -> None:
    (host.home / "directory").mkdir()
    result = host.run("copy", arguments)
    assert result["failed"] is True
    assert msg in result["msg"]
    assert [path.name for path in host.home.rglob("*")] == ["directory"]


@pytest.mark.parametrize(("asked", "becomes"), [("0600", "0600"), (0o640, "0640"), ("u=rw,g=,o=r", "0604")])
def test_mode_of_a_new_and_of_an_existing_file(host: Host, asked: Any, becomes: str) -> None:
    assert host.run("copy", {"content": "x", "dest": "f", "mode": asked})["mode"] == becomes
    assert mode(host.home / "f") == becomes
    assert host.run("copy", {"content": "x", "dest": "f", "mode": asked})["changed"] is False
    (host.home / "f").chmod(0o666)
    only_mode = host.run("copy", {"content": "x", "dest": "f", "mode": asked}, diff=True)
    assert (only_mode["changed"], only_mode["mode"]) == (True, becomes)
    assert only_mode["diff"]["before"]["mode"] == "0666"
    assert only_mode["diff"]["after"]["mode"] == becomes
    assert mode(host.home / "f") == becomes


def test_a_replaced_file_keeps_its_mode(host: Host) -> None:
    (host.home / "f").write_text("old")
    (host.home / "f").chmod(0o4751)
    assert host.run("copy", {"content": "new", "dest": "f"})["mode"] == "04751"
    assert mode(host.home / "f") == "4751"


def test_preserve_takes_the_mode_of_the_source(host: Host) -> None:
    host.files.write("tool", "x", mode=0o750)
    assert host.run("copy", {"src": "tool", "dest": "f", "mode": "preserve"})["mode"] == "0750"
    (host.home / "f").chmod(0o701)
    assert host.run("copy", {"src": "f", "dest": "g", "mode": "preserve", "remote_src": True})["mode"] == "0701"


@pytest.mark.skipif(os.getuid() != 0, reason="only root may give files away")
def test_owner_and_group_by_number_and_by_name(host: Host) -> None:
    result = host.run("copy", {"content": "x", "dest": "f", "owner": "12345", "group": "daemon"})
    assert (result["uid"], result["owner"], result["group"]) == (12345, "12345", "daemon")
    assert host.run("copy", {"content": "x", "dest": "f", "owner": "root"})["changed"] is True
    assert (host.home / "f").stat().st_uid == 0
    replaced = host.run("copy", {"content": "y", "dest": "f"})
    assert (replaced["owner"], replaced["group"]) == ("root", "daemon")


def test_own_names_change_nothing(host: Host) -> None:
    arguments = {"content": "x", "dest": "f", "owner": str(os.getuid()), "group": str(os.getgid())}
    host.run("copy", arguments)
    assert host.run("copy", arguments)["changed"] is False


def test_backup_keeps_what_was_there(host: Host) -> None:
    (host.home / "f").write_text("old")
    (host.home / "f").chmod(0o600)
    result = host.run("copy", {"content": "new", "dest": "f", "backup": True})
    saved = host.home / result["backup_file"]
    assert saved.read_text() == "old"
    assert mode(saved) == "0600"
    assert "backup_file" not in host.run("copy", {"content": "new", "dest": "f", "backup": True})
    assert "backup_file" not in host.run("copy", {"content": "new", "dest": "other", "backup": True})


def test_force_false_leaves_a_file_alone(host: Host) -> None:
    (host.home / "f").write_text("old")
    assert host.run("copy", {"content": "new", "dest": "f", "force": False})["changed"] is False
    assert (host.home / "f").read_text() == "old"
    assert host.run("copy", {"content": "new", "dest": "g", "force": False})["changed"] is True


@pytest.mark.parametrize(("follow", "link_stays"), [(True, True), (False, False)])
def test_a_link_is_followed_or_replaced(host: Host, follow: bool, link_stays: bool) -> None:
    (host.home / "target").write_text("old")
    (host.home / "link").symlink_to("target")
    assert host.run("copy", {"content": "new", "dest": "link", "follow": follow})["changed"] is True
    assert (host.home / "link").is_symlink() is link_stays
    assert (host.home / "link").read_text() == "new"
    assert (host.home / "target").read_text() == ("new" if link_stays else "old")


def test_a_link_to_the_same_content_is_replaced_all_the_same(host: Host) -> None:
    (host.home / "target").write_text("same")
    (host.home / "link").symlink_to("target")
    assert host.run("copy", {"content": "same", "dest": "link"})["changed"] is True
    assert not (host.home / "link").is_symlink()


def test_validate_sees_the_new_file_and_may_refuse_it(host: Host) -> None:
    (host.home / "f.conf").write_text("old")
    refused = host.run("copy", {"content": "bad\n", "dest": "f.conf", "validate": "grep -q 'good' %s"})
    assert (refused["failed"], refused["msg"], refused["exit_status"]) == (True, "failed to validate", "1")
    assert (host.home / "f.conf").read_text() == "old"
    assert [path.name for path in host.home.iterdir()] == ["f.conf"]
    accepted = host.run("copy", {"content": "good\n", "dest": "f.conf", "validate": "grep good %s; exit 1"})
    assert accepted["failed"] is True  # no shell reads the words
    assert host.run("copy", {"content": "good\n", "dest": "f.conf", "validate": "grep good %s"})["changed"] is True


def test_a_file_of_the_host(host: Host) -> None:
    (host.home / "src").write_bytes(b"hello\n")
    (host.home / "src").chmod(0o700)
    arguments = {"src": "~/src", "dest": "copied", "remote_src": True}
    first = host.run("copy", arguments)
    assert (first["changed"], first["checksum"], first["src"]) == (True, SHA1_OF_HELLO, "~/src")
    assert (host.home / "copied").read_bytes() == b"hello\n"
    assert host.run("copy", arguments)["changed"] is False
    (host.home / "copied").write_text("other")
    assert host.run("copy", arguments)["mode"] == "0700"
    assert host.run("copy", {**arguments, "checksum": "0" * 40})["failed"] is True


def test_check_mode_and_diff_touch_nothing(host: Host) -> None:
    (host.home / "f").write_text("old\n")
    result = host.run("copy", {"content": "new\n", "dest": "f", "mode": "0600"}, check=True, diff=True)
    assert result["changed"] is True
    assert result["diff"] == [{"before_header": "./f", "after_header": "./f", "before": "old\n", "after": "new\n"}]
    assert (host.home / "f").read_text() == "old\n"
    created = host.run("copy", {"content": "new\n", "dest": "g"}, check=True, diff=True)
    assert created["diff"][0]["before"] == ""
    assert not (host.home / "g").exists()
    mode_only = host.run("copy", {"content": "old\n", "dest": "f", "mode": "0601"}, check=True)
    assert mode_only["changed"] is True
    assert mode(host.home / "f") != "0601"
    host.files.write("x", "x")
    below = host.run("copy", {"src": "x", "dest": "new/"}, check=True)
    assert (below["changed"], (host.home / "new").exists()) == (True, False)


@pytest.mark.parametrize(
    ("before", "after", "key"),
    [(b"\0", b"x", "dst_binary"), (b"x", b"\0", "src_binary"), (b"x" * 200_000, b"x", "dst_larger")],
)
def test_a_diff_shows_text_only(host: Host, before: bytes, after: bytes, key: str) -> None:
    (host.home / "f").write_bytes(before)
    host.files.write("n", after)
    diff = host.run("copy", {"src": "n", "dest": "f"}, check=True, diff=True)["diff"][0]
    assert key in diff
    assert "before" not in diff


@pytest.mark.parametrize("without", [("sha1sum",), ("sha1sum", "openssl", "shasum", "sha1", "sha256sum")])
def test_hosts_without_checksum_tools(host: Host, tmp_path: Path, without: tuple[str, ...]) -> None:
    if host.remote.shell[0] == "busybox":
        pytest.skip("busybox has its tools built in")
    programs = tmp_path / "bin"
    programs.mkdir()
    for folder in ("/bin", "/usr/bin"):
        for program in Path(folder).iterdir():
            if program.name not in without and not (programs / program.name).exists():
                (programs / program.name).symlink_to(program)
    environment = {"PATH": str(programs)}
    assert host.run("copy", {"content": "x", "dest": "f"}, environment=environment)["changed"] is True
    assert host.run("copy", {"content": "x", "dest": "f"}, environment=environment)["changed"] is False
    assert host.run("copy", {"content": "y", "dest": "f"}, environment=environment)["changed"] is True


def test_structures_become_json(host: Host) -> None:
    host.run("copy", {"content": {"a": [1, True]}, "dest": "f"})
    assert (host.home / "f").read_text() == '{"a": [1, true]}'


def test_directory_mode_is_for_directories_that_are_created(host: Host) -> None:
    host.files.write("x", "x")
    host.run("copy", {"src": "x", "dest": "a/b/", "directory_mode": "0711", "mode": "0600"})
    assert [mode(host.home / part) for part in ("a", "a/b", "a/b/x")] == ["0711", "0711", "0600"]


def test_template_is_rendered_and_placed(host: Host) -> None:
    host.files.write("app.conf.j2", "name = {{ name }}\n", folder="templates", mode=0o640)

    def render(text: str, **rules: Any) -> str:
        assert rules == {"about": {"template_path": "app.conf.j2", "template_destpath": "~/app.conf"}}
        return text.replace("{{ name }}", "Müller")

    arguments = {"src": "app.conf.j2", "dest": "~/app.conf", "mode": "preserve"}
    first = host.run("template", arguments, render_text=render)
    assert (host.home / "app.conf").read_text() == "name = Müller\n"
    assert (first["changed"], first["mode"], first["src"]) == (True, "0640", "app.conf.j2")
    assert host.run("template", arguments, render_text=render)["changed"] is False


def test_template_hands_jinja_its_rules_and_encodes(host: Host) -> None:
    host.files.write("t", "x", folder="templates")
    seen: dict[str, Any] = {}

    def render(text: str, **rules: Any) -> str:
        seen.update(rules)
        del seen["about"]
        return "ü"

    arguments = {"src": "t", "dest": "f", "lstrip_blocks": True, "newline_sequence": "\\r\\n"}
    host.run("template", {**arguments, "variable_start_string": "[[", "output_encoding": "latin-1"}, render_text=render)
    assert seen == {"lstrip_blocks": True, "newline_sequence": "\r\n", "variable_start_string": "[["}
    assert (host.home / "f").read_bytes() == b"\xfc"
    failed = host.run("template", {**arguments, "output_encoding": "ascii"}, render_text=render)
    assert "cannot encode the result as ascii" in failed["msg"]
