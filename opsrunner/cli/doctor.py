"""``opsrunner doctor``."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import click
from msgspec import Struct

from opsrunner import embedded
from opsrunner.cli import context
from opsrunner.errors import OpsrunnerError
from opsrunner.settings import Settings

#: Open files under which a worker cannot keep its connections.
FEWEST_FILES = 1024
#: Bytes on the state directory's disk that the ledger of a day may take.
MEGABYTE = 1 << 20
LEAST_ROOM = 100 * MEGABYTE


class Finding(Struct, frozen=True):
    """One thing looked at; ``remedy`` None means that it is well."""

    subject: str
    said: str
    remedy: str | None = None


@click.command("doctor", epilog="Example: opsrunner doctor")
def command() -> int:
    """Check this machine and say what to mend; starts nothing. Exit code 1 when something is to be mended."""
    findings = list(examine())
    for finding in findings:
        click.echo(f"{'ok     ' if finding.remedy is None else 'PROBLEM'}  {finding.subject:<12} {finding.said}")
        if finding.remedy:
            click.echo(f"{'':<22} try: {finding.remedy}")
    return 1 if any(finding.remedy for finding in findings) else 0


def examine() -> Iterator[Finding]:
    """Everything that is looked at, in order."""
    yield python()
    try:
        settings = context.settings()
    except OpsrunnerError as error:
        yield problem("settings", error)
        return
    yield Finding("settings", "understood")
    for check in (state_directory, server, broker, key, workers, inventory, known_hosts, open_files):
        yield guarded(check, settings)


def guarded(check: Callable[[Settings], Finding], settings: Settings) -> Finding:
    try:
        return check(settings)
    except OpsrunnerError as error:
        return problem(check.__name__.replace("_", " "), error)


def problem(subject: str, error: OpsrunnerError) -> Finding:
    return Finding(subject, str(error), error.remedy or "see above")


def python() -> Finding:
    version = ".".join(str(part) for part in sys.version_info[:3])
    enough = sys.version_info >= (3, 11)
    return Finding("python", f"{version}, {sys.executable}", None if enough else "install Python 3.11 or newer")


def state_directory(settings: Settings) -> Finding:
    path = Path(settings.state_dir)
    nearest = next(one for one in (path, *path.parents) if one.exists())
    if not nearest.is_dir():
        return Finding("state", f"{nearest} is no folder", "set OPSRUNNER_STATE_DIR to a folder of yours")
    room = shutil.disk_usage(nearest).free
    if room < LEAST_ROOM:
        return Finding("state", f"{path} has {room / MEGABYTE:.0f} MB left", "make room on that disk")
    if nearest != path:
        writable = os.access(nearest, os.W_OK)
        remedy = None if writable else "set OPSRUNNER_STATE_DIR to a folder that you may write"
        return Finding("state", f"{path} is made when it is needed" if writable else f"{nearest} is read-only", remedy)
    found = path.stat()
    if found.st_uid != os.getuid():
        return Finding("state", f"{path} belongs to another user", "set OPSRUNNER_STATE_DIR to a folder of yours")
    if found.st_mode & 0o022:
        return Finding("state", f"{path} can be written by others", f"chmod 700 {path}")
    return Finding("state", str(path))


def server(settings: Settings) -> Finding:
    if settings.broker_url is not None:
        return Finding("redis-server", "not needed here: a broker is configured")
    found = embedded.find_server()
    return Finding("redis-server", f"{'.'.join(str(part) for part in embedded.server_version(found))}, {found}")


def broker(settings: Settings) -> Finding:
    """A configured broker must answer, and keep what it is told."""
    if settings.broker_url is None:
        running = embedded.status(settings).server
        return Finding("broker", f"embedded, {f'pid {running}' if running else 'started when it is needed'}")
    about = context.open_ledger().redis.info()
    if about.get("maxmemory") and about.get("maxmemory_policy") != "noeviction":
        return Finding("broker", "Redis may throw entries away", "CONFIG SET maxmemory-policy noeviction")
    if not about.get("aof_enabled"):
        return Finding("broker", "Redis forgets everything when it ends", "CONFIG SET appendonly yes")
    return Finding("broker", f"answers, Redis {about.get('redis_version')}")


def key(settings: Settings) -> Finding:
    from opsrunner.ledger.sealing import read_key

    path = Path(settings.key_file)
    if settings.broker_url is None and not path.exists():
        return Finding("key", f"{path} is made when it is needed")
    read_key(path)
    return Finding("key", str(path))


def workers(settings: Settings) -> Finding:
    if settings.broker_url is None and embedded.status(settings).server is None:
        return Finding("workers", "the local worker is started when it is needed")
    from opsrunner.engine import nodes

    live = nodes.live(context.open_ledger().redis)
    if not live and settings.broker_url is not None:
        return Finding("workers", "none is alive", "start one: opsrunner worker --zone ZONE")
    named = ", ".join(f"{worker.name} ({','.join(worker.zones)})" for worker in live)
    return Finding("workers", named or "the local worker is started when it is needed")


def inventory(settings: Settings) -> Finding:
    if settings.inventory.endswith(",") or Path(settings.inventory).exists():
        return Finding("inventory", settings.inventory)
    return Finding("inventory", f"{settings.inventory} is not here: name one with -i")


def known_hosts(settings: Settings) -> Finding:
    path = Path("~/.ssh/known_hosts").expanduser()
    if not path.exists():
        return Finding("known hosts", f"{path} is not there: hosts need one, or opsrunner_known_hosts")
    if not os.access(path, os.R_OK):
        return Finding("known hosts", f"{path} cannot be read", f"chmod u+r {path}")
    return Finding("known hosts", str(path))


def open_files(settings: Settings) -> Finding:
    import resource

    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most != resource.RLIM_INFINITY and most < FEWEST_FILES:
        return Finding("open files", f"at most {most}", "raise it (ulimit -Hn, or LimitNOFILE= of the service)")
    return Finding("open files", "unlimited" if most == resource.RLIM_INFINITY else f"up to {most}")
