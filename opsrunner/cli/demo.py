"""``opsrunner demo``."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, cast

import click

from opsrunner.cli import context
from opsrunner.cli.groups import Group
from opsrunner.errors import InputError

if TYPE_CHECKING:
    from opsrunner.demo.fleet import Fleet, Kind, State
    from opsrunner.settings import Settings

PLAYBOOK = Path("playbooks/restart.yml")
INVENTORY = Path("inventory")


@click.group(
    "demo",
    cls=Group,
    invoke_without_command=True,
    epilog="Examples: opsrunner demo · opsrunner demo status · opsrunner demo down",
)
@click.option(
    "--server",
    type=click.Choice(["openssh", "python"]),
    help="Which SSH server; OpenSSH where it works, else a small one of ours.",
)
@click.pass_context
def command(ctx: click.Context, server: str | None) -> int | None:
    """Bring up six SSH hosts on loopback addresses and restart a real little service on them, two at a time."""
    ctx.obj = server
    return cast("int", ctx.invoke(run)) if ctx.invoked_subcommand is None else None


@command.command("up")
@click.pass_context
def up(ctx: click.Context) -> None:
    """Bring the fleet up: SSH hosts and their services."""
    _bring_up(ctx)


@command.command("run")
@click.pass_context
def run(ctx: click.Context) -> int:
    """Bring the fleet up and run the playbook on it."""
    from opsrunner.cli import main

    _bring_up(ctx)
    exports = _lend_environment(context.settings())
    folder = _checkout()
    words = ["run", "-i", str(folder / INVENTORY), str(folder / PLAYBOOK)]
    click.echo(f"$ opsrunner {' '.join(words)}")
    sys.stdout.flush()
    code = main.run(words)
    _what_next(folder, exports)
    return code


@command.command("down")
def down() -> None:
    """Stop the services and the SSH hosts; keys and logs stay."""
    from opsrunner.demo import fleet as fleets

    stopped = fleets.down(fleets.of(context.settings(), os.environ))
    click.echo("fleet stopped" if stopped else "no fleet was up")


@command.command("status")
def status() -> None:
    """Tell what of the fleet is up."""
    from opsrunner.demo import fleet as fleets

    fleet = fleets.of(context.settings(), os.environ)
    _show(fleet, fleets.look(fleet))


def _bring_up(ctx: click.Context) -> None:
    from opsrunner.demo import fleet as fleets

    settings = context.settings()
    fleet = fleets.of(settings, os.environ)
    _show(fleet, fleets.up(settings, fleet, cast("Kind | None", ctx.obj)))


def _show(fleet: Fleet, state: State) -> None:
    from opsrunner.demo.fleet import HOSTS

    server = "OpenSSH's sshd" if state.kind == "openssh" else "the demo's own server"
    said = f"port {fleet.port}, {server}, pid {state.server}" if state.server else "not running"
    click.echo(f"SSH hosts  {said}")
    for name, text in state.services.items():
        click.echo(f"  {name:<5} {HOSTS[name]:<11} service {text}")


def _checkout() -> Path:
    """The folder that has the shipped inventory and playbooks: this one, else the one we were installed from."""
    for folder in (Path(), Path(__file__).parents[2]):
        if (folder / PLAYBOOK).is_file() and (folder / INVENTORY).is_dir():
            return folder
    raise InputError(
        f"no {PLAYBOOK} here",
        why="the fleet is up; the demo's playbook and inventory come with opsrunner's sources",
        remedy="go to a checkout of opsrunner and say `opsrunner demo` there",
    )


def _lend_environment(settings: Settings) -> list[str]:
    """Give this process (and a worker started from it) what the inventory looks up; the same as lines to type."""
    from opsrunner.demo import fleet as fleets

    usual = str(Path("~/.local/state/opsrunner").expanduser())
    # A user without a name (a container's bare number) cannot be found by looking who runs the worker.
    name_found = os.environ.get("USER") or ("" if fleets.user().isdecimal() else fleets.user())
    lines = []
    for name, value, default in (
        ("OPSRUNNER_STATE_DIR", settings.state_dir, usual),
        ("OPSRUNNER_DEMO_USER", fleets.user(), name_found),
    ):
        if not os.environ.get(name) and value != default:
            lines.append(f"export {name}={value}")
            os.environ[name] = value
    return lines


def _what_next(folder: Path, exports: list[str]) -> None:
    click.echo("\nThe fleet stays up. Try:")
    for line in ([] if folder == Path() else [f"cd {folder}"]) + exports:
        click.echo(f"  {line}")
    typed = _as_typed()
    click.echo(f"  {typed} exec all -- uptime")
    click.echo(f"  {typed} run {PLAYBOOK} --limit web")
    click.echo(f"  {typed} show last")
    click.echo(f"  {typed} demo down && {typed} down")


def _as_typed() -> str:
    """How the operator must spell ``opsrunner``: by its path where PATH does not lead to it."""
    program = Path(sys.argv[0])
    on_path = shutil.which("opsrunner")
    if program.name != "opsrunner" or (on_path and Path(on_path).resolve() == program.resolve()):
        return "opsrunner"
    return str(program)
