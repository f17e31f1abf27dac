"""Filters from and to JSON and YAML, byte for byte what Ansible writes."""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable
from typing import Any, Final

from opsrunner.templating.lazy import plain
from opsrunner.templating.markers import type_name


def to_json(
    value: Any,
    profile: str | None = None,
    vault_to_text: Any = None,
    preprocess_unsafe: Any = None,
    **options: Any,
) -> str:
    """JSON in one line; the options are those of Python's ``json.dumps``.

    ``vault_to_text`` and ``preprocess_unsafe`` are taken for old playbooks' sake: here is never
    anything sealed or marked in a value, so they change nothing, as in Ansible since 2.19.
    """
    if profile not in (None, "tagless"):
        raise ValueError(f"the JSON profile {profile!r} is not known: only 'tagless' is")
    return json.dumps(_jsonable(plain(value, keep_omit=True, lenient=True)), **options)


def to_nice_json(value: Any, indent: Any = 4, sort_keys: Any = True, **options: Any) -> str:
    """JSON to be read by people."""
    options.pop("separators", None)
    return to_json(value, indent=indent, sort_keys=sort_keys, separators=(",", ": "), **options)


def _jsonable(value: Any) -> Any:
    # Keys become text before they are sorted, so that 10 comes before 9, as Ansible has it.
    if isinstance(value, dict):
        return {_key(key): _jsonable(item) for key, item in value.items()}
    if isinstance(value, (list, set, frozenset, range)):
        return [_jsonable(item) for item in value]
    if isinstance(value, (datetime.date, datetime.time)):
        return value.isoformat()
    if value is None or isinstance(value, (str, int, float)):
        return value
    raise TypeError(f"Object of type {type_name(value)!r} is not JSON serializable by the 'tagless' profile.")


def _key(key: Any) -> str:
    if isinstance(key, str):
        return key
    if key is None or isinstance(key, (int, float)):
        return json.dumps(key)
    raise TypeError(f"Key of type {type_name(key)!r} is not JSON serializable by the 'tagless' profile.")


def from_json(value: Any, profile: str | None = None, **options: Any) -> Any:
    """What the JSON text says; the options are those of Python's ``json.loads``."""
    if profile not in (None, "tagless"):
        raise ValueError(f"the JSON profile {profile!r} is not known: only 'tagless' is")
    return json.loads(value, **options)


def to_yaml(value: Any, *_ignored: Any, default_flow_style: Any = None, **options: Any) -> str:
    """YAML, terse; the options are those of PyYAML's ``dump``."""
    import yaml

    dumper: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    settled = plain(value, keep_omit=True)
    return str(
        yaml.dump(settled, Dumper=dumper, allow_unicode=True, default_flow_style=default_flow_style, **options),
    )


def to_nice_yaml(value: Any, indent: Any = 4, *_ignored: Any, default_flow_style: Any = False, **options: Any) -> str:
    """YAML to be read by people."""
    return to_yaml(value, indent=indent, default_flow_style=default_flow_style, **options)


def from_yaml(value: Any) -> Any:
    """What the YAML text says. What is no text is given back."""
    import yaml

    if not isinstance(value, str):
        return value
    _check_shape(value)
    return yaml.load(value, Loader=_loader())  # noqa: S506


def from_yaml_all(value: Any) -> Any:
    """What each document of the YAML text says."""
    import yaml

    if value is None:
        return []
    if not isinstance(value, str):
        return value
    _check_shape(value)
    return list(yaml.load_all(value, Loader=_loader()))


def _check_shape(text: str) -> None:
    from opsrunner import yamlshape

    yamlshape.check(text)


def _loader() -> Any:
    import yaml

    return getattr(yaml, "CSafeLoader", yaml.SafeLoader)


FILTERS: Final[dict[str, Callable[..., Any]]] = {
    "to_json": to_json,
    "to_nice_json": to_nice_json,
    "from_json": from_json,
    "to_yaml": to_yaml,
    "to_nice_yaml": to_nice_yaml,
    "from_yaml": from_yaml,
    "from_yaml_all": from_yaml_all,
}
