"""known_hosts, compared with ssh-keygen -F where that can tell."""

from __future__ import annotations

import base64
import subprocess
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsrunner.ssh.hostkeys import KnownHosts, KnownHostsFile, fingerprint, matches

BLOB = base64.b64encode(b"\0\0\0\x0bssh-ed25519\0\0\0\x20" + b"k" * 32).decode()
OTHER = base64.b64encode(b"\0\0\0\x0bssh-ed25519\0\0\0\x20" + b"o" * 32).decode()


def lines(text: str, name: str) -> list[int]:
    return [key.line for key in KnownHostsFile(text, "known").lookup(name).keys]


@pytest.mark.parametrize(
    ("names", "name", "meant"),
    [
        ("web1", "web1", True),
        ("web1", "web10", False),
        ("db,web1,10.0.0.1", "10.0.0.1", True),
        ("WEB1", "web1", True),
        ("[web1]:2222", "[web1]:2222", True),
        ("[web1]:2222", "web1", False),
        ("web*", "web1", True),
        ("web?", "web10", False),
        ("*.example.org,!bad.example.org", "good.example.org", True),
        ("*.example.org,!bad.example.org", "bad.example.org", False),
        ("!bad.example.org,*.example.org", "bad.example.org", False),
        ("!web1", "web2", False),
        ("[127.*]:2222", "[127.0.0.1]:2222", True),
        ("[127.*]:2222", "[127.0.0.1]:22", False),
        ("[1-9]", "5", False),
    ],
)
def test_names_and_patterns_as_ssh_keygen_reads_them(tmp_path: Path, names: str, name: str, meant: bool) -> None:
    text = f"{names} ssh-ed25519 {BLOB} comment\n"
    assert bool(lines(text, name)) is meant
    (tmp_path / "known").write_text(text)
    found = subprocess.run(["ssh-keygen", "-F", name, "-f", str(tmp_path / "known")], capture_output=True, check=False)
    assert (found.returncode == 0) is meant


def test_hashed_names(tmp_path: Path) -> None:
    path = tmp_path / "known"
    path.write_text(f"web1 ssh-ed25519 {BLOB}\n[web2]:2222 ssh-ed25519 {OTHER}\n")
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", str(path)], check=True, capture_output=True)
    text = path.read_text()
    assert "web1" not in text
    assert lines(text, "web1") == [1]
    assert lines(text, "[web2]:2222") == [2]
    assert lines(text, "web3") == []


def test_markers() -> None:
    text = f"@revoked * ssh-ed25519 {BLOB}\n@cert-authority *.org ssh-ed25519 {OTHER}\n@new x ssh-ed25519 {BLOB}\n"
    known = KnownHostsFile(text, "known").lookup("a.org")
    assert [key.line for key in known.revoked] == [1]
    assert [key.line for key in known.authorities] == [2]
    assert known.keys == []
    assert known.algorithms()[0] == "ssh-ed25519-cert-v01@openssh.com"
    assert not any("cert" in name for name in KnownHostsFile(text, "known").lookup("b.net").algorithms())


@pytest.mark.parametrize(
    "odd",
    [
        "",
        "# comment",
        "web1",
        "web1 ssh-ed25519",
        "web1 ssh-ed25519 not-base64!",
        "web1 1024 35 1234567",
        "|1|broken ssh-ed25519 " + BLOB,
        "|1|!|! ssh-ed25519 " + BLOB,
        "@cert-authority",
        "\x00\xff garbage \x01 " + BLOB,
    ],
)
def test_odd_lines_harm_nobody(odd: str) -> None:
    assert lines(f"{odd}\nweb1 ssh-ed25519 {BLOB}\n", "web1") == [2]


@given(st.text(max_size=200))
def test_no_text_breaks_it(text: str) -> None:
    KnownHostsFile(text, "known").lookup("web1")


def test_pinned_types_decide_what_is_asked_for() -> None:
    text = f"web1 ssh-rsa {BLOB}\nweb1 ecdsa-sha2-nistp256 {BLOB}\nweb1 sk-ssh-ed25519@openssh.com {BLOB}\n"
    known = KnownHostsFile(text, "known").lookup("web1")
    assert known.algorithms() == ("ecdsa-sha2-nistp256", "rsa-sha2-512", "rsa-sha2-256")


def test_several_files_and_one_that_is_missing(tmp_path: Path) -> None:
    for name, blob in (("a", BLOB), ("b", OTHER)):
        (tmp_path / name).write_text(f"web1 ssh-ed25519 {blob}\n")
    files = [tmp_path / "a", tmp_path / "missing", tmp_path / "b"]
    known = KnownHosts().lookup("web1", files)
    assert [key.place for key in known.keys] == [f"{tmp_path}/a:1", f"{tmp_path}/b:1"]


def test_a_changed_file_is_read_again_and_an_old_one_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "known"
    path.write_text(f"web1 ssh-ed25519 {BLOB}\n")
    reads: list[Path] = []
    read_text = Path.read_text
    monkeypatch.setattr(Path, "read_text", lambda self, **how: reads.append(self) or read_text(self, **how))
    hosts = KnownHosts()
    for _ in range(3):
        assert len(hosts.lookup("web1", [path]).keys) == 1
    assert reads == [path]
    path.write_text(f"web1 ssh-ed25519 {BLOB}\nweb1 ssh-ed25519 {OTHER}\n")
    assert len(hosts.lookup("web1", [path]).keys) == 2


def test_remembering(tmp_path: Path) -> None:
    path = tmp_path / "dir" / "known"
    hosts = KnownHosts()
    hosts.remember("web1", "ssh-ed25519", base64.b64decode(BLOB), path)
    hosts.remember("web1", "ssh-ed25519", base64.b64decode(BLOB), path)
    assert path.read_text() == f"web1 ssh-ed25519 {BLOB}\n"
    assert path.stat().st_mode & 0o777 == 0o600
    path.write_text("db ssh-ed25519 " + OTHER)  # no end of line
    hosts.remember("web1", "ssh-ed25519", base64.b64decode(BLOB), path)
    assert path.read_text().splitlines() == [f"db ssh-ed25519 {OTHER}", f"web1 ssh-ed25519 {BLOB}"]


def test_remembering_from_many_threads(tmp_path: Path) -> None:
    path = tmp_path / "known"
    threads = [
        threading.Thread(
            target=KnownHosts().remember, args=(f"web{n % 5}", "ssh-ed25519", base64.b64decode(BLOB), path)
        )
        for n in range(25)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(path.read_text().splitlines()) == [f"web{n} ssh-ed25519 {BLOB}" for n in range(5)]


def test_fingerprints_are_ssh_keygens(tmp_path: Path) -> None:
    (tmp_path / "key.pub").write_text(f"ssh-ed25519 {BLOB}\n")
    shown = subprocess.run(["ssh-keygen", "-lf", str(tmp_path / "key.pub")], capture_output=True, text=True, check=True)
    assert fingerprint(base64.b64decode(BLOB)) in shown.stdout


def test_a_name_with_brackets_is_no_set_of_characters() -> None:
    assert matches("[a]:1", ["[a]:*"])
    assert not matches("a:1", ["[a]:*"])
