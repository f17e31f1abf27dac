"""Answers to ``vars_prompt``: from ``-e``, from the run that is resumed, or from who is asked now."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from msgspec.structs import replace

from opsrunner.errors import InputError
from opsrunner.plan.scope import PlayScope
from opsrunner.playbook import Play, Prompt
from opsrunner.playbook.values import is_template
from opsrunner.tagged import Verbatim
from opsrunner.templating.password_hashes import password_hash

#: Gives what was typed. Raises InputError where nobody is there to be asked.
Ask = Callable[[Prompt], str]


def nobody(prompt: Prompt) -> str:
    """An :data:`Ask` for where no terminal is."""
    raise InputError(f"nobody can be asked for {prompt.name}", why="this is no terminal")


def ask_all(
    play: Play, scope: PlayScope, extra_vars: Mapping[str, Any], ask: Ask, known: Mapping[str, Any]
) -> dict[str, Any]:
    """The play's variables of ``vars_prompt`` by name, but for those that ``-e`` gives.

    ``known`` are answers given before. A variable that nobody can be asked for is a fault.
    """
    answers: dict[str, Any] = {}
    for prompt in play.prompts:
        if prompt.name in extra_vars:
            continue
        if prompt.name in known:
            answers[prompt.name] = known[prompt.name]
            continue
        shown = _rendered(prompt, scope)
        try:
            typed = ask(shown)
        except InputError as error:
            remedy = f"-e {prompt.name}=VALUE"
            scope.faults.add(error.what, prompt.place, why=error.why, remedy=remedy)
            continue
        if shown.encrypt is not None:
            typed = _hashed(typed, shown, scope)
        answers[prompt.name] = Verbatim(typed) if prompt.unsafe else typed
    return answers


def _hashed(typed: str, prompt: Prompt, scope: PlayScope) -> str:
    try:
        return password_hash(typed, str(prompt.encrypt), salt=prompt.salt, salt_size=prompt.salt_size)
    except (ValueError, TypeError) as error:
        scope.faults.add(f"{prompt.name} cannot be hashed", prompt.place, why=str(error))
        return ""


def _rendered(prompt: Prompt, scope: PlayScope) -> Prompt:
    def text(value: str | None, what: str) -> str | None:
        if not is_template(value):
            return value
        rendered = scope.render(value, prompt.place, what)
        return None if rendered is None else str(rendered)

    return replace(
        prompt,
        text=text(prompt.text, "prompt") or prompt.name,
        default=text(prompt.default, "default"),
        encrypt=text(prompt.encrypt, "encrypt"),
        salt=text(prompt.salt, "salt"),
    )
