"""``ansible_ssh_common_args`` and its kin: the options of ssh that opsrunner can honour.

No ssh program is run, so every option is either carried out by opsrunner itself or refused; none
is passed over, but for those that only say how ssh would share a connection, which is always done.
"""

from __future__ import annotations

import difflib
import shlex
from collections.abc import Iterator
from functools import lru_cache
from typing import Literal, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from opsrunner.errors import InputError

HostKeyChecking = Literal["yes", "no", "accept-new"]
Kept = TypeVar("Kept")

USER_KNOWN_HOSTS = ("~/.ssh/known_hosts", "~/.ssh/known_hosts2")
GLOBAL_KNOWN_HOSTS = ("/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2")

_CHECKING: dict[str, HostKeyChecking] = {
    "yes": "yes",
    "true": "yes",
    "no": "no",
    "false": "no",
    "off": "no",
    "accept-new": "accept-new",
}
_NO_EFFECT = frozenset({"controlmaster", "controlpath", "controlpersist", "compression"})
_HONOURED = ("UserKnownHostsFile", "GlobalKnownHostsFile", "IdentitiesOnly", "StrictHostKeyChecking")


class Options(Struct, frozen=True):
    """What the arguments ask for; None where they say nothing."""

    user_known_hosts: tuple[str, ...] | None = None
    global_known_hosts: tuple[str, ...] | None = None
    host_key_checking: HostKeyChecking | None = None
    only_named_identities: bool | None = None

    @property
    def identities_only(self) -> bool:
        """Whether only the named key may be tried."""
        return self.only_named_identities or False

    @property
    def known_hosts_files(self) -> tuple[str, ...]:
        """Every file of host keys to look at; empty when the arguments name none."""
        if self.user_known_hosts is None and self.global_known_hosts is None:
            return ()
        user = USER_KNOWN_HOSTS if self.user_known_hosts is None else self.user_known_hosts
        system = GLOBAL_KNOWN_HOSTS if self.global_known_hosts is None else self.global_known_hosts
        return user + system


@lru_cache(maxsize=256)
def parse(text: str, options: Options) -> Options:
    """``options`` with those in ``text`` added; as in ssh the first of its kind stays.

    Raises InputError (without a place) for anything that cannot be honoured.
    """
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise InputError(f"{text!r} cannot be split into words", why=str(error), remedy="close the quote") from None
    for name, value in _options(words):
        options = _with(options, name, value)
    return options


def _options(words: list[str]) -> Iterator[tuple[str, str]]:
    waiting = iter(words)
    for word in waiting:
        if word == "-C":
            continue
        if not word.startswith("-o"):
            raise _refused(word)
        option = word[2:] or next(waiting, "")
        name, separator, value = option.partition("=")
        if not separator:
            name, _, value = option.strip().partition(" ")
        if not name.strip() or not value.strip():
            raise InputError(f"-o {option} has no value", remedy="write -o Name=value")
        yield name.strip(), value.strip()


def _with(options: Options, name: str, value: str) -> Options:
    kind = name.lower()
    if kind in _NO_EFFECT:
        return options
    if kind == "userknownhostsfile":
        return replace(options, user_known_hosts=_first(options.user_known_hosts, _files(value)))
    if kind == "globalknownhostsfile":
        return replace(options, global_known_hosts=_first(options.global_known_hosts, _files(value)))
    if kind == "identitiesonly":
        if value.lower() not in ("yes", "no", "true", "false"):
            raise InputError(f"-o {name}={value}: neither yes nor no", remedy=f"write -o {name}=yes")
        return replace(
            options, only_named_identities=_first(options.only_named_identities, value.lower() in ("yes", "true"))
        )
    if kind == "stricthostkeychecking":
        checking = _CHECKING.get(value.lower())
        if checking is None:
            raise InputError(f"-o {name}={value} is not supported", remedy="use yes, no or accept-new")
        return replace(options, host_key_checking=_first(options.host_key_checking, checking))
    raise _refused(f"-o {name}={value}")


def _first(earlier: Kept | None, later: Kept) -> Kept:
    return later if earlier is None else earlier


def _files(value: str) -> tuple[str, ...]:
    return tuple(shlex.split(value))


def _refused(argument: str) -> InputError:
    name = argument.removeprefix("-o ").partition("=")[0]
    near = difflib.get_close_matches(name, _HONOURED, 1, 0.75)
    if near:
        remedy = f"did you mean -o {near[0]}=…?"
    elif name.lower() in ("proxyjump", "proxycommand", "-j", "-w"):
        remedy = "let a worker on the bastion serve the host: set opsrunner_zone and start a worker for that zone there"
    else:
        remedy = f"take it out; honoured are -o {', '.join(_HONOURED)}"
    return InputError(f"{argument} is not supported", why="opsrunner makes the connection itself", remedy=remedy)
