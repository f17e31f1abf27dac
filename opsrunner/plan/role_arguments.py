"""The step with which a role begins that has an argument spec. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from opsrunner.plan.codec import plain
from opsrunner.playbook import Keyword, RoleEntry, Task

#: What only people read of a spec.
_WORDS = ("description", "short_description", "version_added", "author", "seealso")


def validation(entry: RoleEntry, path: Path, entry_point: str, spec: Mapping[str, Any]) -> Task:
    """The task that checks the variables against what the spec of ``entry_point`` says."""
    name = f"Validating arguments against arg spec '{entry_point}'"
    if "short_description" in spec:
        name += f" - {spec['short_description']}"
    arguments = {
        "argument_spec": _without_words(spec.get("options") or {}),
        "provided_arguments": plain(entry.params),
        "validate_args_context": {
            "type": "role",
            "name": entry.name,
            "argument_spec_name": entry_point,
            "path": str(path),
        },
    }
    return Task(
        place=entry.place,
        name=name,
        module="validate_argument_spec",
        action="ansible.builtin.validate_argument_spec",
        arguments=arguments,
        argument_places={},
        keywords={"tags": Keyword(("always",), entry.place, ["always"])},
    )


def _without_words(options: Mapping[str, Any]) -> dict[str, Any]:
    found = {}
    for name, option in options.items():
        kept = {key: value for key, value in option.items() if key not in _WORDS}
        if isinstance(kept.get("options"), Mapping):
            kept["options"] = _without_words(kept["options"])
        found[name] = kept
    return found
