"""Settings, each with one line that says what it is for.

Precedence: command-line flag > ``OPSRUNNER_*`` / ``CELERY_*`` environment > the ``opsrunner`` block of
``celeryconfig.py`` in the current directory > default. Nothing heavy is imported here.
"""

from __future__ import annotations

import dataclasses
import difflib
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from opsrunner.errors import InputError, Place

#: OPSRUNNER_* variables that are no settings but belong to one process (worker) or to the demo.
PROCESS_VARIABLES = ("OPSRUNNER_WORKER_NAME", "OPSRUNNER_ZONES", "OPSRUNNER_DEMO_PORT")


def _setting(default: Any, help: str) -> Any:
    return dataclasses.field(default=default, metadata={"help": help})


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that can be set. ``broker_url`` None means the embedded server."""

    state_dir: str = _setting("", "Folder of the embedded server, the key and the logs; ~/.local/state/opsrunner.")
    broker_url: str | None = _setting(None, "Celery's broker; unset, a private Redis is started (CELERY_BROKER_URL).")
    ledger_url: str = _setting("", "Redis that holds the ledger; the result backend's, else the broker's.")
    key_file: str = _setting("", "Key that seals plans and secrets in Redis; <state_dir>/key.")
    inventory: str = _setting("inventory/", "Inventory used without -i.")
    schedules: str = _setting("schedules.yml", "File of the schedules that beat starts.")
    retention_days: float = _setting(30.0, "Days for which ended runs are kept.")
    output_limit: int = _setting(16 * 1024 * 1024, "Bytes kept of each output stream of a host-step, head and tail.")
    shard_size: int = _setting(100, "Hosts that one Celery task serves at most.")
    sessions: int = _setting(100, "Hosts at work at once in one worker process.")
    forks: int | None = _setting(None, "Hosts at work at once in one run; unset, as many as the workers take.")
    connect_timeout: float = _setting(15.0, "Seconds until a host that does not answer is unreachable.")
    step_timeout: float = _setting(3600.0, "Seconds until a step's command is killed, where it says no timeout.")
    heartbeat: float = _setting(2.0, "Seconds between two beats of a worker.")
    lease: float = _setting(10.0, "Seconds after its last beat until a worker counts as dead.")
    idle_minutes: float = _setting(15.0, "Minutes of rest until the embedded server and worker end.")


def load(environment: Mapping[str, str], directory: Path) -> Settings:
    """The settings as seen from ``directory``. Raises InputError for what is unknown or of the wrong type."""
    configured = _celeryconfig(directory / "celeryconfig.py")
    block = configured.get("opsrunner") or {}
    values: dict[str, Any] = {}
    fields = {field.name: field for field in dataclasses.fields(Settings)}
    for name, value in block.items():
        if name not in fields:
            raise _unknown(f"opsrunner[{name!r}] in {directory / 'celeryconfig.py'}", name, list(fields))
        values[name] = _typed(name, value, fields[name].type)
    for variable, text in environment.items():
        if not variable.startswith("OPSRUNNER_") or variable in PROCESS_VARIABLES:
            continue
        name = variable.removeprefix("OPSRUNNER_").lower()
        if name not in fields:
            raise _unknown(variable, variable, [f"OPSRUNNER_{known.upper()}" for known in fields])
        values[name] = _typed(variable, text, fields[name].type)
    values.setdefault("broker_url", environment.get("CELERY_BROKER_URL") or configured.get("broker_url"))
    return _completed(values, environment, configured.get("result_backend"))


def _completed(values: dict[str, Any], environment: Mapping[str, str], backend: str | None) -> Settings:
    """Fill in what follows from other settings."""
    if not values.get("state_dir"):
        home = environment.get("XDG_STATE_HOME") or str(
            Path(environment.get("HOME", "~")).expanduser() / ".local/state"
        )
        values["state_dir"] = str(Path(home) / "opsrunner")
    values["state_dir"] = str(Path(values["state_dir"]).expanduser().absolute())
    values["key_file"] = str(Path(values.get("key_file") or Path(values["state_dir"]) / "key").expanduser())
    broker = values.get("broker_url") or None
    if broker and broker == embedded_url(values["state_dir"]):
        broker = None  # celeryconfig.py named the embedded server itself
    values["broker_url"] = broker
    if not values.get("ledger_url"):
        backend = environment.get("CELERY_RESULT_BACKEND") or backend
        candidates = [url for url in (backend, broker) if url and _is_redis(url)]
        if broker and not candidates:
            raise InputError(
                "no Redis for the ledger",
                why="neither broker nor result backend is Redis",
                remedy="set OPSRUNNER_LEDGER_URL",
            )
        values["ledger_url"] = candidates[0] if broker else embedded_url(values["state_dir"])
    return Settings(**values)


def embedded_url(state_dir: str) -> str:
    """Celery's URL of the embedded server's socket; nothing is started."""
    return f"redis+socket://{embedded_socket(state_dir)}"


def embedded_socket(state_dir: str) -> Path:
    """Where the embedded server listens: a unix socket's path must stay under 100 bytes."""
    path = Path(state_dir) / "redis.sock"
    if len(str(path).encode()) < 100:
        return path
    import hashlib
    import os

    digest = hashlib.sha256(str(state_dir).encode()).hexdigest()[:16]
    return Path("/tmp") / f"opsrunner-{os.getuid()}-{digest}" / "redis.sock"


def broker_url(environment: Mapping[str, str]) -> str:
    """The broker for ``celeryconfig.py``: CELERY_BROKER_URL, else the embedded server's socket."""
    configured = environment.get("CELERY_BROKER_URL")
    return configured or embedded_url(load_state_dir(environment))


def load_state_dir(environment: Mapping[str, str]) -> str:
    """The state directory by the environment alone."""
    return _completed(
        {"state_dir": environment.get("OPSRUNNER_STATE_DIR", ""), "ledger_url": "unused"}, environment, None
    ).state_dir


def _is_redis(url: str) -> bool:
    return url.startswith(("redis://", "rediss://", "redis+socket://", "unix://"))


def _celeryconfig(path: Path) -> dict[str, Any]:
    """The names that ``celeryconfig.py`` defines, {} without one."""
    try:
        source = path.read_text()
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise InputError(f"cannot read {path}", why=error.strerror) from None
    names: dict[str, Any] = {"__name__": "celeryconfig", "__file__": str(path)}
    try:
        exec(compile(source, str(path), "exec"), names)  # noqa: S102 -- it is Celery's configuration: code by design
    except InputError:
        raise
    except SyntaxError as error:
        raise InputError(
            f"broken celeryconfig.py: {error.msg}", place=Place(str(path), error.lineno or 1, error.offset or 1)
        ) from None
    except Exception as error:
        frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
        line = frames[-1].lineno if frames and frames[-1].lineno else 1
        raise InputError(f"celeryconfig.py fails: {error!r}", place=Place(str(path), line, 1)) from None
    return names


def _unknown(shown: str, name: str, known: list[str]) -> InputError:
    near = difflib.get_close_matches(name, known, 1)
    return InputError(
        f"unknown setting {shown}", remedy=f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}"
    )


def _typed(name: str, value: Any, kind: Any) -> Any:
    """The value as the field's type (an annotation as text); text comes from the environment."""
    if value is None or (value == "" and "None" in kind):
        return None
    wanted = kind.split(" |")[0]
    try:
        return {"int": int, "float": float, "str": str}[wanted](value)
    except (TypeError, ValueError):
        raise InputError(f"{name}={value!r} is no {wanted}") from None
