"""Encrypted inventories and values, ``!unsafe`` texts: what is read, shown and said."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from opsrunner import vault, yamlsource
from opsrunner.errors import InputError, InputErrors
from opsrunner.inventory import Inventory, listing, load
from opsrunner.tagged import Encrypted, Verbatim
from opsrunner.vault import Secret, Vault
from tests.unit.inventory.conftest import Loaded
from tests.vaulted import PASSWORD, encrypted, inline


@pytest.fixture
def opening() -> Iterator[None]:
    with vault.using(Vault([Secret("default", PASSWORD.encode())])):
        yield


def test_whole_files_are_read_as_if_they_were_plain(loaded: Loaded, opening: None) -> None:
    files = {
        "inv/hosts.yml": encrypted("all: {children: {web: {hosts: {web1: }}}}"),
        "inv/more.json": encrypted('{"db": {"hosts": {"db1": {"n": 1e3}}}}'),
        "inv/group_vars/all/plain.yml": "a: 1\n",
        "inv/group_vars/all/vault.yml": encrypted("b: '{{ a }}'\n"),
        "inv/host_vars/web1": encrypted(f"c: {inline('inner')}"),
    }
    inventory = loaded(files, "inv")
    assert inventory.variables("db1")["n"] == 1000.0
    variables = inventory.variables("web1")
    assert (variables["a"], variables["b"]) == (1, "{{ a }}")
    assert variables["c"].read() == "inner"


def test_a_file_that_no_secret_opens_is_told_with_what_to_do(loaded: Loaded) -> None:
    files = {"hosts.yml": "all: {hosts: {h: }}", "group_vars/all.yml": encrypted("x: 1", label="prod")}
    with vault.using(Vault()), pytest.raises(InputError) as caught:
        loaded(files)
    assert str(caught.value.place) == "group_vars/all.yml:1:1"
    assert "no vault password was given (its label is prod)" in str(caught.value)
    assert "--vault-password-file" in str(caught.value.remedy)
    wrong = [Secret("default", b"wrong"), Secret("prod", b"wrong too")]
    with vault.using(Vault(wrong)), pytest.raises(InputError, match="none of the 2 vault passwords given opens it"):
        loaded(files)


def test_all_closed_files_are_told_at_once(loaded: Loaded) -> None:
    files = {"a.yml": encrypted("x: 1"), "b.yml": encrypted("x: 1")}
    with pytest.raises(InputErrors) as caught:
        loaded(files, "a.yml", "b.yml")
    assert [str(error.place) for error in caught.value.errors] == ["a.yml:1:1", "b.yml:1:1"]


@pytest.mark.parametrize(
    "text",
    [
        "a:\n  p: *hunter2\n",
        "a:\n  p: [hunter2\n",
        "p: !!int hunter2\n",
        "p: '\\hunter2\n",
        "a:\n  vars: {p: hunter2}\n  vars: {p: hunter2}\n  hunters: {}\n",
        "a:\n  hosts: [hunter2]\n",
        '{"a": {"hosts": ["hunter2"]}}',
    ],
)
def test_no_line_of_an_encrypted_file_is_quoted(loaded: Loaded, opening: None, text: str) -> None:
    with pytest.raises(InputError) as caught:
        loaded(encrypted(text))
    assert "hosts.yml:" in str(caught.value)
    assert "hunter2" not in "\n".join(caught.value.lines())


def test_encrypted_bytes_that_are_no_text(loaded: Loaded, opening: None) -> None:
    with pytest.raises(InputError, match="not UTF-8"):
        loaded(encrypted(b"\xff\xfe"))


def test_the_content_on_disk_is_what_is_noted(tmp_path: Path, opening: None) -> None:
    (tmp_path / "h.yml").write_text(encrypted("all: {hosts: {h: }}"))
    with yamlsource.noting() as encrypted_files:
        load(["h.yml"], base=tmp_path)
    with yamlsource.noting() as others, vault.using(Vault()), pytest.raises(InputError):
        load(["h.yml"], base=tmp_path)
    assert encrypted_files == others


# ------------------------------------------------------------------ values

VALUES = f"""\
all:
  hosts: {{h: }}
  vars:
    secret: {inline("{{ x }}", label="prod")}
    old: {inline("o", tag="!vault-encrypted")}
    nested: [{{in: !vault "bad"}}]
    raw: !unsafe "{{{{ x }}}}"
    raws: !unsafe {{key: ["{{{{ y }}}}", 1, "2"], n: "3"}}
    number: !unsafe "5"
