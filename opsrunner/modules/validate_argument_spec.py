"""validate_argument_spec: variables against an argument spec, as roles have theirs checked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from opsrunner.ledger.records import Result
from opsrunner.modules.argument_specs import TYPES, errors_of
from opsrunner.modules.contract import Argument, Context, ModuleFailure, Spec

SPEC = Spec(
    summary="Check variables against an argument spec; a role with a meta/argument_specs.yml begins with it",
    arguments={
        "argument_spec": Argument("raw", "a mapping of names to type, required, choices, options …", required=True),
        "provided_arguments": Argument("raw", "values that win over variables of the same name", default={}),
        "validate_args_context": Argument("raw", "a mapping that the result repeats", default={}),
    },
    local=True,
    reads_only=True,
    check_mode="run",
    examples="""
- validate_argument_spec:
    argument_spec:
      port: {type: int, required: true}
      kind: {type: str, choices: [blue, green]}
    provided_arguments:
      kind: blue
""",
)


def run(context: Context) -> Result:
    """Look up what the spec names, and tell everything that does not fit."""
    arguments = context.arguments
    spec, provided = arguments["argument_spec"], arguments["provided_arguments"]
    if not isinstance(spec, dict):
        raise ModuleFailure(f"Incorrect type for argument_spec, expected dict and got {type(spec)}")
    if not isinstance(provided, dict):
        raise ModuleFailure(f"Incorrect type for provided_arguments, expected dict and got {type(provided)}")
    wrong = next(wrong_in(spec), None)
    if wrong:
        raise ModuleFailure(f"argument_spec is none: {wrong}")
    known = {name: context.evaluate(name) for name in spec if _is_defined(context, name)}
    errors = errors_of(spec, {**known, **provided})
    result: Result = {"changed": False, "validate_args_context": arguments["validate_args_context"]}
    if not errors:
        return {**result, "msg": "The arg spec validation passed"}
    msg = "Validation of arguments failed:\n" + "\n".join(errors)
    return {**result, "failed": True, "msg": msg, "argument_spec_data": spec, "argument_errors": errors}


def _is_defined(context: Context, name: Any) -> bool:
    return isinstance(name, str) and name.isidentifier() and context.condition(f"{name} is defined")


def wrong_in(spec: Mapping[Any, Any], path: str = "") -> Iterator[str]:
    """What in a spec is none; the shapes that everything else relies on."""
    for name, option in spec.items():
        where = f"{path}{name}"
        if not isinstance(name, str) or not isinstance(option, Mapping):
            yield f"option {where} is no mapping of attributes"
            continue
        for attribute in ("type", "elements"):
            if option.get(attribute) is not None and option[attribute] not in TYPES:
                yield f"{attribute} of option {where} is {option[attribute]!r}, not one of {', '.join(TYPES)}"
        for attribute in ("choices", "aliases", *_GROUPS):
            if option.get(attribute) is not None and not isinstance(option[attribute], list):
                yield f"{attribute} of option {where} is no list"
            elif attribute in _GROUPS and not all(isinstance(one, list) for one in option.get(attribute) or ()):
                yield f"{attribute} of option {where} is no list of lists"
        if not all(len(one) in (3, 4) and isinstance(one[2], list) for one in option.get("required_if") or ()):
            yield f"required_if of option {where} takes lists of a name, a value and a list of names"
        if not isinstance(option.get("required_by") or {}, Mapping):
            yield f"required_by of option {where} is no mapping"
        if option.get("required") and option.get("default") is not None:
            yield f"required and default are mutually exclusive for {where}"
        inner = option.get("options")
        if isinstance(inner, Mapping):
            yield from wrong_in(inner, f"{where}.")
        elif inner is not None:
            yield f"options of {where} are no mapping"


_GROUPS = ("mutually_exclusive", "required_together", "required_one_of", "required_if")
