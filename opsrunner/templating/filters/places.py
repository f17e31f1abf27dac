"""Filters over paths, URLs and moments.

Where a path depends on surroundings (the home, the current directory, the environment) it is
the surroundings given to the Templar that count, not those of the process that happens to render.
"""

from __future__ import annotations

import datetime
import ntpath
import posixpath
import re
import time
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import unquote_plus, urlsplit

from jinja2 import pass_environment

from opsrunner.templating.plugins import is_list

_URL_PARTS: Final = ("fragment", "hostname", "netloc", "password", "path", "port", "query", "scheme", "username")
_VARIABLE: Final = re.compile(r"\$(?:(\w+)|\{([^}]*)\})", re.ASCII)


def path_join(paths: Any) -> str:
    """The parts of a path joined."""
    if isinstance(paths, str):
        return paths
    if is_list(paths):
        return str(posixpath.join(*paths))
    raise TypeError(f"|path_join expects string or sequence, got {type(paths)} instead.")


def commonpath(paths: Any) -> str:
    """The longest path that all of them begin with."""
    if not is_list(paths):
        raise TypeError(f"|commonpath expects sequence, got {type(paths)} instead.")
    return str(posixpath.commonpath(list(paths)))


@pass_environment
def expanduser(environment: Any, path: str) -> str:
    """The path with a leading ``~`` replaced by the home directory."""
    home = environment.templar.lookups.environment.get("HOME")
    if home and (path == "~" or path.startswith("~/")):
        return (home.rstrip("/") + path[1:]) or "/"
    return posixpath.expanduser(path)


@pass_environment
def expandvars(environment: Any, path: str) -> str:
    """The path with ``$NAME`` and ``${NAME}`` replaced; unknown names stay."""
    variables = environment.templar.lookups.environment
    return _VARIABLE.sub(lambda match: variables.get(match.group(1) or match.group(2), match.group()), path)


@pass_environment
def relpath(environment: Any, path: str, start: str = posixpath.curdir) -> str:
    """The path seen from ``start``."""
    return posixpath.relpath(_absolute(environment, path), _absolute(environment, start))


def _absolute(environment: Any, path: str) -> str:
    return posixpath.join(environment.templar.lookups.directory, path)


def url_split(value: str, query: str = "", alias: str = "urlsplit") -> Any:
    """The parts of a URL, or the one asked for."""
    if not isinstance(value, (str, bytes)):
        raise TypeError(f"{alias}: a URL is a text, not {type(value).__name__}")
    parsed = urlsplit(value)
    parts = {name: getattr(parsed, name) for name in _URL_PARTS}
    if query and query not in parts:
        raise ValueError(f"{alias}: unknown URL component: {query}")
    return parts[query] if query else parts


def to_datetime(value: str, format: str = "%Y-%m-%d %H:%M:%S") -> datetime.datetime:
    """The moment that the text names."""
    return datetime.datetime.strptime(value, format)


@pass_environment
def strftime(environment: Any, string_format: str, second: Any = None, utc: Any = False) -> str:
    """A moment (seconds since 1970, default now) by a format."""
    try:
        moment = environment.templar.clock() if second is None else float(second)
    except (TypeError, ValueError):
        raise ValueError(f"Invalid value for epoch value ({second})") from None
    return time.strftime(string_format, time.gmtime(moment) if utc else time.localtime(moment))


FILTERS: Final[dict[str, Callable[..., Any]]] = {
    "basename": posixpath.basename,
    "dirname": posixpath.dirname,
    "normpath": posixpath.normpath,
    "splitext": posixpath.splitext,
    "path_join": path_join,
    "commonpath": commonpath,
    "expanduser": expanduser,
    "expandvars": expandvars,
    "relpath": relpath,
    "urlsplit": url_split,
    "win_basename": ntpath.basename,
    "win_dirname": ntpath.dirname,
    "win_splitdrive": ntpath.splitdrive,
    "urldecode": unquote_plus,
    "to_datetime": to_datetime,
    "strftime": strftime,
}
