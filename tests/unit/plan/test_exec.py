"""One command, typed by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from opsrunner.errors import InputError
from opsrunner.plan.codec import decode, encode
from opsrunner.plan.command import compile_exec
from opsrunner.plan.model import Options

if TYPE_CHECKING:
    from tests.unit.plan.conftest import Project


def test_one_word_is_a_line_and_several_are_words(project: Project) -> None:
    line = compile_exec("web:!web1", ["echo {{ x }} | wc"], project.inventory(), Options())
    (play,) = line.plan.plays
    (step,) = play.steps
    assert play.hosts == ("web2", "web3", "web4")
    assert (step.module, step.arguments, step.literal) == ("shell", {"_raw_params": "echo {{ x }} | wc"}, True)
    words = compile_exec("db", ["ls", "-l", "a b"], project.inventory(), Options(limit="db2"), timeout=3)
    (step,) = words.plan.plays[0].steps
    assert (step.module, step.arguments, step.timeout) == (
        "command",
        {"argv": ["ls", "-l", "a b"], "expand_argument_vars": False},
        3,
    )
    assert words.plan.plays[0].hosts == ("db2",)
    assert words.plan.title == "ls -l 'a b'"
    assert decode(encode(words.plan)) == words.plan


@pytest.mark.parametrize(
    ("pattern", "words", "options"),
    [("wbe", ["x"], {}), ("web", [], {}), ("web", [""], {}), ("web", ["x"], {"limit": "db"})],
)
def test_a_command_for_nobody(project: Project, pattern: str, words: list[str], options: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        compile_exec(pattern, words, project.inventory(), Options(**options))


def test_a_command_for_nobody_may_be_allowed(project: Project) -> None:
    compiled = compile_exec("wbe", ["x"], project.inventory(), Options(), allow_empty=True)
    assert compiled.plan.plays[0].hosts == ()
    assert compiled.warnings
