"""What can be said of a template without rendering it: its faults, and the variables it names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from jinja2 import TemplateSyntaxError, nodes
from jinja2.meta import TrackingCodeGenerator

from opsrunner.templating import disk, filters, lookups, tests
from opsrunner.templating.lazy import possibly_template
from opsrunner.templating.markers import nearest
from opsrunner.templating.plugins import bare
from opsrunner.templating.random_passwords import NOWHERE

_LOOKUPS = ("lookup", "query", "q")
#: Filters that look at the environment. What is not known before the run need not be there.
_EXPANDING = ("expanduser", "expandvars")
#: Filters whose first argument may name a filter, and those whose argument may name a test.
_NAMES_FILTER = {"map": 0}
_NAMES_TEST = {"select": 0, "reject": 0, "selectattr": 1, "rejectattr": 1}


def faults(tree: nodes.Template, known: Mapping[str, Mapping[str, Any]], *, may_include: bool) -> list[str]:
    """Filters, tests and lookups that there are not; ``known`` has the names of each kind."""
    found: list[str] = []
    for node in tree.find_all((nodes.Filter, nodes.Test, nodes.Call, nodes.Include, nodes.Import, nodes.FromImport)):
        if isinstance(node, nodes.Filter):
            found += _unknown("filter", node.name, known) + _named_by_argument(node, known)
        elif isinstance(node, nodes.Test):
            found += _unknown("test", node.name, known)
        elif isinstance(node, nodes.Call):
            found += _unknown_lookup(node)
        elif not may_include:
            found.append("a template in a playbook cannot include or import another: put it into a template file")
    return list(dict.fromkeys(found))


def _unknown(kind: str, name: str, known: Mapping[str, Mapping[str, Any]]) -> list[str]:
    if name in known[kind]:
        why = filters.missing_library(name) if kind == "filter" else None
        return [f"the filter {name!r} is not supported here: {why}"] if why else []
    refused = filters.REFUSED if kind == "filter" else tests.REFUSED
    if bare(name) in refused:
        return [f"the {kind} {bare(name)!r} is not supported: {refused[bare(name)]}"]
    near = nearest(bare(name), [other for other in known[kind] if "." not in other])
    collection, dot, _ = bare(name).rpartition(".")
    there = sorted(other for other in known[kind] if dot and other.startswith(f"{collection}."))
    if there:
        return [f"no {kind} named {name!r}: of that collection there are {', '.join(there)}"]
    return [f"no {kind} named {name!r}" + (f": did you mean {near!r}?" if near else "")]


def _named_by_argument(node: nodes.Filter, known: Mapping[str, Mapping[str, Any]]) -> list[str]:
    for kind, places in (("filter", _NAMES_FILTER), ("test", _NAMES_TEST)):
        named = _named(node, places)
        if named is not None:
            return _unknown(kind, named, known)
    return []


def _named(node: nodes.Filter, places: Mapping[str, int]) -> str | None:
    """The filter or test that is named by the argument at the filter's place among ``places``."""
    place = places.get(bare(node.name or ""))
    argument = node.args[place] if place is not None and len(node.args) > place else None
    return argument.value if isinstance(argument, nodes.Const) and isinstance(argument.value, str) else None


def _lookup_arguments(call: nodes.Call) -> list[str]:
    """The leading constants of a call of ``lookup``: its plugin's name and terms."""
    if not isinstance(call.node, nodes.Name) or call.node.name not in _LOOKUPS:
        return []
    constants: list[str] = []
    for argument in call.args:
        if not isinstance(argument, nodes.Const) or not isinstance(argument.value, str):
            break
        constants.append(argument.value)
    return constants


def machine_lookups(tree: nodes.Template) -> list[nodes.Call | nodes.Filter | nodes.Test]:
    """Lookups, filters and tests that look at the machine that submits, and lookups whose plugin is not known yet."""
    calls: list[nodes.Call | nodes.Filter | nodes.Test] = []
    calls += [one for one in tree.find_all(nodes.Call) if _is_of_the_machine(one)]
    calls += [one for one in tree.find_all(nodes.Filter) if _names(one) & {*_EXPANDING, *disk.FILTERS, *_DISK_TESTS}]
    return calls + [one for one in tree.find_all(nodes.Test) if bare(one.name) in disk.TESTS]


