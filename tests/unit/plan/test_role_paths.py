"""Where roles lie: what ansible.cfg and the environment say."""

from __future__ import annotations

from pathlib import Path

import pytest

from opsrunner.plan import role_paths


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    return folder


def test_folders_of_ansible_where_nothing_is_said(tmp_path: Path, home: Path) -> None:
    found = role_paths.read(tmp_path, {})
    assert found.roles[0] == home / ".ansible/roles"
    assert found.collections == (home / ".ansible/collections", Path("/usr/share/ansible/collections"))
    assert found.warnings == ()


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        ("roles", ["{}/roles"]),
        ("./roles:../shared : ~/r", ["{}/roles", "{}/../shared", "{}/home/r"]),
        ('"{{CWD}}/here" ; and no more', ["{}/here"]),
    ],
)
def test_folders_that_the_file_names(tmp_path: Path, value: str, wanted: list[str]) -> None:
    (tmp_path / "ansible.cfg").write_text(f"[defaults]\nroles_path = {value}\ncollections_paths = c\n")
    found = role_paths.read(tmp_path, {})
    assert [str(path) for path in found.roles] == [str(Path(one.format(tmp_path)).resolve()) for one in wanted]
    assert found.collections == (tmp_path / "c",)


def test_the_environment_counts_before_the_file(tmp_path: Path) -> None:
    (tmp_path / "ansible.cfg").write_text("[defaults]\nroles_path = roles\n")
    assert role_paths.read(tmp_path, {"ANSIBLE_ROLES_PATH": "mine"}).roles == (tmp_path / "mine",)


@pytest.mark.parametrize("named", ["etc", "etc/ansible.cfg"])
def test_a_file_that_the_environment_names(tmp_path: Path, named: str) -> None:
    (tmp_path / "ansible.cfg").write_text("[defaults]\nroles_path = here\n")
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/ansible.cfg").write_text("[defaults]\nroles_path = there\n")
    assert role_paths.read(tmp_path, {"ANSIBLE_CONFIG": named}).roles == (tmp_path / "etc/there",)


def test_what_is_passed_over_is_named(tmp_path: Path) -> None:
    text = "[defaults]\nforks = 20\nnocows = 1\ninventory = hosts\n[privilege_escalation]\nbecome = true\n"
    (tmp_path / "ansible.cfg").write_text(text)
    (warning,) = role_paths.read(tmp_path, {}).warnings
    assert warning.endswith("not forks, inventory, become")


def test_a_file_that_is_no_good_is_told(tmp_path: Path, home: Path) -> None:
    (tmp_path / "ansible.cfg").write_text("roles_path = here\n")
    found = role_paths.read(tmp_path, {})
    assert found.roles[0] == home / ".ansible/roles"
    assert "ansible.cfg cannot be read" in found.warnings[0]


def test_a_folder_that_everybody_may_write_to_is_not_believed(tmp_path: Path, home: Path) -> None:
    (tmp_path / "ansible.cfg").write_text("[defaults]\nroles_path = here\n")
    tmp_path.chmod(0o777)
    found = role_paths.read(tmp_path, {})
    assert found.roles[0] == home / ".ansible/roles"
    assert "everybody may write" in found.warnings[0]
