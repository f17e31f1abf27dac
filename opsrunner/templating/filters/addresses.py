"""Filters over IP addresses and networks, as the collection ansible.utils has them; made by the standard library."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from typing import Any, Final

from opsrunner.templating import bounds
from opsrunner.templating.plugins import is_list

Interface = ipaddress.IPv4Interface | ipaddress.IPv6Interface

#: The part of IPv6 that stands for IPv4.
_MAPPED: Final = ipaddress.ip_network("::ffff:0:0/96")
_MAPPED_BITS: Final = 96


class _Value:
    """An address, or an address in its network."""

    def __init__(self, given: Any, version: int = 0) -> None:
        if isinstance(given, bool) or not isinstance(given, (str, int)):
            raise ValueError(f"{given!r} is no address")
        self.given = given
        if isinstance(given, int) or given.isdecimal():
            number = int(given)
            address = ipaddress.IPv6Address(number) if version == 6 else ipaddress.ip_address(number)
            self.given = f"{address}/{address.max_prefixlen}"
            self.plain = True
        else:
            self.plain = "/" not in given
        self.interface: Interface = ipaddress.ip_interface(str(self.given))
        # Of either version: the two share what is asked of them, and mypy does not see it.
        self.network: Any = self.interface.network

    @property
    def ip(self) -> Any:
        """The address alone."""
        return self.interface.ip

    @property
    def size(self) -> int:
        """How many addresses the network has."""
        return int(self.network.num_addresses)

    @property
    def is_network(self) -> bool:
        """Whether it names the network itself, and none of its hosts."""
        return self.size > 1 and self.ip == self.network.network_address

    def usable(self) -> tuple[int, int]:
        """The places of the first and last address that a host may have."""
        return (0, self.size - 1) if self.size <= 2 else (1, self.size - 2)


def _of_network(give: Callable[[_Value], Any]) -> Callable[[_Value], Any]:
    """What is asked of a network only."""

    def asked(value: _Value) -> Any:
        if value.plain:
            raise ValueError("Not a network address")
        return None if value.size == 1 else give(value)

    return asked


def _neighbour(step: int) -> Callable[[_Value], Any]:
    def give(value: _Value) -> Any:
        first, last = value.usable()
        place = int(value.ip) - int(value.network.network_address) + step
        return str(value.network[place]) if first <= place <= last else None

    return _of_network(give)


def _peer(value: _Value) -> str:
    if value.size == 2:
        return str(type(value.ip)(int(value.ip) ^ 1))
    if value.size == 4 and int(value.ip) % 4 in (1, 2):
        return str(type(value.ip)(int(value.ip) ^ 3))
    raise ValueError("Not a point-to-point network, or no host of it")


def _when(holds: Callable[[Any], bool]) -> Callable[[_Value], Any]:
    """The value as it was given, if that holds of its address."""
    return lambda value: value.given if holds(value.ip) else None


def _is_public(ip: Any) -> bool:
    return bool(ip.is_global and not ip.is_multicast and not ip.is_loopback)


def _as_ipv4(value: _Value) -> Any:
    if not _is_6(value):
        return value.given
    if not value.network.subnet_of(_MAPPED):
        return False
    return f"{ipaddress.IPv4Address(int(value.ip) & 0xFFFFFFFF)}/{value.network.prefixlen - _MAPPED_BITS}"


def _as_ipv6(value: _Value) -> Any:
    return value.given if _is_6(value) else f"::ffff:{value.ip}/{value.network.prefixlen + _MAPPED_BITS}"


def _wrapped(value: _Value) -> Any:
    if not _is_6(value):
        return value.given
    return f"[{value.ip}]" if value.plain else f"[{value.ip}]/{value.network.prefixlen}"


def _is_6(value: _Value) -> bool:
    return bool(value.network.version == 6)


def _host(form: Callable[[_Value], Any], *, single: bool, first: bool) -> Callable[[_Value], Any]:
    """What is said of a host: of one without a network if ``single``, and if ``first`` of IPv6's first address, too."""

    def give(value: _Value) -> Any:
        if value.size == 1:
            return form(value) if single else None
        return form(value) if not value.is_network or value.size == 2 or (first and _is_6(value)) else None

    return give


def _router(value: _Value) -> Any:
    ends = (value.network.network_address, value.network.broadcast_address)
    return False if value.size > 2 and value.ip in ends else str(value.interface)