def is_needed(call: nodes.Call | nodes.Filter | nodes.Test) -> bool:
    """Whether there is no going on without what it finds."""
    return not (isinstance(call, nodes.Filter) and _names(call) & {*_EXPANDING})


#: How the tests are marked in :func:`_names`, so that none is taken for a filter of its name.
_DISK_TESTS = frozenset(f"is {name}" for name in disk.TESTS)


def _names(node: nodes.Filter) -> set[str]:
    """The filter, and the filter or test that it is told to apply."""
    found = {bare(node.name)}
    for prefix, places in (("", _NAMES_FILTER), ("is ", _NAMES_TEST)):
        named = _named(node, places)
        if named is not None:
            found.add(prefix + bare(named))
    return found


def _is_of_the_machine(call: nodes.Call) -> bool:
    if not isinstance(call.node, nodes.Name) or call.node.name not in _LOOKUPS:
        return False
    named = _lookup_arguments(call)
    if named and bare(named[0]) == "password" and named[1:] and named[1].split(" ")[0] == NOWHERE:
        return False
    return not named or bare(named[0]) in lookups.OF_THE_MACHINE


def has_own_names(tree: nodes.Template) -> bool:
    """Whether the template gives values to names of its own."""
    own = (nodes.For, nodes.Assign, nodes.AssignBlock, nodes.Macro, nodes.With)
    return next(tree.find_all(own), None) is not None


def is_constant(call: nodes.Call | nodes.Filter | nodes.Test) -> bool:
    """Whether a lookup gives the same in every scope: none of its arguments is, or holds, a template."""
    if not isinstance(call, nodes.Call):
        return all(isinstance(one, nodes.Const) for one in (call.node, *call.args)) and not call.kwargs
    constants = _lookup_arguments(call)
    if len(constants) != len(call.args) or call.kwargs or call.dyn_args or call.dyn_kwargs:
        return False
    return bare(constants[0]) != "template" and not any(map(possibly_template, constants))


def _unknown_lookup(call: nodes.Call) -> list[str]:
    for name in _lookup_arguments(call)[:1]:
        if bare(name) not in lookups.LOOKUPS:
            return [lookups.unknown_lookup(name)]
    return []


def undeclared(tree: nodes.Template, global_names: Mapping[str, Any]) -> set[str]:
    """The variables that ``tree`` refers to, those named by ``lookup('vars', …)`` included."""
    generator = TrackingCodeGenerator(tree.environment)  # type: ignore[arg-type]
    # It would work out constants: {[]: 1} raises, and who only asks for names need not wait for 9 ** 9 ** 9.
    generator.optimizer = None
    try:
        generator.visit(tree)
        names = generator.undeclared_identifiers
    except TemplateSyntaxError:  # a filter or test there is not: then the template's own names count too
        names = {name.name for name in tree.find_all(nodes.Name) if name.ctx == "load"}
    names -= set(global_names)
    for call in tree.find_all(nodes.Call):
        plugin, *terms = _lookup_arguments(call) or [""]
        if bare(plugin) == "vars":
            names.update(terms)
    return names


def embedded(tree: nodes.Template, *, everywhere: bool) -> Iterator[str]:
    """String constants that look like templates themselves: lookups' terms, or all of them."""
    if everywhere:
        texts = [constant.value for constant in tree.find_all(nodes.Const) if isinstance(constant.value, str)]
    else:
        texts = [text for call in tree.find_all(nodes.Call) for text in _lookup_arguments(call)[1:]]
    return (text for text in texts if possibly_template(text))


def strings(value: Any) -> Iterator[str]:
    """Every string in ``value`` that looks like a template, keys of dictionaries left out."""
    if isinstance(value, str):
        if possibly_template(value):
            yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from strings(item)
    elif isinstance(value, (list, tuple, set, frozenset)):
        for item in value:
            yield from strings(item)
