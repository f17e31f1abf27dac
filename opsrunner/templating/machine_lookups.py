"""The lookups that look at the machine that submits: at its files and the output of its programs."""

from __future__ import annotations

import configparser
import csv
import io
import posixpath
import re
import shlex
from collections.abc import Mapping
from typing import Any, Final

from opsrunner.templating.surroundings import Call

_YES: Final = frozenset(("y", "yes", "on", "1", "true", "t"))


#: What the lookup ``template`` may be told of a template; all else it takes no notice of, as Ansible's.
_TEMPLATE_RULES: Final = (
    *("variable_start_string", "variable_end_string", "comment_start_string", "comment_end_string"),
    *("block_start_string", "block_end_string", "trim_blocks", "lstrip_blocks"),
)


def _is_true(value: Any) -> bool:
    return str(value).strip().lower() in _YES


def fileglob(call: Call, terms: list[Any]) -> list[str]:
    """The paths of files that match the patterns."""
    return [path for term in terms for path in call.machine.glob(_pattern(term), call.scope.search)]


def _pattern(term: Any) -> str:
    if not isinstance(term, str):
        raise TypeError(f"a pattern is a text, not {type(term).__name__}")
    return term


def pipe(call: Call, terms: list[Any]) -> list[str]:
    """The output of each line of shell."""
    return [_output(call, "pipe", term).rstrip() for term in terms]


def lines(call: Call, terms: list[Any]) -> list[str]:
    """The lines that lines of shell give."""
    return [line for term in terms for line in _output(call, "lines", term).splitlines()]


def _output(call: Call, name: str, line: Any) -> str:
    code, output = call.machine.run(str(line))
    if code:
        raise ValueError(f"lookup_plugin.{name}({line}) returned {code}")
    return output


def template(call: Call, terms: list[Any], template_vars: Mapping[str, Any] | None = None, **rules: Any) -> list[Any]:
    """Template files rendered, with ``template_vars`` above the other variables."""
    rules = {name: value for name, value in rules.items() if name in _TEMPLATE_RULES}
    return [_rendered(call, str(term), template_vars or {}, rules) for term in terms]


def _rendered(call: Call, path: str, template_vars: Mapping[str, Any], rules: Mapping[str, Any]) -> Any:
    scope = call.scope.child({**call.templar.about_template(call.scope, {"template_path": path}), **template_vars})
    return call.templar.render_file(_template_text(call, path), scope, **rules)


def _template_text(call: Call, path: str) -> str:
    try:
        return call.read(path, "templates")
    except FileNotFoundError:
        raise ValueError(f"the template file {path} could not be found for the lookup") from None


def unvault(call: Call, terms: list[Any]) -> list[str]:
    """The texts of files, opened where they are encrypted."""
    return [_file_text(call, str(path)) for path in terms]


def first_found(
    call: Call, terms: list[Any], files: Any = (), paths: Any = (), skip: Any = False, folder: str = ""
) -> list[str]:
    """The first of several files that is there."""
    options = {"files": files, "paths": paths, "skip": skip}
    for path in _searched(terms or _words(files, ",;"), options):
        found = call.machine.find(path, folder, call.scope.search)
        if found is not None:
            return [found]
    if _is_true(options["skip"]):
        return []
    raise ValueError("No file was found when using first_found.")


def _searched(terms: Any, options: dict[str, Any]) -> list[str]:
    """Every path to try, in order. What a mapping among the terms says holds for those after it, too."""
    found: list[str] = []
    for term in terms:
        if isinstance(term, Mapping):
            options.update(term)
            names = _words(options["files"], ",;")
        elif isinstance(term, str):
            names = _words(term, ",;")
        elif isinstance(term, (list, tuple)):
            found += _searched(term, options)
            continue
        else:
            raise TypeError(f"Invalid term supplied. A string, dict or list is required, not {type(term).__name__!r}).")
        folders = _words(options["paths"], ",:;")
        found += [posixpath.join(one, name) for one in folders for name in names] if folders else names
    return found


def _words(value: Any, separators: str) -> list[str]:
    if isinstance(value, str):
        return re.split(f"[{separators}]", value)
    return [word for one in value for word in _words(str(one), separators)]


