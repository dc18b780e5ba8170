"""The networks of an interface, from real and from made-up rtnetlink messages."""

import ipaddress
import socket
import struct

import pytest

from mta.config.sources import interfaces
from mta.config.sources.interfaces import interface_networks


def test_the_loopbacks_own_network_is_left_out() -> None:
    assert interfaces._network(message(1, 8, (1, bytes([127, 0, 0, 1]))), 1) is None
    assert interfaces._network(message(1, 32, (1, bytes([192, 0, 2, 7]))), 1) == ipaddress.ip_network("192.0.2.7")
    assert not any(network.is_loopback for network in interface_networks("lo"))


def test_no_interface_has_a_link_local_network() -> None:
    for _, device in socket.if_nameindex():
        assert not any(network.version == 6 and network.is_link_local for network in interface_networks(device))


@pytest.mark.parametrize("device", ["none0", "a-name-longer-than-any-interface", ""])
def test_a_missing_interface_is_an_error_of_the_system(device: str) -> None:
    with pytest.raises(OSError, match=r"\S"):
        interface_networks(device)


def message(index: int, prefix: int, *attributes: tuple[int, bytes]) -> bytes:
    head = struct.pack("=BBBBI", socket.AF_INET, prefix, 0, 0, index)
    return head + b"".join(
        struct.pack("=HH", 4 + len(value), kind) + value.ljust(len(value) + 3 & ~3, b"\0") for kind, value in attributes
    )


def test_the_address_is_found_behind_other_attributes() -> None:
    replied = message(3, 24, (9, b"odd"), (1, bytes([192, 0, 2, 7])))
    assert interfaces._network(replied, 3) == ipaddress.ip_network("192.0.2.0/24")


def test_the_address_of_another_interface_is_passed_over() -> None:
    assert interfaces._network(message(4, 24, (1, bytes([192, 0, 2, 7]))), 3) is None


@pytest.mark.parametrize(
    ("address", "prefix", "expected"),
    [("2001:db8::1", 64, "2001:db8::/64"), ("fe80::1", 64, None), ("2001:db8::7", 128, "2001:db8::7/128")],
)
def test_ipv6_networks_are_read_except_link_local_ones(address: str, prefix: int, expected: str | None) -> None:
    found = interfaces._network(message(3, prefix, (1, ipaddress.ip_address(address).packed)), 3)
    assert found == (expected and ipaddress.ip_network(expected))


@pytest.mark.parametrize("tail", [b"", b"\0\0\1\0", b"\4\0", b"\xff\xff\1\0ab"])
def test_a_message_that_makes_no_sense_has_no_network(tail: bytes) -> None:
    assert interfaces._network(message(3, 24) + tail, 3) is None


def test_messages_of_one_datagram_are_taken_apart() -> None:
    one = struct.pack("=IHHII", 21, 20, 0, 1, 0) + b"hello\0\0\0"
    done = struct.pack("=IHHII", 16, 3, 0, 1, 0)
    assert list(interfaces._messages(one + done)) == [(20, b"hello"), (3, b"")]
    assert list(interfaces._messages(b"\0" * 16)) == []
