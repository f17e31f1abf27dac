"""``opsrunner plan PLAYBOOK``: what a run would send to whom, in what order."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from opsrunner.cli import context
from opsrunner.cli.options import (
    comma_separated,
    connection_options,
    default_sources,
    inventory_options,
    playbook_options,
)
from opsrunner.tagged import Encrypted

if TYPE_CHECKING:
    from opsrunner.plan.model import Plan, Play, Step

#: Characters of an argument's value that are shown.
_WIDTH = 100
#: Keywords worth a line of their own, in the order shown; the rest of a step is its arguments.
_CONDITIONS = ("when", "until", "failed_when", "changed_when")
_SETTINGS = (
    "register",
    "retries",
    "become_user",
    "become_method",
    "remote_user",
    "connection",
    "port",
    "delegate_to",
    "timeout",
    "rerun",
)
_FLAGS = (
    "become",
    "run_once",
    "delegate_facts",
    "ignore_errors",
    "ignore_unreachable",
    "any_errors_fatal",
    "check_mode",
    "diff",
    "guard",
)


@click.command(
    "plan",
    epilog="Examples: opsrunner plan playbooks/restart.yml · opsrunner plan patch.yml -l web -t packages",
)
@click.argument("playbook", type=click.Path(path_type=Path))
@inventory_options
@playbook_options
@connection_options
def command(playbook: Path, **given: Any) -> int:
    """Show what a playbook would send to whom and in what order, touching nothing.

    Values are shown as written: templates are rendered for each host when its turn comes.
    """
    from opsrunner.cli.start import options_from
    from opsrunner.plan.extra_vars import parse_extra_vars
    from opsrunner.plan.read import read_playbook

    given["tags"] = comma_separated(given["tags"])
    given["skip_tags"] = comma_separated(given["skip_tags"])
    # Nothing logs in here, so that no password is asked for.
    given["ask_pass"] = given["ask_become_pass"] = False
    compiled = read_playbook(
        playbook,
        default_sources(given["inventories"]),
        options_from(given),
        parse_extra_vars(given["extra_vars"], Path.cwd(), context.warn),
        base=Path.cwd(),
        allow_empty=given["allow_empty"],
        script_timeout=context.settings().script_timeout,
        # Nothing is sent, so that nobody is asked for what vars_prompt names.
        ask=lambda prompt: prompt.default or "",
    )
    for warning in compiled.warnings:
        context.warn(warning)
    for line in describe(compiled.plan):
        click.echo(line)
    return 0


def describe(plan: Plan) -> list[str]:
    """The plan as lines of text: plays, batches with their hosts folded, stages, steps."""
    from opsrunner.output.harmless import harmless_line

    lines = [harmless_line(line) for play in plan.plays for line in _play(play)]
    lines += list(_budgets(plan))
    if plan.files:
        count = len(set(plan.files.values()))
        lines.append(f"{count} file{'s' if count > 1 else ''} travel{'s' if count == 1 else ''} along:")
        lines += [f"  {name}  {digest[:12]}" for name, digest in sorted(plan.files.items())]
    return lines


def _budgets(plan: Plan) -> Iterator[str]:
    from opsrunner.plan import budgets

    for limit, word in ((budgets.error_budget(plan), "fail"), (budgets.unreachable_budget(plan), "cannot be reached")):
        if limit is not None:
            percent = f" ({limit.said})" if limit.said.endswith("%") else ""
            plural = "" if limit.hosts == 1 else "s"
            yield f"the run stops when more than {limit.hosts} host{plural}{percent} {word}  {limit.by}"


def _play(play: Play) -> Iterator[str]:
    from opsrunner.nodeset import fold_names

    yield f"play {play.number + 1}: {play.name}  [{play.strategy}]  {play.place}"
    if play.late:
        now = f"; now {fold_names(play.hosts)} ({len(play.hosts)})" if play.hosts else ""
        yield f"  hosts: decided during the run{now}"
    elif not play.hosts:
        yield "  no hosts: skipped"
        return
    else:
        yield f"  hosts: {fold_names(play.hosts)} ({len(play.hosts)})"
    if len(play.batches) > 1:
        for number, batch in enumerate(play.batches, start=1):
            value = f", {play.serial_by} {play.batch_names[number - 1]}" if play.serial_by else ""
            yield f"  batch {number} of {len(play.batches)}{value}: {fold_names(batch)} ({len(batch)})"
    if play.max_fail_percentage is not None:
        yield f"  stops when more than {play.max_fail_percentage:g} % of a batch fail"
    if play.force_handlers:
        yield "  handlers run on failed hosts too"
    section: tuple[str, bool] | None = None
    for stage, steps in enumerate(_stages(play), start=1):
        title = (steps[0].section, steps[0].handler)
        if title != section:
            section = title
            yield f"  {_title(play, steps[0])}"
        if len(steps) > 1:
            yield f"    stage {stage}: {len(steps)} steps, each host at its own pace"
        for step in steps:
            yield from _step(step)


def _title(play: Play, step: Step) -> str:
    if step.handler:
        return "handlers, where notified"
    if step.section != "gate":
        return step.section
    return f"gate after each batch, waiting {play.dwell:g} s" if play.dwell else "gate after each batch"


def _stages(play: Play) -> list[list[Step]]:
    """Steps without a barrier between them: one under linear and in gates, a section with its handlers under free."""
    if play.strategy == "linear":
        return [[step] for step in play.steps]
    stages: list[list[Step]] = []
    for step in play.steps:
        last = stages[-1][-1] if stages else None
        together = last and (last.section, last.handler) == (step.section, step.handler)
        if together and step.section != "gate":
            stages[-1].append(step)
        else:
            stages.append([step])
    return stages


def _step(step: Step) -> Iterator[str]:
    indent = "    " + "  " * len(step.path)
    where = f"{step.path[-1][1]}: " if step.path and step.path[-1][1] != "block" else ""
    tags = f"  [{', '.join(step.tags)}]" if step.tags else ""
    yield f"{indent}{step.number:>3}  {where}{step.name}{tags}  {step.place}"
    for line in _details(step):
        yield f"{indent}     {line}"


def _details(step: Step) -> Iterator[str]:
    """What a step does and on what it depends; with no_log nothing that could be secret."""
    if step.no_log:
        yield f"{step.module}: (arguments hidden by no_log)"
    else:
        yield f"{step.module}: {_arguments(step.arguments)}".rstrip(": ")
    for name in _CONDITIONS:
        conditions = getattr(step, name)
        if conditions:
            yield f"{name.replace('_', ' ')}: {' and '.join(map(str, conditions))}"
    if step.loop:
        over = "(hidden by no_log)" if step.no_log else _shown(step.loop.over)
        yield f"loop: {over} as {step.loop.variable}"
    if step.notify:
        yield f"notifies: {', '.join(map(str, step.notify))}"
    settings = [f"{name} {getattr(step, name)}" for name in _SETTINGS if getattr(step, name) is not None]
    flags = [
        name if getattr(step, name) is True else f"{name} {getattr(step, name)}" for name in _FLAGS if _set(step, name)
    ]
    if settings or flags:
        yield ", ".join([*flags, *settings])


def _set(step: Step, name: str) -> bool:
    value = getattr(step, name)
    return value is not None and not (value is False and name not in ("become", "check_mode", "diff", "guard"))


def _arguments(arguments: Mapping[str, Any]) -> str:
    if set(arguments) == {"_raw_params"}:
        return _shown(arguments["_raw_params"])
    return " ".join(f"{name.removeprefix('_')}={_shown(value)}" for name, value in arguments.items())


def _shown(value: Any) -> str:
    """A value on one line, cut where it is long."""
    text = str(value) if isinstance(value, (str, Encrypted)) else json.dumps(_jsonable(value), ensure_ascii=False)
    text = " ⏎ ".join(text.strip().splitlines())
    return text if len(text) <= _WIDTH else f"{text[: _WIDTH - 1]}…"


def _jsonable(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _jsonable(content) for key, content in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_jsonable(item) for item in value]
    return str(value) if isinstance(value, Encrypted) else value
