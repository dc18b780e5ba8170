"""Headers of the PROXY protocol, whole and in pieces."""

import ipaddress
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.inbound.sockets.proxy_header import MAX_V1, MAX_V2, ProxyHeader, ProxyHeaderError, read_proxy_header

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
V4 = ipaddress.IPv4Address("203.0.113.9").packed + ipaddress.IPv4Address("10.0.0.2").packed + struct.pack(">HH", 5, 25)
V6 = ipaddress.IPv6Address("2001:db8::9").packed + ipaddress.IPv6Address("fd00::2").packed + struct.pack(">HH", 5, 25)
MAPPED = ipaddress.IPv6Address("::ffff:203.0.113.9").packed + ipaddress.IPv6Address("::1").packed + bytes(4)
UNIX = b"/run/a".ljust(108, b"\0") * 2
TLVS = b"\x04\0\x03abc" + b"\x03\0\x04\1\2\3\4"


def v1(text: str) -> bytes:
    return f"PROXY {text}\r\n".encode()


def v2(block: bytes, *, family: int, command: int = 0x21) -> bytes:
    return SIGNATURE + struct.pack(">BBH", command, family, len(block)) + block


# Headers and the addresses of their clients.
HEADERS = {
    v1("TCP4 203.0.113.9 10.0.0.2 40000 25"): "203.0.113.9",
    v1("TCP4 255.255.255.254 255.255.255.255 65535 65535"): "255.255.255.254",
    v1("TCP4 1.2.3.4 5.6.7.8 0 0"): "1.2.3.4",
    v1("TCP6 2001:DB8::9 fd00::2 40000 25"): "2001:db8::9",
    v1("TCP6 " + "2001:0db8:0000:0000:0000:ffff:0000:0009 " * 2 + "65535 65535"): "2001:db8::ffff:0:9",
    v1("TCP6 ::ffff:203.0.113.9 ::ffff:10.0.0.2 1 2"): "203.0.113.9",
    v1("TCP6 ::ffff:cb00:7109 ::1 1 2"): "203.0.113.9",
    v1("UNKNOWN"): "",
    v1("UNKNOWN any text \r \0 \xff"): "",
    v1("UNKNOWN " + "x" * (MAX_V1 - 16)): "",
    v2(V4, family=0x11): "203.0.113.9",
    v2(V4 + TLVS, family=0x11): "203.0.113.9",
    v2(V4 + bytes(MAX_V2 - 16 - len(V4)), family=0x11): "203.0.113.9",
    v2(V6, family=0x21): "2001:db8::9",
    v2(V6 + TLVS, family=0x21): "2001:db8::9",
    v2(MAPPED, family=0x21): "203.0.113.9",
    v2(UNIX, family=0x31): "",
    v2(b"", family=0): "",
    v2(TLVS, family=0): "",
    # By UDP, and of an unspecified protocol: to be taken like an unspecified family.
    v2(V4, family=0x12): "",
    v2(V6, family=0x20): "",
    v2(UNIX, family=0x32): "",
    # LOCAL: the family and the block do not count.
    v2(b"", family=0, command=0x20): "",
    v2(V4, family=0x11, command=0x20): "",
    v2(b"abc", family=0xFF, command=0x20): "",
}
BAD = (
    # Not one of the two.
    b"EHLO a.test\r\n",
    b"proxy TCP4 1.2.3.4 1.2.3.4 1 2\r\n",
    b"PROXY\r\n",
    b"\x16\x03\x01",
    b"GET / HTTP/1.1\r\n",
    SIGNATURE[:-1] + b"\r",
    # Version 1.
    v1(""),
    v1("TCP5 1.2.3.4 1.2.3.4 1 2"),
    v1("tcp4 1.2.3.4 1.2.3.4 1 2"),
    v1("TCP4"),
    v1("TCP4 1.2.3.4 1.2.3.4 1"),
    v1("TCP4 1.2.3.4 1.2.3.4 1 2 3"),
    v1("TCP4 1.2.3.4 1.2.3.4 1 2 "),
    v1("TCP4  1.2.3.4 1.2.3.4 1 2"),
    v1("TCP4 1.2.3.4 1.2.3.4 1 65536"),
    v1("TCP4 1.2.3.4 1.2.3.4 01 2"),
    v1("TCP4 1.2.3.4 1.2.3.4 -1 2"),
    v1("TCP4 1.2.3.4 1.2.3.4 1 \xb2"),
    v1("TCP4 1.2.3.256 1.2.3.4 1 2"),
    v1("TCP4 1.2.3 1.2.3.4 1 2"),
    v1("TCP4 1.2.3.04 1.2.3.4 1 2"),
    v1("TCP4 1.2.3.4 1.2.3 1 2"),
    v1("TCP4 ::1 ::1 1 2"),
    v1("TCP6 1.2.3.4 1.2.3.4 1 2"),
    v1("TCP6 fe80::1%eth0 ::1 1 2"),
    v1("TCP6 1::2::3 ::1 1 2"),
    v1("TCP6 12345::1 ::1 1 2"),
    v1("TCP4 0.0.0.0 1.2.3.4 1 2"),
    v1("TCP4 224.0.0.1 1.2.3.4 1 2"),
    v1("TCP6 :: ::1 1 2"),
    v1("TCP6 ::ffff:0.0.0.0 ::1 1 2"),
    v1("TCP6 ff02::1 ::1 1 2"),
    v1("UNKNOWNS"),
    v1("UNKNOWN " + "x" * (MAX_V1 - 15)),
    b"PROXY " + b"x" * (MAX_V1 - 6),
    b"PROXY UNKNOWN\n",
    b"PROXY UNKNOWN x\n",
    b"PROXY TCP4 1.2.3.4 1.2.3.4 1 22\n",
    # Version 2.
    v2(V4, family=0x11, command=0x11),
    v2(V4, family=0x11, command=0x31),
    v2(V4, family=0x11, command=0x22),
    v2(V4, family=0x41),
    v2(V4, family=0x13),
    v2(V4[:-1], family=0x11),
    v2(V6[:-1], family=0x21),
    v2(b"", family=0x11),
    v2(bytes(12), family=0x11),
    v2(bytes(36), family=0x21),
    v2(bytes([224, 0, 0, 1]) + V4[4:], family=0x11),
    v2(bytes(MAX_V2 - 15), family=0),
    SIGNATURE + b"\x21\x11\xff\xff",
)


