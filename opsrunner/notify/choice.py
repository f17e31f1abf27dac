"""Who is told of a run: the notifiers that are declared, and the names that a run or the settings give."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from opsrunner import yamlsource
from opsrunner.errors import InputError, raise_all
from opsrunner.notify import load
from opsrunner.notify.fields import nearest
from opsrunner.notify.model import Notifier
from opsrunner.settings import Settings

#: What the settings' files are meant beside, where nothing else is said.
HERE = Path()


def declared(settings: Settings, base: Path = HERE) -> dict[str, Notifier]:
    """Every notifier: of the file that the settings name, and of schedules.yml. Raises InputError."""
    return merged(_of_file(settings, base), of_schedules(base / settings.schedules))


def names_elsewhere(settings: Settings) -> tuple[str, ...]:
    """The names that schedules.yml may use though it does not declare them. Raises InputError."""
    return tuple(_of_file(settings, HERE))


def _of_file(settings: Settings, base: Path) -> dict[str, Notifier]:
    path = base / settings.notifiers
    return load.load(path) if os.path.exists(path) else {}  # noqa: PTH110 -- too long a name is no file


def of_schedules(path: Path) -> dict[str, Notifier]:
    """The notifiers that stand in schedules.yml; its schedules are not looked at. Raises InputError."""
    if not os.path.exists(path):  # noqa: PTH110
        return {}
    text = yamlsource.read_file(path)
    document = yamlsource.load(text, str(path), on_duplicate=lambda error: None)
    if not isinstance(document, yamlsource.Mapping):
        return {}
    errors: list[InputError] = []
    found = load.declared(document, text, path.parent, errors)
    raise_all(errors)
    return found


def merged(first: Mapping[str, Notifier], second: Mapping[str, Notifier]) -> dict[str, Notifier]:
    """Both together. Raises InputError where a name stands in both."""
    raise_all(
        InputError(
            f"notifier {name!r} stands twice",
            place=second[name].place,
            remedy=f"the other is at {first[name].place}; rename one",
        )
        for name in second
        if name in first
    )
    return {**first, **second}


def chosen(
    settings: Settings, names: Sequence[str] | None, environment: Mapping[str, str], *, base: Path = HERE
) -> tuple[Notifier, ...]:
    """The notifiers of those names, fit to travel to the workers; without names those of the setting ``notify``.

    ``base`` is what the settings' files are meant beside. Raises InputError for a name that is not declared, and for a
    secret that cannot be had.
    """
    wanted = tuple(settings.notify.split(",") if names is None else names)
    wanted = tuple(dict.fromkeys(name.strip() for name in wanted if name.strip()))
    if not wanted or wanted == (load.NOBODY,):
        return ()
    known = declared(settings, base)
    errors = [_unknown(name, known, settings) for name in wanted if name not in known]
    opened: list[Notifier] = []
    for name in wanted:
        if name in known:
            try:
                notifier = known[name].opened(environment)
                load.check_opened(notifier)
                opened.append(notifier)
            except InputError as error:
                errors.append(error)
    raise_all(errors)
    return tuple(opened)


def one(settings: Settings, name: str, environment: Mapping[str, str]) -> Notifier:
    """The notifier of that name. Raises InputError as :func:`chosen`, and for the name of nobody."""
    found = chosen(settings, (name,), environment)
    if len(found) != 1:
        raise InputError(f"{name!r} is no notifier", remedy="`opsrunner notify list` lists them")
    return found[0]


def check_names(settings: Settings, names: Iterable[str], more: Iterable[str]) -> None:
    """Raise InputErrors for names that are neither declared nor among ``more``."""
    known = declared(settings)
    raise_all(_unknown(name, known, settings) for name in names if name not in {*known, *more})


def _unknown(name: str, known: Mapping[str, Notifier], settings: Settings) -> InputError:
    remedy = nearest(name, sorted(known)) if known else f"declare it under notifiers: in {settings.notifiers}"
    if name == load.NOBODY:
        remedy = f"{name} stands for nobody: name it alone"
    return InputError(f"no notifier {name!r}", remedy=remedy)
