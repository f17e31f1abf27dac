"""Lookups: ``lookup``, ``query`` and ``q``, and the plugins they call.

What a lookup may touch comes in a :class:`LookupContext`; the lookups that would reach beyond it
(fetch a URL) are refused by name.
"""

from __future__ import annotations

import contextlib
import fnmatch
import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from random import Random, SystemRandom
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from jinja2 import pass_context
from jinja2.utils import missing

from opsrunner.templating import bounds, machine_lookups, random_passwords, sequences
from opsrunner.templating.environment import EmbeddedText
from opsrunner.templating.markers import (
    FailureMarker,
    Marker,
    TemplateFailure,
    UndefinedMarker,
    UndefinedVariable,
    first_marker,
    marked,
    nearest,
    type_name,
)
from opsrunner.templating.plugins import bare, listed
from opsrunner.templating.surroundings import Call, LookupContext

if TYPE_CHECKING:
    from opsrunner.templating.engine import Templar
    from opsrunner.templating.scope import Scope

#: Ansible's lookups that are refused, and why.
REFUSED: Final[Mapping[str, str]] = {
    "config": "there is no configuration of Ansible's here",
}


class LookupFunction:
    """The global ``lookup``; with ``always_list`` it is ``query``."""

    #: Whoever calls it leaves markers among its arguments alone.
    takes_markers = True

    def __init__(self, surroundings: LookupContext, *, always_list: bool) -> None:
        self._surroundings = surroundings
        self._always_list = always_list

    @pass_context
    def __call__(self, context: Any, plugin_name: Any, /, *terms: Any, **options: Any) -> Any:
        """What the plugin finds: the value, the texts joined by commas, or the list."""
        if isinstance(plugin_name, Marker):
            return plugin_name
        wanted = "list" if options.pop("wantlist", False) or self._always_list else "value"
        errors = options.pop("errors", "strict")
        if errors not in ("strict", "warn", "ignore"):
            return FailureMarker(TemplateFailure(f"errors must be strict, warn or ignore, not {errors!r}"))
        found = self._found(context, str(plugin_name), list(terms), options, ignore=errors != "strict")
        if found is None:
            return [] if wanted == "list" else None
        if isinstance(found, Marker) or wanted == "list" or not found:
            return found
        return _joined(found)

    def _found(self, context: Any, name: str, terms: list[Any], options: dict[str, Any], ignore: bool) -> Any:
        """The plugin's list, a marker, or None when it failed and that is to be ignored."""
        name = bare(name)
        plugin = LOOKUPS.get(name)
        if plugin is None:
            return FailureMarker(TemplateFailure(unknown_lookup(name)))
        terms = [_embedded_rendered(term, context) for term in terms]
        if name != "env" and (marker := first_marker((*terms, *options.values()))) is not None:
            return marker
        access = context.environment.access
        before, access.strict = access.strict, True
        try:
            call = Call(self._surroundings, context.scope, context.environment.templar)
            return listed(plugin(call, terms, **options))
        except Exception as error:
            if isinstance(error, TemplateFailure) and error.marker is not None:
                return error.marker
            failure = TemplateFailure(f"The lookup plugin {name!r} failed: {error}")
            return None if ignore else marked(failure)
        finally:
            access.strict = before


def _joined(found: list[Any]) -> Any:
    if len(found) == 1:
        return found[0]
    return ",".join(found) if all(isinstance(item, str) for item in found) else found


def _embedded_rendered(term: Any, context: Any) -> Any:
    """A constant such as ``'{{ directory }}/motd'`` rendered, as Ansible still does for lookups only."""
    if isinstance(term, EmbeddedText):
        return context.environment.templar.produce(str(term), context.scope)
    if type(term) in (list, tuple):
        return type(term)(_embedded_rendered(item, context) for item in term)
    if type(term) is dict:
        return {key: _embedded_rendered(item, context) for key, item in term.items()}
    return term


class LookupCall(NamedTuple):
    """A call of a lookup that stands in a template, to be carried out by itself."""

    #: Gives what it comes to. Raises TemplateFailure.
    carry_out: Callable[[Scope], Any]
    #: It depends on no variable.
    alike_everywhere: bool
    #: There is no going on without it.
    needed: bool = True


def looked_up(templar: Templar, name: str, over: Any, scope: Scope, **options: Any) -> list[Any]:
    """What ``with_`` and a lookup's name goes over. Raises TemplateFailure."""
    terms = templar.render(over.strip(), scope) if isinstance(over, str) else over
    terms = terms if isinstance(terms, (list, tuple)) else [terms]
    if name == "first_found":
        terms = _without_undefined(templar, terms, scope)
    else:
        terms = [templar.render(term, scope) for term in terms]
    access = templar.access
    before, access.strict = access.strict, True
    try:
        found = listed(LOOKUPS[name](Call(templar.lookups, scope, templar), terms, **options))
    except TemplateFailure:
        raise
    except Exception as error:
        raise TemplateFailure(f"The lookup plugin {name!r} failed: {error}") from None
    finally:
        access.strict = before
    if (marker := first_marker(tuple(found))) is not None:
        marker._trip()
    return list(found)


