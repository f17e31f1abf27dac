"""Where a site's processes stand: each bastion and each zone's hosts in a network namespace of its own, or all here.

In namespaces a bastion has two links, one to Redis and one to its own zone's hosts, and no other
way: what it cannot reach there it cannot reach at all. Where namespaces are not allowed the same
processes run side by side on loopback addresses, and no link can be cut.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from typing import Literal, Protocol

import psutil

#: The two links of a bastion.
Link = Literal["hosts", "redis"]
#: Names of our namespaces say whose they are, so that those of a process that died can be taken away.
PREFIX = "opsrunner-chaos"
IP = shutil.which("ip", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
#: Where Redis listens in its namespace.
REDIS_PORT = 6379


class Network(Protocol):
    """What a site asks of the place it stands in."""

    mode: str
    #: Whether :meth:`cut` is possible.
    has_links: bool
    #: Options of the Redis server besides its unix socket.
    redis_options: tuple[str, ...]

    def within(self, place: str) -> tuple[str, ...]:
        """The command that leads to a place: a bastion, a zone's hosts, or ``site`` with Redis."""

    def redis_url(self, bastion: str) -> str | None:
        """Redis as that bastion reaches it; None is its unix socket."""

    def addresses(self, zone: str, count: int) -> list[str]:
        """``count`` addresses of that zone's hosts."""

    def pattern(self, zone: str) -> str:
        """What all of that zone's addresses match."""

    def cut(self, bastion: str, link: Link) -> None:
        """No packet passes any more; nobody is told."""

    def mend(self, bastion: str, link: Link) -> None: ...

    def close(self) -> None: ...


class Plain:
    """Everything on this machine's loopback."""

    mode = "plain"
    has_links = False
    redis_options = ()

    def __init__(self, zones: Mapping[str, Sequence[str]]) -> None:
        self._numbers = {zone: number for number, zone in enumerate(zones, 1)}

    def within(self, place: str) -> tuple[str, ...]:
        return ()

    def redis_url(self, bastion: str) -> str | None:
        return None

    def addresses(self, zone: str, count: int) -> list[str]:
        return [f"127.77.{self._numbers[zone]}.{number}" for number in range(1, count + 1)]

    def pattern(self, zone: str) -> str:
        return f"127.77.{self._numbers[zone]}.*"

    def cut(self, bastion: str, link: Link) -> None:
        raise NotImplementedError("there is no link to cut")

    mend = cut

    def close(self) -> None:
        pass


class Namespaces:
    """A namespace for Redis, one for each zone's hosts, one for each bastion; veth pairs between them.

    Any address of 10.77.ZONE.0/24 is local where the zone's hosts are, so one sshd is all of them.
    """

    mode = "namespaces"
    has_links = True
    redis_options = ("--port", str(REDIS_PORT), "--bind", "0.0.0.0", "--protected-mode", "no")

    def __init__(self, zones: Mapping[str, Sequence[str]]) -> None:
        remove_abandoned()
        self._name = f"{PREFIX}-{os.getpid()}"
        self._zones = {zone: number for number, zone in enumerate(zones, 1)}
        self._zone_of = {bastion: zone for zone, bastions in zones.items() for bastion in bastions}
        self._bastions = {bastion: number for number, bastion in enumerate(self._zone_of, 1)}
        try:
            for place in ("site", *zones, *self._bastions):
                ip("netns", "add", self._place(place))
                ip("-n", self._place(place), "link", "set", "lo", "up")
            for number, zone in enumerate(zones, 1):
                ip("-n", self._place(zone), "route", "add", "local", f"10.77.{number}.0/24", "dev", "lo")
            for bastion in self._bastions:
                self._join(bastion)
        except BaseException:
            self.close()
            raise

    def _place(self, name: str) -> str:
        return f"{self._name}-{name}"

    def _join(self, bastion: str) -> None:
        zone, number, own = self._zone_of[bastion], self._bastions[bastion], self._place(bastion)
        for near, far, network in (("redis", "site", f"10.78.{number}"), ("hosts", zone, f"10.79.{number}")):
            there = self._place(far)
            ip("-n", there, "link", "add", "name", bastion, "type", "veth", "peer", "name", near, "netns", own)
            for place, device, address in ((there, bastion, f"{network}.1/24"), (own, near, f"{network}.2/24")):
                ip("-n", place, "addr", "add", address, "dev", device)
                ip("-n", place, "link", "set", device, "up")
        hosts = f"10.77.{self._zones[zone]}.0/24"
        ip("-n", own, "route", "add", hosts, "via", f"10.79.{number}.1")

    def within(self, place: str) -> tuple[str, ...]:
        return (str(IP), "netns", "exec", self._place(place))

    def redis_url(self, bastion: str) -> str | None:
        return f"redis://10.78.{self._bastions[bastion]}.1:{REDIS_PORT}/0"

    def addresses(self, zone: str, count: int) -> list[str]:
        return [f"10.77.{self._zones[zone]}.{number}" for number in range(1, count + 1)]

    def pattern(self, zone: str) -> str:
        return f"10.77.{self._zones[zone]}.*"

    def cut(self, bastion: str, link: Link) -> None:
        self._set(bastion, link, "down")

    def mend(self, bastion: str, link: Link) -> None:
        self._set(bastion, link, "up")

    def _set(self, bastion: str, link: Link, state: str) -> None:
        # The far end: the near one would lose its route with it.
        far = self._zone_of[bastion] if link == "hosts" else "site"
        ip("-n", self._place(far), "link", "set", bastion, state)

    def close(self) -> None:
        for place in (*self._bastions, *self._zones, "site"):
            remove(self._place(place))


@functools.cache
def namespaces_allowed() -> bool:
    """Found out by trying: a namespace, a veth pair into it, and a process in it."""
    if IP is None:
        return False
    name = f"{PREFIX}-{os.getpid()}-trial"
    try:
        ip("netns", "add", name)
        ip("-n", name, "link", "set", "lo", "up")
        ip("-n", name, "link", "add", "name", "near", "type", "veth", "peer", "name", "far")
        ip("-n", name, "route", "add", "local", "10.77.0.0/24", "dev", "lo")
        ip("netns", "exec", name, "true")
    except OSError:
        return False
    finally:
        remove(name)
    return True


def ip(*words: str) -> str:
    """Run ``ip``; raises OSError with what it said."""
    done = subprocess.run([str(IP), *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(f"ip {' '.join(words)}: {done.stderr.strip()}")
    return done.stdout


def remove(name: str) -> None:
    """End what runs in a namespace and take it away; nothing happens when it is not there."""
    try:
        pids = ip("netns", "pids", name).split()
    except OSError:
        return
    for pid in pids:
        with contextlib.suppress(psutil.NoSuchProcess):
            psutil.Process(int(pid)).kill()
    ip("netns", "delete", name)


def remove_abandoned() -> None:
    """Take away the namespaces of test processes that are no more."""
    for line in ip("netns", "list").splitlines():
        found = re.match(rf"({PREFIX}-(\d+)-\S+)", line)
        if found and not psutil.pid_exists(int(found[2])):
            remove(found[1])
