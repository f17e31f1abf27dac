"""What help says at a terminal of 80 columns, and that options mean the same at each verb."""

from __future__ import annotations

from collections.abc import Iterator

import click
import pytest

from opsrunner.cli import main


def verbs() -> Iterator[tuple[str, click.Command]]:
    """Every verb, and every verb of a verb, by the words that are typed."""
    ctx = click.Context(main.command)
    for name in main.VERBS:
        verb = main.command.get_command(ctx, name)
        assert verb is not None
        yield name, verb
        if isinstance(verb, click.Group):
            yield from ((f"{name} {inner}", found) for inner, found in verb.commands.items())


VERBS = dict(verbs())


@pytest.mark.parametrize("words", VERBS)
def test_help_is_whole_and_speaks_of_no_python(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run([*words.split(), "--help"]) == 0
    said = capsys.readouterr().out
    assert "..." not in said.replace("[ARGS]...", "").replace("[VARIABLE]...", "")
    assert "RANGE" not in said
    assert " TEXT " not in said.replace("--reason TEXT", "")
    assert max(map(len, said.splitlines())) <= 80


def options(verb: click.Command) -> dict[str, click.Option]:
    """Options by each of their names."""
    return {name: one for one in verb.params if isinstance(one, click.Option) for name in one.opts}


def test_whatever_tells_json_by_output_takes_json_as_well() -> None:
    telling = [
        words for words, verb in VERBS.items() if "json" in str(getattr(options(verb).get("--output"), "type", ""))
    ]
    assert {"run", "exec", "watch", "resume", "runs", "show", "schedule list"} <= {*telling}
    for words in telling:
        assert options(VERBS[words])["--json"].name == "output"


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("--limit", ("runs", "notifications", "schedule history")),
        ("-n", ("runs", "notifications", "schedule history")),
        ("--host", ("logs", "cancel")),
        ("--step", ("logs", "cancel")),
    ],
)
def test_an_option_is_one_thing(option: str, words: tuple[str, ...]) -> None:
    found = [options(VERBS[word])[option] for word in words]
    assert len({(one.help, one.multiple, one.make_metavar(click.Context(main.command))) for one in found}) == 1


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("schedule lst", "No such verb 'lst'. Did you mean 'list'?"),
        ("demo nope", "No such verb 'nope'. `opsrunner demo --help` lists them."),
        ("-i hosts run", "No such option '-i' before the verb; behind it, perhaps: opsrunner VERB -i …"),
        ("exec all uptime -p", "The command, with its own options, stands behind --."),
    ],
)
def test_a_word_in_the_wrong_place(line: str, told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(line.split()) == 64
    assert told in capsys.readouterr().err
