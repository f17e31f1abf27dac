"""Values against an argument spec as a role's ``meta/argument_specs.yml`` has it, with Ansible's words. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from opsrunner.modules.conversion import to_bool, to_dict, to_float, to_int, to_list, to_string

_UNITS = "BKMGTPEZY"
_SIZE = re.compile(r"\s*(\d+(?:\.\d*)?)\s*([A-Za-z]*)\s*")


def errors_of(spec: Mapping[str, Any], values: Mapping[str, Any]) -> list[str]:
    """Everything in which ``values`` are not what ``spec`` (option → its attributes) says."""
    unsupported: dict[str, str] = {}
    errors = list(_level(spec, {}, dict(values), (), unsupported))
    if unsupported:
        names = ", ".join(sorted(unsupported))
        errors.append(f"{names}. Supported parameters include: {list(unsupported.values())[-1]}.")
    return errors


def _level(
    spec: Mapping[str, Any],
    around: Mapping[str, Any],
    values: dict[str, Any],
    context: tuple[str, ...],
    unsupported: dict[str, str],
) -> Iterator[str]:
    """The errors of one level of options; ``around`` are the attributes of the option that they belong to."""
    found_in = f" found in {' -> '.join(context)}" if context else ""
    aliases = {alias: name for name, option in spec.items() for alias in option.get("aliases") or ()}
    for name in values.keys() - spec.keys() - aliases.keys():
        unsupported[".".join((*context, name))] = _supported(spec, aliases)
    values |= {name: values[alias] for alias, name in aliases.items() if alias in values}
    yield from (error + found_in for error in _exclusive(around, values))
    for name, option in spec.items():
        if option.get("default") is not None:
            values.setdefault(name, option["default"])
    missing = sorted(name for name, option in spec.items() if option.get("required") and name not in values)
    if missing:
        yield f"missing required arguments: {', '.join(missing)}{found_in}"
    for name, option in spec.items():
        if name in values:
            yield from _typed(name, option, values, context)
    for name, option in spec.items():
        if option.get("choices") is not None and name in values:
            yield from (error + found_in for error in _chosen(name, option["choices"], values[name]))
    yield from (error + found_in for error in _together(around, values))
    for name, option in spec.items():
        yield from _below(name, option, values, context, unsupported)


def _below(
    name: str, option: Mapping[str, Any], values: dict[str, Any], context: tuple[str, ...], unsupported: dict[str, str]
) -> Iterator[str]:
    """The errors of what an option's own options say."""
    kind, inner = option.get("type"), option.get("options")
    if inner is None or not (kind == "dict" or (kind == "list" and option.get("elements") == "dict")):
        return
    if option.get("apply_defaults") and values.get(name) is None:
        values[name] = {}
    value = values.get(name)
    if value is None:
        return
    for one in value if isinstance(value, list) else [value]:
        if isinstance(one, Mapping):
            yield from _level(inner, option, dict(one), (*context, name), unsupported)
        else:
            yield f"value of '{name}' must be of type dict or list of dicts"


def _supported(spec: Mapping[str, Any], aliases: Mapping[str, str]) -> str:
    names = ", ".join(sorted(spec))
    return f"{names} ({', '.join(sorted(aliases))})" if aliases else names


# ---------------------------------------------------------------------- types and choices
def _typed(name: str, option: Mapping[str, Any], values: dict[str, Any], context: tuple[str, ...]) -> Iterator[str]:
    """Convert the value of an option in its place; tells why where it cannot be converted."""
    value = values[name]
    if value is None and not option.get("required") and option.get("default") is None:
        return
    kind = option.get("type") or "str"
    quoted = f" found in '{' -> '.join(context)}'" if context else ""
    try:
        values[name] = _converted(kind, value)
    except ValueError as error:
        dotted = f"{quoted}." if quoted else ""
        what = f"argument '{name}' is of type {_type_name(value)}{dotted}"
        yield f"{what} and we were unable to convert to {kind}: {error}"
        return
    elements = option.get("elements")
    if not elements or not isinstance(values[name], list):
        return
    kept = []
    for item in values[name]:
        try:
            kept.append(_converted(elements, item))
        except ValueError as error:
            what = f"Elements value for option '{name}'{quoted} is of type {_type_name(item)}"
            yield f"{what} and we were unable to convert to {elements}: {error}"
    values[name] = kept


