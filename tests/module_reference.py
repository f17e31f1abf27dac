"""The modules' part of docs/playbooks.md, made from their specs; ``python -m tests.module_reference`` rewrites it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from opsrunner import modules
from opsrunner.modules.contract import Argument, Spec

PAGE = Path(__file__).parents[1] / "docs" / "playbooks.md"
BEGIN = "<!-- modules: written by `python -m tests.module_reference` -->"
END = "<!-- end of modules -->"

_CHECK_MODE = {
    "full": "says what would change",
    "run": "runs, as it changes nothing",
    "skip": "is skipped",
}


def reference() -> str:
    """All modules, a section each, between the two markers."""
    sections = "\n".join(line for name in modules.names() for line in section(name, modules.get(name).SPEC))
    return f"{BEGIN}\n\n{sections}{END}"


def section(name: str, spec: Spec) -> Iterator[str]:
    """One module: what it does, its habits, its arguments, examples."""
    yield from (f"### {name}", "", f"{spec.summary}. {_habits(spec)}", "")
    if spec.arguments:
        yield from ("| argument | type | default | meaning |", "| --- | --- | --- | --- |")
        yield from (_row(key, argument, spec) for key, argument in spec.arguments.items())
        yield ""
    notes = list(_notes(spec))
    if notes:
        yield from (*notes, "")
    if spec.examples:
        yield from ("```yaml", spec.examples.strip("\n"), "```", "")


def _habits(spec: Spec) -> str:
    said = []
    if spec.local:
        said.append("Runs on the worker and sends nothing to the host.")
    if spec.once:
        said.append("Runs once for the whole batch.")
    if spec.reads_only and not spec.local:
        said.append("Only looks: may be run again after a lost answer.")
    if spec.asynchronous == "job":
        said.append("With `async` and `poll: 0` it can be left to itself on the host.")
    if spec.asynchronous == "refused":
        said.append("It cannot be run with `async`.")
    said.append(f"In check mode it {_CHECK_MODE[spec.check_mode]}.")
    return " ".join(said)


def _row(name: str, argument: Argument, spec: Spec) -> str:
    shown = "*free form*" if name == spec.free_form else f"`{name}`"
    names = ", ".join([shown, *(f"`{alias}`" for alias in argument.aliases)])
    kind = f"list of {argument.elements}" if argument.elements else argument.type
    default = "**required**" if argument.required else _code(argument.default)
    meaning = argument.help
    if argument.choices is not None:
        meaning += f"; one of {', '.join(_code(choice) for choice in argument.choices)}"
    if name in spec.unrendered:
        meaning += "; an expression, no braces around it"
    if argument.bundled_from:
        meaning += "; travels with the run"
    return f"| {names} | {kind} | {default} | {_cell(meaning)} |"


def _notes(spec: Spec) -> Iterator[str]:
    if spec.any_argument:
        yield "* Any other name is an argument, too."
    for group in spec.mutually_exclusive:
        yield f"* At most one of {_names(group, spec)}."
    for group in spec.required_one_of:
        yield f"* At least one of {_names(group, spec)}."
    for group in spec.required_together:
        yield f"* Only together: {_names(group, spec)}."
    for key, value, needed, one_is_enough in spec.required_if:
        yield f"* With `{key}: {value}` {'one' if one_is_enough else 'all'} of {_names(needed, spec)} is required."
    for name, reason in spec.refused.items():
        yield f"* `{name}` is refused: {reason}."


def _names(group: tuple[str, ...], spec: Spec) -> str:
    return ", ".join("the free form" if name == spec.free_form else f"`{name}`" for name in group)


def _code(value: Any) -> str:
    if value in (None, "", ()):
        return ""
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    text = str(value).replace("\r", "\\r").replace("\n", "\\n")
    return f"`{_cell(text)}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def rewritten(page: str) -> str:
    """The page with its modules' part made anew. Raises ValueError without the markers."""
    before, marker, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (marker and end):
        raise ValueError(f"{PAGE} lacks the lines {BEGIN} and {END}")
    return before + reference() + after


if __name__ == "__main__":
    PAGE.write_text(rewritten(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