def _usable_range(value: _Value) -> str:
    first, last = value.usable()
    return f"{value.network[first]}-{value.network[last]}"


def _masked(mask: str, address: str = "network_address") -> Callable[[_Value], str]:
    return lambda value: f"{getattr(value.network, address)} {getattr(value.network, mask)}"


_QUERIES: Final[dict[str, Callable[[_Value], Any]]] = {
    "": lambda value: str(value.ip) if value.plain else str(value.interface),
    "bool": lambda value: True,
    **dict.fromkeys(("address", "ip"), _host(lambda value: str(value.ip), single=True, first=True)),
    "host": _host(lambda value: str(value.interface), single=True, first=False),
    "ip/prefix": _host(lambda value: str(value.interface), single=False, first=False),
    "ip_netmask": _host(lambda value: f"{value.ip} {value.network.netmask}", single=False, first=False),
    **dict.fromkeys(("host/prefix", "hostnet", "router", "gateway", "gw", "address/prefix"), _router),
    "net": lambda value: str(value.network) if value.is_network else None,
    "cidr": lambda value: str(value.interface),
    **dict.fromkeys(("subnet", "network/prefix"), lambda value: str(value.network)),
    **dict.fromkeys(("network", "network_id"), lambda value: str(value.network.network_address)),
    "network_netmask": _masked("netmask"),
    "network_wildcard": _masked("hostmask"),
    "netmask": lambda value: str(value.network.netmask),
    **dict.fromkeys(("hostmask", "wildcard"), lambda value: str(value.network.hostmask)),
    "prefix": lambda value: value.network.prefixlen,
    "size": lambda value: value.size,
    "size_usable": lambda value: {1: 0, 2: 2}.get(value.size, value.size - 2),
    "broadcast": lambda value: str(value.network.broadcast_address) if value.size > 2 else None,
    "first_usable": _of_network(lambda value: str(value.network[value.usable()[0]])),
    "last_usable": _of_network(lambda value: str(value.network[value.usable()[1]])),
    "range_usable": _of_network(_usable_range),
    "next_usable": _neighbour(1),
    "previous_usable": _neighbour(-1),
    "peer": _of_network(_peer),
    "int": lambda value: int(value.ip) if value.plain else f"{int(value.ip)}/{value.network.prefixlen}",
    "revdns": lambda value: value.ip.reverse_pointer + ".",
    "type": lambda value: "network" if value.is_network else "address",
    "version": lambda value: value.network.version,
    **dict.fromkeys(("v4", "ipv4"), _as_ipv4),
    **dict.fromkeys(("v6", "ipv6"), _as_ipv6),
    "private": _when(lambda ip: not ip.is_global),
    "public": _when(_is_public),
    **dict.fromkeys(("loopback", "lo"), _when(lambda ip: ip.is_loopback)),
    "multicast": _when(lambda ip: ip.is_multicast),
    "unicast": _when(lambda ip: not ip.is_multicast),
    "link-local": _when(lambda ip: ip.is_link_local),
    "wrap": _wrapped,
}


def ipaddr(value: Any, query: Any = "", version: Any = False) -> Any:
    """What ``query`` asks of an address or network: False for what is none; of a list, the answers there are."""
    if is_list(value):
        return [one for one in (ipaddr(one, query, version) for one in bounds.turns(value)) if one]
    if not value or value is True:
        return False
    try:
        parsed = _Value(value, int(version))
    except ValueError:
        return False
    if version and parsed.network.version != int(version):
        return False
    return _asked(parsed, query)


def _asked(value: _Value, query: Any) -> Any:
    if isinstance(query, str) and query in _QUERIES:
        return _QUERIES[query](value)
    if re.fullmatch(r"-?[0-9]+", str(query)):
        return _numbered(value, int(query))
    try:
        outer = _Value(query).network
    except ValueError:
        raise ValueError(f"unknown filter type: {query}") from None
    return value.given if _within(value.network, outer) else None


def _numbered(value: _Value, number: int) -> Any:
    if value.size == 1:
        return str(value.ip) if value.plain else str(value.interface)
    try:
        return f"{value.network[number]}/{value.network.prefixlen}"
    except IndexError:
        return False


def _within(inner: Any, outer: Any) -> bool:
    return inner.version == outer.version and bool(inner.subnet_of(outer))


def ipv4(value: Any, query: Any = "") -> Any:
    """:func:`ipaddr` of IPv4."""
    return ipaddr(value, query, 4)


