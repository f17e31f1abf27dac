"""Reads ``vars_prompt``: variables that somebody is asked for when a run is started."""

from __future__ import annotations

from typing import Any

from opsrunner import yamlsource
from opsrunner.errors import did_you_mean
from opsrunner.playbook import values
from opsrunner.playbook.model import Prompt
from opsrunner.playbook.reading import Reading, value_place
from opsrunner.templating.password_hashes import SCHEMES
from opsrunner.yamlsource import place_of_key, place_of_value

_KEYS = ("name", "prompt", "private", "default", "confirm", "unsafe", "encrypt", "salt", "salt_size")


def prompts(reading: Reading, source: yamlsource.Mapping) -> tuple[Prompt, ...]:
    """The play's questions in their order; one that is wrong is noted and left out."""
    value = source.get("vars_prompt")
    if value is None:
        return ()
    if not isinstance(value, list):
        place = value_place(source, "vars_prompt")
        reading.faults.add(f"vars_prompt takes a list of mappings, not {values.described(value)}", place)
        return ()
    found = []
    for index, entry in enumerate(value):
        if not isinstance(entry, yamlsource.Mapping):
            place = place_of_value(value, index) or value_place(source, "vars_prompt")
            reading.faults.add(f"an entry of vars_prompt is a mapping, not {values.described(entry)}", place)
        elif (prompt := _prompt(reading, entry)) is not None:
            found.append(prompt)
    return tuple(found)


def _prompt(reading: Reading, entry: yamlsource.Mapping) -> Prompt | None:
    for key in entry:
        if key not in _KEYS:
            what = f"{key!r} is no key of vars_prompt"
            reading.faults.add(what, place_of_key(entry, key, entry.place), remedy=did_you_mean(key, _KEYS))
    name = entry.get("name")
    if not values.is_identifier(name):
        what = "an entry of vars_prompt names no variable" if name is None else f"{name!r} is no name of a variable"
        reading.faults.add(what, value_place(entry, "name") if "name" in entry else entry.place)
        return None
    default = entry.get("default")
    return Prompt(
        place=entry.place,
        name=str(name),
        text=_text(reading, entry, "prompt") or str(name),
        default=default if default is None or isinstance(default, str) else str(default),
        private=_flag(reading, entry, "private", default=True),
        confirm=_flag(reading, entry, "confirm", default=False),
        unsafe=_flag(reading, entry, "unsafe", default=False),
        encrypt=_scheme(reading, entry),
        salt=_text(reading, entry, "salt"),
        salt_size=_salt_size(reading, entry),
    )


def _scheme(reading: Reading, entry: yamlsource.Mapping) -> str | None:
    scheme = _text(reading, entry, "encrypt") or None
    if scheme is not None and not values.is_template(scheme) and scheme not in SCHEMES:
        what = f"encrypt knows {', '.join(SCHEMES)}, not {scheme!r}"
        reading.faults.add(what, value_place(entry, "encrypt"), remedy=did_you_mean(scheme, SCHEMES))
    return scheme


def _salt_size(reading: Reading, entry: yamlsource.Mapping) -> int | None:
    if entry.get("salt_size") is None:
        return None
    try:
        size = values.whole(entry["salt_size"])
    except values.Wrong as wrong:
        reading.faults.add(f"salt_size {wrong.what}", value_place(entry, "salt_size"), remedy=wrong.remedy)
        return None
    if not isinstance(size, int):
        reading.faults.add("salt_size of vars_prompt cannot be a template", value_place(entry, "salt_size"))
        return None
    return size


def _text(reading: Reading, entry: yamlsource.Mapping, key: str) -> str | None:
    if entry.get(key) is None:
        return None
    try:
        return values.text(entry[key])
    except values.Wrong as wrong:
        reading.faults.add(f"{key} {wrong.what}", value_place(entry, key), remedy=wrong.remedy)
        return None


def _flag(reading: Reading, entry: yamlsource.Mapping, key: str, *, default: bool) -> bool:
    if key not in entry:
        return default
    found: Any = None
    try:
        found = values.boolean(entry[key])
    except values.Wrong as wrong:
        reading.faults.add(f"{key} {wrong.what}", value_place(entry, key))
    if values.is_template(found):
        reading.faults.add(f"{key} of vars_prompt cannot be a template", value_place(entry, key))
    return found is True
