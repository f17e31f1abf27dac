"""Variables of the command line are read as Ansible reads them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from opsrunner.errors import InputError, InputErrors
from opsrunner.plan.extra_vars import parse_extra_vars


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        ([], {}),
        ([""], {}),
        (["a=1 b=two"], {"a": "1", "b": "two"}),
        (["a=1", "a=2"], {"a": "2"}),
        (["a='x y' b=\"z\""], {"a": "x y", "b": "z"}),
        (["a={{ x | default('y z') }} b=2"], {"a": "{{ x | default('y z') }}", "b": "2"}),
        (["a=x=y"], {"a": "x=y"}),
        (["a="], {"a": ""}),
        (["a=x\\ty"], {"a": "x\ty"}),
        (['{"a": [1, 2.5], "b": true}'], {"a": [1, 2.5], "b": True}),
        (['{"a": 1e3}'], {"a": 1000.0}),
        (["{a: yes, b: 2020-01-02}"], {"a": True, "b": "2020-01-02"}),
    ],
)
def test_texts(texts: list[str], expected: dict[str, Any], tmp_path: Path) -> None:
    assert parse_extra_vars(texts, tmp_path, pytest.fail) == expected


def test_files(tmp_path: Path) -> None:
    (tmp_path / "v.yml").write_text("a: 1\nb: [x]\n", encoding="utf-8")
    (tmp_path / "v.json").write_text('{"b": 1e2}', encoding="utf-8")
    assert parse_extra_vars(["@v.yml", f"@{tmp_path}/v.json"], tmp_path, pytest.fail) == {"a": 1, "b": 100.0}


@pytest.mark.parametrize(
    ("text", "place"),
    [("@v.yml", "v.yml:2:1"), ("@v.json", "v.json:1:10"), ('{"a": 1, "a": 2}', "--extra-vars:1:10")],
)
def test_of_a_key_that_stands_twice_the_last_counts(text: str, place: str, tmp_path: Path) -> None:
    (tmp_path / "v.yml").write_text("a: 1\na: 2\n", encoding="utf-8")
    (tmp_path / "v.json").write_text('{"a": 1, "a": 2}', encoding="utf-8")
    warnings: list[InputError] = []
    assert parse_extra_vars([text], tmp_path, warnings.append) == {"a": 2}
    assert [str(one) for one in warnings] == [f"{place}: key 'a' stands twice (as in Ansible the last one counts)"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("abc", "NAME=VALUE"),
        ("a=1 b", "NAME=VALUE"),
        ("=1", "NAME=VALUE"),
        ("a='x", "NAME=VALUE"),
        ("a={{ x", "NAME=VALUE"),
        ("a=\\N{NOSUCHNAME}", "NAME=VALUE"),
        ("[1]", "these are no variables"),
        ("{1: a}", "1 is no name of a variable"),
        ("{a: [}", "broken YAML"),
        ("@missing.yml", "cannot read missing.yml"),
        ("@~nobody-there/x.yml", "cannot read"),
        ("./vars.yml", "needs an @ before it"),
    ],
)
def test_faults(text: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        parse_extra_vars([text], tmp_path, pytest.fail)
    assert words in caught.value.what
    assert caught.value.exit_code == 65


def test_all_faults_are_told_together(tmp_path: Path) -> None:
    with pytest.raises(InputErrors) as caught:
        parse_extra_vars(["abc", "a=1", "[2]"], tmp_path, pytest.fail)
    assert len(caught.value.errors) == 2


_PIECES = st.lists(
    st.sampled_from(
        ["a=1", "b=", "c", " ", "  ", "'", '"', "x y", "=", "\\=", "{{ v }}", "{{", "}}", "{% if %}", "\\n", "\n"]
    ),
    max_size=8,
).map("".join)


@settings(deadline=None)
@given(_PIECES)
def test_words_as_ansible(text: str) -> None:
    from ansible.errors import AnsibleParserError
    from ansible.parsing.splitter import parse_kv

    assume(text and text[0] not in "{[@/.")
    try:
        ours: dict[str, Any] | None = parse_extra_vars([text], Path(), pytest.fail)
    except InputError:
        return  # refused: Ansible would have dropped or guessed something
    try:
        theirs = parse_kv(text)
        if not theirs.get("_raw_params", "x").strip():
            del theirs["_raw_params"]  # blanks alone are no variable
    except AnsibleParserError:
        theirs = None
    assert ours == theirs
