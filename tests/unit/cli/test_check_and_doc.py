"""``opsrunner check`` and ``opsrunner doc``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from opsrunner import modules
from opsrunner.cli import main

BROKEN = """- hosts: nobody_knows
  gather_facts: false
  tasks:
    - copy: {scr: a, dest: /b}
    - community.general.ufw: {rule: allow}
    - debgu: {msg: x}
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "good.yml").write_text("- hosts: web\n  gather_facts: false\n  tasks: [{ping: }]\n")
    (tmp_path / "bad.yml").write_text(BROKEN)
    (tmp_path / "worse.yml").write_text("- hosts: [\n")
    return tmp_path


def test_all_that_is_wrong_in_all_files(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["check", "bad.yml", "good.yml", "worse.yml"]) == 65
    told = capsys.readouterr().out
    assert "bad.yml:4:19" in told and "did you mean src?" in told and "- copy: {scr: a" in told
    assert "bad.yml:5:7: community.general.ufw is a module of the collection community.general" in told
    assert "bad.yml:6:7" in told and "did you mean debug?" in told and "worse.yml:" in told


def test_a_good_one_needs_no_inventory_and_uses_one(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["check", "good.yml"]) == 0
    assert "no host matches" not in capsys.readouterr().err
    assert main.run(["check", "good.yml", "-i", "web,", "--json"]) == 0
    assert '"errors": []' in capsys.readouterr().out


def test_json(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["check", "bad.yml", "--json"]) == 65
    first = json.loads(capsys.readouterr().out)["errors"][1]
    assert (first["file"], first["line"], first["column"]) == ("bad.yml", 4, 19)
    assert main.run(["check", "missing.yml"]) == 65
    assert main.run(["check", "good.yml", "-i", "db1,"]) == 65


@pytest.mark.parametrize("name", modules.names())
def test_doc_tells_every_argument(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["doc", f"ansible.builtin.{name}"]) == 0
    told = capsys.readouterr().out
    spec = modules.get(name).SPEC
    for key, argument in spec.arguments.items():
        assert key == spec.free_form or f"  {key}  (" in told
        assert argument.help in told
    assert all(f"{key} is refused" in told for key in spec.refused)


def test_doc_of_what_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["doc", "coppy"]) == 65
    assert main.run(["doc", "--list"]) == 0
    assert main.run(["doc"]) == 64
    said = capsys.readouterr()
    assert "did you mean copy?" in said.err and "slurp  " in said.out
