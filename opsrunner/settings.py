"""Settings, each with one line that says what it is for.

Precedence: command-line flag > ``OPSRUNNER_*`` / ``CELERY_*`` environment > the ``opsrunner`` block of
``celeryconfig.py`` in the current directory > default. Nothing heavy is imported here.
"""

from __future__ import annotations

import dataclasses
import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from opsrunner import brokers
from opsrunner.errors import InputError, Place, did_you_mean, raise_all

#: OPSRUNNER_* variables that are no settings: they belong to one worker process or to the demo.
PROCESS_VARIABLES = {
    "OPSRUNNER_WORKER_NAME": "Name of a worker process; --name of `opsrunner worker`.",
    "OPSRUNNER_ZONES": "Zones of a worker process, with commas between; --zone of `opsrunner worker`.",
    "OPSRUNNER_DEMO_PORT": "Port of the demo's SSH hosts; 22022.",
    "OPSRUNNER_DEMO_SERVICE_PORT": "Port of the demo's services; 8077.",
    "OPSRUNNER_DEMO_USER": "User to log in to the demo's hosts as; who started the demo.",
}
#: Seconds that one run of an inventory script may take, where nothing else is said.
SCRIPT_TIMEOUT = 60.0
#: The longest path of a unix socket that is used, in bytes; the kernels' own limits are 104 and 108.
SOCKET_PATH_LIMIT = 99

#: How a setting that is on or off is spelled in the environment.
_TRUTHS = dict.fromkeys(("1", "true", "yes", "on"), True) | dict.fromkeys(("0", "false", "no", "off"), False)


def _setting(default: Any, help: str, *, least: float | None = None, above: float | None = None) -> Any:
    return dataclasses.field(default=default, metadata={"help": help, "least": least, "above": above})


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that can be set. ``broker_url`` None means the embedded server."""

    state_dir: str = _setting(
        "", "Folder of the embedded server, the key, the logs and the spool; ~/.local/state/opsrunner."
    )
    broker_url: str | None = _setting(None, "Celery's broker; unset, a private Redis is started (CELERY_BROKER_URL).")
    ledger_url: str = _setting("", "Redis that holds the ledger; the result backend's, else the broker's.")
    sentinel_master: str = _setting("mymaster", "Name by which Redis Sentinel knows the Redis of a sentinel:// URL.")
    sentinel_user: str = _setting("", "User that the sentinels themselves ask for, where they do.")
    sentinel_password: str = _setting("", "Password that the sentinels themselves ask for, where they do.")
    key_file: str = _setting("", "Key that seals plans and secrets in Redis; <state_dir>/key.")
    inventory: str = _setting("inventory/", "Inventory used without -i.")
    schedules: str = _setting("schedules.yml", "File of the schedules that beat starts.")
    notifiers: str = _setting("notifiers.yml", "File of the notifiers: who is told of runs, and how.")
    notify: str = _setting("", "Notifiers of every run that names none itself, with commas between.")
    web_url: str = _setting("", "Address at which `opsrunner web` is seen: links in notifications and in Flower.")
    vault_password_file: str = _setting("", "File (or script) of the Ansible Vault password; the options' come first.")
    playbook_dir: str = _setting(
        "", "Folder on the workers' nodes from which the Celery task opsrunner.run_playbook may start playbooks."
    )
    retention_days: float = _setting(30.0, "Days for which ended runs are kept.", above=0)
    output_limit: int = _setting(
        4 * 1024 * 1024, "Bytes kept of each output stream of a host-step, head and tail.", least=1024
    )
    shard_size: int = _setting(500, "Hosts that one Celery task serves at most.", least=1)
    sessions: int = _setting(100, "Hosts at work at once in one worker process.", least=1)
    forks: int | None = _setting(None, "Hosts at work at once in one run; unset, as many as the workers take.", least=1)
    zone_forks: int | None = _setting(
        None, "Hosts at work at once in one zone, over all runs; unset, no limit.", least=1
    )
    lock_timeout: float = _setting(3600.0, "Seconds a run waits for a host that another run holds.", above=0)
    guard_patience: float = _setting(60.0, "Seconds for which a guarded step waits for a host that went away.", above=0)
    connect_timeout: float = _setting(15.0, "Seconds until a host that does not answer is unreachable.", above=0)
    ssh_shell: bool = _setting(
        True, "Whether commands take turns at one long-lived shell on each host, where it has one that will do."
    )
    step_timeout: float = _setting(
        3600.0, "Seconds until a step's command is killed, where it says no timeout.", above=0
    )
    script_timeout: float = _setting(
        SCRIPT_TIMEOUT, "Seconds until an inventory script that is not done is killed.", above=0
    )
    heartbeat: float = _setting(2.0, "Seconds between two beats of a worker.", above=0)
    lease: float = _setting(10.0, "Seconds after its last beat until a worker counts as dead.", above=0)
    idle_minutes: float = _setting(15.0, "Minutes of rest until the embedded server and worker end.", above=0)


#: Where Celery has a word of its own for a setting, that word is the only one.
_OWNED_BY_CELERY = {"broker_url": "CELERY_BROKER_URL"}


def variable(name: str) -> str:
    """The environment's word for a setting: ``forks`` → ``OPSRUNNER_FORKS``."""
    return _OWNED_BY_CELERY.get(name, f"OPSRUNNER_{name.upper()}")


