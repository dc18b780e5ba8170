"""Reads the networks of a network interface from the Linux kernel (rtnetlink(7)).

The libraries `ifaddr` and `psutil` stand on getifaddrs(3), which files an IPv4 address with a label (`eth0:1`) under
that label instead of its interface, and gives the own end of a point-to-point link in place of the peer's address.
NET_DEV needs both: with either library, clients on such an address or link would lose the right to send (measured).
"""

import ipaddress
import socket
import struct
from collections.abc import Iterator

from mta.inbound.networks import IPNetwork

_RTM_NEWADDR = 20
_RTM_GETADDR = 22
_NLMSG_ERROR = 2
_NLMSG_DONE = 3
_NLM_F_REQUEST_DUMP = 0x301
_IFA_ADDRESS = 1
_HEADER = struct.Struct("=IHHII")  # nlmsghdr: length, type, flags, sequence, port
_IFADDRMSG = struct.Struct("=BBBBI")  # family, prefix length, flags, scope, interface index
_ATTRIBUTE = struct.Struct("=HH")  # rtattr: length, type
_DATAGRAM = 65536
# Seconds to wait for the kernel's reply.
_PATIENCE = 5.0


def interface_networks(device: str) -> tuple[IPNetwork, ...]:
    """Return the IPv4 and IPv6 networks of an interface. Raises OSError, also if there is no such interface.

    IPv6 link-local networks are left out because fe80::/64 is the same on every link, so an address of it does not
    tell whether the client is on this one. Loopback networks are left out because other users of a shared host or
    network namespace may send from them (see `mta.inbound.networks.LOOPBACK`).
    """
    index = socket.if_nametoindex(device)
    networks = (network for replied in _dump_addresses() if (network := _network(replied, index)))
    return tuple(dict.fromkeys(networks))


def _dump_addresses() -> Iterator[bytes]:
    """Yield the payload of each RTM_NEWADDR message."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as kernel:
        kernel.settimeout(_PATIENCE)
        length = _HEADER.size + _IFADDRMSG.size
        kernel.send(_HEADER.pack(length, _RTM_GETADDR, _NLM_F_REQUEST_DUMP, 1, 0) + _IFADDRMSG.pack(0, 0, 0, 0, 0))
        while True:
            for kind, payload in _messages(kernel.recv(_DATAGRAM)):
                if kind == _NLMSG_DONE:
                    return
                if kind == _NLMSG_ERROR:
                    raise OSError(-struct.unpack_from("=i", payload)[0], "the kernel did not list addresses")
                if kind == _RTM_NEWADDR:
                    yield payload


def _messages(datagram: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the type and the payload of each netlink message in a datagram."""
    start = 0
    while start + _HEADER.size <= len(datagram):
        length, kind, *_ = _HEADER.unpack_from(datagram, start)
        if length < _HEADER.size:
            return
        yield kind, datagram[start + _HEADER.size : start + length]
        start += _aligned(length)


def _network(message: bytes, index: int) -> IPNetwork | None:
    """Return the network in an ifaddrmsg, or None if it belongs to another interface or is link-local or loopback."""
    _, prefix, _, _, its_index = _IFADDRMSG.unpack_from(message)
    address = _attribute(message, _IFADDRMSG.size, _IFA_ADDRESS)
    if its_index != index or len(address) not in {4, 16}:
        return None
    network = ipaddress.ip_network((address, prefix), strict=False)
    return None if network.is_loopback or (network.version == 6 and network.is_link_local) else network


def _attribute(message: bytes, start: int, wanted: int) -> bytes:
    """Return the value of an attribute, or no octets if the message does not have it."""
    while start + _ATTRIBUTE.size <= len(message):
        length, kind = _ATTRIBUTE.unpack_from(message, start)
        if length < _ATTRIBUTE.size:
            break
        if kind == wanted:
            return message[start + _ATTRIBUTE.size : start + length]
        start += _aligned(length)
    return b""


def _aligned(length: int) -> int:
    return (length + 3) & ~3
