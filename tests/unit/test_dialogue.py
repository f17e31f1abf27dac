"""Following a command, byte by byte."""

from __future__ import annotations

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsrunner.dialogue import NOISE_LIMIT, Dialogue, End, signal_end
from opsrunner.errors import BecomeFailed, RemoteCancelled, RemoteTimeout, Unreachable
from opsrunner.launch import prepare
from opsrunner.remote import Become, Command, Stream

NOW = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)


def talk(command: Command, heard: list[tuple[str, bytes]] | None = None) -> Dialogue:
    return Dialogue(
        prepare(command, "NONCE"), command, NOW, None if heard is None else lambda *said: heard.append(said)
    )


def test_noise_before_the_marker_is_dropped() -> None:
    heard: list[tuple[str, bytes]] = []
    dialogue = talk(Command("x"), heard)
    dialogue.feed("stdout", b"welcome\nNONCE i $$ NONCE i 12\nout")
    dialogue.feed("stdout", b"put")
    dialogue.feed("stderr", b"err")
    done = dialogue.completed("h", End(4))
    assert (done.rc, done.stdout, done.stderr, dialogue.groups) == (4, b"output", b"err", [12])
    assert heard == [("stdout", b"out"), ("stdout", b"put"), ("stderr", b"err")]


def test_a_marker_is_only_one_with_our_nonce_and_a_number() -> None:
    dialogue = talk(Command("x"))
    dialogue.feed("stdout", b"OTHER i 12\nNONCE i x\n")
    assert not dialogue.started
    dialogue.feed("stdout", b"NONCE i 13\nNONCE i 14\n")
    assert dialogue.groups == [13]
    assert dialogue.completed("h", End(0)).stdout == b"NONCE i 14\n"


def test_a_guard_takes_input_before_it_knows_who_runs_the_command() -> None:
    command = Command("x", become=Become(password="pw"), stdin=b"data", guard="a")
    dialogue = talk(command)
    dialogue.feed("stdout", b"NONCE o 5\n")
    dialogue.feed("stderr", b"NONCE p:")
    assert dialogue.next_input() == b"pw\n"
    assert dialogue.next_input() == b""
    dialogue.feed("stderr", b"NONCE e\n")
    dialogue.feed("stdout", b"NONCE s 6\n")
    assert not dialogue.started
    assert dialogue.next_input() == b"data"
    # It joined a command that runs since before: that one's group is to be signalled, too.
    dialogue.feed("stdout", b"NONCE i 3\nout")
    assert dialogue.started
    assert dialogue.groups == [5, 6, 3]


def test_a_guard_that_runs_the_command_itself_is_named_once() -> None:
    dialogue = talk(Command("x", guard="a"))
    dialogue.feed("stdout", b"NONCE s 6\nNONCE i 6\n")
    assert dialogue.groups == [6]


def test_a_guard_that_said_nothing_is_not_blamed_on_become() -> None:
    dialogue = talk(Command("x", become=Become(), guard="a"))
    dialogue.feed("stdout", b"NONCE o 5\nNONCE s 6\n")
    dialogue.feed("stderr", b"NONCE e\nSyntax error\n")
    with pytest.raises(Unreachable, match="Syntax error"):
        dialogue.completed("h", End(2))


@given(st.data())
def test_cuts_between_bytes_do_not_matter(data: st.DataObject) -> None:
    become = Become("sudo", password="pw")
    # sudo says nothing more until it has been answered: there is always a cut behind its prompt.
    said: list[tuple[Stream, bytes]] = [
        ("stderr", b"lecture\nNONCE p:"),
        ("stderr", b"NONCE e\nerr\n"),
        ("stdout", b"noise\nNONCE o 5\nNONCE i 6\nout\n"),
    ]
    dialogue = talk(Command("x", become=become, stdin=b"in"))
    written = b""
    for stream, rest in said:
        while rest:
            size = data.draw(st.integers(1, len(rest)))
            dialogue.feed(stream, rest[:size])
            rest = rest[size:]
            while more := dialogue.next_input():
                written += more
    assert written == b"pw\nin"
    assert dialogue.next_input() is None
    done = dialogue.completed("h", End(0))
    assert (done.stdout, done.stderr, dialogue.groups) == (b"out\n", b"err\n", [5, 6])