def load(environment: Mapping[str, str], directory: Path) -> Settings:
    """The settings as seen from ``directory``; relative folders are meant beside it.

    Raises InputError (several at once as InputErrors) for what is unknown, of the wrong type or out of range.
    """
    file = directory / "celeryconfig.py"
    configured = _celeryconfig(file)
    errors: list[InputError] = []
    values = _from_block(configured.get("opsrunner"), file, errors) | _from_environment(environment, errors)
    broker = environment.get("CELERY_BROKER_URL") or _url(configured, "broker_url", file, errors)
    backend = environment.get("CELERY_RESULT_BACKEND") or _url(configured, "result_backend", file, errors)
    try:
        brokers.check(broker, backend, configured)
    except InputError as error:
        errors.append(error)
    raise_all(errors)
    values |= _folders(values, environment, directory)
    if broker == embedded_url(values["state_dir"]):
        broker = None  # celeryconfig.py named the embedded server itself
    values["broker_url"] = broker
    sentinels = {
        "master_name": values.get("sentinel_master") or Settings().sentinel_master,
        "sentinel_user": values.get("sentinel_user", ""),
        "sentinel_password": values.get("sentinel_password", ""),
    }
    chosen = brokers.ledger_url(values.get("ledger_url"), broker, backend, sentinels)
    values["ledger_url"] = chosen or embedded_url(values["state_dir"])
    settings = Settings(**values)
    if settings.lease < 2 * settings.heartbeat:
        raise InputError(
            f"lease ({settings.lease:g} s) is shorter than two heartbeats ({settings.heartbeat:g} s each)",
            why="a worker would count as dead after one late beat",
            remedy="make lease longer or heartbeat shorter",
        )
    return settings


def embedded_url(state_dir: str) -> str:
    """Celery's URL of the embedded server's socket; nothing is started."""
    return f"redis+socket://{embedded_socket(state_dir)}"


def embedded_socket(state_dir: str) -> Path:
    """Where the embedded server listens: in the state directory, else (path too long, or with signs that
    a URL would have to quote) in a short private folder whose name follows from the state directory alone.
    """
    path = Path(state_dir) / "redis.sock"
    if len(os.fsencode(path)) <= SOCKET_PATH_LIMIT and re.fullmatch(r"[A-Za-z0-9/._+-]+", str(path)):
        return path
    import hashlib

    # Neither TMPDIR nor XDG_RUNTIME_DIR: cron and a login would then look for the server in two places.
    digest = hashlib.sha256(os.fsencode(state_dir)).hexdigest()[:16]
    return Path("/tmp") / f"opsrunner-{os.getuid()}-{digest}" / "redis.sock"


