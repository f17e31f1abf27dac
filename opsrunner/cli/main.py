"""Parses the command line and hands over to one file per verb; the one place where errors end."""

from __future__ import annotations

import gc
import importlib
import importlib.util
import os
import sys
from collections.abc import Sequence
from typing import Any

import click

from opsrunner.cli import streams
from opsrunner.cli.groups import Group
from opsrunner.errors import OpsrunnerError, RunInterrupted, UsageError
from opsrunner.version import VERSION

#: Every verb, its file, and its line in the help; read without importing any of the files.
VERBS: dict[str, tuple[str, str]] = {
    "run": ("run", "Run a playbook."),
    "exec": ("exec_", "Run one command on many hosts."),
    "plan": ("plan", "Show what a playbook would send to whom, touching nothing."),
    "check": ("check", "Tell everything that is wrong with playbooks."),
    "doc": ("doc", "Explain a module and its arguments."),
    "inventory": ("inventory", "Look at the inventory: list, graph, host, hosts."),
    "runs": ("runs", "List the runs, newest first."),
    "show": ("show", "Show one run: steps, outcomes, recap."),
    "logs": ("logs", "Show what the hosts printed."),
    "watch": ("watch", "Follow a run as it goes on."),
    "cancel": ("cancel", "Stop a run, a host of it or a step, and kill what it has running."),
    "locks": ("locks", "List the hosts that runs hold, and who waits for them."),
    "unlock": ("unlock", "Take a host from the run that holds it."),
    "resume": ("resume", "Go on with a run that has ended, where it stopped."),
    "report": ("report", "Write a run as HTML, JUnit XML or JSON."),
    "diff": ("diff", "Compare two runs: new failures, recovered hosts, changed output."),
    "notify": ("notify", "Look at the notifiers and send a test message."),
    "notifications": ("notifications", "List who was told of which runs, and what could not be delivered."),
    "schedule": ("schedule", "Look at the schedules and start one by hand."),
    "worker": ("worker", "Start a worker on this node."),
    "beat": ("beat", "Start the scheduler on this node."),
    "web": ("web", "Serve the runs as web pages."),
    "workers": ("workers", "List the live workers and their zones."),
    "route": ("route", "Tell which worker would serve a host."),
    "up": ("up", "Start the embedded Redis and the local worker."),
    "down": ("down", "Stop the embedded Redis and the local worker."),
    "status": ("status", "Tell what is running."),
    "keygen": ("keygen", "Make the key that seals plans and secrets in Redis."),
    "doctor": ("doctor", "Check this machine and say what to mend."),
    "demo": ("demo", "Bring up a fleet on this machine and restart a service on it."),
}

#: Verbs that serve until they are told to stop. The others end soon.
SERVICES = frozenset(("worker", "beat", "web"))
#: New objects between two looks for garbage in verbs that end soon: looking through all that an import makes, as
#: Python does by itself again and again, costs a fifth of their time and finds next to nothing.
GARBAGE_AFTER = 100_000

EXIT_USAGE = 64
EXIT_UNEXPECTED = 1
EXIT_INTERRUPTED = RunInterrupted.exit_code


class Verbs(Group):
    """A group whose verbs are imported when they are asked for."""

    def make_context(self, *arguments: Any, **given: Any) -> click.Context:
        """Also what shows the help."""
        with streams.reader_gone():
            try:
                return super().make_context(*arguments, **given)
            except click.NoSuchOption as error:
                option = error.option_name
                told = f"No such option {option!r} before the verb; behind it, perhaps: opsrunner VERB {option} …"
                raise click.UsageError(told, error.ctx) from None

    def invoke(self, ctx: click.Context) -> Any:
        with streams.reader_gone():
            return super().invoke(ctx)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in VERBS:
            return None
        module = importlib.import_module(f"opsrunner.cli.{VERBS[name][0]}")
        command: click.Command = module.command
        return command

    def lines(self, ctx: click.Context) -> list[tuple[str, str]]:
        return [(name, line) for name, (_, line) in VERBS.items()]


@click.group(
    cls=Verbs,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: 0 all good · 2 some host failed · 4 unreachable · 8 lost (they add up) · 64 usage · "
    "65 bad input · 69 no broker or no worker · 99 interrupted or cancelled · 1 unexpected.",
)
@click.version_option(VERSION, prog_name="opsrunner", message="%(prog)s %(version)s")
def command() -> None:
    """Fan commands out to many hosts, at most once each, every host accounted for."""


