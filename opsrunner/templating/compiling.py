"""From text to compiled templates, kept for as long as the process lives."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from typing import Any, Final

from jinja2 import TemplateSyntaxError, nodes
from jinja2.parser import Parser

from opsrunner.templating.environment import MUTATORS, OVERRIDES, Environment, Rules, Template
from opsrunner.templating.lazy import HEADER, possibly_template
from opsrunner.templating.markers import TemplateFailure, nearest, syntax_failure

#: Compiled templates kept; a run has hundreds, and when there are more all are forgotten at once.
MAX_COMPILED: Final = 5000
_NEWLINES: Final = ("\n", "\r\n", "\r")


#: What Python raises for expressions nested too deeply, and for numbers of thousands of digits.
_UNREADABLE: Final = (RecursionError, MemoryError, ValueError, OverflowError)


def _unreadable(error: BaseException, *, kind: str) -> TemplateFailure:
    why = str(error) if isinstance(error, ValueError) else "it is nested too deeply"
    return TemplateFailure(f"Syntax error in {kind}: {why}")


class Compiler:
    """Parses and compiles; ``create`` makes the environment for a set of rules. Threads may share it."""

    def __init__(self, create: Callable[[Rules], Environment]) -> None:
        self._create = create
        self._environments: dict[Rules, Environment] = {}
        self._templates: dict[tuple[str, Rules], Template] = {}
        self._expressions: dict[tuple[str, Rules], Template] = {}

    def environment(self, rules: Rules) -> Environment:
        """The environment for ``rules``."""
        found = self._environments.get(rules)
        if found is None:
            found = self._create(rules)
            if rules.keep_backslashes or rules.embedded == "render":
                found.includes = self.environment(rules._replace(keep_backslashes=False, embedded="mark"))
            self._environments[rules] = found
        return found

    def template(self, text: str, rules: Rules) -> Template:
        """``text`` compiled; its ``#jinja2:`` line is heeded. Raises TemplateFailure."""
        found = self._templates.get((text, rules))
        return found or self._compiled(self._templates, text, rules, self.template_tree(text, rules))

    def expression(self, text: str, rules: Rules) -> Template:
        """The bare expression ``text`` compiled. Raises TemplateFailure."""
        found = self._expressions.get((text, rules))
        return found or self._compiled(self._expressions, text, rules, self.expression_tree(text, rules))

    def template_tree(self, text: str, rules: Rules) -> nodes.Template:
        """What ``text`` parses to. Raises TemplateFailure."""
        stripped, rules = _without_header(text, rules)
        try:
            return self.environment(rules).parse(stripped)
        except TemplateSyntaxError as error:
            raise syntax_failure(error, kind="template") from None
        except _UNREADABLE as error:
            raise _unreadable(error, kind="template") from None

    def expression_tree(self, text: str, rules: Rules) -> nodes.Template:
        """What the bare expression ``text`` parses to. Raises TemplateFailure."""
        environment = self.environment(rules)
        try:
            parser = Parser(environment, text, state="variable")
            expression = parser.parse_expression()
            if not parser.stream.eos:
                raise TemplateSyntaxError("chunk after expression", parser.stream.current.lineno)
        except TemplateSyntaxError as error:
            remark = ". Template delimiters are not supported in expressions" if possibly_template(text) else ""
            raise syntax_failure(error, kind="expression", remark=remark) from None
        except _UNREADABLE as error:
            raise _unreadable(error, kind="expression") from None
        tree = nodes.Template([nodes.Output([expression], lineno=1)], lineno=1)
        return tree.set_environment(environment)  # type: ignore[return-value]

    def part(self, tree: nodes.Template, expression: nodes.Expr | None) -> Template:
        """One expression of a template that was parsed, or all of it, compiled by itself. Raises TemplateFailure."""
        assert isinstance(tree.environment, Environment)
        whole: nodes.Node = tree
        if expression is not None:
            whole = nodes.Template([nodes.Output([expression], lineno=1)], lineno=1).set_environment(tree.environment)
        try:
            template = tree.environment.from_string(whole)  # type: ignore[arg-type]
        except (TemplateSyntaxError, SyntaxError, *_UNREADABLE):
            raise TemplateFailure("Syntax error in a lookup") from None
        assert isinstance(template, Template)
        template.mutates = True
        return template

    def _compiled(
        self, kept: dict[tuple[str, Rules], Template], text: str, rules: Rules, tree: nodes.Template
    ) -> Template:
        environment = tree.environment
        assert isinstance(environment, Environment)
        mutates = _mutates(tree)
        try:
            template = environment.from_string(tree)
        except (TemplateSyntaxError, SyntaxError, *_UNREADABLE) as error:
            kind = "template" if kept is self._templates else "expression"
            if not isinstance(error, (TemplateSyntaxError, SyntaxError)):
                raise _unreadable(error, kind=kind) from None
            if isinstance(error, TemplateSyntaxError):
                raise syntax_failure(error, kind=kind) from None
            raise TemplateFailure(f"Syntax error in {kind}: {error.msg}") from None
        assert isinstance(template, Template)
        template.mutates = mutates
        if len(kept) >= MAX_COMPILED:
            kept.clear()
        kept[text, rules] = template
        return template