def _without_undefined(templar: Templar, value: Any, scope: Scope) -> Any:
    """``value`` rendered; what is undefined in it left out."""
    if isinstance(value, Mapping):
        return dict(_rendered_pairs(templar, value.items(), scope))
    if isinstance(value, (list, tuple)):
        return [one for _, one in _rendered_pairs(templar, enumerate(value), scope)]
    return templar.render(value, scope)


def _rendered_pairs(templar: Templar, pairs: Iterable[tuple[Any, Any]], scope: Scope) -> Iterator[tuple[Any, Any]]:
    for key, value in pairs:
        with contextlib.suppress(UndefinedVariable):
            yield key, _without_undefined(templar, value, scope)


def unknown_lookup(name: str) -> str:
    """What to say of a lookup that there is not."""
    name = bare(name)
    if name in REFUSED:
        return f"the lookup {name!r} is not supported: {REFUSED[name]}"
    near = nearest(name, LOOKUPS)
    return f"The lookup plugin {name!r} was not found." + (f" Did you mean {near!r}?" if near else "")


def env(call: Call, terms: list[Any], default: Any = "") -> list[Any]:
    """Environment variables. An undefined ``default`` makes a missing one an error."""
    return [_environment_variable(call, term, default) for term in terms]


def _environment_variable(call: Call, term: str, default: Any) -> Any:
    name = term.split()[0]
    value = call.surroundings.environment.get(name, default)
    return UndefinedMarker(f"The environment variable {name!r} is not set.") if isinstance(value, Marker) else value


def file(call: Call, terms: list[Any], rstrip: bool = True, lstrip: bool = False, **_ignored: Any) -> list[str]:
    """The texts of files, without the white space at their ends."""
    return [_file_text(call, path, rstrip, lstrip) for path in terms]


def _file_text(call: Call, path: str, rstrip: bool, lstrip: bool) -> str:
    try:
        text = call.read(path, "files")
    except FileNotFoundError:
        raise ValueError(f"Unable to access the file {path!r}: File not found.") from None
    text = text.lstrip() if lstrip else text
    return text.rstrip() if rstrip else text


def variables(call: Call, terms: list[Any], default: Any = None) -> list[Any]:
    """Variables by name."""
    return [_variable(call, name, default) for name in terms]


def _variable(call: Call, name: Any, default: Any) -> Any:
    if not isinstance(name, str):
        raise TypeError(f"Variable name must be 'str' not {type_name(name)!r}.")
    value = call.scope.take(name)
    if value is not missing:
        return value
    return UndefinedMarker(f"No variable named {name!r} was found.") if default is None else default


def items(_call: Call, terms: list[Any]) -> list[Any]:
    """The terms, lists among them taken apart once."""
    return _flat(terms)


def as_list(_call: Call, terms: list[Any]) -> list[Any]:
    """The terms as they are."""
    return terms


def indexed_items(_call: Call, terms: list[Any]) -> list[Any]:
    """Each item with its index."""
    return list(enumerate(_flat(terms)))


def dictionary(_call: Call, terms: list[Any]) -> list[Any]:
    """The keys and values of dictionaries."""
    for term in terms:
        if not isinstance(term, Mapping):
            raise TypeError(f"the 'dict' lookup plugin expects a dictionary, got '{term}' of type {type(term)}")
    return [{"key": key, "value": term[key]} for term in terms for key in term]


def nested(_call: Call, terms: list[Any]) -> list[Any]:
    """Every combination of the lists' items."""
    if not terms:
        raise ValueError("with_nested requires at least one element in the nested list")
    combined = [[item] for item in terms[0]]
    for term in terms[1:]:
        combined = bounds.listed([*so_far, *_flat([item])] for so_far in combined for item in term)
    return [_flat(combination) for combination in combined]


def together(_call: Call, terms: list[Any]) -> list[Any]:
    """The lists' first items together, then their second ones, …; None where one is shorter."""
    if not terms:
        raise ValueError("with_together requires at least one element in each list")
    return [_flat(row) for row in itertools.zip_longest(*terms)]


def cartesian(_call: Call, terms: list[Any]) -> list[Any]:
    """Every combination of the lists' items; text is a list of one."""
    if not terms:
        raise ValueError("with_cartesian requires at least one element in each list")
    lists = [term if isinstance(term, (list, tuple)) else [term] for term in terms]
    return bounds.listed(_flat(row) for row in itertools.product(*lists))


def flattened(_call: Call, terms: list[Any]) -> list[Any]:
    """The terms, lists among them taken apart however deep they are."""
    return [
        one for term in terms for one in (flattened(_call, list(term)) if isinstance(term, (list, tuple)) else [term])
    ]


