"""The variables of one host at one moment: layers, looked up from the top, rendered when used."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from jinja2.utils import missing
from msgspec import Struct

from opsrunner.tagged import Encrypted, Verbatim
from opsrunner.templating.lazy import LazyDict, LazyList, Path, possibly_template
from opsrunner.templating.markers import FailureMarker, Marker, TemplateFailure, decrypted


class Layer(Struct, frozen=True):
    """Variables of one source; nobody changes one.

    ``templated`` values were written by the operator (inventory, playbook) and are rendered when
    used. The others came from hosts or were rendered before: they are never rendered again, even
    when they hold ``{{``.
    """

    values: Mapping[str, Any]
    templated: bool = False


class Access(threading.local):
    """What this thread is rendering just now. One for each Templar."""

    #: A filter is reading that cannot deal with markers.
    strict = False

    def __init__(self) -> None:
        #: The values being rendered, outermost first: a value met twice is a loop.
        self.chain: list[tuple[int, Path]] = []


class Renderer(Protocol):
    """What a scope needs of a Templar."""

    @property
    def access(self) -> Access: ...

    def produce(self, text: str, scope: Scope) -> Any:
        """What the template ``text`` gives: possibly a marker, or a container not rendered yet."""
        ...


class TrustedText(str):
    """Text as the operator wrote it; only such text may be evaluated as an expression."""

    __slots__ = ()


class Scope(Mapping[str, Any]):
    """Variables by name over ``layers``, lowest precedence first.

    A value is rendered when it is first used and then remembered, so a scope must not outlive the
    step whose facts it was made of. Looking a name up raises KeyError when no layer has it,
    UndefinedVariable when its value refers to something that does not exist, TemplateFailure when
    its value cannot be rendered.

    ``made`` holds what a template finds although it is no variable: names that no layer has, each
    with what makes its value (Jinja's ``missing``: none) out of the scope. The scope as a mapping
    knows nothing of them.
    """

    __slots__ = ("_deferred", "_layers", "_made", "_rendered", "_templar", "_trusting")

    def __init__(
        self,
        templar: Renderer,
        layers: Sequence[Layer] | Callable[[], Sequence[Layer]],
        *,
        made: Mapping[str, Callable[[Scope], Any]] | None = None,
        trusting: bool = False,
    ) -> None:
        self._templar = templar
        self._made = {"vars": Scope.every} if made is None else made
        if callable(layers):
            self._deferred = layers
        else:
            self._layers = tuple(layers)
        self._rendered: dict[str, Any] = {}
        self._trusting = trusting

    def __getattr__(self, name: str) -> Any:
        """Layers that were deferred are asked for when somebody first looks at them: of many scopes nobody does."""
        if name != "_layers":
            raise AttributeError(name)
        self._layers = tuple(self._deferred())
        return self._layers

    def child(self, extra: Mapping[str, Any], templated: bool = False) -> Scope:
        """This scope with one more layer on top, such as a loop's item or a step's ``vars``."""
        layers = (*self._layers, Layer(extra, templated))
        return Scope(self._templar, layers, made=self._made, trusting=self._trusting)

    def trusting(self) -> Scope:
        """The same variables, their operator-written text given as :class:`TrustedText`."""
        return Scope(self._templar, self._layers, made=self._made, trusting=True)

    @property
    def search(self) -> tuple[str, ...]:
        """The folders in which lookups look for files; none where only the playbook's own counts."""
        make = self._made.get("ansible_search_path")
        return tuple(make(self)) if make else ()

    @property
    def strict(self) -> bool:
        """Whether whoever reads now cannot deal with markers."""
        return self._templar.access.strict

    def take(self, name: str) -> Any:
        """The value of ``name``, possibly a marker; Jinja's ``missing`` when there is none."""
        found = self._rendered.get(name, missing)
        if found is not missing:
            return found
        for layer in reversed(self._layers):
            if name in layer.values:
                value = layer.values[name]
                break
        else:
            return self._made[name](self) if name in self._made else missing
        if layer.templated:
            value = self._rendered[name] = self.rendered((name,), value)
        return value

    def every(self) -> LazyDict:
        """The variable named ``vars``: all of them."""
        every = LazyDict(self, (), {})
        for layer in self._layers:
            raw = LazyDict(self, (), layer.values) if layer.templated else layer.values
            dict.update(every, dict.items(raw) if isinstance(raw, LazyDict) else raw)
        self._rendered["vars"] = every
        return every

    def rendered(self, path: Path, value: Any) -> Any:
        """The raw operator-written ``value`` standing at ``path``, rendered; containers only when read."""
        if isinstance(value, str):
            if possibly_template(value):
                return self._rendered_text(path, value)
            if isinstance(value, Verbatim):
                return str(value)
            return TrustedText(value) if self._trusting else value
        if isinstance(value, dict):
            return LazyDict(self, path, value)
        if isinstance(value, (list, tuple)):
            return LazyList(self, path, value)
        if isinstance(value, Encrypted):
            try:
                return decrypted(value)
            except TemplateFailure as failure:
                return FailureMarker(failure)
        return value

    def _rendered_text(self, path: Path, text: str) -> Any:
        chain = self._templar.access.chain
        here = (id(self), path)
        if here in chain:
            return FailureMarker(_loop([*chain[chain.index(here) :], here]))
        chain.append(here)
        try:
            return self._templar.produce(text, self)
        finally:
            chain.pop()

    def __getitem__(self, name: str) -> Any:
        value = self.take(name) if name in self else missing
        if value is missing:
            raise KeyError(name)
        if isinstance(value, Marker):
            value._trip()
        return value

    def get(self, name: str, default: Any = None) -> Any:
        # Mapping's own raises a KeyError and catches it, which costs more than to look for the name twice.
        if name in self:
            return self[name]
        return default

    def __contains__(self, name: object) -> bool:
        for layer in self._layers:  # noqa: SIM110  `any` of a generator costs thrice as much, and all ask for this
            if name in layer.values:
                return True
        return False

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys(name for layer in self._layers for name in layer.values))

    def __len__(self) -> int:
        return len(set().union(*(layer.values for layer in self._layers)))


def _loop(chain: Sequence[tuple[int, Path]]) -> TemplateFailure:
    shown = " -> ".join(".".join(map(str, path)) for _scope, path in chain)
    return TemplateFailure(f"Recursive loop detected in template: {shown}")
