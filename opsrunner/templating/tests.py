"""The tests (``is …``) that Ansible adds to Jinja's."""

from __future__ import annotations

import math
import posixpath
import re
from collections.abc import Callable, Mapping, MutableMapping
from typing import Any, Final, cast
from urllib.parse import urlparse

from jinja2.tests import TESTS

from opsrunner.templating import disk
from opsrunner.templating.markers import Marker, UndefinedMarker, is_plain_undefined
from opsrunner.templating.plugins import Plugin, plugins, text
from opsrunner.templating.versions import compare

#: Ansible's tests that are refused, and why.
REFUSED: Final[Mapping[str, str]] = {
    "vault_encrypted": "secrets are opened before templates are rendered",
}
_TRUE = frozenset(("y", "yes", "on", "1", "true", "t"))
_FALSE = frozenset(("n", "no", "off", "0", "false", "f"))


def _result(value: Any, test: str) -> Mapping[str, Any]:
    if not isinstance(value, MutableMapping):
        raise TypeError(f"The {test!r} test expects a dictionary")
    return value


def failed(result: Any) -> bool:
    """Whether a registered result failed."""
    return bool(_result(result, "failed").get("failed"))


def succeeded(result: Any) -> bool:
    """Whether a registered result did not fail."""
    return not failed(result)


def unreachable(result: Any) -> bool:
    """Whether a registered result says that the host was not reached."""
    return bool(_result(result, "unreachable").get("unreachable"))


def reachable(result: Any) -> bool:
    """Whether a registered result says that the host was reached."""
    return not unreachable(result)


def skipped(result: Any) -> bool:
    """Whether a registered result says that the step was skipped."""
    return bool(_result(result, "skipped").get("skipped"))


def changed(result: Any) -> bool:
    """Whether a registered result, or one of a loop's results, changed something."""
    result = _result(result, "changed")
    if "changed" in result:
        return bool(result["changed"])
    items = result.get("results")
    if isinstance(items, list) and items and isinstance(items[0], MutableMapping):
        return any(bool(item.get("changed")) for item in items)
    return False


def timedout(result: Any) -> bool:
    """Whether a registered result ended by its time limit."""
    limit = _result(result, "timedout").get("timedout")
    return bool(limit and limit.get("period"))


def started(result: Any) -> bool:
    """Whether an async step has started; every other step has."""
    return bool(_result(result, "started").get("started", True))


def finished(result: Any) -> bool:
    """Whether an async step has finished; every other step has."""
    return bool(_result(result, "finished").get("finished", True))


def regex(
    value: Any = "",
    pattern: str = "",
    ignorecase: Any = False,
    multiline: Any = False,
    match_type: str = "search",
) -> bool:
    """Whether ``pattern`` is found; ``match_type`` is search, match or fullmatch."""
    flags = (re.IGNORECASE if ignorecase else 0) | (re.MULTILINE if multiline else 0)
    if match_type not in ("search", "match", "fullmatch"):
        raise ValueError(f"match_type must be search, match or fullmatch, not {match_type!r}")
    return bool(getattr(re.compile(pattern, flags), match_type)(text(value)))


def match(value: Any, pattern: str = "", ignorecase: Any = False, multiline: Any = False) -> bool:
    """Whether ``value`` begins with ``pattern``."""
    return regex(value, pattern, ignorecase, multiline, "match")


def search(value: Any, pattern: str = "", ignorecase: Any = False, multiline: Any = False) -> bool:
    """Whether ``pattern`` is anywhere in ``value``."""
    return regex(value, pattern, ignorecase, multiline, "search")


def truthy(value: Any, convert_bool: Any = False) -> bool:
    """Python's truth; with ``convert_bool`` words such as ``no`` and ``off`` are false."""
    if convert_bool and isinstance(value, (str, int, float)):
        word = text(value).lower().strip() if isinstance(value, str) else value
        if word in _TRUE or word == 1:
            return True
        if word in _FALSE or word == 0:
            return False
    return bool(value)


def falsy(value: Any, convert_bool: Any = False) -> bool:
    """The opposite of :func:`truthy`."""
    return not truthy(value, convert_bool)


def is_nan(value: Any) -> bool:
    """Whether it is the float that is not a number."""
    try:
        return math.isnan(value)
    except TypeError:
        return False


def uri(value: Any, schemes: Any = None) -> bool:
    """Whether it parses as a URI, of one of ``schemes`` if given."""
    try:
        scheme = urlparse(value).scheme
        return not schemes or scheme in schemes
    except Exception:
        return False


def url(value: Any, schemes: Any = None) -> bool:
    """Whether it is a URI with a host, or a file's."""
    if not uri(value, schemes):
        return False
    parsed = urlparse(value)
    return bool(parsed.netloc or parsed.scheme == "file")


def defined(value: Any) -> Any:
    """Whether it exists. A value that failed for another reason is no answer: the failure stays."""
    if isinstance(value, Marker):
        return False if isinstance(value, UndefinedMarker) else value
    return not is_plain_undefined(value)


def undefined(value: Any) -> Any:
    """The opposite of :func:`defined`."""
    answer = defined(value)
    return answer if isinstance(answer, Marker) else not answer


def all_tests() -> dict[str, Plugin]:
    """Every test there is, by its bare name."""
    own: dict[str, Callable[..., Any]] = {
        **dict.fromkeys(("failed", "failure"), failed),
        **dict.fromkeys(("succeeded", "success", "successful"), succeeded),
        "reachable": reachable,
        "unreachable": unreachable,
        "timedout": timedout,
        **dict.fromkeys(("changed", "change"), changed),
        **dict.fromkeys(("skipped", "skip"), skipped),
        "finished": finished,
        "started": started,
        "match": match,
        "search": search,
        "regex": regex,
        **dict.fromkeys(("version", "version_compare"), compare),
        "any": any,
        "all": all,
        "truthy": truthy,
        "falsy": falsy,
        **dict.fromkeys(("subset", "issubset"), lambda a, b: set(a) <= set(b)),
        **dict.fromkeys(("superset", "issuperset"), lambda a, b: set(a) >= set(b)),
        "contains": lambda sequence, value: value in sequence,
        **dict.fromkeys(("nan", "isnan"), is_nan),
        **dict.fromkeys(("abs", "is_abs"), posixpath.isabs),
        "uri": uri,
        "url": url,
        "urn": lambda value: uri(value, ["urn"]),
        **disk.TESTS,
    }
    aware = {
        "defined": Plugin(defined, takes_markers=True),
        "undefined": Plugin(undefined, takes_markers=True),
    }
    return {**plugins(cast(Any, TESTS)), **plugins(own), **aware}
