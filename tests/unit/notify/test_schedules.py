"""``notify:`` of schedules, and ``notifiers:`` beside them."""

from __future__ import annotations

from pathlib import Path

import pytest

from opsrunner.errors import InputError
from opsrunner.schedule.load import load
from opsrunner.schedule.model import Schedule

ONE = "name: one, every: 1h, playbook: play.yml"
HOOK = '{webhook: {url: "https://chat.example.com"}}'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "play.yml").write_text("- hosts: all\n  tasks: []\n")
    return tmp_path


def loaded(folder: Path, text: str, *elsewhere: str) -> Schedule:
    (folder / "schedules.yml").write_text(text)
    (only,) = load(folder / "schedules.yml", elsewhere)
    return only


def test_names_of_notifiers(folder: Path) -> None:
    both = f"notifiers: {{chat: {HOOK}}}\nschedules:\n  - {{{ONE}, notify: [chat, ops]}}\n"
    assert loaded(folder, both, "ops").notify == ("chat", "ops")
    assert loaded(folder, f"- {{{ONE}, notify: ops}}\n", "ops").notify == ("ops",)
    assert loaded(folder, f"- {{{ONE}, notify: none}}\n").notify == ("none",)
    assert loaded(folder, f"- {{{ONE}}}\n", "ops").notify == ()


@pytest.mark.parametrize(
    ("text", "place", "what"),
    [
        (f"- {{{ONE}, notify: [chat, osp]}}\n", "1:61", "no notifier 'osp'"),
        (f"- {{{ONE}, notify: {{ops: 1}}}}\n", "1:54", "notify is a list of names"),
        ("notifiers: {chat: {}}\nschedules: []\n", "1:19", "a notifier has either mail: or webhook:"),
        ("notifier: {}\nschedules: []\n", "1:1", "unknown key 'notifier'"),
    ],
)
def test_refused_with_its_place(folder: Path, text: str, place: str, what: str) -> None:
    with pytest.raises(InputError) as caught:
        loaded(folder, text, "ops", "chat")
    assert f"schedules.yml:{place}: {what}" in str(caught.value)
