"""Entries of ``vars_files`` that are known for each host only: which variables a host has of them. Pure."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from opsrunner.plan.model import HostFile, HostFiles
from opsrunner.plan.vars_files import candidates
from opsrunner.templating import Scope, Templar, TemplateFailure, UndefinedVariable

#: What a host renders an entry with, given the variables of the entries before it, weakest first.
ScopeAfter = Callable[[Sequence[Mapping[str, Any]]], Scope]


def layers_of(
    files: HostFiles, scope_after: ScopeAfter, templar: Templar, *, gathered: bool
) -> tuple[list[Mapping[str, Any]], TemplateFailure | None]:
    """The variables of a host, weakest first, and why it cannot have all of them.

    As in Ansible an entry that names something undefined is passed over until facts are ``gathered``, and one
    of which no alternative exists is passed over always.
    """
    found: list[Mapping[str, Any]] = []
    problem: TemplateFailure | None = None
    for entry in files.entries:
        try:
            found.append(_variables(entry, files, scope_after(found), templar))
        except UndefinedVariable as undefined:
            if gathered:
                problem = problem or _undefined(entry, undefined)
        except TemplateFailure as failure:
            problem = problem or failure
        found.append(entry.followed_by)
    return found, problem


def _variables(entry: HostFile, files: HostFiles, scope: Scope, templar: Templar) -> Mapping[str, Any]:
    for alternative in entry.alternatives:
        path = templar.render(alternative, scope)
        if not isinstance(path, str):
            raise TemplateFailure(f"Invalid `vars_files` value of type {type(path).__name__!r}.")
        for candidate in candidates(Path(files.directory), "vars", path):
            place = os.path.normpath(candidate)
            if place in files.unusable:
                raise TemplateFailure(files.unusable[place])
            if place in files.contents:
                return files.contents[place]
    return {}


def _undefined(entry: HostFile, failure: UndefinedVariable) -> TemplateFailure:
    written = entry.alternatives[0] if len(entry.alternatives) == 1 else list(entry.alternatives)
    return TemplateFailure(
        f"an undefined variable was found when attempting to template the vars_files item '{written}': "
        f"{failure.message}"
    )
