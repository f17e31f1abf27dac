"""Options that several verbs share, declared once."""

from __future__ import annotations

import functools
import os
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from opsrunner.cli import context
from opsrunner.errors import InputError

if TYPE_CHECKING:
    from opsrunner.playbook import Prompt

Decorated = TypeVar("Decorated", bound=Callable[..., Any])


def together(*decorators: Callable[[Any], Any]) -> Callable[[Decorated], Decorated]:
    """One decorator of many, so that help lists the options in the order written here."""

    def apply(function: Decorated) -> Decorated:
        for decorator in reversed(decorators):
            function = decorator(function)
        return function

    return apply


#: Where passwords may stand that are not asked for.
_PASSWORDS = {"SSH": "ansible_password", "BECOME": "ansible_become_password"}

#: Gives vault_ids, vault_password_files, ask_vault.
_password_options = together(
    click.option(
        "--vault-id",
        "vault_ids",
        multiple=True,
        metavar="[LABEL@]FILE|prompt",
        help="Ansible Vault password with its label; may be repeated.",
    ),
    click.option(
        "--vault-password-file",
        "--vault-pass-file",
        "vault_password_files",
        multiple=True,
        metavar="FILE",
        help="File of an Ansible Vault password, or a script that prints it; may be repeated.",
    ),
    click.option(
        "-J",
        "--ask-vault-password",
        "--ask-vault-pass",
        "ask_vault",
        is_flag=True,
        help="Ask for the Ansible Vault password.",
    ),
)


def vault_options(function: Decorated) -> Decorated:
    """Options for the passwords of Ansible Vault; while the verb runs they open what is encrypted. Gives nothing."""

    @functools.wraps(function)
    def with_passwords(*arguments: Any, **given: Any) -> Any:
        from opsrunner import passwords, vault

        asked = given.pop("ask_vault")
        sources = given.pop("vault_ids"), given.pop("vault_password_files")
        found = passwords.secrets(*sources, asked_vault_password, asked=asked)
        with vault.using(vault.Vault(found, more=lambda: passwords.of_setting(context.settings().vault_password_file))):
            return function(*arguments, **given)

    return _password_options(with_passwords)  # type: ignore[return-value]


def asked_vault_password(words: str) -> str:
    """What was typed. Raises InputError without a terminal: nobody would answer."""
    if not sys.stdin.isatty():
        raise InputError(
            "nobody can be asked for the vault password",
            why="this is no terminal",
            remedy="--vault-password-file FILE, or the setting vault_password_file",
        )
    typed: str = click.prompt(words, prompt_suffix="", hide_input=True, err=True, default="", show_default=False)
    return typed


def asked_password(title: str) -> str:
    """What was typed for ``-k`` or ``-K``; without a terminal the next line of standard input.

    Raises InputError where there is none.
    """
    if sys.stdin.isatty():
        typed: str = click.prompt(f"{title} password", hide_input=True, err=True)
        return typed
    piped = sys.stdin.readline().rstrip("\r\n")
    if not piped:
        raise InputError(
            f"nobody can be asked for the {title} password",
            why="this is no terminal, and standard input has no line for it",
            remedy=f"write it to standard input, or keep {_PASSWORDS[title]} in a vault",
        )
    return piped


def asked_variable(prompt: Prompt) -> str:
    """What was typed for one entry of vars_prompt. Raises InputError without a terminal: nobody would answer."""
    from opsrunner.output.harmless import harmless

    if not sys.stdin.isatty():
        raise InputError(f"nobody can be asked for {prompt.name}", why="this is no terminal")
    shown = f" [{prompt.default}]" if prompt.default is not None and not prompt.private else ""
    typed: str = click.prompt(
        harmless(prompt.text + shown),
        hide_input=prompt.private,
        confirmation_prompt=prompt.confirm,
        default=prompt.default or "",
        show_default=False,
        # On a terminal the line editor has to know the prompt: it draws the line anew with what is typed.
        err=not sys.stdout.isatty(),
    )
    return typed


#: Gives ``inventories: tuple[str, ...]``.
inventory_options = together(
    click.option(
        "-i",
        "--inventory",
        "inventories",
        multiple=True,
        metavar="PATH",
        help="Inventory file or folder, or a list of hosts that ends with a comma; may be repeated.",
    ),
    vault_options,
)

limit_option = click.option("-l", "--limit", metavar="PATTERN", help="Only these hosts; also @FILE, @failed-of-RUN.")