def _import_when_used(name: str) -> None:
    """Have the import of a module that libraries import and seldom use cost nothing until it is used."""
    spec = importlib.util.find_spec(name)
    if name in sys.modules or spec is None or spec.loader is None:
        return
    spec.loader = importlib.util.LazyLoader(spec.loader)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    parent, _, child = name.rpartition(".")
    setattr(sys.modules[parent], child, module)
    spec.loader.exec_module(module)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one verb and exit with its code; the console script's entry."""
    streams.prepare()
    words = sys.argv[1:] if arguments is None else arguments
    if SERVICES.intersection(words[:1]):
        sys.exit(run(words))
    gc.set_threshold(GARBAGE_AFTER)
    _import_when_used("importlib.metadata")  # redis-py's
    code = run(words)
    # All of it ends with the process, and nothing waits to be written any more: Python need not take it apart first.
    os._exit(code)


def run(arguments: Sequence[str]) -> int:
    """Run one verb and give its exit code; every error is told on stderr without a traceback."""
    code = _run(arguments)
    try:
        streams.flush()
    except streams.ReaderGone:
        streams.give_up()
    except OSError as error:
        told = _refused(error)
        return code or told
    return code


def _run(arguments: Sequence[str]) -> int:
    try:
        code = command.main(args=list(arguments), prog_name="opsrunner", standalone_mode=False)
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except click.ClickException as error:
        error.show()
        return EXIT_USAGE
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        return EXIT_INTERRUPTED
    except OpsrunnerError as error:
        return _tell(error)
    except streams.ReaderGone:
        streams.give_up()
        return 0
    except OSError as error:
        return _refused(error)
    except UnicodeEncodeError as error:
        return _no_text(arguments) or _unexpected(error)
    except ModuleNotFoundError as error:
        return _not_installed(error) or _unexpected(error)
    except Exception as error:
        return _redis_away(error) or _unexpected(error)
    return code if isinstance(code, int) else 0


def _tell(error: OpsrunnerError) -> int:
    from opsrunner.output.harmless import harmless

    for line in error.lines():
        click.echo(harmless(line), err=True)
    return error.exit_code


def _refused(error: OSError) -> int:
    """What the system would not do for us."""
    told = streams.refusal(error)
    if told and not error.filename:
        streams.give_up()
    return _tell(told) if told else _unexpected(error)


def _not_installed(error: ModuleNotFoundError) -> int:
    """Tell of a package of others that is not there. 0 when it is not that."""
    name = (error.name or "opsrunner").partition(".")[0]
    if name == "opsrunner":
        return 0
    remedy = f"install opsrunner with what it needs: {sys.executable} -m pip install …"
    return _tell(OpsrunnerError(f"the Python package {name} is missing", remedy=remedy))


def _no_text(arguments: Sequence[str]) -> int:
    """Tell of a word that is no UTF-8, where there is one: Redis is asked for texts. 0 when it is not that."""
    for word in arguments:
        if not word.isascii() and word != word.encode("utf-8", "ignore").decode():
            return _tell(UsageError(f"{word!r} is no UTF-8", remedy="set a locale that has it (LANG=C.UTF-8)"))
    return 0


def _redis_away(error: Exception) -> int:
    """Tell in a sentence that Redis went away under a verb that does not wait for it, or holds what is no ledger.

    0 when it is not that.
    """
    from redis.exceptions import ResponseError

    from opsrunner.ledger.client import AWAY, unavailable
    from opsrunner.ledger.encoding import damaged

    told: OpsrunnerError
    if isinstance(error, AWAY):
        told = unavailable(error)
    elif isinstance(error, ResponseError):
        told = damaged("a record", error)
    else:
        return 0
    return _tell(told)


def _unexpected(error: Exception) -> int:
    """Keep the traceback in a file and tell where; only a defect of ours ends here."""
    import tempfile
    import traceback

    try:
        handle, path = tempfile.mkstemp(prefix="opsrunner-error-", suffix=".log")
        with os.fdopen(handle, "w") as log:
            log.write("".join(traceback.format_exception(error)))
        kept = f"the traceback is in {path}"
    except OSError as failure:
        kept = f"the traceback could not be kept: {failure.strerror}"
    click.echo(f"unexpected error: {type(error).__name__}: {error}", err=True)
    click.echo(f"  this is a defect of opsrunner; {kept}", err=True)
    return EXIT_UNEXPECTED
