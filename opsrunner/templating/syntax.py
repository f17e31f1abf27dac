"""How Jinja reads a template's text, and the Python it makes of it, bent to Ansible's rules."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from jinja2 import nodes
from jinja2.compiler import Frame
from jinja2.lexer import TOKEN_STRING, TOKEN_VARIABLE_BEGIN, TOKEN_VARIABLE_END, Lexer
from jinja2.nativetypes import NativeCodeGenerator

from opsrunner.templating.lazy import possibly_template

if TYPE_CHECKING:
    from opsrunner.templating.environment import Environment


class CodeGenerator(NativeCodeGenerator):
    """Leaves every expression to run time, so that its type is kept and None stays apart from text.

    What loops turn over goes through :func:`bounds.turns`.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._turned_over: set[int] = set()

    def visit_For(self, node: nodes.For, frame: Frame) -> None:
        self._turned_over.add(id(node.iter))
        super().visit_For(node, frame)

    def visit(self, node: nodes.Node, *arguments: Any, **options: Any) -> Any:
        if id(node) not in self._turned_over:
            return super().visit(node, *arguments, **options)
        self.write("environment.turns(")
        super().visit(node, *arguments, **options)
        self.write(")")
        return None

    def visit_Concat(self, node: nodes.Concat, frame: Frame) -> None:
        self.write("environment.joined((")
        for part in node.nodes:
            self.visit(part, frame)
            self.write(", ")
        self.write("))")

    def _output_child_to_const(self, node: nodes.Expr, frame: Frame, finalize: Any) -> Any:
        if not isinstance(node, nodes.TemplateData):
            raise nodes.Impossible
        return node.as_const(frame.eval_ctx)

    def visit_Const(self, node: nodes.Const, frame: Frame) -> None:
        value = node.as_const(frame.eval_ctx)
        if type(value) is str and possibly_template(value):
            self.write(f"environment.embedded(context, {value!r})")
        else:
            super().visit_Const(node, frame)

    def visit_List(self, node: nodes.List, frame: Frame) -> None:
        self.write("environment.literal(context, ")
        super().visit_List(node, frame)
        self.write(")")

    def visit_Dict(self, node: nodes.Dict, frame: Frame) -> None:
        self.write("environment.literal(context, ")
        super().visit_Dict(node, frame)
        self.write(")")


#: A backslash that begins no escape of Python's, such as the one of ``'\\w+'``.
_STRAY_BACKSLASH = re.compile(r"(\\[\\'\"abfnrtvxuUN0-7\n])|\\")


class SourceLexer(Lexer):
    """Keeps backslashes of string constants: in ``{{ }}`` all of them if so told, elsewhere the stray ones."""

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        self._keep_all = environment.rules.keep_backslashes

    def tokeniter(self, *arguments: Any, **options: Any) -> Iterator[tuple[int, str, str]]:
        inside = False
        for line, token, text in super().tokeniter(*arguments, **options):
            if token in (TOKEN_VARIABLE_BEGIN, TOKEN_VARIABLE_END):
                inside = token == TOKEN_VARIABLE_BEGIN
            if token == TOKEN_STRING and "\\" in text:
                all_of_them = inside and self._keep_all
                text = text.replace("\\", "\\\\") if all_of_them else _STRAY_BACKSLASH.sub(_doubled, text)
            yield line, token, text


def _doubled(match: re.Match[str]) -> str:
    return match.group(1) or "\\\\"
