"""The long-lived shell's own text, under every shell that may be a host's /bin/sh."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from opsrunner.launch import prepare
from opsrunner.remote import Command
from opsrunner.ssh.framing import Framing
from opsrunner.ssh.shelltext import boot, frame

SHELLS = [name for name in ("bash -p", "dash", "bash --posix", "busybox sh") if shutil.which(name.split()[0])]


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
        assert self.answer("first") == (self.process.pid, b"", b"", False)

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
        """Status, both outputs, and whether somebody holds them."""
        heard = []
        for stream in (self.stdout, self.stderr):
            framing, output = Framing(nonce), b""
            while not framing.over and (data := stream.recv(65536)):
                output += framing.feed(data)
            heard.append((output + framing.rest(), framing))
        (out, framing), (err, _) = heard
        return framing.status, out, err, framing.held

    def run(self, line: str, stdin: bytes = b"", *, program: bool = False) -> tuple[int | None, bytes, bytes, bool]:
        self.number += 1
        launch = prepare(Command(line, stdin=stdin, program=program), "marker")
        self.send(frame(launch, f"nonce{self.number}"))
        status, out, err, held = self.answer(f"nonce{self.number}")
        if not launch.text:
            said, _, out = out.partition(b"\n")
            assert said.startswith(b"marker i ")
        return status, out, err, held

    def run_calmly(
        self, line: str, stdin: bytes = b"", *, program: bool = False
    ) -> tuple[int | None, bytes, bytes, bool]:
        """The same of a command that leaves nobody behind; anew where other processes raise a doubt."""
        for _ in range(10):
            if not (told := self.run(line, stdin, program=program))[3]:
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


@pytest.mark.parametrize(
    "words",
    [
        "/bin/echo 'it'\\''s' \"$HOME\" ~ \"${NOPE-\\$NOPE}\"",
        "echo -n words",
        "/bin/sh -c 'echo $$ $PPID >/dev/null; pwd; exit 7'",
        "true",
        "false",
        "[ -d / ]",
        "no-such-program",
        "usr/bin/env",
        "./no-such-program",
        "/no/such/program",
        "/etc/passwd",
        "/tmp",
        "cd /",
        "set",
        "local",
        "exit 3",
        "--version",
        "''",
        "kill -l 9",
        "env -u PATH /bin/sh -c 'echo \"$OLDPWD\" $PWD; umask'",
    ],
)
def test_one_program_needs_no_shell_and_cannot_tell(host: Host, words: str) -> None:
    expected = host.run_calmly(f"exec {words}")[:3]
    assert host.run_calmly(f"exec {words}", program=True)[:3] == expected


@pytest.mark.parametrize("content", ["echo without", "#!/bin/sh\necho with", "", "\\0\\1"])
def test_a_file_is_run_as_a_shell_runs_it(host: Host, content: str, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text(content)
    path.chmod(0o755)
    expected = host.run_calmly(f"exec {path} word")[:3]
    assert host.run_calmly(f"exec {path} word", program=True)[:3] == expected


@pytest.mark.parametrize("name", ["TSTP", "TTIN", "TTOU"])
def test_a_command_that_stops_itself_as_at_a_terminal_goes_on(host: Host, name: str) -> None:
    assert host.run_calmly(f"kill -{name} $$; echo after; exit 5") == (5, b"after\n", b"", False)


def test_a_command_that_was_stopped_is_waited_for(host: Host, tmp_path: Path) -> None:
    wake = f"(until [ -e {tmp_path}/go ]; do sleep 0.05; done; kill -CONT $$) & "
    host.send(frame(prepare(Command(f"{wake} echo $$ >{tmp_path}/pid; kill -STOP $$; wait; exit 6"), "marker"), "n1"))
    while not (tmp_path / "pid").exists() or not (number := (tmp_path / "pid").read_text()):
        time.sleep(0.01)
    while Path(f"/proc/{number.strip()}/stat").read_text().rpartition(")")[2].split()[0] != "T":
        time.sleep(0.01)
    (tmp_path / "go").touch()
    assert host.answer("n1")[:2] == (6, b"")


def test_a_command_that_was_stopped_and_then_interrupted_has_ended(host: Host) -> None:
    line = "(sleep 0.2; kill -INT $$; kill -CONT $$) >/dev/null 2>&1 & kill -STOP $$; echo not reached"
    assert host.run(line)[:2] == (130, b"")


def test_a_program_is_the_child_of_the_shell(host: Host) -> None:
    line = "exec sed -n 's/^PPid:.//p' /proc/self/status"
    for program in (False, True):
        assert host.run_calmly(line, program=program)[1] == b"%d\n" % host.process.pid


INPUTS = [b"x", b"line\n", b"no end", b'it\'s "$HOME" `x` \\ %s \\n\n\n', bytes(range(1, 256)), b"-n", b"y" * 32_768]


@pytest.mark.parametrize("data", INPUTS, ids=range(len(INPUTS)))
def test_input_arrives_byte_by_byte(host: Host, data: bytes) -> None:
    assert host.run_calmly("cat; exit 3", data) == (3, data, b"", False)
    assert host.run_calmly("exit 3", data) == (3, b"", b"", False)
    assert host.run_calmly("cat") == (0, b"", b"", False)


def test_every_command_leads_a_process_group(host: Host) -> None:
    for stdin in (b"", b"x"):
        _, out, _, _ = host.run_calmly("read -r stat </proc/$$/stat; set -- ${stat##*) }; echo $$ $3", stdin)
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
        # Not the orphan itself, but who it has begun.
        "setsid sh -c 'sleep 30 & echo $!; exec >/dev/null 2>&1; wait' & sleep 0.2",
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


def test_where_the_list_of_orphans_is_gone_nobody_can_say_that_the_streams_are_free(host: Host) -> None:
    host.send(b"opsrunner_list=/no/such/file\n")
    assert host.run("echo") == (0, b"\n", b"", True)
    assert host.process.wait(10) == 0


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


#: Bash tries for 15 s, so it is seen once.
FORKLESS = [("bash -p", b"")] + [(word, data) for word in SHELLS if word[:4] != "bash" for data in (b"", b"input")]


@pytest.mark.parametrize(("word", "stdin"), FORKLESS)
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


#: What keeps a shell from running commands.
HINDRANCES = {
    "false": 'PATH="$PWD:$PATH"; ln -s /bin/false setsid',
    "no-group": 'PATH="$PWD:$PATH"; printf \'#!/bin/sh\\nexec "$@"\' >setsid; chmod +x setsid',
    "files": "ulimit -n 5",
    "directory": 'rmdir "$PWD"',
}


@pytest.mark.parametrize("word", SHELLS)
@pytest.mark.parametrize("hindrance", HINDRANCES)
def test_where_no_command_could_be_run_there_is_no_shell(word: str, hindrance: str, tmp_path: Path) -> None:
    # Only bash, as it is begun on a host, needs no setsid.
    served = word == "bash -p" and "setsid" in HINDRANCES[hindrance]
    done = subprocess.run(
        ["/bin/sh", "-c", f"{HINDRANCES[hindrance]}; exec {word} -s opsrunner"],
        input=boot("first"),
        cwd=tmp_path,
        capture_output=True,
        timeout=10,
        check=False,
    )
    assert (b"first" in done.stdout) == served


@pytest.mark.parametrize("word", SHELLS)
def test_exported_variables_of_our_names_stay_out(word: str) -> None:
    host = Host(word.split(), opsrunner_home="/nowhere", opsrunner_after="x", OLDPWD="/usr")
    try:
        assert host.run_calmly("pwd; env | grep ^opsrunner_; true")[1] == f"{Path.cwd()}\n".encode()
        assert host.run_calmly("env | grep ^OLDPWD")[1] == b"OLDPWD=/usr\n"
    finally:
        host.close()