def _mutates(tree: nodes.Template) -> bool:
    if any(attribute.attr in MUTATORS for attribute in tree.find_all(nodes.Getattr)):
        return True
    return any(isinstance(const.value, str) and const.value in MUTATORS for const in tree.find_all(nodes.Const))


def overridden(rules: Rules, given: Mapping[str, Any]) -> Rules:
    """``rules`` with the ``given`` ones in place of its own. Raises TemplateFailure."""
    for name in given:
        if name not in OVERRIDES:
            near = nearest(name, OVERRIDES)
            raise TemplateFailure(
                f"Syntax error in template: Invalid '#jinja2:' override key {name!r}."
                + (f" Did you mean {near!r}?" if near else ""),
            )
        _check_override(name, given[name])
    changed = rules._replace(**given)
    starts = (changed.block_start_string, changed.variable_start_string, changed.comment_start_string)
    if len(set(starts)) != len(starts):
        raise TemplateFailure("Syntax error in template: Block, variable and comment start strings must be different.")
    if changed.newline_sequence not in _NEWLINES:
        raise TemplateFailure("Syntax error in template: newline_sequence must be \\n, \\r\\n or \\r.")
    return changed


def _check_override(name: str, value: Any) -> None:
    """Raise TemplateFailure for a value that Jinja's lexer would fall over, or turn round in for ever."""
    optional = name in ("line_statement_prefix", "line_comment_prefix")
    wanted = "true or false" if isinstance(getattr(Rules(), name), bool) else "a text"
    sound = isinstance(value, bool) if wanted == "true or false" else isinstance(value, str) and value != ""
    if not sound and not (optional and value is None):
        raise TemplateFailure(f"Syntax error in template: {name} must be {wanted}, not {value!r}.")


def _without_header(text: str, rules: Rules) -> tuple[str, Rules]:
    """``text`` without its ``#jinja2:`` line, and the rules with what that line says."""
    if not text.startswith(HEADER):
        return text, rules
    line, newline, rest = text[len(HEADER) :].partition("\n")
    if not newline:
        raise TemplateFailure("Syntax error in template: Missing newline after '#jinja2:' override.")
    given: dict[str, Any] = {}
    for pair in line.split(","):
        name, colon, value = pair.partition(":")
        if not colon:
            raise TemplateFailure(f"Syntax error in template: '#jinja2:' needs pairs of `key: value`, not {pair!r}.")
        try:
            given[name.strip()] = ast.literal_eval(value.strip())
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            raise TemplateFailure(f"Syntax error in template: '#jinja2:' cannot read {value.strip()!r}.") from None
    return rest, overridden(rules, given)