def broker_url(environment: Mapping[str, str], block: Mapping[str, Any]) -> str:
    """The broker for ``celeryconfig.py``: CELERY_BROKER_URL, else the embedded server's socket.

    ``block`` is the file's own ``opsrunner`` dict, which may move the state directory.
    """
    configured = environment.get("CELERY_BROKER_URL")
    if configured:
        return configured
    chosen = environment.get("OPSRUNNER_STATE_DIR") or block.get("state_dir") or ""
    return embedded_url(_folders({"state_dir": str(chosen)}, environment, Path.cwd())["state_dir"])


def _from_environment(environment: Mapping[str, str], errors: list[InputError]) -> dict[str, Any]:
    """The settings that OPSRUNNER_* variables give; an empty variable counts as unset."""
    fields = {variable(field.name): field for field in dataclasses.fields(Settings)}
    values: dict[str, Any] = {}
    for name, text in environment.items():
        if not name.startswith("OPSRUNNER_") or name in PROCESS_VARIABLES:
            continue
        if name == "OPSRUNNER_BROKER_URL":
            errors.append(InputError(f"unknown setting {name}", remedy="the broker is CELERY_BROKER_URL"))
        elif name not in fields:
            errors.append(_unknown(f"unknown setting {name}", name, [*fields, *PROCESS_VARIABLES]))
        elif text:
            try:
                values[fields[name].name] = _typed(name, text, fields[name])
            except InputError as error:
                errors.append(error)
    return values


def _from_block(block: Any, file: Path, errors: list[InputError]) -> dict[str, Any]:
    """The settings of celeryconfig.py's ``opsrunner`` dict."""
    if block is None:
        return {}
    if not isinstance(block, Mapping):
        errors.append(
            InputError("opsrunner is no dict", place=_place(file, None), remedy='write opsrunner = {"forks": 50}')
        )
        return {}
    fields = {field.name: field for field in dataclasses.fields(Settings)}
    values: dict[str, Any] = {}
    for name, value in block.items():
        try:
            if name in _OWNED_BY_CELERY:
                remedy = f"write {name} = … outside of the block: it is Celery's"
                raise InputError(f"{name} in the opsrunner block", remedy=remedy)
            if name not in fields:
                raise _unknown(f"unknown setting {_shortly(name)} in the opsrunner block", _shortly(name), list(fields))
            if value is not None:
                values[name] = _typed(name, value, fields[name])
        except InputError as error:
            error.place = _place(file, name)
            errors.append(error)
    return values


def _folders(values: Mapping[str, Any], environment: Mapping[str, str], directory: Path) -> dict[str, str]:
    """``state_dir`` and ``key_file`` as absolute paths; ``~`` and XDG_STATE_HOME as the environment says."""
    home = environment.get("HOME") or str(Path("~").expanduser())
    state_home = environment.get("XDG_STATE_HOME", "")
    if not Path(state_home).is_absolute():  # the XDG specification says: ignore it
        state_home = f"{home}/.local/state"

    def absolute(text: str) -> str:
        return os.path.normpath(directory.absolute() / re.sub(r"^~(?=/|$)", lambda _: home, text))

    state = absolute(values.get("state_dir") or f"{state_home}/opsrunner")
    return {"state_dir": state, "key_file": absolute(values.get("key_file") or f"{state}/key")}


