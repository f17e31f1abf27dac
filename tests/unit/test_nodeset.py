"""Many names in a few characters, and back."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsrunner.errors import InputError
from opsrunner.nodeset import expand_names, expand_term, fold_names, natural_key

NAMES = st.lists(
    st.one_of(
        st.from_regex(r"(web|db)[0-9]{1,3}(\.r[0-9]{1,2})?", fullmatch=True),
        st.text(alphabet="ab019-.[],\\", min_size=1, max_size=8),
        st.text(min_size=1, max_size=12),
    ),
    max_size=30,
)


@given(NAMES)
def test_expanding_gives_back_what_was_folded(names: list[str]) -> None:
    assert expand_names(fold_names(names)) == sorted(set(names))


@given(NAMES, st.randoms(use_true_random=False))
def test_order_and_repetition_do_not_matter(names: list[str], random_source: random.Random) -> None:
    shuffled = [*names, *names]
    random_source.shuffle(shuffled)
    assert fold_names(shuffled) == fold_names(names)


@pytest.mark.parametrize(
    ("names", "folded"),
    [
        ([], ""),
        (["db1"], "db1"),
        (["web03", "web01", "web02", "db1"], "db1,web[01-03]"),
        ([f"web{number:02d}" for number in (*range(1, 21), 25)], "web[01-20,25]"),
        (["web8", "web9", "web10"], "web[8-10]"),
        (["web08", "web09", "web10"], "web[08-10]"),
        ([f"127.1.0.{number}" for number in range(1, 10)], "127.1.0.[1-9]"),
        ([f"r{rack}n{node}" for rack in (1, 2) for node in (1, 2, 3)], "r[1-2]n[1-3]"),
        (["a[1]", "a[2]"], r"a\[[1-2]\]"),
        (["web09", "web9", "web10"], "web[9-10,09]"),
        (["web98", "web99", "web100"], "web[98-100]"),
        (["web1.dc1", "web2.dc1", "web1.dc2"], "web1.dc[1-2],web2.dc1"),
        (["web10", "web2", "db3", "alone"], "alone,db3,web[2,10]"),
        (["fe80::1", "fe80::2"], "fe80::[1-2]"),
        ([f"web{number:02d}" for number in range(98, 102)], "web[98-101]"),
        ([f"web{number:02d}" for number in range(8, 102)], "web[08-99,100-101]"),
    ],
)
def test_how_names_fold(names: list[str], folded: str) -> None:
    assert fold_names(names) == folded


@pytest.mark.parametrize(
    "text",
    [
        "web[",
        "web[1-2",
        "web]",
        "web[2-1]",
        "web[a]",
        "a,,b",
        "a,",
        "web[]",
        "a\\",
        "web[01-100]",
        "web[1-020]",
        "web[1-3/0]",
    ],
)
def test_what_is_no_folded_text_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="bad host list"):
        expand_names(text)


def test_a_slip_of_the_keyboard_does_not_fill_the_memory() -> None:
    with pytest.raises(InputError, match="more than"):
        expand_names("web[0-999][0-9999]")


def test_natural_order() -> None:
    assert sorted(["web10", "web2", "db1"], key=natural_key) == ["db1", "web2", "web10"]


def test_a_number_longer_than_any_integer_is_kept_whole() -> None:
    names = ["id" + "9" * 40, "id" + "9" * 39 + "8"]
    assert expand_names(fold_names(names)) == sorted(names)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("web[3,1-2,1]", "web3 web1 web2"),
        ("web[0-10/5]", "web0 web5 web10"),
        ("web[00-06/3]", "web00 web03 web06"),
        ("r[1-2]n[ 9 , 10]", "r1n9 r1n10 r2n9 r2n10"),
        ("web[5]", "web5"),
    ],
)
def test_a_term_is_expanded_in_the_order_in_which_it_is_written(text: str, names: str) -> None:
    assert expand_term(text) == names.split()


@pytest.mark.parametrize("text", ["a,b", "", "web[0-999][0-9999]"])
def test_what_is_no_single_term(text: str) -> None:
    with pytest.raises(InputError, match="bad host list"):
        expand_term(text)
