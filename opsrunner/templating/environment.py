"""Jinja's environment bent to Ansible's rules: native types, deferred errors, a sandbox, lazy variables."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from copy import deepcopy
from typing import Any, Literal, NamedTuple

from jinja2.environment import Template as JinjaTemplate
from jinja2.environment import TemplateModule
from jinja2.exceptions import TemplateNotFound
from jinja2.lexer import Lexer
from jinja2.loaders import FunctionLoader
from jinja2.runtime import Context as JinjaContext
from jinja2.runtime import Macro
from jinja2.sandbox import SandboxedEnvironment, SandboxedFormatter
from jinja2.utils import missing

from opsrunner.templating import bounds
from opsrunner.templating.lazy import HEADER, LazyDict, LazyList, written
from opsrunner.templating.markers import OMIT, Marker, UndefinedMarker, first_marker, marked, type_name
from opsrunner.templating.plugins import listed
from opsrunner.templating.scope import Access, Renderer, Scope
from opsrunner.templating.syntax import CodeGenerator, SourceLexer

#: Methods that change what they are called on: a template that names one works on copies.
MUTATORS = frozenset(
    (
        *("append", "extend", "insert", "remove", "sort", "reverse", "clear"),
        *("pop", "popitem", "setdefault", "update", "add", "discard"),
    ),
)
_DICT_METHODS = frozenset(name for name in dir(dict) if not name.startswith("_"))
_LIST_METHODS = frozenset(name for name in dir(list) if not name.startswith("_"))
_MAPPING_METHODS = frozenset(("get", "items", "keys", "values"))
#: Ansible has no filters for bits, so these are let through its sandbox, and through ours.
_BIT_OPERATIONS = frozenset(("__and__", "__or__", "__xor__", "__lshift__", "__rshift__"))


class EmbeddedText(str):
    """A string constant in a template that looks like a template itself: lookups render it."""

    __slots__ = ()


class Rules(NamedTuple):
    """What distinguishes one environment from another."""

    #: ``'\\1'`` in a playbook's expression means backslash and 1, as YAML read its escapes already.
    keep_backslashes: bool = True
    #: Constants that look like templates: marked for lookups, or (in conditionals) rendered at once.
    embedded: Literal["mark", "render"] = "mark"
    block_start_string: str = "{%"
    block_end_string: str = "%}"
    variable_start_string: str = "{{"
    variable_end_string: str = "}}"
    comment_start_string: str = "{#"
    comment_end_string: str = "#}"
    line_statement_prefix: str | None = None
    line_comment_prefix: str | None = None
    trim_blocks: bool = True
    lstrip_blocks: bool = False
    newline_sequence: Literal["\n", "\r\n", "\r"] = "\n"
    keep_trailing_newline: bool = False

    def look_like(self, text: str) -> bool:
        """Whether ``text`` looks like it holds a template, even a broken one."""
        starts = (self.variable_start_string, self.block_start_string, self.comment_start_string)
        return text.startswith(HEADER) or any(start in text for start in starts)

    def jinja(self) -> dict[str, Any]:
        """The part of the rules that Jinja's own environment takes."""
        return {name: value for name, value in self._asdict().items() if name in OVERRIDES}


#: What a ``#jinja2:`` header or the template module may change.
OVERRIDES = tuple(name for name in Rules._fields if name not in ("keep_backslashes", "embedded"))


class _Carried(NamedTuple):
    """What an included or imported template inherits from its includer."""

    scope: Scope
    locals: Mapping[str, Any]


class Context(JinjaContext):
    """Names resolve to the template's own variables, then the scope's, then the globals."""

    def __init__(self, template: JinjaTemplate, scope: Scope, local_names: Mapping[str, Any]) -> None:
        super().__init__(template.environment, {}, template.name, template.blocks, globals=None)
        self.template = template
        self.scope = scope
        self.local_names = local_names
        self._copies: dict[str, Any] = {}

    def resolve_or_missing(self, key: str) -> Any:
        for names in (self.vars, self.local_names):
            if key in names:
                return names[key]
        value = self.scope.take(key)
        if value is missing:
            return self.environment.globals.get(key, missing)
        if isinstance(value, (dict, list, set)) and getattr(self.template, "mutates", True):
            # A template must not change what other templates, or the ledger, see of a variable.
            if key not in self._copies:
                self._copies[key] = deepcopy(value)
            return self._copies[key]
        return value

    def get_all(self) -> Any:
        return _Carried(self.scope, {**self.local_names, **self.vars})

    def derived(self, locals: dict[str, Any] | None = None) -> Context:
        names = {**self.local_names, **self.vars, **_initialised(locals)}
        context = Context(self.template, self.scope, names)
        context._copies = self._copies
        context.eval_ctx = self.eval_ctx
        context.blocks = {name: list(blocks) for name, blocks in self.blocks.items()}
        return context

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self.resolve_or_missing(name) is not missing

    __repr__ = object.__repr__


