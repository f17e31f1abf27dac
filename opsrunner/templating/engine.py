"""The Templar: renders templates, evaluates expressions and conditions, and checks all three."""

from __future__ import annotations

import contextlib
import datetime
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

from jinja2 import nodes

from opsrunner.tagged import Encrypted, Verbatim
from opsrunner.templating import bounds, static
from opsrunner.templating.compiling import Compiler, overridden
from opsrunner.templating.environment import Environment, Rules, Template
from opsrunner.templating.filters import all_filters
from opsrunner.templating.lazy import HEADER, plain, possibly_template, shown
from opsrunner.templating.lookups import LookupCall, LookupFunction, looked_up
from opsrunner.templating.markers import (
    OMIT,
    FailureMarker,
    Marker,
    TemplateFailure,
    UndefinedMarker,
    UndefinedVariable,
    decrypted,
    explained,
    type_name,
)
from opsrunner.templating.plugins import named
from opsrunner.templating.scope import Access, Layer, Scope, TrustedText
from opsrunner.templating.surroundings import LookupContext
from opsrunner.templating.tests import all_tests

_OPENINGS, _CLOSINGS = ("{{", "{%", "{#"), ("}}", "%}", "#}")
#: How strings of playbooks and inventories, conditions, and template files are read.
_TEXT_RULES = Rules()
_CONDITION_RULES = Rules(keep_backslashes=False, embedded="render")
FILE_RULES = Rules(keep_backslashes=False)

#: What ``ansible_managed`` says where no variable has other words.
_MANAGED = "Ansible managed"

#: Kinds of values in which there is nothing to render.
_CONSTANT = frozenset((type(None), bool, int, float))

_Result = TypeVar("_Result")