def _chosen(name: str, choices: Sequence[Any], value: Any) -> Iterator[str]:
    allowed = ", ".join(map(str, choices))
    if isinstance(value, list):
        wrong = [str(item) for item in value if item not in choices]
        if wrong:
            yield f"value of {name} must be one or more of: {allowed}. Got no match for: {', '.join(wrong)}"
    elif value not in choices:
        yield f"value of {name} must be one of: {allowed}, got: {value}"


def _type_name(value: Any) -> str:
    return "NoneType" if value is None else type(value).__name__


def _converted(kind: str, value: Any) -> Any:
    return _CONVERTERS[kind](value)


def _int(value: Any) -> int:
    try:
        return to_int(value)
    except ValueError:
        raise ValueError(f"{repr(value)!r} cannot be converted to an int") from None


def _json(value: Any) -> str:
    if isinstance(value, (str, bytes)):
        return value.strip() if isinstance(value, str) else value.decode()
    if isinstance(value, (Mapping, list, tuple)):
        return json.dumps(value)
    raise ValueError(f"{_type_name(value)} cannot be converted to a json string")


def _size(value: Any, bits: bool) -> int:
    """``10M``, ``1.5 Kb`` as a number of bytes, or bits."""
    found = _SIZE.fullmatch(str(value))
    unit = found[2] if found else ""
    word = unit[1:].lower()
    meant = {"", "b", "bit", "bits"} if bits else {"", "b", "byte", "bytes"}
    known = not unit or (unit[0].upper() in _UNITS and (word in meant or unit.lower() in meant))
    if not found or not known or (len(unit) == 2 and word == "b" and unit[1] != ("b" if bits else "B")):
        raise ValueError(f"{_type_name(value)} cannot be converted to a {'Bit' if bits else 'Byte'} value")
    factor = 1 if not unit or unit.lower() in meant else 1 << 10 * _UNITS.index(unit[0].upper())
    return round(float(found[1]) * factor)


_CONVERTERS: Mapping[str, Callable[[Any], Any]] = {
    "str": to_string,
    "path": to_string,
    "list": to_list,
    "dict": to_dict,
    "bool": to_bool,
    "int": _int,
    "float": to_float,
    "raw": lambda value: value,
    "json": _json,
    "jsonarg": _json,
    "bytes": lambda value: _size(value, bits=False),
    "bits": lambda value: _size(value, bits=True),
}
TYPES = tuple(_CONVERTERS)


# ---------------------------------------------------------------------- options beside each other
def _exclusive(around: Mapping[str, Any], values: Mapping[str, Any]) -> Iterator[str]:
    both = [group for group in around.get("mutually_exclusive") or () if sum(name in values for name in group) > 1]
    if both:
        yield f"parameters are mutually exclusive: {', '.join('|'.join(group) for group in both)}"


def _together(around: Mapping[str, Any], values: Mapping[str, Any]) -> Iterator[str]:
    """Of each kind of condition the first that does not hold, as Ansible tells them."""
    yield from _first(
        f"parameters are required together: {', '.join(group)}"
        for group in around.get("required_together") or ()
        if 0 < sum(name in values for name in group) < len(group)
    )
    yield from _first(
        f"one of the following is required: {', '.join(group)}"
        for group in around.get("required_one_of") or ()
        if not any(name in values for name in group)
    )
    yield from _first(error for one in around.get("required_if") or () for error in _required_if(one, values))
    yield from _first(
        f"missing parameter(s) required by '{name}': {', '.join(missing)}"
        for name, needed in (around.get("required_by") or {}).items()
        if values.get(name) is not None and (missing := [one for one in _listed(needed) if values.get(one) is None])
    )


def _required_if(one: Sequence[Any], values: Mapping[str, Any]) -> Iterator[str]:
    name, value, needed = one[:3]
    any_is_enough = len(one) > 3 and bool(one[3])
    missing = [other for other in needed if other not in values]
    if name in values and values[name] == value and missing and len(missing) >= (len(needed) if any_is_enough else 1):
        how = "any" if any_is_enough else "all"
        yield f"{name} is {value} but {how} of the following are missing: {', '.join(missing)}"


def _first(errors: Iterator[str]) -> Iterator[str]:
    error = next(errors, None)
    if error is not None:
        yield error


def _listed(value: Any) -> Sequence[str]:
    return [value] if isinstance(value, str) else value
