"""A module's arguments against its spec: once before anything runs, and again when rendered."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from opsrunner.errors import did_you_mean
from opsrunner.modules.contract import Argument, ModuleFailure, Spec
from opsrunner.modules.conversion import CONVERTERS, holds_template
from opsrunner.modules.inline import parse_inline

__all__ = ["Problem", "check_names", "parse_inline", "validate"]

#: Names that Jinja keeps for itself, so that no variable can have them.
_JINJA_WORDS = frozenset(
    (
        "and",
        "block",
        "break",
        "call",
        "continue",
        "do",
        "elif",
        "else",
        "endblock",
        "endcall",
        "endfilter",
        "endfor",
        "endif",
        "endmacro",
        "endset",
        "endtrans",
        "extends",
        "false",
        "filter",
        "for",
        "from",
        "if",
        "import",
        "in",
        "include",
        "is",
        "macro",
        "none",
        "not",
        "or",
        "pluralize",
        "print",
        "recursive",
        "set",
        "trans",
        "true",
        "with",
        "without",
        "False",
        "None",
        "True",
    )
)


class Problem(NamedTuple):
    """One fault of a task's arguments; ``argument`` is the key as written, None for the whole."""

    text: str
    argument: str | None = None
    remedy: str | None = None

    def __str__(self) -> str:
        return self.text


def check_names(name: str, spec: Spec, arguments: Mapping[str, Any]) -> list[Problem]:
    """What can be said of unrendered arguments: names, what is missing, what excludes what, plain values.

    Values that hold a template are left for :func:`validate`.
    """
    problems = [problem for key in arguments if (problem := _name_problem(name, spec, key))]
    known = _resolved(spec, arguments)
    problems += [Problem(text) for text in _combinations(name, spec, known)]
    if spec.any_argument and not arguments:
        problems.append(Problem(f"module {name}: no key/value pairs provided, at least one is required"))
    for key, value in arguments.items():
        found = _find(spec, key)
        if found and value is not None and found[0] not in spec.unrendered and not holds_template(value):
            try:
                _converted(found[0], found[1], value)
            except ValueError as error:
                problems.append(Problem(f"module {name}: {error}", key))
    return problems


def validate(name: str, spec: Spec, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Rendered arguments with aliases resolved, defaults filled in and types converted.

    Null counts as not given. Every declared argument is a key of what is returned. Raises
    ModuleFailure, with Ansible's wording where it has one.
    """
    problems = [problem.text for key in arguments if (problem := _name_problem(name, spec, key))]
    known = _resolved(spec, arguments)
    problems += _combinations(name, spec, known)
    values: dict[str, Any] = {} if not spec.any_argument else dict(arguments)
    for key, argument in spec.arguments.items():
        if key not in known:
            values[key] = argument.default
            continue
        try:
            values[key] = known[key] if key in spec.unrendered else _converted(key, argument, known[key])
        except ValueError as error:
            problems.append(str(error))
    if problems:
        raise ModuleFailure(". ".join(problems))
    return values


def _find(spec: Spec, key: Any) -> tuple[str, Argument] | None:
    if key in spec.arguments:
        return key, spec.arguments[key]
    for name, argument in spec.arguments.items():
        if key in argument.aliases:
            return name, argument
    return None


def _resolved(spec: Spec, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments under their own names, without nulls and without unknown ones."""
    known: dict[str, Any] = {}
    for key, value in arguments.items():
        found = _find(spec, key)
        # The name itself wins over an alias, however they are ordered.
        if found and value is not None and (key == found[0] or found[0] not in known):
            known[found[0]] = value
    return known


def _name_problem(module: str, spec: Spec, key: Any) -> Problem | None:
    shown = str(key)
    if not isinstance(key, str):
        return Problem(f"module {module}: argument names are text, not {key!r}", shown)
    if key in spec.refused:
        return Problem(f"module {module}: {key} is not supported: {spec.refused[key]}", key, f"take {key} out")
    if spec.any_argument:
        if holds_template(key) or (key.isidentifier() and key.isascii() and key not in _JINJA_WORDS):
            return None
        return Problem(f"invalid variable name {key!r}", key, "use letters, digits and underscores, no digit first")
    if _find(spec, key):
        return None
    supported = sorted(spec.arguments)
    text = f"Unsupported parameters for ({module}) module: {key}. Supported parameters include: {', '.join(supported)}"
    return Problem(text, key, did_you_mean(key, _all_names(spec)))


def _all_names(spec: Spec) -> list[str]:
    return [name for key, argument in spec.arguments.items() for name in (key, *argument.aliases)]


def _combinations(module: str, spec: Spec, known: Mapping[str, Any]) -> Iterable[str]:
    prefix = f"module {module}: "
    missing = [key for key, argument in spec.arguments.items() if argument.required and key not in known]
    if missing:
        yield f"{prefix}missing required arguments: {', '.join(missing)}"
    for group in spec.mutually_exclusive:
        if sum(key in known for key in group) > 1:
            yield f"{prefix}parameters are mutually exclusive: {'|'.join(group)}"
    for group in spec.required_one_of:
        if not any(key in known for key in group):
            yield f"{prefix}one of the following is required: {', '.join(group)}"
    for group in spec.required_together:
        if 0 < sum(key in known for key in group) < len(group):
            yield f"{prefix}parameters are required together: {', '.join(group)}"
    for key, value, needed, one_is_enough in spec.required_if:
        missing = [name for name in needed if name not in known]
        if missing and not (one_is_enough and len(missing) < len(needed)) and _is(spec, known, key, value):
            names = f"one of {', '.join(needed)}" if one_is_enough else ", ".join(missing)
            yield f"{prefix}{names} is required with {key}={value}"


def _is(spec: Spec, known: Mapping[str, Any], key: str, value: Any) -> bool:
    """Whether an argument has that value; one that holds a template may still get any."""
    argument = spec.arguments[key]
    if key not in known:
        return bool(argument.default == value)
    try:
        return bool(_converted(key, argument, known[key]) == value)
    except ValueError:
        return False  # which is told of by itself


def _converted(key: str, argument: Argument, value: Any) -> Any:
    converted = _as(argument.type, key, value)
    if argument.elements and isinstance(converted, list):
        converted = [_as(argument.elements, key, item) for item in converted]
    if argument.choices is not None:
        for one in converted if isinstance(converted, list) else [converted]:
            if one not in argument.choices:
                allowed = ", ".join(str(choice) for choice in argument.choices)
                raise ValueError(f"value of {key} must be one of: {allowed}, got: {one}{_meant(one, argument.choices)}")
    return converted


def _meant(value: Any, choices: tuple[Any, ...]) -> str:
    meant = did_you_mean(value, map(str, choices))
    return f" ({meant})" if meant else ""


def _as(wanted: str, key: str, value: Any) -> Any:
    if wanted == "path" and isinstance(value, (dict, list, tuple)):
        raise ValueError(f"argument '{key}' is a {type(value).__name__}, and a path is text")
    try:
        return CONVERTERS[wanted](value)  # type: ignore[index]
    except ValueError as error:
        raise ValueError(
            f"argument '{key}' is of type {type(value).__name__} and we were unable to convert to {wanted}: {error}"
        ) from None
