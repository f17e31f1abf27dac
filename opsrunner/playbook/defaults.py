"""Reads ``module_defaults``: arguments that tasks of a module have unless they say otherwise."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from opsrunner import yamlsource
from opsrunner.errors import did_you_mean
from opsrunner.playbook import values
from opsrunner.playbook.reading import Defaults, Reading, value_place
from opsrunner.yamlsource import place_of_key, place_of_value


@contextmanager
def inside(reading: Reading, source: yamlsource.Mapping) -> Iterator[None]:
    """What is read meanwhile has the defaults of ``source``, too: for each module the innermost alone count."""
    before = reading.defaults
    reading.defaults = {**before, **_of(reading, source)}
    try:
        yield
    finally:
        reading.defaults = before


def _of(reading: Reading, source: yamlsource.Mapping) -> dict[str, Defaults]:
    value = source.get("module_defaults")
    found: dict[str, Defaults] = {}
    for part in value if isinstance(value, list) else [] if value is None else [value]:
        if isinstance(part, yamlsource.Mapping):
            for name in part:
                found.update(_entry(reading, part, name))
        else:
            place = value_place(source, "module_defaults")
            what = f"module_defaults takes a mapping of modules to arguments, not {values.described(part)}"
            reading.faults.add(what, place)
    return found


def _entry(reading: Reading, source: yamlsource.Mapping, name: Any) -> dict[str, Defaults]:
    place = place_of_key(source, name, source.place)
    arguments = source[name]
    module = reading.catalogue.canonical(name) if isinstance(name, str) else None
    if isinstance(name, str) and name.startswith("group/"):
        what = "groups of modules are Ansible's, opsrunner does not have them yet"
        reading.faults.add(what, place, remedy="name the modules")
    elif isinstance(name, str) and module is None and reading.catalogue.is_known_elsewhere(name):
        reading.warnings.append(f"{place}: defaults of {name} have no effect: opsrunner does not have that module")
    elif module is None:
        reading.faults.add(f"there is no module {name!r}", place, remedy=did_you_mean(name, reading.catalogue.names()))
    elif not isinstance(arguments, yamlsource.Mapping):
        what = f"module_defaults of {name} takes a mapping, not {values.described(arguments)}"
        reading.faults.add(what, place_of_value(source, name) or source.place)
    else:
        return {module: (dict(arguments), dict(arguments.value_places))}
    return {}
