"""Jinja2 as ansible-core 2.19 uses it: lazy variables, native types, the same filters, tests and lookups.

A :class:`Templar` renders; a :class:`Scope` holds the variables of one host at one moment.
"""

from __future__ import annotations

from opsrunner.templating.engine import FILE_RULES, Templar, is_constant
from opsrunner.templating.lazy import possibly_template
from opsrunner.templating.lookups import OF_THE_MACHINE as LOOKUPS_OF_THE_MACHINE
from opsrunner.templating.lookups import LookupCall
from opsrunner.templating.markers import OMIT, TemplateFailure, UndefinedVariable
from opsrunner.templating.scope import Layer, Scope
from opsrunner.templating.surroundings import LookupContext

__all__ = [
    "FILE_RULES",
    "LOOKUPS_OF_THE_MACHINE",
    "OMIT",
    "Layer",
    "LookupCall",
    "LookupContext",
    "Scope",
    "Templar",
    "TemplateFailure",
    "UndefinedVariable",
    "is_constant",
    "possibly_template",
]
