"""Trust lists and the verdicts on clients."""

import ipaddress
import pickle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mta.inbound.networks import (
    LOOPBACK,
    Everyone,
    HostName,
    TrustItem,
    TrustList,
    client_address,
    network,
)

NOBODY: dict[str, frozenset[ipaddress.IPv4Address | ipaddress.IPv6Address]] = {}


def trust(*items: str) -> TrustList:
    return TrustList(tuple(item(text) for text in items))


def item(text: str) -> TrustItem:
    bare = text.removeprefix("!")
    if bare == "*":
        return TrustItem(Everyone(), bare != text)
    return TrustItem(HostName(bare) if bare.endswith(".test") else network(bare), bare != text)


@pytest.mark.parametrize(
    ("items", "client", "trusted"),
    [
        (["10.0.0.0/8"], "10.255.255.255", True),
        (["10.0.0.0/8"], "11.0.0.0", False),
        (["10.1.2.3/8"], "10.9.9.9", True),
        (["192.0.2.7"], "192.0.2.7", True),
        (["192.0.2.7"], "192.0.2.8", False),
        (["2001:db8::/32"], "2001:db8::9", True),
        (["2001:db8::/32"], "2001:db9::", False),
        (["fe80::/10"], "fe80::1%eth0", True),
        (["0.0.0.0/0"], "203.0.113.1", True),
        (["0.0.0.0/0"], "2001:db8::1", False),
        (["::/0"], "203.0.113.1", False),
        (["*"], "203.0.113.1", True),
        (["*"], "2001:db8::1", True),
        (["10.0.0.0/8"], "::ffff:10.0.0.1", True),
        (["::ffff:10.0.0.0/104"], "10.0.0.1", True),
        (["::ffff:10.0.0.1"], "::ffff:10.0.0.1", True),
        ([], "10.0.0.1", False),
        (["*"], "", False),
        (["*"], "/run/socket", False),
    ],
)
def test_a_client_is_trusted_if_an_item_has_its_address(items: list[str], client: str, trusted: bool) -> None:
    assert trust(*items).verdict(client, NOBODY) is trusted


def test_loopback_is_two_addresses_and_not_a_network() -> None:
    loopback = TrustList(LOOPBACK)
    assert loopback.verdict("127.0.0.1", NOBODY)
    assert loopback.verdict("::1", NOBODY)
    assert loopback.verdict("::ffff:127.0.0.1", NOBODY)
    assert not loopback.verdict("127.0.0.2", NOBODY)


@pytest.mark.parametrize(
    ("items", "trusted"),
    [
        (["!10.0.0.5", "10.0.0.0/8"], False),
        (["10.0.0.0/8", "!10.0.0.5"], True),
        (["!10.0.0.0/8", "*"], False),
        (["!10.0.0.9", "10.0.0.0/24"], True),
    ],
)
def test_the_first_item_that_matches_decides(items: list[str], trusted: bool) -> None:
    assert trust(*items).verdict("10.0.0.5", NOBODY) is trusted


def test_a_list_that_ends_in_an_exclusion_does_not_trust_other_clients() -> None:
    assert not trust("!10.0.0.5").verdict("203.0.113.1", NOBODY)


def test_a_host_name_matches_by_the_addresses_it_has_now() -> None:
    names = trust("app.test")
    now = {"app.test": frozenset([ipaddress.ip_address("10.0.0.5")])}
    later = {"app.test": frozenset([ipaddress.ip_address("10.0.0.6")])}
    assert names.names == ("app.test",)
    assert names.verdict("10.0.0.5", now)
    assert names.verdict("::ffff:10.0.0.5", now)
    assert not names.verdict("10.0.0.5", later)
    assert not names.verdict("10.0.0.5", NOBODY)


def test_a_host_name_keeps_its_place_among_the_networks() -> None:
    lookups = {"bad.test": frozenset([ipaddress.ip_address("10.0.0.5")])}
    assert not trust("!bad.test", "10.0.0.0/8").verdict("10.0.0.5", lookups)
    assert trust("!bad.test", "10.0.0.0/8").verdict("10.0.0.5", NOBODY)
    assert trust("10.0.0.0/8", "!bad.test").verdict("10.0.0.5", lookups)


def test_a_name_without_addresses_does_not_stop_the_list() -> None:
    assert trust("gone.test", "10.0.0.0/8").verdict("10.0.0.5", NOBODY)


def test_a_list_is_written_as_it_is_read() -> None:
    written = "!10.0.0.5 ; 10.0.0.0/8 ; app.test ; 2001:db8::/32 ; ::1 ; *"
    assert str(trust(*written.split(" ; "))) == written


def test_lists_of_the_same_items_are_equal_with_any_cached_verdicts() -> None:
    seen = trust("10.0.0.0/8")
    seen.verdict("10.0.0.1", NOBODY)
    assert seen == trust("10.0.0.0/8")
    assert hash(seen) == hash(trust("10.0.0.0/8"))


@pytest.mark.parametrize(
    "text", ["", "10.0.0/8", "10.0.0.0/33", "fe80::1%eth0", "fe80::%eth0/64", "x", "10.0.0.0/8 ", "10.0.0.0/255.0.0.0"]
)
def test_text_that_is_not_a_network_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        network(text)


@given(st.ip_addresses(), st.integers(0, 128))
@settings(max_examples=200)
def test_an_address_is_in_each_network_made_of_it_and_its_neighbour_is_not_in_the_smallest(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address, bits: int
) -> None:
    prefix = min(bits, address.max_prefixlen)
    assert TrustList((TrustItem(network(f"{address}/{prefix}")),)).verdict(str(address), NOBODY) or (
        # A network wider than the mapped range holds IPv6 clients only.
        client_address(str(address)) != address
    )
    neighbour = type(address)(int(address) ^ 1)
    assert not TrustList((TrustItem(network(str(address))),)).verdict(str(neighbour), NOBODY)


def test_a_list_that_is_copied_to_another_process_decides_alike() -> None:
    listed = trust("!10.0.0.5", "10.0.0.0/8", "mail.test")
    copied = pickle.loads(pickle.dumps(listed))
    assert copied == listed
    assert [copied.verdict(client, NOBODY) for client in ("10.0.0.5", "10.0.0.6", "11.0.0.1")] == [False, True, False]
