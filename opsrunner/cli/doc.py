"""``opsrunner doc MODULE``: a module's arguments, from the spec that validates them."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from opsrunner.errors import InputError, UsageError

if TYPE_CHECKING:
    from opsrunner.modules.contract import Argument, Spec

_CHECK_MODE = {
    "full": "it says what would change",
    "run": "it runs, as it changes nothing",
    "skip": "it is skipped",
}


@click.command("doc", epilog="Examples: opsrunner doc copy · opsrunner doc --list")
@click.argument("module", required=False)
@click.option("-l", "--list", "listed", is_flag=True, help="All modules, a line each.")
def command(module: str | None, listed: bool) -> None:
    """Explain a module: its arguments, what they exclude, what differs from Ansible, examples."""
    from opsrunner import modules

    if listed == (module is not None):
        raise UsageError("name one module, or ask for --list")
    if module is None:
        names = modules.names()
        width = max(map(len, names))
        for name in names:
            click.echo(f"{name:{width}}  {modules.get(name).SPEC.summary}")
        return
    short = modules.canonical(module)
    if short is None:
        near = modules.nearest(module)
        what = f"there is no module {module!r}"
        if modules.is_known_elsewhere(module):
            what = f"module {module} is Ansible's, opsrunner does not have it yet"
        raise InputError(what, remedy=f"did you mean {near}?" if near else "opsrunner doc --list")
    for line in lines(short, modules.get(short).SPEC):
        click.echo(line)


def lines(name: str, spec: Spec) -> Iterator[str]:
    """Everything a spec tells, for a terminal."""
    yield f"{name}: {spec.summary}"
    yield ""
    if spec.local:
        yield "Runs on the worker and sends nothing to the host."
    if spec.once:
        yield "Runs once for the whole batch."
    if spec.asynchronous == "job":
        yield "With async and poll: 0 it can be left to itself on the host."
    if spec.asynchronous == "refused":
        yield "It cannot be run with async."
    yield f"In check mode {_CHECK_MODE[spec.check_mode]}."
    if spec.arguments or spec.any_argument:
        yield from ("", "Arguments")
    if spec.any_argument:
        yield "  any other name is taken, too"
    for key, argument in spec.arguments.items():
        yield from _argument(key, argument, spec)
    rules = list(_rules(spec))
    if rules:
        yield from ("", "Rules", *(f"  {rule}" for rule in rules))
    if spec.refused:
        yield from ("", "Differs from Ansible")
        yield from (f"  {key} is refused: {why}" for key, why in spec.refused.items())
    if spec.examples:
        yield from ("", "Examples", *textwrap.indent(spec.examples.strip("\n"), "  ").splitlines())


def _argument(key: str, argument: Argument, spec: Spec) -> Iterator[str]:
    kind = f"list of {argument.elements}" if argument.elements else argument.type
    facts = [kind]
    if argument.required:
        facts.append("required")
    if argument.default not in (None, "", ()):
        facts.append(f"default {_shown(argument.default)}")
    if argument.choices is not None:
        facts.append(f"one of {', '.join(map(_shown, argument.choices))}")
    if argument.aliases:
        facts.append(f"also {', '.join(argument.aliases)}")
    if argument.bundled_from:
        facts.append("travels with the run")
    if key in spec.unrendered:
        facts.append("an expression, no braces around it")
    yield f"  {_name(key, spec)}  ({'; '.join(facts)})"
    yield f"      {argument.help}"


def _rules(spec: Spec) -> Iterator[str]:
    for word, groups in (
        ("at most one of", spec.mutually_exclusive),
        ("at least one of", spec.required_one_of),
        ("only together:", spec.required_together),
    ):
        for group in groups:
            yield f"{word} {_names(group, spec)}"
    for key, value, needed, one_is_enough in spec.required_if:
        amount = "one" if one_is_enough else "all"
        yield f"{key}={_shown(value)} needs {amount} of {_names(needed, spec)}"


def _name(key: str, spec: Spec) -> str:
    return "free form" if key == spec.free_form else key


def _names(keys: tuple[str, ...], spec: Spec) -> str:
    return ", ".join(_name(key, spec) for key in keys)


def _shown(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else repr(value) if isinstance(value, str) else str(value)
