"""Reads the header of the PROXY protocol, by which a load balancer names its client.

Both versions of HAProxy's proxy-protocol.txt are read, the version of 2020-03-05. The TLVs of version 2 are skipped,
among them the checksum: TCP protects the octets already.
"""

import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from mta.inbound.networks import IPAddress, unmapped

#: Section 2.1: the longest header of version 1, with CRLF.
MAX_V1 = 107
#: The longest accepted header of version 2. Addresses take 232 octets at most, the rest is for TLVs.
MAX_V2 = 2048

_V1 = b"PROXY "
_V2 = b"\r\n\r\n\0\r\nQUIT\n"
_V2_FIXED = 16
#: The header of a connection that its program makes for itself, and not for a client (version 2, LOCAL).
LOCAL_HEADER = _V2 + b"\x20\0\0\0"
_LOCAL, _PROXY = 0, 1
# Section 2.2: the highest assigned address family and transport protocol.
_MAX_FAMILY, _MAX_PROTOCOL = 3, 2
_TCP4, _TCP6 = 0x11, 0x21
# Python would also accept the scope of an IPv6 address.
_ADDRESS = re.compile(rb"[0-9A-Fa-f:.]+")
_PORT = re.compile(rb"0|[1-9][0-9]{0,4}")


class ProxyHeaderError(Exception):
    """The octets are not a PROXY header. The message is the end of a sentence about the connection."""


@dataclass(frozen=True, slots=True)
class ProxyHeader:
    """A complete header: the client's address, and the number of octets of the header.

    An IPv4-mapped address is given as IPv4. The address is "" for LOCAL, UNKNOWN, and clients without an IP address:
    the connection then counts as one of the load balancer itself.
    """

    client: str
    size: int


def read_proxy_header(data: bytes) -> ProxyHeader | None:
    """Return the header with which a connection begins, or None if `data` is only a part of it.

    `data` has all octets of the connection so far. Raises ProxyHeaderError as soon as they cannot become a header.
    """
    if data.startswith(_V1):
        return _read_v1(data)
    if data.startswith(_V2):
        return _read_v2(data)
    if _V1.startswith(data) or _V2.startswith(data):
        return None
    raise ProxyHeaderError("it began without a PROXY header")


def _read_v1(data: bytes) -> ProxyHeader | None:
    size = data.find(b"\n", 0, MAX_V1) + 1
    if not size:
        if len(data) >= MAX_V1:
            raise ProxyHeaderError(f"the line of its PROXY header is longer than {MAX_V1} octets")
        return None
    if data[size - 2 : size] != b"\r\n":
        raise ProxyHeaderError("the line of its PROXY header does not end with CRLF")
    protocol, *fields = data[len(_V1) : size - 2].split(b" ")
    if protocol == b"UNKNOWN":
        return ProxyHeader("", size)
    parse = _PARSERS.get(protocol)
    if parse is None or len(fields) != 4:
        raise ProxyHeaderError("its PROXY header is not one of version 1")
    source, destination, *ports = fields
    for port in ports:
        if not _PORT.fullmatch(port) or int(port) > 0xFFFF:
            raise ProxyHeaderError("its PROXY header has a bad port")
    _parse_text(parse, destination)
    return ProxyHeader(_client(_parse_text(parse, source)), size)


def _parse_text(parse: Callable[[str], IPAddress], field: bytes) -> IPAddress:
    try:
        if _ADDRESS.fullmatch(field):
            return parse(field.decode())
    except ValueError:
        pass
    raise ProxyHeaderError("its PROXY header has a bad address")


def _read_v2(data: bytes) -> ProxyHeader | None:
    if len(data) < _V2_FIXED:
        return None
    command, family, length = struct.unpack_from(">BBH", data, len(_V2))
    size = _V2_FIXED + length
    if command >> 4 != 2 or command & 0xF not in (_LOCAL, _PROXY):
        raise ProxyHeaderError(f"its PROXY header has the unknown version and command 0x{command:02x}")
    if size > MAX_V2:
        raise ProxyHeaderError(f"its PROXY header is longer than {MAX_V2} octets")
    if len(data) < size:
        return None
    return ProxyHeader("" if command & 0xF == _LOCAL else _read_client(family, data[_V2_FIXED:size]), size)


def _read_client(family: int, block: bytes) -> str:
    """Return the address of the client, or "" if it did not come by TCP."""
    if family >> 4 > _MAX_FAMILY or family & 0xF > _MAX_PROTOCOL:
        raise ProxyHeaderError(f"its PROXY header has the unknown address family 0x{family:02x}")
    if family not in _BLOCKS:
        return ""
    octets, block_size = _BLOCKS[family]
    if len(block) < block_size:
        raise ProxyHeaderError("its PROXY header is too short for its addresses")
    return _client(IPv4Address(block[:octets]) if family == _TCP4 else IPv6Address(block[:octets]))


def _client(address: IPAddress) -> str:
    address = unmapped(address)
    if address.is_unspecified or address.is_multicast:
        raise ProxyHeaderError(f"its PROXY header names {address}, which is not the address of a client")
    return str(address)


_PARSERS: dict[bytes, Callable[[str], IPAddress]] = {b"TCP4": IPv4Address, b"TCP6": IPv6Address}
# The octets of an address, and those of both addresses and ports.
_BLOCKS = {_TCP4: (4, 12), _TCP6: (16, 36)}