"""


def test_values_stay_encrypted_until_they_are_wanted(loaded: Loaded) -> None:
    variables = loaded(VALUES).variables("h")
    for name in ("secret", "old"):
        assert isinstance(variables[name], Encrypted)
        assert not variables[name].is_open
    assert str(variables["secret"].place) == "hosts.yml:4:13"
    assert str(variables["nested"][0]["in"].place) == "hosts.yml:20:19"
    with vault.using(Vault([Secret("x", PASSWORD.encode())])):
        assert (variables["secret"].read(), variables["old"].read()) == ("{{ x }}", "o")
    with pytest.raises(InputError, match="not an encrypted text"):
        variables["nested"][0]["in"].read()


def test_unsafe_texts_are_told_from_others(loaded: Loaded) -> None:
    variables = loaded(VALUES).variables("h")
    assert (variables["raw"], type(variables["raw"])) == ("{{ x }}", Verbatim)
    assert variables["raws"] == {"key": ["{{ y }}", 1, "2"], "n": "3"}
    assert [type(item) for item in variables["raws"]["key"]] == [Verbatim, int, Verbatim]
    assert [type(key) for key in variables["raws"]] == [str, str]
    # As in Ansible: what stands there is typed anew, quotes or not.
    assert variables["number"] == 5


def test_a_listing_shows_values_as_they_are_written(loaded: Loaded) -> None:
    inventory = loaded(VALUES)
    shown = json.loads(listing.as_json(listing.listing(inventory), mark_unsafe=True))["_meta"]["hostvars"]["h"]
    assert shown["secret"] == {"__ansible_vault": encrypted("{{ x }}", label="prod")}
    assert shown["raw"] == {"__ansible_unsafe": "{{ x }}"}
    host = json.loads(listing.as_json(listing.host_variables(inventory, "h")))
    assert (host["secret"], host["raw"]) == (shown["secret"], "{{ x }}")
    written = listing.as_yaml(listing.tree(inventory, export=True))
    assert "secret: !vault |\n      $ANSIBLE_VAULT;1.2;AES256;prod\n" in written
    again = loaded(written + "\n")
    assert again.variables("h")["secret"] == inventory.variables("h")["secret"]


def test_a_graph_opens_what_it_shows(loaded: Loaded, opening: None) -> None:
    inventory = loaded(f"all: {{hosts: {{h: }}}}\nweb:\n  vars:\n    p: {inline('open')}")
    assert "  |  |--{p = open}" in list(listing.graph(inventory, variables=True))
    with vault.using(Vault()), pytest.raises(InputError):
        list(listing.graph(loaded(f"all:\n  vars:\n    p: {inline('open')}"), variables=True))


def test_values_stay_what_they_are_in_a_snapshot(loaded: Loaded) -> None:
    inventory = loaded({"hosts.yml": VALUES, "host_vars/h.yml": f"own: {inline('x')}"})
    again = Inventory.from_data(json.loads(json.dumps(inventory.to_data())))
    assert again.variables("h") == inventory.variables("h")
    assert type(again.variables("h")["raw"]) is Verbatim


def test_names_of_our_own_marks_are_names_like_any_other(loaded: Loaded) -> None:
    variables = {"\0tagged": 5, "in": {"\0pairs": 1}}
    inventory = loaded({"h.json": json.dumps({"all": {"hosts": {"h": variables}}})}, "h.json")
    again = Inventory.from_data(json.loads(json.dumps(inventory.to_data())))
    assert again.variables("h") == inventory.variables("h")


def test_ansibles_json_marks_them_too(loaded: Loaded) -> None:
    text = encrypted("x")
    variables = {"v": {"__ansible_vault": text}, "u": [{"__ansible_unsafe": "{{ x }}"}], "n": {"__ansible_vault": 5}}
    found = loaded({"h.json": json.dumps({"all": {"hosts": {"h": variables}}})}, "h.json").variables("h")
    assert found["v"] == Encrypted(text)
    assert type(found["u"][0]) is Verbatim
    assert found["n"] == {"__ansible_vault": 5}
    # In YAML that is no JSON they are mappings like any other.
    found = loaded("all: {hosts: {h: {v: {__ansible_vault: x}}}}").variables("h")
    assert found["v"] == {"__ansible_vault": "x"}