def _celeryconfig(path: Path) -> dict[str, Any]:
    """The names that ``celeryconfig.py`` defines, {} without one. It is code, as for Celery: it is run."""
    try:
        source = path.read_bytes()
        owner, mode = path.stat().st_uid, path.stat().st_mode | path.parent.stat().st_mode
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise InputError(f"cannot read {path}", why=error.strerror) from None
    if owner not in (os.getuid(), 0) and mode & 0o002:
        raise InputError(
            f"{path} is not run",
            why="it is another user's, where anybody may write",
            remedy="work in a folder of yours",
        )
    names: dict[str, Any] = {"__name__": "celeryconfig", "__file__": str(path)}
    search = sys.path.copy()
    sys.path.insert(0, str(path.parent.absolute()))  # what it imports from beside it, as under `celery`
    try:
        exec(compile(source, str(path), "exec"), names)  # noqa: S102 -- Celery's configuration is code by design
    except InputError:
        raise
    except SyntaxError as error:
        place = Place(error.filename or str(path), error.lineno or 1, error.offset or 1)
        excerpt = (error.text or "").rstrip("\n") or None
        raise InputError(f"broken celeryconfig.py: {error.msg}", place=place, excerpt=excerpt) from None
    except (Exception, SystemExit) as error:
        raise InputError(
            f"celeryconfig.py fails: {error!r}", place=Place(str(path), _line_of(error, path), 1)
        ) from None
    finally:
        sys.path[:] = search
    return names


def _line_of(error: BaseException, path: Path) -> int:
    """The last line of ``path`` that the error came through."""
    line, entry = 1, error.__traceback__
    while entry:
        if entry.tb_frame.f_code.co_filename == str(path):
            line = entry.tb_lineno
        entry = entry.tb_next
    return line


def _url(configured: Mapping[str, Any], name: str, file: Path, errors: list[InputError]) -> str | None:
    """A URL of celeryconfig.py; Celery takes a list of brokers too, which it joins as this does."""
    value = configured.get(name)
    if isinstance(value, (list, tuple)) and all(isinstance(one, str) for one in value):
        value = ";".join(value)
    if value is None or isinstance(value, str):
        return value or None
    errors.append(InputError(f"{name} is no URL: {_shortly(value)}", place=Place(str(file), 1, 1)))
    return None


def _place(file: Path, key: Any) -> Place:
    """Where a key of the block (None: the block) stands; looked for only when it is complained of."""
    import ast

    for statement in ast.walk(ast.parse(file.read_bytes())):
        if not isinstance(statement, (ast.Assign, ast.AnnAssign)) or statement.value is None:
            continue
        targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
        if not any(isinstance(target, ast.Name) and target.id == "opsrunner" for target in targets):
            continue
        keys = statement.value.keys if isinstance(statement.value, ast.Dict) else []
        for node in (*keys, statement):
            if node is statement or (isinstance(node, ast.Constant) and key is not None and node.value == key):
                return Place(str(file), node.lineno, node.col_offset + 1)
    return Place(str(file), 1, 1)


def _unknown(what: str, name: str, known: list[str]) -> InputError:
    return InputError(what, remedy=did_you_mean(name, known, f"known are {', '.join(known)}"))


def _shortly(value: Any) -> str:
    try:
        shown = repr(value)
    except ValueError:  # a number of more digits than Python writes
        return "a very large number"
    return shown if len(shown) <= 100 else f"{shown[:100]}…"


def _typed(shown: str, value: Any, field: dataclasses.Field[Any]) -> Any:
    """The value as the field's type and within its range; text comes from the environment."""
    wanted = str(field.type).split(" |")[0]
    if wanted == "str":
        if isinstance(value, (str, Path)):
            return str(value)
        raise InputError(f"{shown}={_shortly(value)} is no text")
    if wanted == "bool":
        truth = value if isinstance(value, bool) else _TRUTHS.get(str(value).lower())
        if truth is None:
            raise InputError(f"{shown}={_shortly(value)} is neither true nor false")
        return truth
    try:
        number = {"int": int, "float": float}[wanted](value)
        # int(2.5) would quietly cut, and True is a number to Python alone.
        sound = not isinstance(value, bool) and (isinstance(value, str) or number == value) and abs(number) < 1e15
    except (TypeError, ValueError, OverflowError):
        sound = False
    if not sound:
        raise InputError(f"{shown}={_shortly(value)} is no {'whole number' if wanted == 'int' else 'number'}")
    least, above = field.metadata["least"], field.metadata["above"]
    if (least is not None and number < least) or (above is not None and number <= above):
        raise InputError(
            f"{shown}={value} is too small", why=f"at least {least}" if above is None else f"more than {above}"
        )
    return number
