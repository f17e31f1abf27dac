"""Which keywords and modules the cases have: read off their playbooks and files as they are written."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import yaml

from opsrunner import modules
from opsrunner.playbook.keywords import INCLUDES
from tests.differential.playbooks.harness import Case

_PREFIXES = ("ansible.builtin.", "ansible.legacy.", "ansible.posix.")
_SECTIONS = ("pre_tasks", "tasks", "post_tasks", "handlers")
_PARTS = ("block", "rescue", "always")


class _Loader(yaml.SafeLoader):
    """YAML with tags that only vaults and templates need taken for what they stand before."""


_Loader.add_multi_constructor("!", lambda loader, _suffix, node: loader.construct_scalar(node))


def count(cases: dict[str, Case]) -> Counter[str]:
    """In how many cases each word stands: ``keyword`` or ``module NAME``, ``loop_control KEYWORD``."""
    found: Counter[str] = Counter()
    for case in cases.values():
        found.update(set(_words(case)))
    return found


def _words(case: Case) -> Iterator[str]:
    for text in (case["playbook"], *case.get("files", {}).values()):
        try:
            read = yaml.load(text, _Loader)  # noqa: S506 -- a SafeLoader, and our own cases
        except yaml.YAMLError:
            continue  # a case about what cannot be read, or a template
        for entry in read if isinstance(read, list) else ():
            yield from _entry(entry)


def _entry(entry: Any) -> Iterator[str]:
    if not isinstance(entry, dict):
        return
    for word, value in entry.items():
        bare = _bare(word)
        is_module = "hosts" not in entry and (bare in modules.REGISTRY or bare in INCLUDES or bare in modules.ALIASES)
        yield f"module {bare}" if is_module else word
        if word in (*_SECTIONS, *_PARTS):
            for inner in value or ():
                yield from _entry(inner)
        elif word == "roles":
            yield from (inner for role in value for inner in (role if isinstance(role, dict) else ()))
        elif word == "loop_control" and isinstance(value, dict):
            yield from (f"loop_control {one}" for one in value)
        elif bare in INCLUDES and isinstance(value, dict):
            yield from value.get("apply", ())
        elif word in ("action", "local_action"):
            named = value.get("module") if isinstance(value, dict) else str(value).split()[0]
            yield f"module {_bare(str(named))}"


def _bare(word: str) -> str:
    for prefix in _PREFIXES:
        word = word.removeprefix(prefix)
    return word


if __name__ == "__main__":
    from tests.differential.playbooks.harness import cases

    print(json.dumps(count(cases()), indent=1))  # noqa: T201
