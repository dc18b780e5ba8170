"""Addresses to which ordinary mail must not be delivered: private networks, and the relay itself.

Anyone may point an MX record anywhere, so without this rule a stranger's domain could make the relay talk SMTP to hosts
behind its firewall (RFC 5735, RFC 6890).
"""

import ipaddress
import socket
from collections.abc import Callable, Iterable
from functools import lru_cache

_Ip = ipaddress.IPv4Address | ipaddress.IPv6Address

# Without the documentation networks: no host has such an address, and examples should work as written.
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
# IANA assigns global unicast addresses only from this block (RFC 4291 section 2.4); any other address that mail may go
# to is an IPv4 address in another form.
_GLOBAL_V6 = ipaddress.IPv6Network("2000::/3")
_PRIVATE_V6 = tuple(
    map(
        ipaddress.IPv6Network,
        (
            "2001::/23",  # IETF protocol assignments (RFC 2928), with Teredo (RFC 4380) and ORCHIDv2
            "3ffe::/16",  # the 6bone, given back (RFC 3701)
        ),
    )
)
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
# The old IPv4-translated form of RFC 2765 section 2.1.
_TRANSLATED = ipaddress.IPv6Network("::ffff:0:0:0/96")
# The interface identifier of ISATAP (RFC 5214 section 6.1) before its IPv4 address, without the universal bit.
_ISATAP, _UNIVERSAL = 0x00005EFE, 0x02000000
_LOOPBACK: dict[int, _Ip] = {4: ipaddress.IPv4Address("127.0.0.1"), 6: ipaddress.IPv6Address("::1")}


@lru_cache(maxsize=4096)
def is_private(address: str) -> bool:
    """Whether mail for a stranger's domain must not go to an IP address, also if an IPv4 address is embedded in it."""
    ip = ipaddress.ip_address(address)
    if isinstance(ip, ipaddress.IPv4Address):
        return _is_private_v4(ip)
    ipv4_under_prefix = embedded_ipv4(ip)
    if ipv4_under_prefix is not None:
        return _is_private_v4(ipv4_under_prefix)
    return ip not in _GLOBAL_V6 or any(ip in network for network in _PRIVATE_V6)


def _is_private_v4(ip: ipaddress.IPv4Address) -> bool:
    return any(ip in network for network in _PRIVATE_V4)


def embedded_ipv4(ip: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """Return the IPv4 address at which packets to this address arrive, or None if there is none.

    The forms are mapped and translated (RFC 4291, RFC 2765), 6to4 (RFC 3056), NAT64 (RFC 6052) and ISATAP (RFC 5214).
    """
    if ip.ipv4_mapped is not None:
        return ip.ipv4_mapped
    if ip.sixtofour is not None:
        return ip.sixtofour
    is_isatap = ip in _GLOBAL_V6 and int(ip) >> 32 & 0xFFFFFFFF & ~_UNIVERSAL == _ISATAP
    return _last_32_bits(ip) if is_isatap or ip in _NAT64 or ip in _TRANSLATED else None


def _last_32_bits(ip: ipaddress.IPv6Address) -> ipaddress.IPv4Address:
    return ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)


def on_this_machine(address: str) -> bool:
    """Whether an interface of this machine has the address, because only then a socket can be bound to it."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as sock:
            sock.bind((address, 0))
    except OSError:
        return False
    return True


class OwnSockets:
    """The addresses and ports on which the relay listens. 0.0.0.0 and :: stand for all addresses of the machine."""

    def __init__(
        self, listening: Iterable[tuple[str, int]] = (), is_local_address: Callable[[str], bool] = on_this_machine
    ) -> None:
        self._listening = frozenset((_canonical(address), port) for address, port in listening)
        self._is_ours = is_local_address

    def includes(self, address: str, port: int) -> bool:
        """Whether a connection to this address and port would reach the relay itself."""
        ip = _final_address(address)
        if (ip, port) in self._listening:
            return True
        anywhere: _Ip = ipaddress.IPv4Address(0) if ip.version == 4 else ipaddress.IPv6Address(0)
        return (anywhere, port) in self._listening and self._is_ours(str(ip))


def _final_address(address: str) -> _Ip:
    """Return the address at which a connection arrives: an embedded IPv4 address, or loopback for "unspecified"."""
    ip = _canonical(address)
    if isinstance(ip, ipaddress.IPv6Address):
        ip = embedded_ipv4(ip) or ip
    return _LOOPBACK[ip.version] if ip.is_unspecified else ip


def _canonical(address: str) -> _Ip:
    ip = ipaddress.ip_address(address)
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
        return ip.ipv4_mapped
    return ip
