"""How filters and tests are called: markers go round them, and what they raise becomes a marker."""

from __future__ import annotations

from collections.abc import Callable, ItemsView, Iterator, KeysView, Mapping, ValuesView
from typing import Any, Final

from jinja2 import pass_context, pass_environment, pass_eval_context
from msgspec import Struct

from opsrunner.templating import bounds
from opsrunner.templating.lazy import plain
from opsrunner.templating.markers import FailureMarker, Marker, TemplateFailure, first_marker

#: How Ansible's own plugins may be named in full; errors name them by the first.
PREFIXES: Final = ("ansible.builtin.", "ansible.legacy.")
_ITERATORS: Final = (Iterator, ItemsView, KeysView, ValuesView, range)
_SIMPLE: Final = frozenset({str, int, float, bool, list, dict, tuple, type(None)})

Function = Callable[..., Any]


class Plugin(Struct, frozen=True):
    """A filter or test and how it bears with markers."""

    function: Function
    #: It is called although an argument is a marker.
    takes_markers: bool = False
    #: It may find markers in the containers it is given.
    meets_markers: bool = False


def _how_passed(decorate: Callable[[Function], Function]) -> Any:
    def sample() -> None:
        """Exists to be looked at."""

    return getattr(decorate(sample), "jinja_pass_arg")  # noqa: B009


_LEADING: Final[dict[Any, Callable[[Any], Any]]] = {
    _how_passed(pass_context): lambda context: context,
    _how_passed(pass_environment): lambda context: context.environment,
    _how_passed(pass_eval_context): lambda context: context.eval_ctx,
}


def listed(result: Any) -> Any:
    """``result``, consumed into a list when it is an iterator or a view."""
    return bounds.listed(result) if type(result) not in _SIMPLE and isinstance(result, _ITERATORS) else result


def named(plugins: Mapping[str, Plugin], kind: str) -> dict[str, Function]:
    """What Jinja calls, by every name a template may use. ``kind`` is ``filter`` or ``test``."""
    calls = {name: _guarded(kind, name, plugin) for name, plugin in plugins.items()}
    full = {prefix + name: call for prefix in PREFIXES for name, call in calls.items() if name.isidentifier()}
    return calls | full


def bare(name: str) -> str:
    """The name of a plugin without the collection it comes from."""
    for prefix in PREFIXES:
        name = name.removeprefix(prefix)
    return name


def _guarded(kind: str, name: str, plugin: Plugin) -> Function:
    function, takes_markers, meets_markers = plugin.function, plugin.takes_markers, plugin.meets_markers
    leading = _LEADING.get(getattr(function, "jinja_pass_arg", None))
    finish = _within if kind == "filter" else _truth
    before_call = _BEFORE.get(name) if kind == "filter" else None

    @pass_context
    def call(context: Any, *arguments: Any, **options: Any) -> Any:
        if not takes_markers:
            marker = first_marker((*arguments, *options.values()))
            if marker is not None:
                return marker
        access = context.environment.access
        before, access.strict = access.strict, not meets_markers
        try:
            bounds.spend_call()
            if before_call is not None:
                before_call(*arguments, **options)
            if leading is not None:
                arguments = (leading(context), *arguments)
            result = finish(function(*arguments, **options))
            return context.environment.literal(context, result) if meets_markers else result
        except Exception as error:
            return _failed(kind, name, error)
        finally:
            access.strict = before

    return call


def _check_sizes(_value: Any = None, *arguments: Any, **options: Any) -> None:
    bounds.check_sizes((*arguments, *options.values()))


def _walk(value: Any = None, *arguments: Any, **_options: Any) -> None:
    for one in (value, *arguments):
        if isinstance(one, (Mapping, list, tuple)):
            plain(one, lenient=True)


def _check_text(value: Any = None, *arguments: Any, **options: Any) -> None:
    bounds.check_format(value)
    _walk(*arguments, *options.values())


#: What is looked at before a filter is called, as its result could be too large to be made.
_BEFORE: Final[dict[str, Callable[..., None]]] = {
    **dict.fromkeys(bounds.SIZED_FILTERS, _check_sizes),
    # Their text could be much larger than the containers: these may hold each other many times.
    **dict.fromkeys(("string", "pprint", "urlencode", "upper", "lower", "trim", "escape", "e"), _walk),
    "format": _check_text,
    "replace": lambda value=None, old="", new="", *_count, **_options: bounds.check_replacement(value, old, new),
    "join": lambda values=None, d="", *_attribute, **_options: bounds.check_joint(values, d),
}


def _within(result: Any) -> Any:
    return bounds.check(listed(result))


def _truth(result: Any) -> Any:
    return result if isinstance(result, Marker) else bool(result)


def _failed(kind: str, name: str, error: Exception) -> Marker:
    if isinstance(error, TemplateFailure):
        return FailureMarker(error) if error.marker is None else error.marker
    shown = PREFIXES[0] + name if name.isidentifier() else name
    return FailureMarker(TemplateFailure(f"The {kind} plugin {shown!r} failed: {error or type(error).__name__}"))


def plugins(functions: Mapping[str, Function]) -> dict[str, Plugin]:
    """Plain plugins of plain functions."""
    return {name: Plugin(function) for name, function in functions.items()}


def text(value: Any) -> str:
    """``value`` as text, as Ansible's filters see what is not text."""
    if isinstance(value, bytes):
        return value.decode(errors="surrogateescape")
    return value if isinstance(value, str) else str(value)


def octets(value: Any, encoding: str = "utf-8") -> bytes:
    """``value`` as bytes; text that came from broken UTF-8 gives back the bytes it came from."""
    return value if isinstance(value, bytes) else text(value).encode(encoding, errors="surrogateescape")


def is_list(value: Any) -> bool:
    """Whether Ansible calls it a sequence: a list or tuple or the like, never text."""
    return isinstance(value, (list, tuple, range))
