"""Command lines of sudo, su and doas."""

from __future__ import annotations

import shlex

import pytest

from opsrunner.become import become_line
from opsrunner.remote import Become


def words(become: Become) -> list[str]:
    return shlex.split(become_line("echo 'hi'", become, prompt="PROMPT"))


def test_sudo_without_a_password_never_asks() -> None:
    assert words(Become("sudo")) == [
        *("sudo", "-H", "-S", "-n", "-p", "PROMPT", "-u", "root", "--", "/bin/sh", "-c", "echo 'hi'")
    ]


def test_sudo_with_a_password_asks_on_stdin_and_forgets() -> None:
    assert words(Become("sudo", user="app", password="x"))[:9] == [
        *("sudo", "-H", "-S", "-k", "-p", "PROMPT", "-u", "app", "--")
    ]


@pytest.mark.parametrize(
    ("flags", "kept"),
    [
        ("-n", ["-S"]),
        ("-Hn", ["-H", "-S"]),
        ("-nS", ["-S"]),
        ("--non-interactive --stdin", ["--stdin"]),
        ("--login", ["--login", "-S"]),
        ("-r unconfined_r", ["-r", "unconfined_r", "-S"]),
        ("", ["-S"]),
    ],
)
def test_flags_with_a_password(flags: str, kept: list[str]) -> None:
    said = words(Become("sudo", flags=flags, password="x"))
    assert said[1 : said.index("-k")] == kept


def test_flags_without_a_password_are_left_alone() -> None:
    assert words(Become("sudo", flags="-H"))[:4] == ["sudo", "-H", "-p", "PROMPT"]


def test_su() -> None:
    said = words(Become("su", user="app", flags="-l -s /bin/sh"))
    assert said == ["su", "-l", "-s", "/bin/sh", "app", "-c", "exec /bin/sh -c 'echo '\"'\"'hi'\"'\"''"]
    assert shlex.split(said[-1]) == ["exec", "/bin/sh", "-c", "echo 'hi'"]


def test_doas_never_waits_for_a_terminal() -> None:
    assert words(Become("doas", user="app", password="x")) == [
        *("doas", "-n", "-u", "app", "/bin/sh", "-c", "echo 'hi'")
    ]


def test_a_users_name_is_one_word() -> None:
    hostile = "x; rm -rf /"
    for method in ("sudo", "su", "doas"):
        assert hostile in words(Become(method, user=hostile))  # type: ignore[arg-type]


def test_the_password_is_never_part_of_the_line() -> None:
    for method in ("sudo", "su", "doas"):
        line = become_line("x", Become(method, password="hunter2"), prompt="P")  # type: ignore[arg-type]
        assert "hunter2" not in line
