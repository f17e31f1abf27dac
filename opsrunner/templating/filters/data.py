"""Filters over lists and dictionaries."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, MutableMapping, MutableSequence
from random import Random, SystemRandom
from typing import Any, Final

from jinja2 import pass_environment
from jinja2.filters import do_unique

from opsrunner.templating import bounds
from opsrunner.templating.plugins import is_list

_LIST_MERGES: Final = ("replace", "keep", "append", "prepend", "append_rp", "prepend_rp")


def combine(*terms: Any, recursive: Any = False, list_merge: str = "replace") -> Any:
    """The dictionaries merged, later ones winning; lists of dictionaries are taken apart first."""
    if list_merge not in _LIST_MERGES:
        known = ", ".join(map(repr, _LIST_MERGES))
        raise ValueError(f"'list_merge' must be one of {known}, not {list_merge!r}")
    dictionaries = flatten(terms, levels=1)
    for dictionary in dictionaries if len(dictionaries) > 1 else ():
        if not isinstance(dictionary, MutableMapping):
            raise TypeError(f"failed to combine variables, expected dicts but got {type(dictionary).__name__!r}")
    merged: Any = {}
    for number, dictionary in enumerate(reversed(dictionaries)):
        merged = dictionary if number == 0 else _merged(dictionary, merged, bool(recursive), list_merge)
    return merged


def _merged(low: Any, high: Any, recursive: bool, list_merge: str) -> dict[Any, Any]:
    result = dict(low)
    bounds.spend(len(result))
    for key, value in high.items():
        result[key] = _merged_value(result[key], value, recursive, list_merge) if key in result else value
    return result


def _merged_value(low: Any, high: Any, recursive: bool, list_merge: str) -> Any:
    if isinstance(low, MutableMapping) and isinstance(high, MutableMapping):
        return _merged(low, high, recursive, list_merge) if recursive else high
    if isinstance(low, MutableSequence) and isinstance(high, MutableSequence):
        return _merged_lists(list(low), list(high), list_merge)
    return high


def _merged_lists(low: list[Any], high: list[Any], list_merge: str) -> list[Any]:
    if list_merge == "keep":
        return low
    if list_merge.endswith("_rp"):
        low = [item for item in low if item not in high]
    if list_merge.startswith("append"):
        return low + high
    if list_merge.startswith("prepend"):
        return high + low
    return high


def flatten(values: Iterable[Any], levels: Any = None, skip_nulls: Any = True) -> list[Any]:
    """Nested lists as one, down to ``levels`` (None: all); nulls are left out unless told otherwise."""
    flat: list[Any] = []
    for value in bounds.turns(values):
        if skip_nulls and value in (None, "None", "null"):
            continue
        if is_list(value) and (levels is None or levels >= 1):
            flat += flatten(value, None if levels is None else int(levels) - 1, skip_nulls)
        else:
            flat.append(value)
    return flat


def dict2items(dictionary: Any, key_name: str = "key", value_name: str = "value") -> list[dict[str, Any]]:
    """A dictionary as a list of its keys and values."""
    if not isinstance(dictionary, Mapping):
        raise TypeError(f"dict2items requires a dictionary, got {type(dictionary)} instead.")
    return [{key_name: key, value_name: dictionary[key]} for key in dictionary]


def items2dict(items: Any, key_name: str = "key", value_name: str = "value") -> dict[Any, Any]:
    """A list of keys and values as a dictionary."""
    if not is_list(items):
        raise TypeError(f"items2dict requires a list, got {type(items)} instead.")
    try:
        return {item[key_name]: item[value_name] for item in items}
    except KeyError:
        raise TypeError(
            f"items2dict requires each dictionary in the list to contain the keys {key_name!r} and {value_name!r}, "
            f"got {items} instead.",
        ) from None
    except TypeError:
        raise TypeError(f"items2dict requires a list of dictionaries, got {items} instead.") from None


def subelements(parents: Any, path: Any, skip_missing: Any = False) -> list[tuple[Any, Any]]:
    """Each parent with each element of the list found under the dotted ``path`` in it."""
    if not isinstance(parents, (dict, list)):
        raise TypeError("obj must be a list of dicts or a nested dict")
    if not isinstance(path, (list, str)):
        raise TypeError("subelements must be a list or a string")
    keys = path.split(".") if isinstance(path, str) else list(path)
    pairs: list[tuple[Any, Any]] = []
    for parent in parents.values() if isinstance(parents, dict) else list(parents):
        pairs += [(parent, element) for element in _elements(parent, keys, skip_missing)]
    return pairs


def _elements(parent: Any, keys: list[Any], skip_missing: Any) -> list[Any]:
    found = parent
    for key in keys:
        try:
            found = found[key]
        except KeyError:
            if skip_missing:
                return []
            raise KeyError(f"could not find {key!r} key in iterated item {found!r}") from None
        except TypeError:
            raise TypeError(f"the key {key} should point to a dictionary, got {found!r}") from None
    if not isinstance(found, list):
        raise TypeError(f"the key {keys[-1]!r} should point to a list, got {found!r}")
    return found


@pass_environment
def unique(environment: Any, values: Any, case_sensitive: Any = None, attribute: Any = None) -> list[Any]:
    """The values without repetitions, in their order; text is compared without case unless told otherwise."""
    try:
        return list(do_unique(environment, values, bool(case_sensitive), attribute))
    except TypeError as error:
        if case_sensitive is False or attribute:
            raise TypeError(f"unique cannot compare these values so: {error}") from error
        return _unique_unhashable(values)


def _unique_unhashable(values: Iterable[Any]) -> list[Any]:
    kept: list[Any] = []
    for value in values:
        if value not in kept:
            kept.append(value)
    return kept


def _set_operation(choose: Callable[..., Iterable[Any]]) -> Callable[[Any, Any], list[Any]]:
    """A set operation that keeps the order of its operands, where Ansible's is by chance."""

    def operation(left: Any, right: Any) -> list[Any]:
        left, right = list(left), list(right)
        try:
            return list(dict.fromkeys(choose(left, right, set(left), set(right))))
        except TypeError:
            return _unique_unhashable(choose(left, right, left, right))

    return operation