class Templar:
    """Jinja2 as ansible-core 2.19 uses it. One serves a whole process; threads may share it."""

    def __init__(self, *, lookups: LookupContext, clock: Callable[[], float] = time.time) -> None:
        self.lookups = lookups
        self.clock = clock
        self.access = Access()
        self._known = {"filter": named(all_filters(), "filter"), "test": named(all_tests(), "test")}
        query = LookupFunction(lookups, always_list=True)
        self._globals: dict[str, Any] = {
            "range": bounds.bounded_range,
            "omit": OMIT,
            "now": self._now,
            "undef": _undefined,
            "lookup": LookupFunction(lookups, always_list=False),
            "query": query,
            "q": query,
        }
        self._compiler = Compiler(self._environment)

    def render(self, value: Any, scope: Mapping[str, Any]) -> Any:
        """``value`` with every template in it rendered, as plain data.

        Keys and items that render to :data:`OMIT` are dropped; alone it is given back. Raises
        UndefinedVariable and TemplateFailure.
        """
        if is_constant(value):
            return value  # most keywords of most steps: no rendering need begin for them
        here = self._scope(scope)
        return _settled(lambda: self._deep(value, here), here)

    def render_text(
        self, template: str, scope: Mapping[str, Any], *, about: Mapping[str, Any] | None = None, **rules: Any
    ) -> str:
        """:meth:`render_file`, as the template module does it: always text. ``about``: see :meth:`about_template`."""
        here = self._scope(scope)
        whole = self.render_file(template, here.child(self.about_template(here, about or {})), **rules)
        return "" if whole is None else str(whole)

    def about_template(self, scope: Mapping[str, Any], about: Mapping[str, Any]) -> dict[str, Any]:
        """The variables by which a template file may speak of itself; ``about``: those that the caller knows."""
        managed = {} if "ansible_managed" in scope else {"ansible_managed": _MANAGED}
        return {**managed, "template_run_date": self._now(), **about}

    def render_file(
        self,
        template: str,
        scope: Mapping[str, Any],
        *,
        trim_blocks: bool = True,
        lstrip_blocks: bool = False,
        newline_sequence: str = "\n",
        keep_trailing_newline: bool = True,
        **delimiters: Any,
    ) -> Any:
        """A template file's text rendered; one that is a single expression may give any type.

        ``delimiters`` are ``variable_start_string`` and the like. A first line ``#jinja2: …``
        overrides all of them.
        """
        here = self._scope(scope)
        given = {"trim_blocks": trim_blocks, "lstrip_blocks": lstrip_blocks, "newline_sequence": newline_sequence}
        rules = overridden(FILE_RULES, {**given, **delimiters})
        return _settled(lambda: plain(self._produced(template, here, rules, keep_trailing_newline)), here)

    def looked_up(self, name: str, over: Any, scope: Mapping[str, Any], **options: Any) -> list[Any]:
        """What ``with_`` and the name of a lookup goes over, in ``over``. Raises TemplateFailure."""
        here = self._scope(scope)
        return _settled(lambda: plain(looked_up(self, name, over, here, **options)), here)

    def evaluate(self, expression: str, scope: Mapping[str, Any]) -> Any:
        """The value of a bare expression such as ``result.rc`` or ``users | length``."""
        here = self._scope(scope)
        return _settled(lambda: plain(self._expression(expression, here, _TEXT_RULES)), here)

    def shown(self, expression: str, scope: Mapping[str, Any]) -> tuple[Any, list[str]]:
        """As :meth:`evaluate`, for somebody to look at: what of it is undefined is said in its place, and listed."""
        here = self._scope(scope)
        return _settled(lambda: shown(self._expression(expression, here, _TEXT_RULES)), here)

    def condition(self, value: Any, scope: Mapping[str, Any]) -> bool:
        """Whether a condition holds: a bool, a bare expression, or a list whose every item must hold.

        As in ansible-core 2.19 anything but a boolean result is a failure.
        """
        here = self._scope(scope)
        if isinstance(value, (list, tuple)):
            return all(self._holds(item, here) for item in value)
        return self._holds(value, here)

    def produce(self, text: str, scope: Scope) -> Any:
        """What a template gives, without settling it: possibly a marker, or a container not rendered yet."""
        return self._produced(text, scope, _TEXT_RULES, True)

    # What can be said without rendering

    def check(self, value: Any) -> list[str]:
        """What is wrong with the templates in ``value``, a message each."""
        return list(dict.fromkeys(fault for text in static.strings(value) for fault in self.check_text(text)))

    def check_text(self, template: str, rules: Rules = _TEXT_RULES, **overrides: Any) -> list[str]:
        """What is wrong with one template; for a template file's text, ``rules`` are :data:`FILE_RULES`.

        ``overrides`` are the template module's: ``trim_blocks``, ``variable_start_string``, ….
        """
        return self._faults(lambda: self._compiler.template_tree(template, overridden(rules, overrides)))

    def check_expression(self, text: str) -> str | None:
        """What is wrong with a bare expression, or None."""
        tree = self._compiler.expression_tree
        return next(iter(self._faults(lambda: tree(text, _CONDITION_RULES), everywhere=True)), None)

    def check_condition(self, value: Any) -> list[str]:
        """What is wrong with a condition, a message each."""
        if isinstance(value, (list, tuple)):
            return [fault for item in value for fault in self._condition_faults(item)]
        return self._condition_faults(value)

    def names(self, value: Any) -> set[str]:
        """The variables that the templates in ``value`` refer to. Those of broken ones are unknown."""
        return {name for text in static.strings(value) for name in self._names(self._compiler.template_tree, text)}

    def expression_names(self, text: str) -> set[str]:
        """The variables that a bare expression, or a condition, refers to."""
        return self.names(text) if _is_all_template(text) else self._names(self._compiler.expression_tree, text)

    def machine_lookups(self, text: str, *, expression: bool = False) -> list[LookupCall]:
        """The calls in ``text`` of lookups that look at the machine that submits, each to be carried out by itself."""
        try:
            if expression and not _is_all_template(text):
                tree = self._compiler.expression_tree(text, _CONDITION_RULES)
            else:
                tree = self._compiler.template_tree(text, _TEXT_RULES)
            calls = static.machine_lookups(tree)
            parts = [self._compiler.part(tree, call) for call in calls]
        except TemplateFailure:  # which is told of every text already
            return []
        if parts and static.has_own_names(tree):
            # A call may need what the template itself sets, and what stands before it may not be known yet.
            in_turn = [*parts, self._compiler.part(tree, None)]
            return [LookupCall(partial(self._carried_out_in_turn, in_turn), False)]
        return [
            LookupCall(partial(self._carried_out, part), static.is_constant(call), static.is_needed(call))
            for part, call in zip(parts, calls, strict=True)
        ]

    def _carried_out_in_turn(self, parts: Sequence[Template], scope: Scope) -> Any:
        for part in parts[:-1]:
            with contextlib.suppress(TemplateFailure):
                self._carried_out(part, scope)
        return self._carried_out(parts[-1], scope)

    def _carried_out(self, part: Template, scope: Scope) -> Any:
        return _settled(lambda: plain(self._run(part, scope)), scope)

    def _faults(self, parse: Callable[[], nodes.Template], *, everywhere: bool = False) -> list[str]:
        try:
            tree = parse()
        except TemplateFailure as error:
            return [error.message]
        may_include = self.lookups.read_template is not None
        found = static.faults(tree, self._known, may_include=may_include)
        return found + self.check(list(static.embedded(tree, everywhere=everywhere)))

    def _condition_faults(self, value: Any) -> list[str]:
        if isinstance(value, bool):
            return []
        try:
            text = _condition_text(value)
        except TemplateFailure as error:
            return [error.message]
        if _is_all_template(text):
            return self.check_text(text)
        fault = self.check_expression(text)
        return [] if fault is None else [fault]

    def _names(self, parse: Callable[[str, Rules], nodes.Template], text: str) -> set[str]:
        try:
            tree = parse(text, _TEXT_RULES)
        except TemplateFailure:
            return set()
        own = static.undeclared(tree, self._compiler.environment(_TEXT_RULES).globals)
        return own | self.names(list(static.embedded(tree, everywhere=True)))

    # Rendering

    def _scope(self, scope: Mapping[str, Any]) -> Scope:
        return scope if isinstance(scope, Scope) else Scope(self, (Layer(scope),))

    def _deep(self, value: Any, scope: Scope) -> Any:
        if isinstance(value, str):
            return plain(self.produce(value, scope)) if possibly_template(value) else plain(value)
        if isinstance(value, dict):
            rendered = {key: self._deep(item, scope) for key, item in value.items()}
            return {key: item for key, item in rendered.items() if item is not OMIT}
        if isinstance(value, (list, tuple)):
            return [item for item in [self._deep(item, scope) for item in value] if item is not OMIT]
        return decrypted(value) if isinstance(value, Encrypted) else plain(value)

    def _produced(self, text: str, scope: Scope, rules: Rules, keep_newlines: bool) -> Any:
        if not rules.look_like(text):
            return text
        try:
            template = self._compiler.template(text, rules)
        except TemplateFailure as error:
            return FailureMarker(error)
        result = self._run(template, scope)
        if keep_newlines and isinstance(result, str):
            # Jinja drops a template's last newline; Ansible makes up for as many as are missing.
            missing = _trailing_newlines(text) - _trailing_newlines(result)
            return result + rules.newline_sequence * missing if missing > 0 else result
        return result

    def _expression(self, text: str, scope: Scope, rules: Rules) -> Any:
        return self._run(self._compiler.expression(text, rules), scope)

    def _run(self, template: Template, scope: Scope) -> Any:
        before, self.access.strict = self.access.strict, False
        try:
            with bounds.Rendering():
                return template.produce(scope)
        finally:
            self.access.strict = before

    def _holds(self, value: Any, scope: Scope) -> bool:
        if isinstance(value, bool):
            return value
        try:
            result = _settled(lambda: self._condition_result(value, scope), scope)
        except UndefinedVariable as error:
            raise UndefinedVariable(f"Error while evaluating conditional: {error.message}") from None
        if isinstance(result, bool):
            return result
        raise TemplateFailure(
            f"Conditional result ({bool(result)}) was derived from value of type {type_name(result)!r}. "
            "Conditionals must have a boolean result.",
        )

    def _condition_result(self, value: Any, scope: Scope) -> Any:
        text = _condition_text(value)
        if _is_all_template(text):
            result = self.produce(text, scope.trusting())
            if not isinstance(result, str):
                return plain(result)
            text = _condition_text(str(result))
            if not isinstance(result, TrustedText):
                raise TemplateFailure(
                    "Encountered untrusted template or expression: the condition's template gives text that "
                    "stands in no playbook or inventory, and such text is never evaluated.",
                )
        return plain(self._expression(text, scope, _CONDITION_RULES))

    # What the environments are made of

    def _environment(self, rules: Rules) -> Environment:
        return Environment(
            rules,
            templar=self,
            filters=self._known["filter"],
            tests=self._known["test"],
            global_names=self._globals,
            read_template=self.lookups.read_template,
        )

    def _now(self, utc: bool = False, fmt: str | None = None) -> Any:
        zone = datetime.UTC if utc else None
        moment = datetime.datetime.fromtimestamp(self.clock(), zone).replace(tzinfo=None)
        return moment.strftime(fmt) if fmt else moment


