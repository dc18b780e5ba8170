"""Finds the addresses from which this host would connect to others."""

import ipaddress
import socket
from collections.abc import Iterable

# Any public address does: a UDP socket is connected without sending anything. These are of root name servers.
_FAR = ("198.41.0.4", "2001:503:ba3e::2:30")


def outgoing_addresses(*, ipv6: bool = True) -> tuple[str, ...]:
    """Return the address of each family that the system would choose for a connection to the Internet."""
    found = (_source(far) for far in _FAR if ipv6 or ":" not in far)
    return tuple(address for address in found if address)


def split_public(addresses: Iterable[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the public addresses, and those that the network must translate."""
    every = [ipaddress.ip_address(address) for address in dict.fromkeys(addresses)]
    return (
        tuple(str(address) for address in every if address.is_global),
        tuple(str(address) for address in every if not address.is_global),
    )


def _source(far: str) -> str:
    family = socket.AF_INET6 if ":" in far else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as sock:
            sock.connect((far, 53))
            return str(sock.getsockname()[0])
    except OSError:
        return ""