def _union(left: list[Any], right: list[Any], _in_left: Any, _in_right: Any) -> list[Any]:
    return left + right


def _intersect(left: list[Any], _right: list[Any], _in_left: Any, in_right: Any) -> list[Any]:
    return [value for value in left if value in in_right]


def _difference(left: list[Any], _right: list[Any], _in_left: Any, in_right: Any) -> list[Any]:
    return [value for value in left if value not in in_right]


def _symmetric_difference(left: list[Any], right: list[Any], in_left: Any, in_right: Any) -> list[Any]:
    return [value for value in left if value not in in_right] + [value for value in right if value not in in_left]


@pass_environment
def extract(environment: Any, item: Any, container: Any, morekeys: Any = None) -> Any:
    """``container[item]``, and what is found in it by ``morekeys``."""
    keys = [] if morekeys is None else morekeys if isinstance(morekeys, list) else [morekeys]
    value = container
    for key in [item, *keys]:
        value = environment.getitem(value, key)
    return value


def rekey_on_member(data: Any, key: str, duplicates: str = "error") -> dict[Any, Any]:
    """A dictionary of the given dictionaries by their member ``key``; ``duplicates``: error or overwrite."""
    if duplicates not in ("error", "overwrite"):
        raise ValueError(f"duplicates parameter to rekey_on_member has unknown value {duplicates!r}")
    if isinstance(data, (str, bytes)) or not isinstance(data, (Mapping, Iterable)):
        raise TypeError("Type is not a valid list, set, or dict")
    rekeyed: dict[Any, Any] = {}
    for item in data.values() if isinstance(data, Mapping) else data:
        if not isinstance(item, Mapping):
            raise TypeError("List item is not a valid dict")
        if key not in item:
            raise KeyError(f"Key {key!r} was not found.")
        if item[key] in rekeyed and duplicates == "error":
            raise ValueError(f"Key {item[key]!r} is not unique, cannot convert to dict.")
        rekeyed[item[key]] = item
    return rekeyed


def random(end: Any, start: Any = None, step: Any = None, seed: Any = None) -> Any:
    """A number below ``end``, or an item of it; the same one for the same ``seed``."""
    chance = SystemRandom() if seed is None else Random(seed)
    if isinstance(end, int):
        return chance.randrange(start or 0, end, step or 1)
    if not hasattr(end, "__iter__"):
        raise TypeError("random can only be used on sequences and integers")
    if start or step:
        raise TypeError("start and step can only be used with integer values")
    return chance.choice(end)


def shuffle(values: Any, seed: Any = None) -> Any:
    """The values in another order; the same one for the same ``seed``. What is no list stays as it is."""
    try:
        shuffled = list(values)
    except TypeError:
        return values
    (Random(seed) if seed else SystemRandom()).shuffle(shuffled)
    return shuffled


FILTERS: Final[dict[str, Callable[..., Any]]] = {
    "combine": combine,
    "flatten": flatten,
    "dict2items": dict2items,
    "items2dict": items2dict,
    "subelements": subelements,
    "unique": unique,
    "union": _set_operation(_union),
    "intersect": _set_operation(_intersect),
    "difference": _set_operation(_difference),
    "symmetric_difference": _set_operation(_symmetric_difference),
    "extract": extract,
    "rekey_on_member": rekey_on_member,
    "random": random,
    "shuffle": shuffle,
    "zip": zip,
    "zip_longest": itertools.zip_longest,
    "product": itertools.product,
    "permutations": itertools.permutations,
    "combinations": itertools.combinations,
}