def _settled(work: Callable[[], _Result], scope: Scope) -> _Result:
    """What ``work`` gives; a failure of it made fit to be shown."""
    try:
        with bounds.Rendering():
            return work()
    except UndefinedVariable as error:
        raise explained(error, scope) from None
    except RecursionError:
        raise TemplateFailure("Recursive loop detected in template") from None


def is_constant(value: Any) -> bool:
    """Whether there is nothing to render in the value; False for all containers."""
    kind = type(value)
    return kind in _CONSTANT or (kind is str and not possibly_template(value))


def _undefined(hint: Any = None) -> Marker:
    """The global ``undef``: what must be overridden."""
    return UndefinedMarker(str(hint) if hint else "Mandatory variable has not been overridden")


def _condition_text(value: Any) -> str:
    text = value.strip() if isinstance(value, str) else value
    if text in (None, ""):
        raise TemplateFailure("Empty conditional expressions are not allowed.")
    if not isinstance(text, str):
        raise TemplateFailure("Conditional expressions must be strings.")
    if isinstance(value, Verbatim):
        raise TemplateFailure("Encountered untrusted template or expression: !unsafe text is never evaluated.")
    return text


def _is_all_template(text: str) -> bool:
    """Whether the text seems to be a template from its first to its last character."""
    text = text.strip()
    return text.startswith(HEADER) or (text.startswith(_OPENINGS) and text.endswith(_CLOSINGS))


def _trailing_newlines(text: str) -> int:
    return len(text) - len(text.rstrip("\n"))
