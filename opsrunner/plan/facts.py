"""Where a play gathers facts: its first step, and the plays that can do without it."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from opsrunner.inventory import Inventory
from opsrunner.plan.bundle import Bundle
from opsrunner.plan.check import NO_FACT
from opsrunner.plan.model import Options, Play, Step
from opsrunner.plan.paths import key_of
from opsrunner.plan.scope import PlayScope
from opsrunner.plan.steps import Inherited, plain_of
from opsrunner.plan.tags import selected
from opsrunner.plan.texts import texts_in
from opsrunner.playbook import Play as WrittenPlay

#: The module of the step that a play begins with, and its name as Ansible shows it.
MODULE, NAME = "gather_facts", "Gathering Facts"

_WORD = re.compile(r"\bansible_\w*")
#: All variables at once, by which a fact can be got at without its name: but not one plain variable of a host.
_EVERYTHING = re.compile(
    r"""\bhostvars\b(?!\s*(?:\[[^\[\]]*\]|\.\s*\w+)\s*(?:\.\s*(?!(?:get|items|keys|values)\b)\w|\[\s*['"]))
    | \bvars\s*[\[|}] | ^\s*vars\s*$ | ['"](?:ansible\.builtin\.)?(?:vars|varnames)['"]""",
    re.VERBOSE,
)


def gathering_step(play: WrittenPlay, options: Options, scope: PlayScope, wanted: bool | None) -> tuple[Step, ...]:
    """The step that gathers a play's facts; none where the play says false, or the tags leave it out."""
    outer = Inherited().with_keywords(play.keywords, {}, scope)
    tags = outer.tags or ("always",)
    if wanted is False or not selected(tags, options.tags, options.skip_tags):
        return ()
    names = ("gather_subset", "gather_timeout", "fact_path")
    arguments = {name: plain_of(play.keywords[name]) for name in names if name in play.keywords}
    if "gather_subset" in arguments:
        arguments["gather_subset"] = list(arguments["gather_subset"])
    step = Step(
        number=0,
        name=NAME,
        module=MODULE,
        place=str(play.place),
        arguments=arguments,
        section="pre_tasks",
        tags=tags,
        environment=outer.environment,
        **{name: value for name, value in outer.override.items() if name != "notify"},
    )
    return (step,)


def spared(
    plays: Sequence[Play], implied: Collection[int], bundle: Bundle, inventory: Inventory, extra_vars: Mapping[str, Any]
) -> list[Play]:
    """The plays without the gathering that nobody asked for and nothing can need, their steps numbered anew.

    ``implied`` are the numbers of the plays that do not say whether facts are gathered. What is gathered
    serves later plays, too, so a play gathers when it or one after it can use a fact.
    """
    everywhere = implied and (
        any(map(_uses_fact, _texts_of_inventory(inventory))) or any(map(_uses_fact, texts_in(extra_vars)))
    )
    needed, found = bool(everywhere), []
    for play in reversed(plays):
        needed = needed or (bool(implied) and _can_use(play, bundle))
        if play.number in implied and not needed:
            play = replace(play, steps=tuple(step for step in play.steps if not _is_gathering(step, play)))
        found.append(play)
    return _numbered(found[::-1])


def _is_gathering(step: Step, play: Play) -> bool:
    return step.module == MODULE and step.place == play.place


def _numbered(plays: Sequence[Play]) -> list[Play]:
    found, number = [], 0
    for play in plays:
        steps = tuple(replace(step, number=index) for index, step in enumerate(play.steps, start=number))
        number += len(steps)
        found.append(replace(play, steps=steps))
    return found


def _can_use(play: Play, bundle: Bundle) -> bool:
    """Whether any text of the play, or a template of it, may lead to a fact. In doubt it does."""
    of_roles = [layer for role in play.roles for layer in (role.defaults, role.vars, role.params)]
    layers = (play.vars, *play.vars_of_files, play.role_defaults, play.role_vars, *of_roles)
    if any(step.module == "include_vars" for step in play.steps):
        layers = (*layers, *bundle.variables())
    own = {name for layer in layers for name in layer}
    for step in play.steps:
        own |= {*step.vars, *step.params, step.register or ""}
        own |= set(step.arguments) if step.module == "set_fact" else set()
    named = [entry.alternatives for entry in play.host_files.entries] if play.host_files else []
    values = (layers, named, [_values(step) for step in play.steps if not _is_gathering(step, play)])
    if any(_uses_fact(text, own) for text in texts_in(values)):
        return True
    return any(_template_uses(step, bundle, own) for step in play.steps if step.module == "template")


def _template_uses(step: Step, bundle: Bundle, own: Collection[str]) -> bool:
    digest = bundle.keys.get(key_of(step.search, "templates", str(step.arguments.get("src"))))
    # Which file it is, is known on the host only.
    return digest is None or _uses_fact(bundle.contents[digest].decode("utf-8", "replace"), own)


def _uses_fact(text: str, own: Collection[str] = ()) -> bool:
    if "ansible_" not in text and "vars" not in text:
        return False
    named = (name for name in _WORD.findall(text) if name not in own and not NO_FACT.fullmatch(name))
    return any(True for _ in named) or _EVERYTHING.search(text) is not None


def _values(step: Step) -> list[Any]:
    """All that is rendered of a step."""
    loop = [step.loop.over, step.loop.label, step.loop.pause, step.loop.break_when] if step.loop else []
    names = (
        *("name", "arguments", "when", "until", "retries", "delay", "failed_when", "changed_when", "ignore_errors"),
        *("ignore_unreachable", "notify", "environment", "become", "become_user", "become_method", "become_flags"),
        *("remote_user", "connection", "port", "timeout", "no_log", "vars", "params", "run_once", "delegate_to"),
        *("any_errors_fatal", "check_mode", "diff", "throttle", "guard"),
    )
    return [*(getattr(step, name) for name in names), loop] if not step.literal else []


def _texts_of_inventory(inventory: Inventory) -> Iterator[str]:
    """Templates in the variables of hosts and groups."""
    layers: list[Any] = [group.variables for group in inventory.groups.values()]
    layers += [host.variables for host in inventory.hosts.values()]
    for layer in inventory.all_layers:
        layers += [*layer.groups.values(), *layer.hosts.values()]
    return (text for text in texts_in(layers) if "{{" in text or "{%" in text)