def random_choice(_call: Call, terms: list[Any], random: Random | None = None) -> list[Any]:
    """One of the terms."""
    return [(random or SystemRandom()).choice(terms)] if terms else terms


def varnames(call: Call, terms: list[Any]) -> list[str]:
    """The names of variables that match the patterns."""
    return [name for term in terms for name in call.scope if re.search(term, name)]


def inventory_hostnames(call: Call, terms: list[Any]) -> list[str]:
    """The hosts that a pattern names."""
    words = [word for term in terms for word in re.split(r"[,:]", str(term)) if word]
    plain = [word for word in words if word[0] not in "!&"] or ["all"]
    chosen = list(dict.fromkeys(host for word in plain for host in _named_hosts(call, word)))
    for word in sorted((word for word in words if word[0] in "!&"), key=lambda word: word[0] == "!"):
        hosts = set(_named_hosts(call, word[1:]))
        chosen = [host for host in chosen if (host in hosts) == (word[0] == "&")]
    return chosen


def _named_hosts(call: Call, word: str) -> list[str]:
    """The hosts of the groups that ``word`` matches, else the hosts that it matches."""
    groups = call.scope.take("groups")
    fits = re.compile(word[1:] if word.startswith("~") else fnmatch.translate(word)).match
    of_groups = [host for name, hosts in groups.items() if fits(name) for host in hosts]
    return of_groups or [host for host in groups["all"] if fits(host)]


def _flat(terms: Any) -> list[Any]:
    return [item for term in terms for item in (term if isinstance(term, (list, tuple)) else (term,))]


def subelements(_call: Call, terms: list[Any]) -> list[Any]:
    """Each parent, without its list under the dotted path, together with each element of that list."""
    if not 2 <= len(terms) <= 3 or not isinstance(terms[0], (list, dict)) or not isinstance(terms[1], str):
        raise TypeError("subelements lookup expects a list or dict, the path of a list in its items, and flags")
    flags = terms[2] if len(terms) == 3 else {}
    if not isinstance(flags, dict) or set(flags) - {"skip_missing"}:
        raise TypeError("the optional third item must be a dict with the flag skip_missing")
    parents, path = terms[0], terms[1].split(".")
    if isinstance(parents, dict):
        if parents.get("skipped", False) is not False:
            return []
        parents = list(parents.values())
    skip_missing = str(flags.get("skip_missing", False)).lower() in ("y", "yes", "on", "1", "true", "t")
    return [pair for parent in parents for pair in _subelement_pairs(parent, path, skip_missing)]


def _subelement_pairs(parent: Any, path: list[str], skip_missing: bool) -> list[Any]:
    if not isinstance(parent, dict):
        raise TypeError(f"subelements lookup expects a dictionary, got '{parent}'")
    if parent.get("skipped", False) is not False:
        return []
    parent, elements = _taken_out(parent, path, skip_missing)
    return [(parent, element) for element in elements]


def _taken_out(parent: Any, path: list[str], skip_missing: bool) -> tuple[dict[Any, Any], list[Any]]:
    """``parent`` without the list at ``path``, and that list."""
    key, rest = path[0], path[1:]
    if key not in parent:
        if skip_missing:
            return parent, []
        raise KeyError(f"could not find '{key}' key in iterated item '{parent}'")
    value = parent[key]
    if not rest:
        if not isinstance(value, list):
            raise TypeError(f"the key {key} should point to a list, got '{value}'")
        return {name: item for name, item in parent.items() if name != key}, list(value)
    if not isinstance(value, dict):
        if skip_missing:
            return parent, []
        raise TypeError(f"the key {key} should point to a dictionary, got '{value}'")
    inner, elements = _taken_out(value, rest, skip_missing)
    return {**parent, key: inner}, elements


LOOKUPS: Final[dict[str, Callable[..., Any]]] = {
    **dict.fromkeys(("cartesian", "community.general.cartesian"), cartesian),
    "csvfile": machine_lookups.csvfile,
    "dict": dictionary,
    "env": env,
    "file": file,
    "fileglob": machine_lookups.fileglob,
    "first_found": machine_lookups.first_found,
    **dict.fromkeys(("flattened", "community.general.flattened"), flattened),
    "indexed_items": indexed_items,
    "ini": machine_lookups.ini,
    "inventory_hostnames": inventory_hostnames,
    "items": items,
    "lines": machine_lookups.lines,
    "list": as_list,
    "nested": nested,
    "password": random_passwords.password,
    "pipe": machine_lookups.pipe,
    "random_choice": random_choice,
    "sequence": sequences.sequence,
    "subelements": subelements,
    "template": machine_lookups.template,
    "together": together,
    "unvault": machine_lookups.unvault,
    "url": machine_lookups.url,
    "varnames": varnames,
    "vars": variables,
}
#: Those that look at the machine that submits.
OF_THE_MACHINE: Final = frozenset(
    (
        *("csvfile", "env", "file", "fileglob", "first_found", "ini", "lines", "password", "pipe", "template"),
        *("unvault", "url"),
    )
)
