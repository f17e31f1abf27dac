"""``notifiers:`` of a file: what is taken, and what is refused where."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from opsrunner import vault
from opsrunner.errors import InputError
from opsrunner.notify import choice, load
from opsrunner.notify.model import DEFAULT_ON, Mail, Webhook, of_data, to_data
from opsrunner.settings import Settings

MAIL = "mail: {to: ops@example.com, from: us@example.com, host: smtp.example.com}"
HOOK = 'webhook: {url: "https://chat.example.com/T0KEN"}'


def read(folder: Path, text: str) -> dict[str, Any]:
    (folder / "notifiers.yml").write_text(text)
    return load.load(folder / "notifiers.yml")


def refused(folder: Path, text: str) -> InputError:
    with pytest.raises(InputError) as caught:
        read(folder, text)
    return caught.value


def entry(text: str) -> str:
    return f"notifiers:\n  ops:\n    {text}\n"


def settings(folder: Path, **more: Any) -> Settings:
    return Settings(notifiers=str(folder / "notifiers.yml"), schedules=str(folder / "schedules.yml"), **more)


def test_defaults(tmp_path: Path) -> None:
    ops = read(tmp_path, entry(MAIL))["ops"]
    assert ops.channel == Mail("smtp.example.com", 587, "starttls", "us@example.com", ("ops@example.com",))
    assert (ops.on, ops.retry_after, ops.give_up_after, ops.output) == (DEFAULT_ON, 30, 86400, True)


def test_a_bare_on_is_a_word(tmp_path: Path) -> None:
    assert read(tmp_path, entry(f"{HOOK}\n    on: [start, failure]"))["ops"].on == ("start", "failure")
    quoted = read(tmp_path, entry(f'{HOOK}\n    "on": start\n    still_running_after: 90s'))["ops"]
    assert (quoted.on, quoted.still_running_after) == (("start", "still_running"), 90)


@pytest.mark.parametrize(
    ("text", "place", "what"),
    [
        (f"{MAIL}\n    onn: [start]", "4:5", "unknown key 'onn'"),
        (f"{MAIL}\n    on: [strat]", "4:10", "unknown event 'strat'"),
        (f"{MAIL}\n    on: [still_running]", "4:9", "needs still_running_after"),
        (f"{MAIL}\n    retry_after: soon", "4:18", "is a time such as"),
        (f"{MAIL}\n    give_up_after: 31d", "4:20", "is a time such as"),
        (f"{MAIL}\n    output: maybe", "4:13", "true or false"),
        ("pager: {}", "3:5", "unknown key 'pager'"),
        ("webhook: {url: 'http://h', signature: abc}", "3:43", "signature is a mapping"),
        ("on: [start]", "3:5", "either mail: or webhook:"),
        (f"{MAIL}\n    {HOOK}", "4:14", "either mail: or webhook:"),
        ("mail: ops@example.com", "3:11", "mail is a mapping"),
        ("mail: {to: ops@example.com, from: us@example.com}", "3:11", "mail needs host:"),
        ("mail: {to: ops, from: us@example.com, host: h}", "3:16", "'ops' is no mail address"),
        ("mail: {to: [a@b.c, 'x@y z'], from: us@example.com, host: h}", "3:24", "'x@y z' is no mail address"),
        ("mail: {to: 'a@b.c, d@e.f', from: us@example.com, host: h}", "3:16", "is no mail address"),
        ('mail: {to: "a@b.c\\r\\nBcc: x@y.z", from: us@example.com, host: h}', "3:16", "is no mail address"),
        ("mail: {to: a@b.c, from: us@example.com, host: 'h h'}", "3:51", "is no name or address of a host"),
        ("mail: {to: a@b.c, from: us@example.com, host: h, port: 70000}", "3:60", "from 1 to 65535"),
        ("mail: {to: a@b.c, from: us@example.com, host: h, security: ssl}", "3:64", "'ssl' is not known"),
        ("mail: {to: a@b.c, from: us@example.com, host: h, user: me}", "3:60", "go together"),
        (
            "mail: {to: a@b.c, from: us@example.com, host: h, user: me, password: {env: P}, security: none}",
            "3:94",
            "in the clear",
        ),
        ("mail: {to: a@b.c, from: us@example.com, host: h, subject: '{{ evnt }}'}", "3:63", "'evnt' is undefined"),
        ("webhook: {url: ftp://example.com}", "3:20", "url is no good"),
        ('webhook: {url: "https://me:pw@example.com"}', "3:20", "url is no good"),
        ('webhook: {url: "https://"}', "3:20", "url is no good"),
        ("webhook: {url: {fil: x}}", "3:20", "none of the forms of a secret"),
        ("webhook: {json: {}}", "3:14", "webhook needs url:"),
        ("webhook: {url: 'http://h', method: GET}", "3:40", "'GET' is not known"),
        ("webhook: {url: 'http://h', json: {}, text: x}", "3:48", "json and text at one webhook"),
        ("webhook: {url: 'http://h', form: [1]}", "3:38", "form is a mapping"),
        ("webhook: {url: 'http://h', json: {a: ['{{ nope }}']}}", "3:43", "'nope' is undefined"),
        ("webhook: {url: 'http://h', json: {a: '{{ failures[0].hosts }}'}}", "3:42", "cannot be rendered"),
        ("webhook: {url: 'http://h', json: {a: '{{ run. }}'}}", "3:42", "cannot be rendered"),
        ("webhook: {url: 'http://h', json: {a: '{{ x | upperr }}'}}", "3:42", "no filter named 'upperr'"),
        ("webhook: {url: 'http://h', text: \"{{ lookup('pipe', 'id') }}\"}", "3:38", "looks at a machine"),
        ("webhook: {url: 'http://h', json: {a: 2026-11-21}}", "3:42", "write it in quotes"),
        ("webhook: {url: 'http://h', headers: {'a b': c}}", "3:49", "no name of a header"),
        ("webhook: {url: 'http://h', headers: {a: \"b\\nc\"}}", "3:45", "what a header cannot"),
        ("webhook: {url: 'http://h', signature: {header: X}}", "3:43", "signature needs key:"),
    ],
)
def test_refused_with_its_place(tmp_path: Path, text: str, place: str, what: str) -> None:
    told = str(refused(tmp_path, entry(text)))
    assert f"notifiers.yml:{place}: " in told
    assert what in told


@pytest.mark.parametrize(
    ("text", "place", "what"),
    [
        ("- ops", "1:1", "is a mapping"),
        ("notifier: {}", "1:1", "unknown key 'notifier'"),
        ("notifiers: [ops]", "1:12", "mapping of names"),
        ("notifiers: {ops: mail}", "1:13", "a notifier is a mapping"),
        (f"notifiers:\n  none: {{{HOOK}}}", "2:3", "no name of a notifier"),
        (f"notifiers:\n  a,b: {{{HOOK}}}", "2:3", "no name of a notifier"),
    ],
)
def test_a_file_that_is_none(tmp_path: Path, text: str, place: str, what: str) -> None:
    told = str(refused(tmp_path, text))
    assert f"notifiers.yml:{place}: " in told
    assert what in told


def test_every_fault_is_told_at_once(tmp_path: Path) -> None:
    told = refused(tmp_path, f"notifiers:\n  a: {{{HOOK}, onn: 1}}\n  b: {{{MAIL}, on: [x]}}\n").lines()
    assert sum("notifiers.yml:" in line for line in told) == 2


@pytest.mark.parametrize(
    "text",
    [
        "mail: {to: a@b.c, from: us@example.com, host: h, user: me, password: hunter2}",
        "webhook: {url: 'http://h', secrets: {token: hunter2}}",
        "webhook: {url: 'http://h', signature: {key: hunter2}}",
        "webhook: {url: 'ftp://h/hunter2'}",
        "webhook: {url: 'http://h/hunter2', methd: PUT}",
        "webhook: {method: GET, headers: {Authorization: hunter2}}",
        "mail: {to: nobody, from: us@example.com, host: h, user: me, password: hunter2}",
    ],
)
def test_a_secret_in_plain_text_is_refused_and_not_repeated(tmp_path: Path, text: str) -> None:
    error = refused(tmp_path, entry(text))
    assert any("********" in line for line in error.lines())
    assert not any("hunter2" in line for line in error.lines())


def test_a_file_that_is_encrypted_may_hold_passwords(tmp_path: Path) -> None:
    text = entry("mail: {to: a@b.c, from: us@example.com, host: h, user: me, password: hunter2}")
    with vault.using(vault.Vault((vault.Secret("default", b"key"),))):
        ops = read(tmp_path, vault.encrypt(text.encode(), b"key"))["ops"]
    assert ops.channel.password.text == "hunter2"
    assert "hunter2" not in repr(ops)


def test_one_notifier_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "notifiers.yml").write_text("notifiers: {ops: {webhook: {url: 'http://h'}}}\n")
    assert choice.one(settings(tmp_path), "ops", {}).name == "ops"
    for name in ("none", "", "opps"):
        with pytest.raises(InputError, match="no notifier"):
            choice.one(settings(tmp_path), name, {})
    choice.check_names(settings(tmp_path), ["ops", "gone"], ["gone"])
    with pytest.raises(InputError, match="'gone'"):
        choice.check_names(settings(tmp_path), ["ops", "gone"], [])


def test_secrets_are_opened_when_they_are_needed(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("from a file\n")
    read(
        tmp_path,
        "notifiers:\n"
        "  a: {mail: {to: a@b.c, from: u@e.org, host: h, user: me, password: {file: password}}}\n"
        "  b: {webhook: {url: {env: URL}, headers: {X: {env: HEADER}}, secrets: {s: {file: absent}}}}\n",
    )
    (opened,) = choice.chosen(settings(tmp_path), ["a"], {})
    assert opened.secrets() == ["from a file"]
    assert of_data(to_data(opened)) == opened
    with pytest.raises(InputError, match=r"notifiers.yml:3:22: a secret that is not there \(the variable URL"):
        choice.chosen(settings(tmp_path), ["b"], {})
    with pytest.raises(InputError, match=r"notifiers.yml:3:\d+: cannot read .*absent"):
        choice.chosen(settings(tmp_path), ["b"], {"URL": "http://h", "HEADER": "x"})
    (tmp_path / "absent").write_text("x")
    with pytest.raises(InputError, match=r"notifiers.yml:3:22: the url of notifier b is no good") as caught:
        choice.chosen(settings(tmp_path), ["b"], {"URL": "gopher://hunter2", "HEADER": "x"})
    assert "hunter2" not in "".join(caught.value.lines())
    with pytest.raises(InputError, match="what a header cannot"):
        choice.chosen(settings(tmp_path), ["b"], {"URL": "http://h", "HEADER": "x\ny"})


def test_who_is_told(tmp_path: Path) -> None:
    read(tmp_path, f"notifiers:\n  a: {{{HOOK}}}\n  b: {{{HOOK}}}\n")
    (tmp_path / "schedules.yml").write_text(f"notifiers:\n  c: {{{HOOK}}}\nschedules: not looked at\n")

    def names(given: list[str] | None, **more: Any) -> list[str]:
        return [one.name for one in choice.chosen(settings(tmp_path, **more), given, {})]

    assert names(None) == []
    assert names(None, notify="a, c") == ["a", "c"]
    assert names(["b", "b"], notify="a") == ["b"]
    assert names(["none"], notify="a") == []
    with pytest.raises(InputError, match="no notifier 'bb'") as caught:
        names(["bb"])
    assert caught.value.remedy == "did you mean b?"
    with pytest.raises(InputError, match="no notifier 'none'"):
        names(["none", "a"])
    (tmp_path / "schedules.yml").write_text(f"notifiers:\n  b: {{{HOOK}}}\n")
    with pytest.raises(InputError, match=r"schedules.yml:2:3: notifier 'b' stands twice"):
        names(["a"])


def test_of_channels(tmp_path: Path) -> None:
    hook = read(tmp_path, entry(HOOK))["ops"]
    assert isinstance(hook.channel, Webhook)
    assert "T0KEN" not in repr(hook)
    assert "T0KEN" not in hook.target