@pytest.mark.parametrize("number", range(len(HEADERS)))
def test_a_header_names_its_client_and_its_size_however_it_is_cut(number):
    header, client = tuple(HEADERS.items())[number]
    for size in range(len(header)):
        assert read_proxy_header(header[:size]) is None
    for rest in (b"", b"E", b"EHLO a.test\r\n", header):
        assert read_proxy_header(header + rest) == ProxyHeader(client, len(header))


@pytest.mark.parametrize("number", range(len(BAD)))
def test_anything_else_is_refused_as_soon_as_it_is_no_beginning(number):
    data = BAD[number]
    with pytest.raises(ProxyHeaderError) as refused:
        read_proxy_header(data)
    assert str(refused.value).isprintable()
    refusals = [size for size in range(len(data) + 1) if is_refused(data[:size])]
    # What is refused once is refused with any octets behind it.
    assert refusals == list(range(refusals[0], len(data) + 1))
    assert is_refused(data + b"EHLO a.test\r\n")


def is_refused(data: bytes) -> bool:
    try:
        read_proxy_header(data)
    except ProxyHeaderError:
        return True
    return False


def test_tls_and_smtp_are_refused_by_their_first_octet():
    assert is_refused(b"\x16")
    assert is_refused(b"E")
    assert is_refused(b"PE")


@given(st.ip_addresses(), st.integers(0, 65535))
def test_every_address_of_a_client_is_read_from_both_versions(address, port):
    packed = address.packed + address.packed + struct.pack(">HH", port, port)
    text = v1(f"TCP{address.version} {address} {address} {port} {port}")
    binary = v2(packed, family=0x11 if address.version == 4 else 0x21)
    mapped = getattr(address, "ipv4_mapped", None) or address
    for header in (text, binary):
        if mapped.is_unspecified or mapped.is_multicast:
            assert is_refused(header)
        else:
            assert read_proxy_header(header) == ProxyHeader(str(mapped), len(header))
