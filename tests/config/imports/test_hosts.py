"""Reads hosts and next hops in Exim's and Postfix's spelling."""

import pytest

from mta.config.imports.blocks import CannotImportError
from mta.config.imports.hosts import read_nexthop, read_nexthops, read_route_data


@pytest.mark.parametrize(
    ("text", "place", "looks_for_mx"),
    [
        ("[mail.a.test]:587", "mail.a.test:587", False),
        ("[Mail.A.test]", "mail.a.test:25", False),
        ("mail.a.test", "mail.a.test:25", True),
        ("mail.a.test:2525", "mail.a.test:2525", True),
        ("[mail.a.test]:submission", "mail.a.test:587", False),
        ("[192.0.2.1]:smtps", "192.0.2.1:465", False),
        ("[ipv6:2001:db8::1]:26", "[2001:db8::1]:26", False),
    ],
)
def test_a_next_hop_of_postfix(text: str, place: str, looks_for_mx: bool) -> None:
    hop = read_nexthop(text)
    assert (hop.place, hop.looks_for_mx, hop.text) == (place, looks_for_mx, text.lower())


def test_several_next_hops() -> None:
    assert [hop.place for hop in read_nexthops("[a.test], [b.test]:26 [c.test]")] == [
        "a.test:25",
        "b.test:26",
        "c.test:25",
    ]


@pytest.mark.parametrize("text", ["", "[a.test", "a b", "192.0.2.1", "[a.test]:0", "[a.test]:uucp", "inet:a.test:1:2"])
def test_a_next_hop_that_cannot_be_read(text: str) -> None:
    with pytest.raises(CannotImportError):
        read_nexthop(text)


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("mail-1.a.test:mail-2.a.test", ("mail-1.a.test:25", "mail-2.a.test:25")),
        ("192.168.183.3", ("192.168.183.3:25",)),
        ("host1.test::1225 byname", ("host1.test:1225",)),
        ('"host1.test : host2.test::26" bydns no_randomize', ("host1.test:25", "host2.test:26")),
        ("[192.0.2.1]::2525", ("192.0.2.1:2525",)),
        ("2001::db8::::1", ("[2001:db8::1]:25",)),
        ("[2001::db8::::1]::2525", ("[2001:db8::1]:2525",)),
        ("<;a.test;b.test:26", ("a.test:25", "b.test:26")),
        ("b.test/MX", "b.test"),
        ("b.test/mx", "b.test"),
    ],
)
def test_the_hosts_of_exims_route_data(text: str, target: tuple[str, ...] | str) -> None:
    assert read_route_data(text) == target


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no host"),
        ("a.test randomize", "'randomize'"),
        ("a.test my_transport", "'my_transport'"),
        ("a.test ipv4_only", "ipv4_only"),
        ("a.test:b.test/MX", "a list of hosts and MX"),
        ("a.test/mx::26", "a port for MX hosts"),
        ("a.test:+:b.test", "groups"),
        ("$domain", "variables"),
        ("a.test::x", "is no host"),
    ],
)
def test_route_data_that_no_rule_can_have(text: str, reason: str) -> None:
    with pytest.raises(CannotImportError, match=reason):
        read_route_data(text)
