"""The filters: Jinja's own, and those of Ansible's ``ansible.builtin`` that make sense on a worker."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any, Final

from jinja2.filters import FILTERS

from opsrunner.templating import disk
from opsrunner.templating.filters import addresses, data, numbers, places, secrets, serialize, text
from opsrunner.templating.lazy import plain
from opsrunner.templating.markers import UndefinedMarker, type_name
from opsrunner.templating.plugins import Plugin, plugins

#: Ansible's filters that are refused, and why.
REFUSED: Final[Mapping[str, str]] = {
    "version_compare": "it is a test: write `x is version('1.2', '>=')`",
}
#: Filters that need a library which opsrunner does without.
LIBRARIES: Final[Mapping[str, str]] = dict.fromkeys(("json_query", "community.general.json_query"), "jmespath")


def default(value: Any, default_value: Any = "", boolean: bool = False) -> Any:
    """``default_value`` in place of what is undefined, or (``boolean``) of what is empty or false."""
    if not isinstance(boolean, bool):
        raise TypeError(f"The 'boolean' argument must be of type 'bool', not {type_name(boolean)!r}.")
    if isinstance(value, UndefinedMarker) or (boolean and not value):
        return default_value
    return value


def mandatory(value: Any, msg: str | None = None) -> Any:
    """``value``; the failure ``msg`` when it is undefined."""
    if not isinstance(value, UndefinedMarker):
        return value
    name = value._undefined_name
    raise ValueError(msg or f"Mandatory variable {f'{name!r} ' if name is not None else ''}not defined.")


def ternary(value: Any, true_val: Any, false_val: Any, none_val: Any = None) -> Any:
    """``true_val`` or ``false_val``, or ``none_val`` where it is given and the value is null."""
    if value is None and none_val is not None:
        return none_val
    return true_val if value else false_val


def json_query(value: Any, expression: str) -> Any:
    """What a JMESPath expression finds."""
    try:
        import jmespath  # type: ignore[import-untyped, import-not-found, unused-ignore]
    except ImportError:
        raise ValueError(without_library("jmespath")) from None

    return jmespath.search(expression, plain(value))


def missing_library(name: str) -> str | None:
    """Why the filter of that name cannot be had on this machine, if it cannot."""
    library = LIBRARIES.get(name)
    return without_library(library) if library and find_spec(library) is None else None


def without_library(library: str) -> str:
    """What to say where a library is not installed."""
    return f"it needs the Python library {library}: pip install {library} (on the workers, too)"


def all_filters() -> dict[str, Plugin]:
    """Every filter there is, by its bare name."""
    found = plugins(
        {
            **FILTERS,
            **data.FILTERS,
            **text.FILTERS,
            **serialize.FILTERS,
            **numbers.FILTERS,
            **places.FILTERS,
            **secrets.FILTERS,
            **disk.FILTERS,
            **addresses.FILTERS,
        }
    )
    for name in ("to_yaml", "to_nice_yaml", "map", "select", "selectattr", "reject", "rejectattr"):
        found[name] = Plugin(found[name].function, meets_markers=True)
    found["default"] = found["d"] = Plugin(default, takes_markers=True)
    found["mandatory"] = Plugin(mandatory, takes_markers=True)
    found["ternary"] = Plugin(ternary, takes_markers=True)
    found["type_debug"] = Plugin(type_name, takes_markers=True)
    found["json_query"] = found["community.general.json_query"] = Plugin(json_query)
    return found