def test_input_without_become_is_there_at_once() -> None:
    dialogue = talk(Command("x", stdin=b"data"))
    assert dialogue.next_input() == b"data"
    assert dialogue.next_input() is None
    assert talk(Command("x")).next_input() is None


def test_a_password_is_sent_only_when_asked_for() -> None:
    dialogue = talk(Command("x", become=Become(password="pw"), stdin=b"data"))
    assert dialogue.next_input() == b""
    dialogue.feed("stdout", b"NONCE o 5\n")
    assert dialogue.next_input() == b""
    dialogue.feed("stdout", b"NONCE i 6\n")  # sudo needed none
    assert dialogue.next_input() == b"data"
    assert dialogue.next_input() is None


def test_a_password_that_is_asked_for_twice_was_wrong() -> None:
    dialogue = talk(Command("x", become=Become(password="pw"), stdin=b"data"))
    dialogue.feed("stdout", b"NONCE o 5\n")
    dialogue.feed("stderr", b"NONCE p:")
    assert dialogue.next_input() == b"pw\n"
    assert dialogue.next_input() == b""
    dialogue.feed("stderr", b"\nSorry, try again.\nNONCE p:")
    assert dialogue.refused
    assert dialogue.next_input() is None
    with pytest.raises(BecomeFailed, match="incorrect sudo password for becoming root") as caught:
        dialogue.completed("h", End(1))
    assert "NONCE" not in str(caught.value)


@pytest.mark.parametrize("prompt", ["Password: ", "Passwort: ", "密码：", "パスワード:"])
def test_su_asks_in_any_language(prompt: str) -> None:
    dialogue = talk(Command("x", become=Become("su", password="pw")))
    dialogue.feed("stdout", b"NONCE o 5\n")
    dialogue.feed("stderr", prompt.encode())
    assert dialogue.next_input() == b"pw\n"


def test_what_su_complains_of_is_no_prompt() -> None:
    dialogue = talk(Command("x", become=Become("su")))
    dialogue.feed("stdout", b"NONCE o 5\n")
    dialogue.feed("stderr", b"su: ")
    dialogue.feed("stderr", b"user nobody2 does not exist\n")
    with pytest.raises(BecomeFailed, match=r"su would not become root.*does not exist"):
        dialogue.completed("h", End(1))


def test_a_login_shell_that_runs_nothing() -> None:
    dialogue = talk(Command("x"))
    dialogue.feed("stdout", b"This account is currently not available.\n")
    with pytest.raises(Unreachable, match=r"did not run the command.*not available"):
        dialogue.completed("h", End(1))


def test_endless_noise_takes_no_endless_memory() -> None:
    dialogue = talk(Command("x"))
    for _ in range(100):
        dialogue.feed("stdout", b"n" * 10_000)
    noise = dialogue._noise["stdout"]
    assert noise is not None
    assert len(noise) <= 2 * NOISE_LIMIT + 10_000
    dialogue.feed("stdout", b"NONCE i 7\nout")
    assert dialogue.output() == (b"out", b"")


def test_stderr_of_a_command_that_closed_it_is_not_lost() -> None:
    dialogue = talk(Command("x", become=Become()))
    dialogue.feed("stdout", b"NONCE o 5\nNONCE i 6\n")
    dialogue.feed("stderr", b"half a word")
    assert dialogue.completed("h", End(0)).stderr == b"half a word"


def test_fates() -> None:
    dialogue = talk(Command("x", timeout=2.5))
    assert dialogue.fate("") == "could not be killed (pid unknown)"
    dialogue.feed("stdout", b"NONCE i 6\nso far")
    assert dialogue.fate("killed\n") == "killed"
    assert dialogue.fate("ended\n") == "ended by itself"
    assert dialogue.fate("alive\n") == "could not be killed (pid 6)"
    error = dialogue.broken_off("h", cancelled=False, fate="killed")
    assert (type(error), str(error), error.stdout) == (RemoteTimeout, "timed out after 2.5 s (killed)", b"so far")
    assert type(dialogue.broken_off("h", cancelled=True, fate="killed")) is RemoteCancelled


def test_signals_without_a_number_here() -> None:
    assert signal_end("TERM") == End(143, "TERM")
    assert signal_end("NOSUCH") == End(128, "NOSUCH")
