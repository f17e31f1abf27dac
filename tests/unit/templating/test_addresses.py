"""The filters of ansible.utils over addresses: the examples of its documentation, and the wrong inputs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from opsrunner.templating import Scope, Templar, TemplateFailure

MIXED = ["192.24.2.1", "host.fqdn", "::1", "", "192.168.32.0/24", "fe80::100/10", True, "2001:db8:32c:faad::/64"]

CASES: list[tuple[Any, str, Any]] = [
    (MIXED, "ipaddr", ["192.24.2.1", "::1", "192.168.32.0/24", "fe80::100/10", "2001:db8:32c:faad::/64"]),
    (MIXED, "ipv4", ["192.24.2.1", "192.168.32.0/24"]),
    (MIXED, "ansible.utils.ipv6", ["::1", "fe80::100/10", "2001:db8:32c:faad::/64"]),
    (MIXED, "ipaddr('host')", ["192.24.2.1/32", "::1/128", "fe80::100/10"]),
    (MIXED, "ipaddr('net')", ["192.168.32.0/24", "2001:db8:32c:faad::/64"]),
    (MIXED, "ipaddr('192.0.0.0/8')", ["192.24.2.1", "192.168.32.0/24"]),
    (MIXED, "ipaddr('public')", ["192.24.2.1"]),
    (["192.168.32.0/24", "2001:db8:32c:faad::/64"], "ipaddr('size')", [256, 18446744073709551616]),
    (["192.168.32.0/24", "2001:db8:32c:faad::/64"], "ipaddr('1')", ["192.168.32.1/24", "2001:db8:32c:faad::1/64"]),
    ("192.0.2.1/24", "ansible.utils.ipaddr('address')", "192.0.2.1"),
    ("192.0.2.0/24", "ipaddr('address')", None),
    ("192.0.2.1", "ipaddr('netmask')", "255.255.255.255"),
    ("192.0.2.1/24", "ipaddr('netmask')", "255.255.255.0"),
    ("192.0.2.1/24", "ipaddr('network')", "192.0.2.0"),
    ("192.0.2.1/24", "ipaddr('network/prefix')", "192.0.2.0/24"),
    ("192.0.2.1/24", "ipaddr('host/prefix')", "192.0.2.1/24"),
    ("192.0.2.0/24", "ipaddr('host/prefix')", False),
    ("192.0.2.1/24", "ipaddr('ip_netmask')", "192.0.2.1 255.255.255.0"),
    ("192.0.2.1/24", "ipaddr('network_wildcard')", "192.0.2.0 0.0.0.255"),
    ("192.0.2.1/24", "ipaddr('broadcast')", "192.0.2.255"),
    ("192.0.2.1/24", "ipaddr('prefix')", 24),
    ("192.0.2.1/24", "ipaddr('first_usable')", "192.0.2.1"),
    ("192.0.2.0/31", "ipaddr('last_usable')", "192.0.2.1"),
    ("192.0.2.1/24", "ipaddr('next_usable')", "192.0.2.2"),
    ("192.0.2.1/24", "ipaddr('previous_usable')", None),
    ("192.0.2.1/24", "ipaddr('range_usable')", "192.0.2.1-192.0.2.254"),
    ("192.0.2.1/30", "ipaddr('peer')", "192.0.2.2"),
    ("192.0.2.1/24", "ipaddr('-1')", "192.0.2.255/24"),
    ("192.0.2.1/24", "ipaddr(300)", False),
    ("192.0.2.1/24", "ipaddr('type')", "address"),
    ("192.0.2.1", "ipaddr('revdns')", "1.2.0.192.in-addr.arpa."),
    ("192.0.2.1", "ipaddr('int')", 3221225985),
    ("192.0.2.1/24", "ipaddr('int')", "3221225985/24"),
    (3221225985, "ipaddr", "192.0.2.1"),
    ("192.168.0.11/255.255.255.0", "ipaddr('prefix')", 24),
    ("10.1.1.1", "ipaddr('private')", "10.1.1.1"),
    ("::ffff:192.0.2.1", "ipaddr('ipv4')", "192.0.2.1/32"),
    ("192.0.2.1/24", "ipaddr('ipv6')", "::ffff:192.0.2.1/120"),
    ("not an address", "ipaddr", False),
    ("192.0.2.256", "ipaddr('address')", False),
    ("::1", "ipv4", False),
    ("fe80::100/10", "ipwrap", "[fe80::100]/10"),
    (MIXED[:3], "ipwrap", ["192.24.2.1", "host.fqdn", "[::1]"]),
    ("192.168.0.0/16", "ipsubnet(20)", "16"),
    ("192.168.0.0/16", "ipsubnet(20, 0)", "192.168.0.0/20"),
    ("192.168.0.0/16", "ipsubnet('20', -1)", "192.168.240.0/20"),
    ("192.168.0.0/16", "ipsubnet(20, 16)", False),
    ("192.168.144.5", "ipsubnet(20)", "192.168.144.0/20"),
    ("192.168.144.5", "ipsubnet(18, -1)", "192.168.144.4/31"),
    ("192.168.144.16/30", "ipsubnet('192.168.144.0/24')", "5"),
    ("2001:db8::/32", "ipsubnet(64, 1)", "2001:db8:0:1::/64"),
    ("192.168.1.5", "ipmath(10)", "192.168.1.15"),
    ("2001::1", "ipmath(-1)", "2001::"),
    ("10.0.0.0/8", "nthhost(305)", "10.0.1.49"),
    ("192.168.0.0/24", "network_in_network('192.168.0.1')", True),
    ("192.168.0.0/24", "network_in_usable('192.168.0.255')", False),
    ("192.168.0.0/24", "network_in_usable('192.168.0.254')", True),
    (["192.168.0.34", "10.3.0.3"], "reduce_on_network('192.168.0.0/24')", ["192.168.0.34"]),
    (["192.168.0.0/17", "192.168.128.0/17", "192.168.128.1"], "cidr_merge", ["192.168.0.0/16"]),
    (["192.168.1.1", "192.168.1.2", "192.168.1.3"], "cidr_merge('span')", "192.168.1.0/30"),
]


@pytest.mark.parametrize(("value", "words", "expected"), CASES, ids=lambda value: str(value)[:40])
def test_addresses(templar: Templar, scoped: Callable[..., Scope], value: Any, words: str, expected: Any) -> None:
    found = templar.render(f"{{{{ value | {words} }}}}", scoped({"value": value}))
    assert (found, type(found)) == (expected, type(expected))


@pytest.mark.parametrize(
    ("value", "words", "why"),
    [
        ("192.0.2.1", "ipaddr('tftftf')", "unknown filter type: tftftf"),
        ("192.0.2.1", "ipaddr('first_usable')", "Not a network address"),
        ("192.0.2.1/24", "ipaddr('peer')", "Not a point-to-point network"),
        ("192.168.0.0/24", "ipsubnet(20)", "subnet size of 20"),
        ("x", "ipmath(1)", "does not appear to be"),
        ("192.0.2.1", "ipmath('x')", "valid integers"),
        (["::1", "1.1.1.1"], "cidr_merge('span')", "both versions"),
    ],
)
def test_what_cannot_be_asked(templar: Templar, scoped: Callable[..., Scope], value: Any, words: str, why: str) -> None:
    with pytest.raises(TemplateFailure, match=why):
        templar.render(f"{{{{ value | {words} }}}}", scoped({"value": value}))


def test_other_filters_of_a_collection_are_refused_with_those_that_are_there(templar: Templar) -> None:
    (fault,) = templar.check("{{ x | ansible.utils.hwaddr }}")
    assert "no filter named 'ansible.utils.hwaddr'" in fault and "ansible.utils.ipaddr" in fault