def url(call: Call, terms: list[Any], **options: Any) -> list[str]:
    """The lines that are at addresses, or with ``split_lines=False`` all of each in one."""
    given: dict[str, Any] = {
        "validate_certs": True,
        "use_proxy": True,
        "use_netrc": True,
        "force": False,
        "force_basic_auth": False,
        "username": None,
        "password": None,
        "headers": {},
        "timeout": 10,
        "http_agent": "ansible-httpget",
        "follow_redirects": "urllib2",
        "ca_path": None,
        "split_lines": True,
    }
    strange = sorted(set(options) - set(given))
    if strange:
        raise ValueError(f"the lookup url has no option {strange[0]!r} here; there are {', '.join(sorted(given))}")
    given |= options
    for name in ("validate_certs", "use_proxy", "use_netrc", "force", "force_basic_auth"):
        given[name] = _is_true(given[name])
    whole = not _is_true(given.pop("split_lines"))
    texts = (call.machine.fetch(str(term), given) for term in terms)
    return list(texts) if whole else [line for text in texts for line in text.splitlines()]


def csvfile(call: Call, terms: list[Any], **options: Any) -> list[Any]:
    """The column beside a key in a file of separated values."""
    given: dict[str, Any] = {
        "col": 1,
        "keycol": 0,
        "default": None,
        "delimiter": "TAB",
        "file": "ansible.csv",
        "encoding": "utf-8",
    }
    if not terms:
        raise ValueError("Search key is required but was not found")
    found: list[Any] = []
    given |= _known(options, given)
    for term in terms:
        words = shlex.split(str(term))
        given |= _known(dict(word.split("=", 1) for word in words if "=" in word), given)
        key = " ".join(word for word in words if "=" not in word)
        delimiter = "\t" if given["delimiter"] == "TAB" else str(given["delimiter"])
        text = _file_text(call, str(given["file"]))
        rows = csv.reader(io.StringIO(text), dialect=csv.excel, delimiter=delimiter)
        value = next(
            (row[int(given["col"])] for row in rows if row and row[int(given["keycol"])] == key), given["default"]
        )
        found += [] if value is None else value if isinstance(value, list) else [value]
    return found


def ini(call: Call, terms: list[Any], **options: Any) -> list[Any]:
    """The value of a key in a section of an ini file, or of all keys that a pattern matches."""
    given: dict[str, Any] = {
        "type": "ini",
        "file": "ansible.ini",
        "section": "global",
        "re": False,
        "encoding": "utf-8",
        "default": "",
        "case_sensitive": False,
        "allow_no_value": False,
        "interpolation": True,
    }
    options = {("allow_no_value" if name == "allow_none" else name): value for name, value in options.items()}
    given |= _known(options, given)
    found: list[Any] = []
    for term in terms:
        words = str(term).split()
        key = " ".join(word for word in words if "=" not in word)
        if not key:
            raise ValueError(f"Could not use {term!r}: it names no key")
        given |= _known(dict(word.split("=", 1) for word in words if "=" in word), given)
        value = _ini_value(_file_text(call, str(given["file"])), key, given)
        found += [] if value is None else value if isinstance(value, list) else [value]
    return found


def _ini_value(text: str, key: str, given: Mapping[str, Any]) -> Any:
    section = str(given["section"])
    if given["type"] == "properties":
        section, text = "java_properties", f"[java_properties]\n{text}"
    parser = configparser.ConfigParser(
        allow_no_value=_is_true(given["allow_no_value"]),
        interpolation=configparser.BasicInterpolation() if _is_true(given["interpolation"]) else None,
    )
    if _is_true(given["case_sensitive"]):
        parser.optionxform = str  # type: ignore[assignment, method-assign]
    try:
        parser.read_string(text)
        if _is_true(given["re"]):
            return [value for name, value in parser.items(section) if re.match(key, name)]
        return parser.get(section, key)
    except configparser.NoOptionError:
        return given["default"]
    except configparser.NoSectionError:
        raise ValueError(f"No section {section!r} in {given['file']!r}.") from None
    except configparser.DuplicateOptionError:
        raise ValueError(f"Duplicate option in {given['file']!r}.") from None


def _known(options: Mapping[str, Any], known: Mapping[str, Any]) -> Mapping[str, Any]:
    for name in options:
        if name not in known:
            raise ValueError(f"{name!r} is not a valid option.")
    return options


def _file_text(call: Call, path: str) -> str:
    try:
        return call.read(path, "files")
    except FileNotFoundError:
        raise ValueError(f"Unable to access the file {path!r}: File not found.") from None
