"""From a playbook that a program names to a run that workers take up: for whoever types no command line."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from opsrunner import passwords
from opsrunner.engine.selections import selections
from opsrunner.errors import InputError, did_you_mean, raise_all
from opsrunner.inventory import sources
from opsrunner.ledger.reader import Reader
from opsrunner.plan.model import Compiled, Options
from opsrunner.plan.read import read_playbook
from opsrunner.settings import Settings

if TYPE_CHECKING:
    from opsrunner.notify.model import Notifier


class Wanted(TypedDict, total=False):
    """How a playbook is to be run, in the words of ``opsrunner run``; what is left out is as there.

    ``inventory`` is a path, a host list that ends with a comma, or several; ``tags`` and ``skip_tags`` may be written
    with commas between. ``become_user`` and ``remote_user`` name users, ``private_key`` a file on the workers' nodes.
    """

    inventory: str | Sequence[str]
    limit: str
    extra_vars: Mapping[str, Any]
    tags: str | Sequence[str]
    skip_tags: str | Sequence[str]
    start_at_task: str
    force_handlers: bool
    check: bool
    diff: bool
    forks: int
    become: bool
    become_user: str
    remote_user: str
    private_key: str
    allow_empty: bool
    notify: str | Sequence[str]


_TEXTS = frozenset(("limit", "start_at_task", "become_user", "remote_user", "private_key"))
_TRUTHS = frozenset(("force_handlers", "check", "diff", "become", "allow_empty"))
_LISTS = frozenset(("inventory", "tags", "skip_tags", "notify"))


def checked(given: Mapping[str, Any]) -> Wanted:
    """What was given, None left out, without what is unknown or of another kind. Raises InputError, or all together."""
    errors: list[InputError] = []
    for name, value in given.items():
        if name not in Wanted.__annotations__:
            known = Wanted.__annotations__
            remedy = did_you_mean(name, known, f"known are {', '.join(known)}")
            errors.append(InputError(f"unknown argument {name!r}", remedy=remedy))
        elif value is not None and not _fits(name, value):
            errors.append(InputError(f"{name} cannot be a {type(value).__name__}", remedy=_wanted_kind(name)))
    raise_all(errors)
    found: Any = {name: value for name, value in given.items() if value is not None}
    wanted: Wanted = found
    return wanted


def compile_wanted(
    playbook: Path, wanted: Wanted, settings: Settings, *, base: Path, open_reader: Callable[[], Reader]
) -> Compiled:
    """The playbook, compiled as things are now; paths are meant beside ``base``.

    Vaulted values are opened with the setting ``vault_password_file``. Raises InputError, InputErrors, RunNotFound.
    """
    limit = wanted.get("limit")
    options = Options(
        limit=limit,
        selections=selections([limit], open_reader),
        shuffle_seed=secrets.randbits(32),
        tags=_words(wanted.get("tags", ())),
        skip_tags=_words(wanted.get("skip_tags", ())),
        start_at_task=wanted.get("start_at_task"),
        force_handlers=wanted.get("force_handlers", False),
        check=wanted.get("check", False),
        diff=wanted.get("diff", False),
        forks=wanted.get("forks") or settings.forks,
        become=wanted.get("become"),
        become_user=wanted.get("become_user"),
        remote_user=wanted.get("remote_user"),
        private_key=wanted.get("private_key"),
    )
    named = wanted.get("inventory") or sources.of_setting(settings.inventory)
    with passwords.using_setting(settings.vault_password_file):
        return read_playbook(
            playbook,
            (named,) if isinstance(named, str) else tuple(named),
            options,
            wanted.get("extra_vars", {}),
            base=base,
            allow_empty=wanted.get("allow_empty", False),
            script_timeout=settings.script_timeout,
        )


def notifiers_of(wanted: Wanted, settings: Settings, *, base: Path) -> tuple[Notifier, ...]:
    """Who is told of the run, as wanted or as set; their files are meant beside ``base``. Raises InputError."""
    if "notify" not in wanted and not settings.notify:
        return ()
    from opsrunner.notify.choice import chosen

    names = _words(wanted["notify"]) if "notify" in wanted else None
    with passwords.using_setting(settings.vault_password_file):
        return chosen(settings, names, os.environ, base=base)


def _fits(name: str, value: Any) -> bool:
    if name in _TEXTS:
        return isinstance(value, str)
    if name in _TRUTHS:
        return isinstance(value, bool)
    if name in _LISTS:
        return isinstance(value, str) or (
            isinstance(value, (list, tuple)) and all(isinstance(one, str) for one in value)
        )
    if name == "extra_vars":
        return isinstance(value, Mapping) and all(isinstance(key, str) for key in value)
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _wanted_kind(name: str) -> str:
    if name in _TEXTS:
        return "give a text"
    if name in _TRUTHS:
        return "give true or false"
    if name in _LISTS:
        return "give a text or a list of texts"
    return "give a mapping of names to values" if name == "extra_vars" else "give a number above 0"


def _words(given: str | Sequence[str]) -> tuple[str, ...]:
    """``"a,b"`` and ``["a", "b"]`` → a, b."""
    texts = (given,) if isinstance(given, str) else given
    return tuple(part.strip() for text in texts for part in text.split(",") if part.strip())
