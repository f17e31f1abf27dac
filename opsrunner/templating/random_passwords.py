"""The lookup ``password``: a random password, the same one ever after where a file keeps it."""

from __future__ import annotations

import shlex
import string
from collections.abc import Mapping
from random import Random, SystemRandom
from typing import Any, Final, NamedTuple

from opsrunner.templating import bounds
from opsrunner.templating.password_hashes import SCHEMES, password_hash, random_salt
from opsrunner.templating.surroundings import Call

#: The file of who wants no file.
NOWHERE: Final = "/dev/null"
_DEFAULTS: Final[Mapping[str, Any]] = {
    "length": 20,
    "chars": ["ascii_letters", "digits", ".,:-_"],
    "encrypt": None,
    "ident": None,
    "seed": None,
}
_NAMED_CHARACTERS: Final = (
    *("ascii_letters", "ascii_lowercase", "ascii_uppercase", "digits", "hexdigits", "octdigits"),
    *("printable", "punctuation", "whitespace"),
)


class Kept(NamedTuple):
    """What is in a file of a password, and what the lookup gives of it."""

    content: str
    given: str


def password(call: Call, terms: list[Any], **options: Any) -> list[str]:
    """A password for each term: the path of its file, and options as ``name=value``."""
    return [_password(call, str(term), options) for term in terms]


def _password(call: Call, term: str, options: Mapping[str, Any]) -> str:
    path, own = _parsed(term)
    if isinstance(options.get("chars"), str):
        options = {**options, "chars": options["chars"].split(",")}
    wanted = {**_DEFAULTS, **options, **own}
    if unknown := sorted(set(wanted) - set(_DEFAULTS)):
        raise ValueError(f"Unrecognized parameter(s) given to password lookup: {', '.join(unknown)}")
    wanted["chars"] = _characters(wanted["chars"])
    wanted["length"] = _length(wanted["length"])
    if path == NOWHERE:
        return kept(None, wanted).given
    return call.machine.password(path, wanted)


def _parsed(term: str) -> tuple[str, dict[str, str]]:
    path, _, rest = term.partition(" ")
    words = shlex.split(rest)
    options = dict(word.split("=", 1) for word in words if "=" in word)
    more = [word for word in words if "=" not in word]
    if more != words[: len(more)]:
        raise ValueError("Unrecognized value after key=value parameters given to password lookup")
    return " ".join([path, *more]), options


def _characters(given: Any) -> str:
    """The characters that the specification names."""
    if isinstance(given, str):
        comma = [","] if ",," in given else []
        given = [*comma, *(one for one in given.replace(",,", ",").split(",") if one)]
    named = (str(getattr(string, one)) if one in _NAMED_CHARACTERS else str(one) for one in given)
    found = "".join(named).replace('"', "").replace("'", "")
    if not found:
        raise ValueError("chars names no characters")
    return found


def _length(given: Any) -> int:
    try:
        length = int(given)
    except (TypeError, ValueError):
        raise ValueError(f"length must be an integer, not {given!r}") from None
    bounds.check_sizes((length,))
    return length


def kept(content: str | None, wanted: Mapping[str, Any], random: Random | None = None) -> Kept:
    """What the file is to hold that holds ``content`` (None: there is none), and the password as it is ``wanted``."""
    chance = random or SystemRandom()
    if content is None:
        source = chance if wanted["seed"] is None else Random(str(wanted["seed"]))
        plain, salt, ident = "".join(source.choice(wanted["chars"]) for _ in range(wanted["length"])), None, None
    else:
        plain, salt, ident = _read(content)
    scheme = wanted["encrypt"]
    if not scheme:
        return Kept(_written(plain, salt, ident), plain)
    if wanted["ident"] and ident and wanted["ident"] != ident:
        raise ValueError(f"The ident parameter provided ({wanted['ident']}) does not match the stored one ({ident}).")
    salt = salt or random_salt(SCHEMES[scheme].salt_size if scheme in SCHEMES else 8, chance)
    ident = ident or wanted["ident"] or ("2b" if scheme == "bcrypt" else None)
    hashed = password_hash(plain, scheme, salt=salt, ident=ident)
    return Kept(_written(plain, salt, ident), hashed)


def _read(content: str) -> tuple[str, str | None, str | None]:
    plain, slug, rest = content.rpartition(" salt=")
    if not slug:
        return content, None, None
    salt, slug, ident = rest.rpartition(" ident=")
    return (plain, salt, ident) if slug else (plain, rest, None)


def _written(plain: str, salt: str | None, ident: str | None) -> str:
    return plain + (f" salt={salt}" if salt else "") + (f" ident={ident}" if salt and ident else "")