extra_vars_option = click.option(
    "-e",
    "--extra-vars",
    "extra_vars",
    multiple=True,
    metavar="VAR=VALUE|@FILE",
    help="Variables that win over all others; may be repeated.",
)

allow_empty_option = click.option("--allow-empty", is_flag=True, help="A pattern that matches no host is no error.")

ask_pass_option = click.option("-k", "--ask-pass", is_flag=True, help="Ask for the login password.")

ask_become_pass_option = click.option(
    "-K", "--ask-become-pass", is_flag=True, help="Ask for the password that becoming needs."
)

#: Gives remote_user, private_key, timeout, ask_pass, become, become_user, become_method, ask_become_pass.
connection_options = together(
    click.option(
        "-u", "--user", "remote_user", metavar="NAME", help="Log in as this user, unless ansible_user says else."
    ),
    click.option(
        "--private-key", type=click.Path(), metavar="FILE", help="Log in with this key, unless a variable says else."
    ),
    ask_pass_option,
    click.option("-b", "--become", is_flag=True, default=None, help="Run as another user (root by default)."),
    click.option("--become-user", metavar="NAME", help="Become this user."),
    click.option("--become-method", type=click.Choice(["sudo", "su", "doas"]), help="How to become."),
    ask_become_pass_option,
    click.option("--connect-timeout", type=click.FloatRange(min=0.1), metavar="SECONDS", help="Deadline to log in."),
)


#: Gives tags, skip_tags, start_at_task, force_handlers, check, diff.
playbook_options = together(
    limit_option,
    extra_vars_option,
    click.option("-t", "--tags", multiple=True, metavar="TAGS", help="Only steps with one of these tags."),
    click.option("--skip-tags", multiple=True, metavar="TAGS", help="No step with one of these tags."),
    click.option(
        "--start-at-task", metavar="NAME", help="Begin with the first task of that name (or pattern: 'Inst*')."
    ),
    click.option("--force-handlers", is_flag=True, help="Run the handlers of hosts that failed, too."),
    click.option("-C", "--check", is_flag=True, help="Change nothing; tell what would change."),
    click.option("-D", "--diff", is_flag=True, help="Show what changes in files."),
    allow_empty_option,
)

_json_option = click.option("--json", "output", flag_value="json", help="Short for --output json.")

#: Gives ``output``: how a run that goes on is shown, None where that was not said.
output_options = together(
    click.option(
        "--output",
        type=click.Choice(["live", "plain", "json", "jsonl"]),
        help="How to show the run; live on a terminal, plain elsewhere.",
    ),
    _json_option,
)

#: Gives ``output``, plain or json: how what is there is shown.
listing_options = together(
    click.option(
        "--output", type=click.Choice(["plain", "json"]), default="plain", show_default=True, help="How to show it."
    ),
    _json_option,
)


def newest_option(default: int) -> Callable[[Decorated], Decorated]:
    """Gives ``limit``."""
    return click.option(
        "-n",
        "--limit",
        type=click.IntRange(min=1),
        default=default,
        show_default=True,
        metavar="N",
        help="The newest N.",
    )


#: Gives ``named: tuple[str, ...]``, hosts of a run.
run_hosts_option = click.option(
    "--host",
    "named",
    multiple=True,
    metavar="HOST",
    help="Only this host; several with commas, or folded: web[01-20,25]; may be repeated.",
)


def loglevel_option(default: str) -> Callable[[Decorated], Decorated]:
    """Gives ``loglevel``, as Celery spells it."""
    levels = click.Choice(["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL", "FATAL"], case_sensitive=False)
    return click.option(
        "--loglevel", type=levels, default=default, show_default=True, metavar="LEVEL", help="Celery's log level."
    )


#: Gives detach, wait_for_workers, output, verbose.
following_options = together(
    click.option("--detach", is_flag=True, help="Start the run, print its id, and leave."),
    click.option("--wait-for-workers", metavar="TIME", help="Wait that long (30s, 5m) for a zone's worker."),
    output_options,
    click.option("-v", "--verbose", count=True, help="Show more; may be repeated."),
)

