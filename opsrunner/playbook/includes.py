"""Reads what brings in other files: includes and imports of tasks and roles, lists of roles, import_playbook."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from opsrunner import yamlsource
from opsrunner.errors import InputError, Place
from opsrunner.playbook import actions, defaults, keywords, spellings, values
from opsrunner.playbook.keywords import On
from opsrunner.playbook.model import ImportedPlaybook, Include, IncludeKind, Keyword, Loop, RoleEntry
from opsrunner.playbook.reading import (
    Defaults,
    Reading,
    name_of,
    note_unknown,
    plain_keywords,
    refuse_unknown,
    value_place,
    variables,
)
from opsrunner.yamlsource import place_of_key, place_of_value

#: What each action is. ``include`` was both; where it still stands it is nearly always static.
KINDS: dict[str, IncludeKind] = {
    "import_tasks": "import_tasks",
    "include_tasks": "include_tasks",
    "import_role": "import_role",
    "include_role": "include_role",
    "include": "import_tasks",
}
#: key=value words at the end of ``include: file key=value``.
_TRAILING = re.compile(r"(.*?)((?:\s+[^\W\d]\w*=(?:\"[^\"]*\"|'[^']*'|\S+))*)\s*", re.DOTALL)
#: Keys that bring in a playbook where a play may stand.
_PLAYBOOKS = ("import_playbook", "ansible.builtin.import_playbook", "ansible.legacy.import_playbook", "include")


def key_of(source: yamlsource.Mapping) -> str | None:
    """The key of a task that makes it an include, None when it is none."""
    return next((key for key in source if isinstance(key, str) and _short(key) in KINDS), None)


def _short(key: str) -> str:
    return key.removeprefix("ansible.builtin.").removeprefix("ansible.legacy.")


def include(reading: Reading, source: yamlsource.Mapping, key: str, loop: Loop | None, *, handler: bool) -> Include:
    """The include that ``key`` says a task is; its loop was read already."""
    kind = KINDS[_short(key)]
    on: On = ("included handler" if handler else "include") if kind.startswith("include_") else "import"
    for other in source:
        if other != key and other not in keywords.known(on):
            note_unknown(reading, source, other, on, also=())
    if _short(key) == "include":
        reading.warnings.append(
            f"{source.key_places.get(key, source.place)}: include is an old spelling and read as import_tasks"
        )
    if on == "import" and loop is not None:
        remedy = f"write {kind.replace('import', 'include')}"
        reading.faults.add(
            f"{key} cannot be in a loop: it is resolved before any host is", loop.over.place, remedy=remedy
        )
    arguments, places, given = _arguments(reading, source, key, kind)
    applied, applied_vars, around = _apply(reading, arguments, places, kind, source.place)
    return Include(
        place=source.place,
        name=name_of(reading, source),
        kind=kind,
        action=key,
        arguments=arguments,
        argument_places=places,
        keywords=plain_keywords(reading, source, on),
        vars={**given, **variables(reading, source, on)},
        loop=loop,
        applied=applied,
        applied_vars=applied_vars,
        defaults=around,
    )


def _arguments(
    reading: Reading, source: yamlsource.Mapping, key: str, kind: IncludeKind
) -> tuple[dict[str, Any], dict[str, Place], dict[str, Any]]:
    """Arguments by their own names, where each stands, and the variables that ``include: file key=value`` gives."""
    # An import takes what an include takes, and its modules' specs are the same.
    module = kind.replace("import_", "include_")
    place = value_place(source, key)
    given, variables = _given(reading, source[key], module, place)
    arguments, places = actions.keyword_args(reading, source)
    arguments |= given[0]
    places |= given[1]
    if variables and _short(key) != "include":
        named = ", ".join(variables)
        reading.faults.add(f"{key} takes no {named}", place, remedy="give variables with vars")
    if module == "include_role" and "role" in arguments:
        arguments.setdefault("name", arguments["role"])
        places.setdefault("name", places["role"])
        del arguments["role"]
    before = len(reading.faults)
    for problem in reading.catalogue.problems(module, arguments):
        reading.faults.add(problem.text, places.get(problem.argument or "", source.place), remedy=problem.remedy)
    wanted = "name" if kind.endswith("_role") else "file"
    if len(reading.faults) == before and not (isinstance(arguments.get(wanted), str) and arguments[wanted].strip()):
        reading.faults.add(f"{key} takes a {wanted}", places.get(wanted, place))
    return arguments, places, variables


def _given(
    reading: Reading, given: Any, module: str, place: Place
) -> tuple[tuple[Mapping[str, Any], Mapping[str, Place]], dict[str, Any]]:
    if isinstance(given, yamlsource.Mapping):
        return (dict(given), dict(given.value_places)), {}
    if given is None:
        return ({}, {}), {}
    if not isinstance(given, str):
        reading.faults.add(f"{module} takes arguments as a mapping or a text, not {values.described(given)}", place)
        return ({}, {}), {}
    try:
        if module == "include_role" or re.match(r"\s*file\s*=", given):
            parsed = reading.catalogue.parse_inline(module, given)
            return (parsed, dict.fromkeys(parsed, place)), {}
        match = _TRAILING.fullmatch(given)
        assert match
        more = dict(reading.catalogue.parse_inline("set_fact", match[2])) if match[2] else {}
    except InputError as error:
        reading.faults.add(f"{module}: {error.what}", place, why=error.why, remedy=error.remedy)
        return ({}, {}), {}
    return ({"file": match[1].strip()}, {"file": place}), more


def _apply(
    reading: Reading, arguments: dict[str, Any], places: Mapping[str, Place], kind: IncludeKind, place: Place
) -> tuple[Mapping[str, Keyword], Mapping[str, Any], Mapping[str, Defaults]]:
    """What ``apply`` hands on: keywords, variables, and all module_defaults that hold for what comes in."""
    given = arguments.pop("apply", None)
    if given is None:
        return {}, {}, reading.defaults
    if kind.startswith("import_"):
        reading.faults.add(
            f"{kind} takes no apply", places.get("apply", place), remedy="its keywords hold for what it brings in"
        )
    if not isinstance(given, yamlsource.Mapping):
        reading.faults.add(f"apply takes a mapping, not {values.described(given)}", places.get("apply", place))
        return {}, {}, reading.defaults
    refuse_unknown(reading, given, "block")
    for key in ("block", "rescue", "always"):
        if key in given:
            reading.faults.add(f"apply takes keywords, not {key}", place_of_key(given, key))
    with defaults.inside(reading, given):
        around = reading.defaults
    return plain_keywords(reading, given, "block"), variables(reading, given, "block"), around


# ---------------------------------------------------------------------- roles
def roles(reading: Reading, source: yamlsource.Mapping, name: str) -> tuple[RoleEntry, ...]:
    """The list of roles under ``name``."""
    value = source.get(name)
    if value is None:
        return ()
    if not isinstance(value, yamlsource.Sequence):
        what = f"{name} takes a list of roles, not {values.described(value)}"
        reading.faults.add(what, value_place(source, name), remedy="begin each with a dash")
        return ()
    found = (_role(reading, entry, place_of_value(value, index) or value.place) for index, entry in enumerate(value))
    return tuple(one for one in found if one)


def _role(reading: Reading, entry: Any, place: Place) -> RoleEntry | None:
    if isinstance(entry, (str, int)) and not isinstance(entry, bool) and str(entry).strip():
        # Before there were mappings, a role's parameters stood behind commas in its text; nobody writes that now.
        return RoleEntry(place, str(entry).strip(), defaults=reading.defaults)
    if not isinstance(entry, yamlsource.Mapping):
        reading.faults.add(f"a role is a name or a mapping, not {values.described(entry)}", place)
        return None
    entry = spellings.modern(reading, entry, "role")
    name = entry.get("role", entry.get("name"))
    if not isinstance(name, str) or not name.strip():
        reading.faults.add("the role has no name", place, remedy="for example  - role: web")
        return None
    for key in entry:
        if not isinstance(key, str) or key in keywords.REFUSED["role"]:
            note_unknown(reading, entry, key, "role", also=())
    known = keywords.known("role")
    params = {key: value for key, value in entry.items() if key not in known and key not in keywords.REFUSED["role"]}
    with defaults.inside(reading, entry):
        around = reading.defaults
    found, given = plain_keywords(reading, entry, "role"), variables(reading, entry, "role")
    return RoleEntry(place, name.strip(), found, given, params, around)


# ---------------------------------------------------------------------- playbooks
def playbook_key(source: yamlsource.Mapping) -> str | None:
    """The key that makes an entry of a playbook an import of another, None when it is a play."""
    return next((key for key in _PLAYBOOKS if key in source), None)


def playbook(reading: Reading, source: yamlsource.Mapping, key: str) -> ImportedPlaybook | None:
    """An entry that imports another playbook."""
    for other in source:
        if other != key and other not in keywords.known("import_playbook"):
            note_unknown(reading, source, other, "import_playbook", also=())
    place, path = value_place(source, key), source[key]
    if key == "include":
        reading.warnings.append(f"{place}: include is an old spelling and read as import_playbook")
    name_of(reading, source)
    found = plain_keywords(reading, source, "import_playbook")
    scope = variables(reading, source, "import_playbook")
    if not isinstance(path, str) or not path.strip():
        reading.faults.add(f"{key} takes a path, not {values.described(path)}", place)
        return None
    return ImportedPlaybook(source.place, Keyword(path.strip(), place, path), found, scope)
