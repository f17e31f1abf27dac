"""Ansible Vault's format: what opens, and what is said of everything else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsrunner import vault
from opsrunner.errors import InputError, Place
from opsrunner.tagged import Encrypted, Verbatim, of_json, pack, unpack
from opsrunner.vault import Secret, Vault, VaultError
from tests.unit.fuzz.profile import fuzzed
from tests.vaulted import PASSWORD, encrypted

SECRET = Secret("default", PASSWORD.encode())
SOUND = encrypted("a secret")


@pytest.mark.parametrize(
    "text", [SOUND, SOUND.replace("\n", "\r\n"), SOUND.rstrip("\n"), SOUND.replace("1.1", " 1.2 ")]
)
def test_what_was_encrypted_comes_back(text: str) -> None:
    assert Vault([SECRET]).open(text) == b"a secret"


def test_every_secret_is_tried_whatever_its_label() -> None:
    text = encrypted("x", label="prod")
    assert Vault([Secret("dev", b"other"), Secret("dev", PASSWORD.encode())]).open(text) == b"x"


def test_secrets_of_the_label_are_tried_first(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[bytes] = []
    real = vault.decrypt
    monkeypatch.setattr(vault, "decrypt", lambda envelope, password: tried.append(password) or real(envelope, password))
    secrets = [Secret("dev", b"other"), Secret("prod", PASSWORD.encode())]
    assert Vault(secrets).open(encrypted("x", label="prod")) == b"x"
    assert tried == [PASSWORD.encode()]


def test_a_text_is_opened_once_and_more_secrets_are_asked_for_once() -> None:
    asked: list[int] = []

    def more() -> list[Secret]:
        asked.append(1)
        return [SECRET]

    found = Vault(more=more)
    assert not asked
    assert [found.open(SOUND), found.open(SOUND), found.open(encrypted("b"))] == [b"a secret", b"a secret", b"b"]
    assert len(asked) == 1


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "does not begin"),
        ("plain", "does not begin"),
        (" " + SOUND, "does not begin"),
        ("$ANSIBLE_VAULT", "first line"),
        ("$ANSIBLE_VAULT;1.1", "first line"),
        ("$ANSIBLE_VAULTS;1.1;AES256\n3131\n", "first line"),
        (SOUND.replace("1.1", "1.0"), "version '1.0'"),
        (SOUND.replace("1.1", "1.3"), "version '1.3'"),
        (SOUND.replace("AES256", "AES"), "cipher 'AES'"),
        ("$ANSIBLE_VAULT;1.1;AES256\n", "cut"),
        ("$ANSIBLE_VAULT;1.1;AES256\n3131\n", "cut"),
        (SOUND[:-9], "cut"),
        (SOUND[:-5], "or it was changed"),
        (SOUND.replace("\n3", "\nx", 1), "hexadecimal"),
        (SOUND + "ü", "ASCII"),
        (encrypted("x", "another password"), "does not open it"),
    ],
)
def test_what_cannot_be_opened_says_why(text: str, words: str) -> None:
    with pytest.raises(VaultError) as caught:
        Vault([SECRET]).open(text)
    assert words in str(caught.value)
    assert PASSWORD not in repr(caught.value.lines())


def test_a_changed_text_does_not_open() -> None:
    for at in range(len(SOUND) - 60, len(SOUND) - 1):
        other = "0123456789abcdef"[(int(SOUND[at], 16) + 1) % 16] if SOUND[at] != "\n" else "\n"
        if other == "\n":
            continue
        with pytest.raises(VaultError):
            Vault([SECRET]).open(SOUND[:at] + other + SOUND[at + 1 :])


def test_secrets_are_not_shown() -> None:
    assert PASSWORD not in f"{SECRET!r} {vault.parse(SOUND)!r} {Vault([SECRET])!r}"


@fuzzed(200)
@given(st.one_of(st.text(), st.binary().map(bytes.hex), st.text("0123456789abcdef\n\r;", max_size=200)), st.booleans())
def test_garbage_ends_as_an_error(text: str, headed: bool) -> None:
    with pytest.raises(VaultError):
        Vault([SECRET]).open(f"$ANSIBLE_VAULT;1.1;AES256\n{text}" if headed else text)


@fuzzed(30)
@given(st.data())
def test_a_text_with_any_sign_changed_opens_as_it_was_or_not_at_all(data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(SOUND) - 1))
    changed = SOUND[:at] + data.draw(st.characters(max_codepoint=0x7F)) + SOUND[at + 1 :]
    try:
        assert Vault([SECRET]).open(changed) == b"a secret"
    except VaultError:
        pass


# ------------------------------------------------------------------ values


def test_an_encrypted_value_shows_neither_its_text_nor_its_ciphertext() -> None:
    value = Encrypted(SOUND, Place("a.yml", 1, 4))
    with vault.using(Vault([SECRET])):
        assert value.read() == "a secret"
    assert value.read() == "a secret"
    assert f"{value} {value!r} {[value]}" == "(encrypted) (encrypted) [(encrypted)]"


def test_an_encrypted_value_that_stays_closed_names_its_place() -> None:
    value = Encrypted(SOUND, Place("a.yml", 1, 4))
    with pytest.raises(InputError) as caught:
        value.read()
    assert str(caught.value.place) == "a.yml:1:4"
    assert "workers have none" in str(caught.value)
    with vault.using(Vault()), pytest.raises(InputError, match="no vault password was given"):
        value.read()


def test_values_go_to_json_and_back() -> None:
    closed, opened = Encrypted(SOUND, Place("a", 1, 2)), Encrypted(SOUND)
    with vault.using(Vault([SECRET])):
        opened.read()
    for value in (closed, opened, Verbatim("{{ x }}")):
        again = unpack(next(iter(pack(value).values())))
        assert again == value
        assert type(again) is type(value)
    assert unpack(next(iter(pack(opened).values()))).read() == "a secret"  # type: ignore[union-attr]


def test_values_are_equal_by_what_is_known_of_them() -> None:
    rekeyed = encrypted("a secret", "other")
    one, other, third = Encrypted(SOUND), Encrypted(rekeyed), Encrypted(encrypted("b"))
    assert one != other
    with vault.using(Vault([SECRET, Secret("x", b"other")])):
        for value in (one, other, third):
            value.read()
    assert one == other
    assert one != third
    assert one != "a secret"


def test_ansibles_json() -> None:
    assert of_json({"__ansible_vault": "x", "d": 1}) == Encrypted("x")
    assert type(of_json({"__ansible_unsafe": "{{ x }}"})) is Verbatim
    assert of_json({"__ansible_vault": 1}) is of_json({"a": 1}) is None
