"""What include_vars takes along, and what is refused before anything is sent."""

from __future__ import annotations

from pathlib import Path

import pytest

from opsrunner import inventory, vault
from opsrunner.errors import InputError
from opsrunner.plan.compile import compile_playbook
from opsrunner.plan.model import Compiled, Options
from opsrunner.vault import Secret, Vault
from tests.vaulted import PASSWORD, encrypted

HEAD = "- hosts: all\n  gather_facts: false\n  tasks:\n    - include_vars: "


def _compile(directory: Path, arguments: str) -> Compiled:
    path = directory / "site.yml"
    path.write_text(HEAD + arguments + "\n")
    return compile_playbook(path, inventory.load(["web1,"], base=directory), Options(), {})


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "vars").mkdir()
    (tmp_path / "vars" / "a.yml").write_text("one: 1\n")
    (tmp_path / "vars" / "broken.yml").write_text("one: [1\n")
    (tmp_path / "vars" / "inside.yml").write_text("one: !vault |\n  $ANSIBLE_VAULT;1.1;AES256\n  00\n")
    return tmp_path


def test_a_template_takes_the_folder_along_but_what_cannot_be_read(project: Path) -> None:
    compiled = _compile(project, "'{{ inventory_hostname }}.yml'")
    assert "vars/a.yml" in compiled.plan.files and "vars/inside.yml" not in compiled.plan.files
    assert any("!vault" in warning for warning in compiled.warnings)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("missing.yml", r"site.yml:4:21: missing.yml not found"),
        ("broken.yml", r"broken.yml:"),
        ("inside.yml", r"holds !vault values"),
        ("{dir: nowhere}", r"there is no folder"),
        ("{file: a.yml, dir: vars}", r"mutually exclusive"),
        ("{file: a.yml, hash_behaviour: merge}", r"hash_behaviour is not supported"),
    ],
)
def test_what_is_wrong_is_told_before_anything_is_sent(project: Path, arguments: str, told: str) -> None:
    with pytest.raises(InputError, match=told):
        _compile(project, arguments)


def test_a_file_that_lies_encrypted_is_opened_and_marked(project: Path) -> None:
    (project / "vars" / "a.yml").write_text(encrypted("one: secret\n"))
    with vault.using(Vault([Secret("default", PASSWORD.encode())])):
        plan = _compile(project, "a.yml").plan
    assert plan.files["was encrypted/a.yml"] == plan.files["vars/a.yml"]
