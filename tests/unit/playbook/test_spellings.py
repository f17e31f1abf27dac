"""Old spellings mean what they meant."""

from __future__ import annotations

from pathlib import Path

from opsrunner.playbook import ModuleCatalogue, Task, parse

BOOK = """
- hosts: all
  user: deploy
  sudo: yes
  tasks:
    - command: x
      su: true
      su_user: app
      always_run: yes
    - command: y
      sudo: no
      always_run: no
"""


def test_old_words_become_new_ones_with_a_warning_each(few_modules: ModuleCatalogue) -> None:
    book = parse(BOOK, Path("p.yml"), few_modules)
    play = book.plays[0]
    assert {name: keyword.value for name, keyword in play.keywords.items()} == {
        "remote_user": "deploy",
        "become": True,
        "become_method": "sudo",
    }
    first, second = play.sections["tasks"]
    assert isinstance(first, Task) and isinstance(second, Task)
    found = {name: keyword.value for name, keyword in first.keywords.items()}
    assert found == {"become": True, "become_method": "su", "become_user": "app", "check_mode": False}
    assert "check_mode" not in second.keywords and second.keywords["become"].value is False
    assert "p.yml:3:3: user is an old spelling; write remote_user" in book.warnings
    assert "p.yml:9:7: always_run is an old spelling; write check_mode: false" in book.warnings
