"""Sealing: what is sealed opens with the same key for the same purpose, and in no other way."""

from __future__ import annotations

import base64
import multiprocessing
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsrunner.ledger.sealing import KEY_BYTES, VERSION, Sealer, SealError, create_key, read_key

KEY = bytes(range(KEY_BYTES))


@given(data=st.binary(max_size=2000), purpose=st.binary(max_size=40))
def test_what_is_sealed_opens_again(data: bytes, purpose: bytes) -> None:
    sealer = Sealer(KEY)
    assert sealer.open(sealer.seal(data, purpose=purpose), purpose=purpose) == data


def test_sealing_twice_gives_two_texts_and_shows_nothing() -> None:
    sealer = Sealer(KEY)
    one, two = (sealer.seal(b"correct horse battery", purpose=b"plan") for _ in range(2))
    assert one != two
    assert one[:1] == two[:1] == VERSION
    assert b"horse" not in one


def test_another_key_says_that_the_key_must_be_copied() -> None:
    sealed = Sealer(KEY).seal(b"secret", purpose=b"plan")
    with pytest.raises(SealError) as caught:
        Sealer(os.urandom(KEY_BYTES)).open(sealed, purpose=b"plan")
    assert "differs from the submitter's" in str(caught.value)
    assert caught.value.remedy is not None
    assert "copy the submitter's key file" in caught.value.remedy
    assert caught.value.exit_code == 65


def test_another_purpose_does_not_open() -> None:
    sealer = Sealer(KEY)
    with pytest.raises(SealError):
        sealer.open(sealer.seal(b"secret", purpose=b"plan of run 1"), purpose=b"plan of run 2")


@given(data=st.data())
def test_no_changed_byte_and_no_cut_opens(data: st.DataObject) -> None:
    sealer = Sealer(KEY)
    sealed = sealer.seal(b"restart the database", purpose=b"plan")
    place = data.draw(st.integers(0, len(sealed) - 1))
    flipped = sealed[:place] + bytes([sealed[place] ^ data.draw(st.integers(1, 255))]) + sealed[place + 1 :]
    for broken in (flipped, sealed[:place]):
        with pytest.raises(SealError):
            sealer.open(broken, purpose=b"plan")


def test_a_made_key_is_ours_alone_and_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "key"
    assert create_key(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert len(read_key(path)) == KEY_BYTES
    assert [entry.name for entry in path.parent.iterdir()] == ["key"]


def test_a_key_that_is_there_is_never_replaced(tmp_path: Path) -> None:
    path = tmp_path / "key"
    assert create_key(path)
    before = path.read_bytes()
    assert not create_key(path)
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["key"]


def _create(path: Path) -> tuple[bool, bytes]:
    return create_key(path), read_key(path)


def test_of_many_that_come_at_once_one_makes_the_key_and_all_read_it(tmp_path: Path) -> None:
    path = tmp_path / "key"
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        answers = pool.map(_create, [path] * 12, chunksize=1)
        pool.close()
        pool.join()
    assert [made for made, _ in answers].count(True) == 1
    assert {key for _, key in answers} == {read_key(path)}


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o601])
def test_a_key_that_others_can_reach_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "key"
    create_key(path)
    path.chmod(mode)
    with pytest.raises(SealError, match="can be read by others") as caught:
        read_key(path)
    assert caught.value.remedy == f"chmod 600 {path}"


def test_a_missing_key_names_keygen(tmp_path: Path) -> None:
    with pytest.raises(SealError, match="no key at") as caught:
        read_key(tmp_path / "key")
    assert caught.value.remedy is not None
    assert "opsrunner keygen" in caught.value.remedy


@pytest.mark.parametrize(
    "text", [b"", b"not base64 at all!", base64.b64encode(bytes(31)), base64.b64encode(bytes(33)), b"\xff" * 44]
)
def test_a_file_that_holds_no_key_is_refused(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "key"
    path.write_bytes(text)
    path.chmod(0o600)
    with pytest.raises(SealError, match="holds no key"):
        read_key(path)
