"""Addresses that ordinary mail must not be led to: private networks, and ourselves.

Anyone may point an MX record anywhere, so without this rule a stranger's domain could make us talk SMTP to hosts behind
our firewall (RFC 5735, RFC 6890).
"""

import ipaddress
import socket
from collections.abc import Callable, Iterable
from functools import lru_cache

_Ip = ipaddress.IPv4Address | ipaddress.IPv6Address

# Documentation networks are left out: nothing lives there, and examples should work as written.
_PRIVATE_V4 = tuple(
    map(
        ipaddress.IPv4Network,
        (
            "0.0.0.0/8",  # this host (RFC 1122)
            "10.0.0.0/8",  # RFC 1918, with two more below
            "100.64.0.0/10",  # behind a provider's NAT (RFC 6598)
            "127.0.0.0/8",  # loopback
            "169.254.0.0/16",  # link-local, and the cloud's metadata service
            "172.16.0.0/12",
            "192.0.0.0/24",  # IETF protocol assignments (RFC 6890)
            "192.168.0.0/16",
            "198.18.0.0/15",  # benchmarks (RFC 2544)
            "224.0.0.0/4",  # multicast
            "240.0.0.0/4",  # reserved, and broadcast
        ),
    )
)
_PRIVATE_V6 = tuple(
    map(
        ipaddress.IPv6Network,
        (
            "::/96",  # unspecified, loopback and the old IPv4-compatible form (RFC 4291)
            "64:ff9b:1::/48",  # NAT64 of local use (RFC 8215)
            "100::/64",  # discard (RFC 6666)
            "fc00::/7",  # unique local (RFC 4193)
            "fe80::/10",  # link-local
            "fec0::/10",  # site-local (RFC 3879)
            "ff00::/8",  # multicast
        ),
    )
)
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_LOOPBACK: dict[int, _Ip] = {4: ipaddress.IPv4Address("127.0.0.1"), 6: ipaddress.IPv6Address("::1")}


@lru_cache(maxsize=4096)
def is_private(address: str) -> bool:
    """Whether an IP address is one no stranger's mail may be sent to, in whatever form it hides an IPv4 address."""
    ip = ipaddress.ip_address(address)
    if isinstance(ip, ipaddress.IPv6Address):
        inner = embedded(ip)
        if inner is None:
            return any(ip in network for network in _PRIVATE_V6)
        ip = inner
    return any(ip in network for network in _PRIVATE_V4)


def embedded(ip: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """Return the IPv4 address that packets to this address end at: mapped, 6to4 (RFC 3056) or NAT64 (RFC 6052)."""
    if ip.ipv4_mapped is not None:
        return ip.ipv4_mapped
    if ip.sixtofour is not None:
        return ip.sixtofour
    return ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF) if ip in _NAT64 else None


def on_this_machine(address: str) -> bool:
    """Whether an interface of this machine has the address: only then may a socket be bound to it."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as sock:
            sock.bind((address, 0))
    except OSError:
        return False
    return True


class OwnSockets:
    """Where we listen: a host and port among these are ourselves. 0.0.0.0 and :: stand for all of the machine's."""

    def __init__(
        self, listening: Iterable[tuple[str, int]] = (), is_ours: Callable[[str], bool] = on_this_machine
    ) -> None:
        self._listening = frozenset((_canonical(address), port) for address, port in listening)
        self._is_ours = is_ours

    def includes(self, address: str, port: int) -> bool:
        """Whether a connection to there would reach ourselves."""
        ip = _reached(address)
        if (ip, port) in self._listening:
            return True
        anywhere: _Ip = ipaddress.IPv4Address(0) if ip.version == 4 else ipaddress.IPv6Address(0)
        return (anywhere, port) in self._listening and self._is_ours(str(ip))


def _reached(address: str) -> _Ip:
    """Return where a connection to an address ends: a NAT64 leads back to IPv4, and "unspecified" is this machine."""
    ip = _canonical(address)
    if isinstance(ip, ipaddress.IPv6Address) and ip in _NAT64:
        ip = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
    return _LOOPBACK[ip.version] if ip.is_unspecified else ip


def _canonical(address: str) -> _Ip:
    ip = ipaddress.ip_address(address)
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
        return ip.ipv4_mapped
    return ip