def ipv6(value: Any, query: Any = "") -> Any:
    """:func:`ipaddr` of IPv6."""
    return ipaddr(value, query, 6)


def ipwrap(value: Any, query: Any = "") -> Any:
    """IPv6 addresses in brackets; all else as it is."""
    if is_list(value):
        return [ipaddr(one, "wrap") if ipaddr(one, query) else one for one in bounds.turns(value)]
    found = ipaddr(value, query)
    return ipaddr(found, "wrap") if found else value


def ipsubnet(value: Any, query: Any = "", index: Any = None) -> Any:
    """How many networks of that size there are in a network, or the one at ``index``; its place in another network."""
    try:
        network = _Value(value).network
    except ValueError:
        return False
    if query == "":
        return str(network)
    if not str(query).isdecimal():
        return _place_in(network, query)
    size, bits = int(query), network.max_prefixlen
    if size > bits:
        return False
    if network.prefixlen == bits:  # an address: the networks around it
        sizes = range(size, bits)
        place = 0 if index is None else int(index)
        return str(network.supernet(new_prefix=sizes[place])) if -len(sizes) <= place < len(sizes) else False
    if size < network.prefixlen:
        raise ValueError(f"Requested subnet size of {size} is invalid")
    count = 1 << (size - network.prefixlen)
    if index is None:
        return str(count)
    place = int(index) + (count if int(index) < 0 else 0)
    start = network.network_address + (place << (bits - size)) if 0 <= place < count else None
    return False if start is None else f"{start}/{size}"


def _place_in(network: Any, query: Any) -> str:
    outer = _Value(query).network
    if not _within(network, outer):
        raise ValueError(f"{network} is not in the subnet {outer}")
    distance = int(network.network_address) - int(outer.network_address)
    return str((distance >> (network.max_prefixlen - network.prefixlen)) + 1)


def ipmath(value: Any, amount: Any) -> str:
    """The address so many places further."""
    if not isinstance(amount, int):
        raise ValueError(f"You must pass valid integers, {amount!r} is none")
    return str(_Value(value).ip + amount)


def nthhost(value: Any, query: Any = "") -> Any:
    """The address so many places into the network."""
    try:
        return str(_Value(value).network[int(query)])
    except (ValueError, IndexError):
        return False


def network_in_network(value: Any, test: Any) -> bool:
    """Whether the address or network ``test`` lies within ``value``."""
    return _within(_Value(test).network, _Value(value).network)


def network_in_usable(value: Any, test: Any) -> bool:
    """Whether ``test`` lies within ``value``, and is neither its network's address nor its broadcast."""
    outer, inner = _Value(value), _Value(test)
    if not _within(inner.network, outer.network):
        return False
    first, last = (int(outer.network[place]) for place in outer.usable())
    return first <= int(inner.network[0]) and int(inner.network[-1]) <= last


def reduce_on_network(value: Any, network: Any) -> list[Any]:
    """Those of the addresses that lie within the network."""
    return [one for one in bounds.turns(value) if network_in_network(network, one)]


def cidr_merge(value: Any, action: str = "merge") -> Any:
    """The networks joined to as few as hold the same; with ``span`` the one that holds them all."""
    networks = [_Value(one).network for one in bounds.turns(value)]
    if action == "merge":
        found: list[Any] = []
        for version in (4, 6):
            found += ipaddress.collapse_addresses([one for one in networks if one.version == version])
        return [str(one) for one in found]
    if action != "span":
        raise ValueError(f"cidr_merge: invalid action {action!r}")
    if len({one.version for one in networks}) > 1:
        raise ValueError("cidr_merge: networks of both versions of IP")
    whole = networks[0] if networks else None
    while whole is not None and not all(one.subnet_of(whole) for one in networks):
        whole = whole.supernet()
    return None if whole is None else str(whole)


_BY_NAME: Final[dict[str, Callable[..., Any]]] = {
    one.__name__: one
    for one in (
        *(ipaddr, ipv4, ipv6, ipwrap, ipsubnet, ipmath, nthhost, cidr_merge),
        *(network_in_network, network_in_usable, reduce_on_network),
    )
}
FILTERS: Final[dict[str, Callable[..., Any]]] = {
    prefix + name: one for prefix in ("", "ansible.utils.", "ansible.netcommon.") for name, one in _BY_NAME.items()
}
