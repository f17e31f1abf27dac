"""Records whose representation leaves fields out."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from typing import ClassVar

import pytest
from msgspec import Struct
from rich.pretty import pretty_repr

import opsrunner
from opsrunner.redacted import Redacted


class Login(Redacted, frozen=True):
    HIDDEN: ClassVar = frozenset(("password",))

    user: str
    password: str
    tries: int = 3


def records(of: type[Struct]) -> Iterator[type[Struct]]:
    for record in of.__subclasses__():
        yield record
        yield from records(record)


def test_what_is_hidden_is_shown_nowhere() -> None:
    login = Login("me", "hunter2")
    assert repr(login) == f"{login}" == "Login(user='me', tries=3)"
    assert pretty_repr(login) == "Login(user='me', tries=3)"
    assert login == Login("me", "hunter2") != Login("me", "hunter3")


@pytest.fixture(scope="module")
def everyone() -> list[type[Struct]]:
    """Every record of opsrunner."""
    for module in pkgutil.walk_packages(opsrunner.__path__, "opsrunner."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    return [record for record in records(Struct) if record.__module__.startswith("opsrunner.")]


def test_what_is_hidden_is_a_field(everyone: list[type[Struct]]) -> None:
    """One that was given another name is not shown by mistake."""
    found = [record for record in everyone if issubclass(record, Redacted)]
    assert {record.__name__ for record in found} >= {"Become", "Command", "Connection", "Options", "Plan", "Secret"}
    for record in found:
        assert set(record.__struct_fields__) >= record.HIDDEN, record


def test_no_record_shows_passwords(everyone: list[type[Struct]]) -> None:
    for record in everyone:
        named = {name for name in record.__struct_fields__ if name.endswith("password")}
        assert not named or (issubclass(record, Redacted) and named <= record.HIDDEN), record
