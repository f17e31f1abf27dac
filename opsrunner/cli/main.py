"""Parses the command line and hands over to one file per verb; the one place where errors end."""

from __future__ import annotations

import gc
import importlib
import io
import sys
from collections.abc import Sequence

import click

from opsrunner.errors import OpsrunnerError, RunInterrupted
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


class Verbs(click.Group):
    """A group whose verbs are imported when they are asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in VERBS:
            return None
        module = importlib.import_module(f"opsrunner.cli.{VERBS[name][0]}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Verbs"):
            formatter.write_dl([(name, line) for name, (_, line) in VERBS.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in VERBS and not args[0].startswith("-"):
            import difflib

            near = difflib.get_close_matches(args[0], VERBS, 1)
            hint = f" Did you mean {near[0]!r}?" if near else " `opsrunner --help` lists them."
            raise click.UsageError(f"No such verb {args[0]!r}.{hint}", ctx)
        return super().resolve_command(ctx, args)


@click.group(
    cls=Verbs,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: 0 all good · 2 some host failed · 4 unreachable · 8 lost (they add up) · 64 usage · "
    "65 bad input · 69 no broker or no worker · 99 interrupted or cancelled · 1 unexpected.",
)
@click.version_option(VERSION, prog_name="opsrunner", message="%(prog)s %(version)s")
def command() -> None:
    """Fan commands out to many hosts, at most once each, every host accounted for."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one verb and exit with its code; the console script's entry."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        # Names that are no text in this encoding are shown as escapes, as on stderr, in place of a traceback.
        sys.stdout.reconfigure(errors="backslashreplace")
    words = sys.argv[1:] if arguments is None else arguments
    if not SERVICES.intersection(words[:1]):
        gc.set_threshold(GARBAGE_AFTER)
    code = run(words)
    # All of it ends with the process: Python need not look through it for garbage once more.
    gc.freeze()
    sys.exit(code)


def run(arguments: Sequence[str]) -> int:
    """Run one verb and give its exit code; every error is told on stderr without a traceback."""
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
        from opsrunner.output.harmless import harmless

        for line in error.lines():
            click.echo(harmless(line), err=True)
        return error.exit_code
    except BrokenPipeError:
        # Whoever read our output is gone (`| head`); Python would complain again at exit.
        sys.stdout = None
        return 0
    except Exception as error:
        return _redis_away(error) or _unexpected(error)
    return code if isinstance(code, int) else 0


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
    for line in told.lines():
        click.echo(line, err=True)
    return told.exit_code


def _unexpected(error: Exception) -> int:
    """Keep the traceback in a file and tell where; only a defect of ours ends here."""
    import os
    import tempfile
    import traceback

    handle, path = tempfile.mkstemp(prefix="opsrunner-error-", suffix=".log")
    with os.fdopen(handle, "w") as log:
        log.write("".join(traceback.format_exception(error)))
    click.echo(f"unexpected error: {type(error).__name__}: {error}", err=True)
    click.echo(f"  this is a defect of opsrunner; the traceback is in {path}", err=True)
    return EXIT_UNEXPECTED