#: Gives locked, lock_timeout, park, max_failed, max_unreachable: what the run does where hosts are not to be had.
hosts_options = together(
    click.option(
        "--locked",
        type=click.Choice(["wait", "skip", "fail", "ignore"]),
        default="wait",
        show_default=True,
        help="What to do with a host that another run holds.",
    ),
    click.option("--lock-timeout", metavar="TIME", help="Wait that long for such a host; the setting's by default."),
    click.option("--park", metavar="TIME", help="Keep unreachable hosts that long, and finish them when they answer."),
    click.option("--max-failed", metavar="N|P%", help="More failed hosts than that stop the run."),
    click.option("--max-unreachable", metavar="N|P%", help="More unreachable hosts than that stop the run."),
)

#: Gives at, delay, start_deadline: when the run begins, if not now.
time_options = together(
    click.option("--at", metavar="TIME", help="Begin then: '2026-12-01 02:00', with a zone behind it or in this one."),
    click.option("--in", "delay", metavar="TIME", help="Begin that long from now (10m, 2h)."),
    click.option(
        "--start-deadline",
        metavar="TIME",
        help="With --at or --in: give up when no worker has begun it that long after its time; 1h by default.",
    ),
)

#: Gives forks, notify, detach, wait_for_workers, output, verbose, and what ``hosts_options`` and ``time_options`` give.
run_options = together(
    click.option("-f", "--forks", type=click.IntRange(min=1), metavar="N", help="Hosts at work at once."),
    click.option(
        "--notify", multiple=True, metavar="NAME[,NAME]", help="Tell these notifiers of the run; none tells nobody."
    ),
    hosts_options,
    time_options,
    following_options,
)


def default_sources(inventories: tuple[str, ...]) -> list[str]:
    """The inventories asked for, else those of OPSRUNNER_INVENTORY, the setting, or ``inventory/`` here.

    Raises InputError when nothing was asked for and the default is not there.
    """
    if inventories:
        return list(inventories)
    from opsrunner.inventory import sources

    named = sources.of_setting(context.settings().inventory)
    # os.path calls a name too long absent, where Path raises.
    missing = [one for one in named if "," not in one and not os.path.exists(sources.expanded(one, Path.cwd()))]  # noqa: PTH110
    if missing:
        raise _without_inventory(f"no inventory: {', '.join(missing)} is not here")
    return named


def _without_inventory(what: str) -> InputError:
    """Says what to do; where an ansible.cfg names an inventory, that is most likely meant."""
    from opsrunner.plan import role_paths

    file, named = role_paths.inventories(Path.cwd(), os.environ)
    if not named:
        return InputError(what, remedy="name one with -i, or set OPSRUNNER_INVENTORY")
    words = " ".join(f"-i {shlex.quote(one)}" for one in named)
    return InputError(what, why=f"the inventory that {file} names is not read", remedy=words)


def comma_separated(values: tuple[str, ...]) -> tuple[str, ...]:
    """``-t a,b -t c`` → a, b, c."""
    return tuple(part.strip() for value in values for part in value.split(",") if part.strip())


def seconds(text: str) -> float:
    """``90``, ``30s``, ``10m``, ``2h``, ``1d`` in seconds, at most a year. Raises click.BadParameter."""
    units = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
    number, unit = (text[:-1], units[text[-1]]) if text and text[-1] in units else (text, 1.0)
    try:
        found = float(number) * unit
    except ValueError:
        found = -1.0
    if not 0 <= found <= 366 * units["d"]:  # which nan never is
        raise click.BadParameter(f"{text!r} is no time; write 90, 30s, 10m or 2h, at most 366d")
    return found


def due_time(at: str | None, delay: str | None, now: float) -> float | None:
    """When a run is to begin, in seconds since the epoch, None for at once. Raises click.BadParameter.

    A time without a zone is meant by this machine's clock; ``now`` is Redis' time.
    """
    if at is None:
        return None if delay is None else now + seconds(delay)
    if delay is not None:
        raise click.UsageError("--at and --in: keep one of them.")
    from opsrunner.schedule.moments import LONGEST, parse_moment

    try:
        due = parse_moment(at, None).timestamp()
    except ValueError as error:
        raise click.BadParameter(f"--at {at!r} is no time: {error}") from None
    if not now < due <= now + LONGEST:
        raise click.BadParameter(f"--at {at!r} is {'over' if due <= now else 'more than a year ahead'}")
    return due


def budget(text: str | None, option: str) -> str | None:
    """``5`` or ``10%`` as it was written. Raises click.BadParameter."""
    if text is None:
        return None
    number = text.removesuffix("%")
    if not number.isdecimal() or (text.endswith("%") and int(number) > 100):
        raise click.BadParameter(f"{option} takes a number of hosts or a percentage, not {text!r}")
    return text
