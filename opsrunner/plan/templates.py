"""Checks the Jinja of template files that steps name."""

from __future__ import annotations

from pathlib import Path

from opsrunner.errors import InputError, Place
from opsrunner.plan.bundle import Bundle
from opsrunner.playbook import Faults
from opsrunner.templating import Templar


def check_templates(bundle: Bundle, templar: Templar, faults: Faults) -> None:
    """Note every template file that Jinja cannot read, with its line."""
    for path, digest in bundle.templates.items():
        try:
            text = bundle.contents[digest].decode("utf-8")
        except UnicodeDecodeError as error:
            faults.take(InputError(f"{path}: not UTF-8 text", why=str(error), remedy="copy is for files of bytes"))
            continue
        _check(path, text, templar, faults)


def _check(path: Path, text: str, templar: Templar, faults: Faults) -> None:
    faults.know(str(path), text)
    for problem in templar.check(text):
        faults.add(problem, Place(str(path), 1, 1))