def _initialised(names: Mapping[str, Any] | None) -> dict[str, Any]:
    return {name: value for name, value in (names or {}).items() if value is not missing}


class Template(JinjaTemplate):
    """A compiled template that takes a scope and gives native values."""

    environment: Environment
    #: It names a method that changes what it is called on.
    mutates: bool = True

    def produce(self, scope: Scope) -> Any:
        """What it gives: a native value, possibly a marker or a container not rendered yet."""
        return self.environment.concat(self.root_render_func(Context(self, scope, {})))

    def new_context(
        self,
        vars: Any = None,
        shared: bool = False,
        locals: Mapping[str, Any] | None = None,
    ) -> Context:
        if isinstance(vars, _Carried):
            return Context(self, vars.scope, {**vars.locals, **_initialised(locals)})
        return Context(self, Scope(self.environment.templar, ()), {**(vars or {}), **_initialised(locals)})


class _Formatter(SandboxedFormatter):
    """``str.format`` that makes no field a million characters wide."""

    def format_field(self, value: Any, format_spec: str) -> Any:
        bounds.check_format(f"%{format_spec.replace('%', '')}")
        return super().format_field(value, format_spec)


class Environment(SandboxedEnvironment):
    """Compiles and runs templates by one set of :class:`Rules`, within the bounds of :mod:`bounds`."""

    intercepted_binops = frozenset(("*", "**", "%", "+"))

    code_generator_class = CodeGenerator
    template_class = Template
    context_class = Context

    def __init__(
        self,
        rules: Rules,
        *,
        templar: Renderer,
        filters: dict[str, Any],
        tests: dict[str, Any],
        global_names: Mapping[str, Any],
        read_template: Callable[[str], str] | None,
    ) -> None:
        # Folding constants at compile time would make `100 | random` the same number for ever.
        super().__init__(**rules.jinja(), undefined=UndefinedMarker, optimized=False, autoescape=False)
        self.rules = rules
        self.templar = templar
        self.filters = filters
        self.tests = tests
        self.globals.update(global_names)
        del self.globals["lipsum"]  # makes up words for as long as it is told to
        self.loader = FunctionLoader(_loading(read_template))
        self.includes: Environment | None = None
        self._lexer = SourceLexer(self)

    @property
    def access(self) -> Access:
        """What this thread is rendering just now."""
        return self.templar.access

    @property
    def lexer(self) -> Lexer:
        return self._lexer

    def _load_template(self, name: str, globals: Any) -> Any:
        # What a template includes is a file: YAML has not read its backslashes.
        includes = self.includes
        return super()._load_template(name, globals) if includes is None else includes._load_template(name, globals)

    @staticmethod
    def turns(values: Any) -> Iterator[Any]:
        """What a loop turns over; called by compiled code."""
        return bounds.turns(values)

    @staticmethod
    def joined(parts: tuple[Any, ...]) -> str:
        """``a ~ b``; called by compiled code."""
        return str(bounds.check("".join([written(part) for part in parts])))

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        """``*``, ``**``, ``%`` and ``+``; called by compiled code."""
        if operator == "*":
            bounds.check_product(left, right)
        elif operator == "**":
            bounds.check_power(left, right)
        elif operator == "%":
            bounds.check_format(left)
        return bounds.check(super().call_binop(context, operator, left, right))

    def wrap_str_format(self, value: Any) -> Any:
        if super().wrap_str_format(value) is None:
            return None
        text, is_map = str(value.__self__), value.__name__ == "format_map"

        def formatted(*arguments: Any, **options: Any) -> str:
            if is_map:
                (options,), arguments = arguments, ()
            return str(bounds.check(_Formatter(self).vformat(text, arguments, options)))

        return formatted

    def embedded(self, context: Context, text: str) -> Any:
        """The value of a string constant that looks like a template; called by compiled code."""
        if self.rules.embedded == "mark":
            return EmbeddedText(text)
        value = self.templar.produce(text, context.scope)
        if isinstance(value, Marker) and self.access.strict:
            value._trip()
        return value

    def literal(self, context: Context, value: Any) -> Any:
        """``value``; a list or dict with markers in it so that only who can bear them may read them."""
        if type(value) is list and first_marker(value) is not None:
            return LazyList(context.scope, (), value, settled=True)
        if type(value) is dict and first_marker(value.values()) is not None:
            return LazyDict(context.scope, (), value, settled=True)
        return value

    def concat(self, chunks: Iterable[Any]) -> Any:
        """One value as it is, several joined as text, none as None. The first marker wins over all."""
        values = list(_flat(chunks))
        if len(values) < 2:
            return values[0] if values else None
        marker = first_marker(values)
        if marker is not None:
            return marker
        try:
            texts = [written(value) for value in values if value is not OMIT]
            if sum(map(len, texts)) > bounds.MAX_TEXT:
                return marked(bounds.too_long())
            return "".join(texts)
        except Exception as error:
            return marked(error)

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        if attr in _BIT_OPERATIONS and isinstance(obj, int):
            return True
        return super().is_safe_attribute(obj, attr, value)

    def unsafe_undefined(self, obj: Any, attribute: str) -> UndefinedMarker:
        return UndefinedMarker(f"access to attribute {attribute!r} of {type_name(obj)!r} object is unsafe.")

    def getattr(self, obj: Any, attribute: str) -> Any:
        """``obj.attribute``: the attribute if it is there and safe, else the item."""
        safe = True
        if _has_attribute(obj, attribute):
            value = getattr(obj, attribute)
            formatter = self.wrap_str_format(value)
            if formatter is not None:
                return formatter
            safe = self.is_safe_attribute(obj, attribute, value)
            if safe:
                return value
        try:
            return _item(obj, attribute)
        except (TypeError, LookupError):
            return self.undefined(obj=obj, name=attribute) if safe else self.unsafe_undefined(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        """``obj[argument]``: the item, else the attribute."""
        try:
            return _item(obj, argument)
        except (TypeError, LookupError):
            if isinstance(argument, str) and _has_attribute(obj, argument):
                return self.getattr(obj, argument)
        return self.undefined(obj=obj, name=argument)

    def call(__self, __context: Any, __obj: Any, *args: Any, **kwargs: Any) -> Any:
        """Call a function or method; what it raises becomes a marker."""
        if getattr(type(__obj), "takes_markers", False) or isinstance(__obj, Macro):
            return __self._called(__context, __obj, args, kwargs, strict=False)
        marker = first_marker((__obj, *args, *kwargs.values()))
        return __self._called(__context, __obj, args, kwargs, strict=True) if marker is None else marker

    def _called(self, context: Any, function: Any, args: Any, kwargs: Any, *, strict: bool) -> Any:
        access = self.access
        before, access.strict = access.strict, strict
        try:
            bounds.spend_call()
            bounds.check_method(function, args)
            result = super().call(context, function, *args, **kwargs)
            return result if function is bounds.bounded_range else bounds.check(listed(result))
        except Exception as error:
            return marked(error)
        finally:
            access.strict = before


def _item(obj: Any, key: Any) -> Any:
    if not isinstance(obj, Scope):
        return obj[key]
    # Another host's variables: one that refers to something undefined is undefined, no error yet.
    value = obj.take(key)
    if value is missing:
        raise KeyError(key)
    return value


def _has_attribute(obj: Any, attribute: str) -> bool:
    """Whether templates may see that attribute. Of our own containers only what a dict or list has."""
    if isinstance(obj, dict):
        return attribute in _DICT_METHODS or (attribute.startswith("_") and hasattr(obj, attribute))
    if isinstance(obj, list):
        return attribute in _LIST_METHODS or (attribute.startswith("_") and hasattr(obj, attribute))
    if isinstance(obj, Mapping):
        return attribute in _MAPPING_METHODS
    return hasattr(obj, attribute)


def _flat(chunks: Iterable[Any]) -> Iterator[Any]:
    """What a template yields, without Nones; an exception while it runs ends it with a marker."""
    stream = iter(chunks)
    while True:
        try:
            chunk = next(stream)
        except StopIteration:
            return
        except Exception as error:
            yield marked(error)
            return
        if type(chunk) is TemplateModule:
            yield from _flat(chunk._body_stream)
        elif chunk is not None:
            yield chunk


def _loading(read_template: Callable[[str], str] | None) -> Callable[[str], str | None]:
    def load(name: str) -> str | None:
        if read_template is None:
            raise TemplateNotFound(name, f"{name!r} cannot be included: only template files may include others")
        try:
            return read_template(name)
        except FileNotFoundError:
            return None

    return load
