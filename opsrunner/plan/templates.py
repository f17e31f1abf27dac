"""Checks the Jinja of template files that steps name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from opsrunner.errors import InputError, Place
from opsrunner.plan.bundle import Bundle
from opsrunner.playbook import Faults
from opsrunner.playbook.values import is_template
from opsrunner.templating import FILE_RULES, Templar
from opsrunner.yamlsource import Decrypted


def check_templates(bundle: Bundle, templar: Templar, faults: Faults) -> None:
    """Note every template file that Jinja cannot read, with its line."""
    for path, digest, rules in bundle.templates:
        # A rule that is a template itself is known on the host only, and so is what the file means.
        if any(is_template(value) for value in rules.values()):
            continue
        try:
            text = bundle.contents[digest].decode("utf-8")
        except UnicodeDecodeError as error:
            faults.take(InputError(f"{path}: not UTF-8 text", why=str(error), remedy="copy is for files of bytes"))
            continue
        faults.know(str(path), Decrypted(text) if path in bundle.encrypted else text)
        for problem in _problems(text, rules, templar):
            faults.add(problem, Place(str(path), *_position(problem, text)))


def _problems(text: str, rules: Mapping[str, Any], templar: Templar) -> list[str]:
    strings = {name: value for name, value in rules.items() if isinstance(value, str) and name.endswith("_string")}
    found = templar.check_text(text, FILE_RULES, **strings)
    return [
        "a template that includes or imports another is Ansible's, opsrunner does not have it yet"
        if "cannot include" in problem
        else problem
        for problem in found
    ]


def _position(problem: str, text: str) -> tuple[int, int]:
    """Line and column: as the message says, else where the name that it quotes first stands."""
    said = re.search(r"\(line (\d+)\)", problem)
    if said:
        return int(said[1]), 1
    quoted = re.search(r"'(\w+)'", problem)
    for number, line in enumerate(text.splitlines(), start=1):
        found = re.search(rf"\b{quoted[1]}\b", line) if quoted else None
        if found:
            return number, found.start() + 1
    return 1, 1
