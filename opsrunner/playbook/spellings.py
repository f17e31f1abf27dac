"""Old spellings of keywords: read as what they meant, with a warning that names the new one."""

from __future__ import annotations

from typing import Any

from opsrunner import yamlsource
from opsrunner.errors import Place
from opsrunner.playbook import values
from opsrunner.playbook.keywords import On
from opsrunner.playbook.reading import Reading, value_place
from opsrunner.yamlsource import place_of_key

_RENAMED = {
    "sudo": "become",
    "sudo_user": "become_user",
    "su": "become",
    "su_user": "become_user",
    "async_val": "async",
}
#: How one becomes somebody else by the old words.
_METHODS = {"sudo": "sudo", "su": "su"}


def modern(reading: Reading, source: yamlsource.Mapping, on: On) -> yamlsource.Mapping:
    """The same keywords, each in its new spelling and at its old place."""
    renamed = _RENAMED | ({"user": "remote_user"} if on == "play" else {})
    if not any(old in source for old in (*renamed, "always_run")):
        return source
    found = yamlsource.Mapping(source.place)
    for key in source:
        place = place_of_key(source, key, source.place) or source.place
        if key == "always_run":
            _always_run(reading, found, source, place)
        elif key in renamed:
            _put(reading, found, source, (key, renamed[key]), source[key], place)
            if key in _METHODS and "become_method" not in source:
                _set(found, "become_method", _METHODS[key], place, place)
        else:
            _set(found, key, source[key], place, value_place(source, key))
    return found


def _always_run(reading: Reading, found: yamlsource.Mapping, source: yamlsource.Mapping, place: Place) -> None:
    """``always_run: true`` is ``check_mode: false``; anything false is the default."""
    try:
        given = values.boolean(source["always_run"])
    except values.Wrong as wrong:
        reading.faults.add(f"always_run {wrong.what}", value_place(source, "always_run"))
        return
    if values.is_template(given):
        what = "always_run is an old spelling, and cannot be a template"
        reading.faults.add(what, value_place(source, "always_run"), remedy="write check_mode")
    elif given:
        _put(reading, found, source, ("always_run", "check_mode"), False, place)


def _put(
    reading: Reading,
    found: yamlsource.Mapping,
    source: yamlsource.Mapping,
    names: tuple[str, str],
    value: Any,
    place: Place,
) -> None:
    old, new = names
    if new in source or new in found:
        reading.faults.add(f"{old} says what {new} says already", place, remedy=f"keep {new} alone")
        return
    shown = f"{new}: false" if old == "always_run" else new
    reading.warnings.append(f"{place}: {old} is an old spelling; write {shown}")
    _set(found, new, value, place, value_place(source, old))


def _set(found: yamlsource.Mapping, key: Any, value: Any, place: Place, given: Place) -> None:
    found[key] = value
    found.key_places[key] = place
    found.value_places[key] = given
