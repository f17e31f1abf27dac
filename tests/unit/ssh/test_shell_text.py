"""The long-lived shell's own text, under every shell that may be a host's /bin/sh."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from opsrunner.launch import prepare
from opsrunner.remote import Command
from opsrunner.ssh.framing import Framing
from opsrunner.ssh.shelltext import boot, frame

SHELLS = [name for name in ("dash", "bash --posix", "busybox sh") if shutil.which(name.split()[0])]


class Host:
    """A shell that has been booted, and what it answers."""

    def __init__(self, words: list[str], **environment: str) -> None:
        self.words = [*words, "-s", "opsrunner"]
        self.environment = {**os.environ, **environment}
        self.number = 0
        self.open()

    def open(self) -> None:
        # Pairs of sockets, as sshd has them: both ends of a pipe are one file, and we would hold it.
        (self.stdout, stdout), (self.stderr, stderr) = socket.socketpair(), socket.socketpair()
        with stdout, stderr:
            self.process = subprocess.Popen(
                self.words, stdin=subprocess.PIPE, stdout=stdout, stderr=stderr, env=self.environment
            )
        self.send(boot("first"))
        assert self.answer("first") == (0, b"", b"", False)

    def send(self, text: bytes) -> None:
        assert self.process.stdin
        self.process.stdin.write(text)
        self.process.stdin.flush()

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()
        self.stdout.close()
        self.stderr.close()

    def answer(self, nonce: str) -> tuple[int | None, bytes, bytes, bool]:
        """Status, both outputs (the first without its marker), and whether somebody holds them."""
        heard = []
        for stream in (self.stdout, self.stderr):
            framing, output = Framing(nonce), b""
            while not framing.over and (data := stream.recv(65536)):
                output += framing.feed(data)
            heard.append((output + framing.rest(), framing))
        (out, framing), (err, _) = heard
        return framing.status, out.partition(b"\n")[2], err, framing.held

    def run(self, line: str, stdin: bytes = b"") -> tuple[int | None, bytes, bytes, bool]:
        self.number += 1
        self.send(frame(prepare(Command(line, stdin=stdin), "marker"), f"nonce{self.number}"))
        return self.answer(f"nonce{self.number}")

    def run_calmly(self, line: str, stdin: bytes = b"") -> tuple[int | None, bytes, bytes, bool]:
        """The same of a command that leaves nobody behind; anew where too many other processes raise a doubt."""
        for _ in range(10):
            if not (told := self.run(line, stdin))[3]:
                break
            self.close()
            self.open()
        return told


@pytest.fixture(params=SHELLS)
def host(request: pytest.FixtureRequest) -> Iterator[Host]:
    made = Host(request.param.split())
    yield made
    made.close()


def test_a_command_cannot_change_the_shell(host: Host, tmp_path: Path) -> None:
    look = "umask; ulimit -c; pwd; trap; set | grep -c opsrunner_; ls /proc/self/fd; env | sort"
    pristine = host.run_calmly(look)[:3]
    for line in (
        f"cd {tmp_path}; umask 0; ulimit -c 0; export LEFT=over; trap '' TERM INT; set -eu; PATH=; alias echo=false",
        "exec >&- 2>&- <&-",
        "exec sh -c 'exit 3'",
        "trap 'exit 5' EXIT; set -e; false",
        "kill $PPID; kill -INT $PPID; kill -HUP $PPID",
    ):
        host.run_calmly(line)
    again = host.run_calmly(look)[:3]
    assert again == pristine


@pytest.mark.parametrize(
    ("line", "status", "out", "err"),
    [
        ("exit 3", 3, b"", b""),
        ("exit 200", 200, b"", b""),
        ("kill -INT $$; echo not reached", 130, b"", b""),
        ("kill -KILL $$", 137, b"", b""),
        ("no-such-command 2>/dev/null", 127, b"", b""),
        ("if", 2, b"", None),
        ("printf 'a\\0b'; printf 'no end' >&2", 0, b"a\0b", b"no end"),
        ("cat; read x || echo end", 0, b"end\n", b""),
        ("cat <<'E'\nit's \"$HOME\" `x` \\\nE", 0, b'it\'s "$HOME" `x` \\\n', b""),
        ("kill $PPID; kill -HUP $PPID; echo mine", 0, b"mine\n", b""),
    ],
)
def test_what_comes_of_a_command(host: Host, line: str, status: int, out: bytes, err: bytes | None) -> None:
    told = host.run_calmly(line)
    assert told == (status, out, told[2] if err is None else err, False)
    assert host.run_calmly("echo again") == (0, b"again\n", b"", False)


INPUTS = [b"x", b"line\n", b"no end", b'it\'s "$HOME" `x` \\ %s \\n\n\n', bytes(range(1, 256)), b"-n", b"y" * 32_768]


@pytest.mark.parametrize("data", INPUTS, ids=range(len(INPUTS)))
def test_input_arrives_byte_by_byte(host: Host, data: bytes) -> None:
    assert host.run_calmly("cat; exit 3", data) == (3, data, b"", False)
    assert host.run_calmly("exit 3", data) == (3, b"", b"", False)
    assert host.run_calmly("cat") == (0, b"", b"", False)


def test_every_command_has_a_session_of_its_own(host: Host) -> None:
    _, out, _, _ = host.run_calmly("read -r stat </proc/$$/stat; set -- ${stat##*) }; echo $$ $3 $4")
    assert len(set(out.split())) == 1


def test_a_shell_ends_with_its_input(host: Host) -> None:
    host.process.communicate(timeout=10)
    assert host.process.returncode == 0


@pytest.mark.parametrize(
    "line",
    [
        "sleep 30 & echo $!",
        "setsid sleep 30 & echo $!",
        "sleep 30 >/dev/null & echo $!",  # the other stream
        "sleep 30 7>&2 >/dev/null 2>&1 & echo $!",
        # A daemon: its first process ends after it has begun the second.
        "(setsid sh -c 'sleep 30 & echo $!' & wait)",
        "(sleep 0.02; sleep 0.1; :) & echo $!",
    ],
)
def test_who_holds_a_stream_is_noticed_and_the_shell_ends(host: Host, line: str) -> None:
    status, out, _, held = host.run(line)
    os.kill(int(out.split()[0]), signal.SIGKILL)
    assert (status, held) == (0, True)
    assert host.process.wait(10) == 0


@pytest.mark.parametrize(
    "line",
    [
        # With time to close them: a process that has just begun holds what its parent holds.
        "sleep 5 >/dev/null 2>&1 & echo $!; sleep 0.1",
        "setsid sleep 5 </dev/null >/dev/null 2>&1 & echo $!; sleep 0.1",
        "sleep 5 <&- >&- 2>&- & echo $!; sleep 0.1",
    ],
)
def test_who_holds_nothing_is_left_alone(host: Host, line: str) -> None:
    status, out, _, held = host.run_calmly(line)
    os.kill(int(out.split()[0]), signal.SIGKILL)
    assert (status, held) == (0, False)
    assert host.run_calmly("echo again")[1] == b"again\n"


def test_a_long_line_with_everything_in_it(host: Host) -> None:
    text = 'it\'s "all" $here \\ `too`\n' * 1000
    quoted = text.replace("'", "'\\''")
    assert host.run_calmly(f"printf %s '{quoted}'")[1] == text.encode()


def test_of_a_line_that_was_cut_short_nothing_is_run(host: Host, tmp_path: Path) -> None:
    text = f"touch {tmp_path}/one; find {tmp_path} -name '*' -exec touch {tmp_path}/two ';'"
    line = frame(prepare(Command(text), "marker"), "nonce")
    host.send(line.rpartition(b"'")[0] + b"'")  # up to a place where no quote is open any more
    host.process.communicate(timeout=10)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("word", [name for name in SHELLS if not name.startswith("bash")])  # it tries for 15 s
@pytest.mark.parametrize("stdin", [b"", b"input"])
def test_a_command_that_the_host_has_no_process_for_is_not_begun(word: str, stdin: bytes, tmp_path: Path) -> None:
    nobody = ["setpriv", "--reuid", str(3_000_000 + os.getpid()), "--clear-groups"]  # who has no other process
    host = Host([*nobody, *word.split()])
    try:
        host.send(b"ulimit -u 1 || ulimit -p 1\n")  # the letter differs
        host.send(frame(prepare(Command(f"touch {tmp_path}/ran", stdin=stdin), "marker"), "nonce"))
        framing = Framing("nonce")
        while not framing.over and (data := host.stdout.recv(65536)):
            framing.feed(data)
        assert (framing.status, framing.unbegun) == (0, True)
        assert not (tmp_path / "ran").exists()
    finally:
        host.close()


@pytest.mark.parametrize("word", SHELLS)
@pytest.mark.parametrize(
    "surroundings",
    [
        'PATH="$PWD:$PATH"; ln -s /bin/false setsid',
        'PATH="$PWD:$PATH"; printf \'#!/bin/sh\\nexec "$@"\' >setsid; chmod +x setsid',
        "ulimit -n 5",
        'rmdir "$PWD"',
    ],
    ids=["false", "no-session", "files", "directory"],
)
def test_where_no_command_could_be_run_there_is_no_shell(word: str, surroundings: str, tmp_path: Path) -> None:
    done = subprocess.run(
        ["/bin/sh", "-c", f"{surroundings}; exec {word} -s opsrunner"],
        input=boot("first"),
        cwd=tmp_path,
        capture_output=True,
        timeout=10,
        check=False,
    )
    assert b"first" not in done.stdout


@pytest.mark.parametrize("word", SHELLS)
def test_exported_variables_of_our_names_stay_out(word: str) -> None:
    host = Host(word.split(), opsrunner_home="/nowhere", opsrunner_nonce="x", OLDPWD="/usr")
    try:
        assert host.run_calmly("pwd; env | grep ^opsrunner_; true")[1] == f"{Path.cwd()}\n".encode()
        assert host.run_calmly("env | grep ^OLDPWD")[1] == b"OLDPWD=/usr\n"
    finally:
        host.close()
