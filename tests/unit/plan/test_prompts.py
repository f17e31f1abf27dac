"""vars_prompt: who is asked, when, and what becomes of the answer."""

from __future__ import annotations

from pathlib import Path

import pytest

from opsrunner import inventory
from opsrunner.errors import InputError, InputErrors
from opsrunner.plan.codec import decode, encode
from opsrunner.plan.compile import compile_playbook
from opsrunner.plan.model import Options
from opsrunner.playbook import Prompt
from opsrunner.tagged import Verbatim

BOOK = """
- hosts: "{{ target }}"
  gather_facts: false
  vars: {region: north}
  vars_prompt:
    - {name: target, prompt: "where in {{ region }}", private: false}
    - {name: secret, unsafe: true, default: "{{ region }}"}
  tasks:
    - debug: {msg: "{{ secret }}"}
"""


@pytest.fixture
def book(tmp_path: Path) -> Path:
    path = tmp_path / "site.yml"
    path.write_text(BOOK)
    return path


def _compile(book: Path, **given: object):  # type: ignore[no-untyped-def]
    hosts = inventory.load(["web1,web2,"], base=book.parent)
    extra = given.pop("extra_vars", {})
    return compile_playbook(book, hosts, Options(), extra, **given).plan  # type: ignore[arg-type]


def test_answers_are_variables_of_the_play_and_are_kept(book: Path) -> None:
    asked: list[Prompt] = []

    def ask(prompt: Prompt) -> str:
        asked.append(prompt)
        return {"target": "web2", "secret": "{{ x }}"}[prompt.name]

    plan = _compile(book, ask=ask)
    assert [prompt.text for prompt in asked] == ["where in north", "secret"]
    assert (asked[0].private, asked[1].private, asked[1].default) == (False, True, "north")
    assert plan.plays[0].hosts == ("web2",)
    assert isinstance(plan.plays[0].vars["secret"], Verbatim)
    assert "{{ x }}" not in repr(plan.answers.__class__) + repr(plan.options)
    again = _compile(book, answers=decode(encode(plan)).answers)
    assert again.plays[0].vars == plan.plays[0].vars


def test_nobody_there_is_told_of_every_variable(book: Path) -> None:
    with pytest.raises(InputErrors) as told:
        _compile(book)
    text = "\n".join(told.value.lines())
    assert "nobody can be asked for target" in text and "-e secret=VALUE" in text
    with pytest.raises(InputError, match="secret"):
        _compile(book, extra_vars={"target": "all"})
    assert _compile(book, extra_vars={"target": "all", "secret": "s"}).answers == {}


def test_nobody_is_asked_as_long_as_something_is_wrong(book: Path) -> None:
    book.write_text(BOOK.replace("debug", "debgu").replace("unsafe: true", "encrypt: sha512"))

    def ask(prompt: Prompt) -> str:
        raise AssertionError("asked")

    with pytest.raises(InputErrors) as told:
        _compile(book, ask=ask)
    assert "debgu" in str(told.value.lines()) and "encrypt knows" in str(told.value.lines())


def test_what_is_typed_is_hashed_where_it_is_to_be(book: Path) -> None:
    hashing = "encrypt: \"{{ 'sha256' }}_crypt\", salt: x"
    book.write_text(BOOK.replace("unsafe: true", hashing).replace('"{{ target }}"', "all"))
    plan = _compile(book, ask=lambda prompt: "pw")
    assert plan.plays[0].vars["secret"] == "$5$rounds=535000$x$" + plan.plays[0].vars["secret"].rpartition("$")[2]
    book.write_text(book.read_text().replace("salt: x", "salt: ö"))
    with pytest.raises(InputError, match="secret cannot be hashed"):
        _compile(book, ask=lambda prompt: "pw")
    book.write_text(book.read_text().replace("salt: ö", 'salt_size: "{{ 8 }}"'))
    with pytest.raises(InputError, match="salt_size"):
        _compile(book, ask=lambda prompt: "pw")
