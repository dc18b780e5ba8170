"""Private addresses in all their forms, and the addresses on which the relay listens."""

import ipaddress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mta.routing.private_addresses import OwnSockets, is_private, on_this_machine

#: Private addresses in all their forms, and public ones that look like them.
PRIVATE = (
    *("0.0.0.0", "0.1.2.3", "10.0.0.5", "100.64.0.1", "127.0.0.1", "127.9.9.9", "169.254.169.254", "172.16.0.1"),
    *("172.31.255.255", "192.168.1.1", "192.0.0.8", "198.18.0.1", "224.0.0.1", "255.255.255.255"),
    *("::", "::1", "::7f00:1", "fc00::1", "fdff::1", "fe80::1", "fec0::1", "ff02::1", "100::1", "64:ff9b:1::1"),
    *("64:ff9b:1:ffff:ffff::", "1::1", "400::1", "4000::1", "5f00::1", "8000::1", "3ffe::1"),
    *("::10.0.0.1", "::8.8.8.8", "::ffff:0:127.0.0.1", "::ffff:0:10.0.0.1", "::ffff:0:0.0.0.0"),
    # Teredo, with a server and a client (inverted) of either kind.
    *("2001::1", "2001:0:7f00:1::", "2001:0:4136:e378:8000:63bf:3fff:fdd2", "2001:0:808:808::f7f7:f7f7"),
    *("2001:10::1", "2001:20::1", "2001:2::1", "2001:1::1"),
    *("2a01:4f8::5efe:10.0.0.1", "2a01:4f8::200:5efe:127.0.0.1", "2001:db8::200:5efe:192.168.0.1"),
    *("fe80::5efe:8.8.8.8", "fd00::200:5efe:8.8.8.8"),
    *("::ffff:10.0.0.5", "64:ff9b::10.0.0.5", "64:ff9b::7f00:1", "2002:0a00:0005::1", "2002:7f00:1::"),
)
PUBLIC = (
    *("192.0.2.1", "198.51.100.1", "203.0.113.1", "8.8.8.8", "172.32.0.1", "100.128.0.1", "223.255.255.255"),
    *("2001:db8::1", "2606:4700::1", "::ffff:192.0.2.1", "64:ff9b::192.0.2.1", "2002:c000:0201::1", "2001:200::1"),
    *("2a01:4f8::5efe:8.8.8.8", "2a01:4f8::200:5efe:8.8.8.8", "2a01:4f8::5eff:10.0.0.1", "2a01:4f8::10.0.0.1"),
    *("::ffff:0:8.8.8.8", "3fff:ffff::1", "2a00:1450:4001:81b::200e", "2620:fe::fe", "2001:200::8"),
)


@pytest.mark.parametrize("address", PRIVATE)
def test_private_addresses_are_known_in_every_form(address: str) -> None:
    assert is_private(address)


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_not_refused(address: str) -> None:
    assert not is_private(address)


@settings(max_examples=200)
@given(st.integers(0, 2**32 - 1))
def test_an_ipv4_address_is_judged_alike_in_every_disguise(number: int) -> None:
    plain = is_private(str(ipaddress.IPv4Address(number)))
    mapped, translated, nat64 = (prefix | number for prefix in (0xFFFF << 32, 0xFFFF << 48, 0x64FF9B << 96))
    six_to_four, isatap = 0x2002 << 112 | number << 80, 0x2A0104F8 << 96 | 0x5EFE << 32 | number
    for disguise in (mapped, translated, nat64, six_to_four, isatap):
        assert is_private(str(ipaddress.IPv6Address(disguise))) == plain


def test_only_addresses_of_its_interfaces_are_on_this_machine() -> None:
    assert on_this_machine("127.0.0.1")
    assert on_this_machine("0.0.0.0")
    assert not on_this_machine("192.0.2.1")
    assert not on_this_machine("2001:db8::1")


def test_own_means_address_and_port() -> None:
    own = OwnSockets([("192.0.2.1", 2525), ("2001:db8::1", 25)])
    assert own.includes("192.0.2.1", 2525)
    assert own.includes("::ffff:192.0.2.1", 2525)
    assert own.includes("2001:db8:0::1", 25)
    assert not own.includes("192.0.2.1", 25)
    assert not own.includes("192.0.2.2", 2525)
    assert not own.includes("2001:db8::1", 2525)


def test_an_unspecified_address_and_a_nat64_lead_back_to_the_relay() -> None:
    own = OwnSockets([("127.0.0.1", 25), ("::1", 25), ("192.0.2.1", 25)])
    for address in ("0.0.0.0", "::", "::ffff:0.0.0.0", "64:ff9b::192.0.2.1", "64:ff9b::c000:201"):
        assert own.includes(address, 25)
        assert not own.includes(address, 26)
    assert not own.includes("64:ff9b::192.0.2.2", 25)
    assert not OwnSockets([("192.0.2.1", 25)]).includes("0.0.0.0", 25)


def test_a_wildcard_stands_for_all_addresses_of_its_family_on_this_machine() -> None:
    own = OwnSockets([("0.0.0.0", 25)], is_local_address=lambda address: address in ("192.0.2.7", "2001:db8::7"))
    assert own.includes("192.0.2.7", 25)
    assert not own.includes("192.0.2.7", 26)
    assert not own.includes("192.0.2.8", 25)
    assert not own.includes("2001:db8::7", 25)
    assert OwnSockets([("::", 25)], is_local_address=lambda address: address == "2001:db8::7").includes(
        "2001:db8::7", 25
    )
