"""Headers of the PROXY protocol: held against a second reader, which looks at whole headers only."""

import ipaddress
import re
import socket
import struct

from hypothesis import strategies as st

from mta.inbound.sockets.proxy_header import MAX_V1, MAX_V2, ProxyHeader, ProxyHeaderError, read_proxy_header
from tests.fuzz.target import Growth, Tape, Target, is_line, sentences

_SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
_V1 = re.compile(
    rb"PROXY (?:UNKNOWN(?: [^\n]*)?|TCP([46]) ([0-9A-Fa-f:.]+) ([0-9A-Fa-f:.]+) (0|[1-9]\d{0,4}) (0|[1-9]\d{0,4}))\r\n"
)
_FAMILIES = {b"4": socket.AF_INET, b"6": socket.AF_INET6}
# Beyond these octets no header is incomplete.
_MOST = MAX_V2 + 1


def check(data: bytes) -> None:
    """Read the beginnings of a connection's octets: each is a part of a header, or comes to the same as the whole."""
    whole = _read(data)
    if isinstance(whole, str):
        assert is_line(whole)
    elif whole is not None:
        assert data.startswith((b"PROXY ", _SIGNATURE))
        assert whole.size <= (MAX_V1 if data.startswith(b"P") else MAX_V2)
        if whole.client:
            address = ipaddress.ip_address(whole.client)
            assert str(address) == whole.client
            assert getattr(address, "ipv4_mapped", None) is None
    else:
        assert len(data) < _MOST
    _check_beginnings(data, whole)
    expected = _expected(data)
    assert (whole if isinstance(whole, ProxyHeader) else None) == expected


def _check_beginnings(data: bytes, whole: ProxyHeader | str | None) -> None:
    """Assert that no octets that follow change a result. A beginning of half the length is enough for each input."""
    size = len(data)
    while size:
        size //= 2
        early = _read(data[:size])
        assert early is None or type(early) is type(whole)
        if isinstance(early, ProxyHeader):
            assert early == whole
            assert early.size <= size


def _read(data: bytes) -> ProxyHeader | str | None:
    try:
        return read_proxy_header(data)
    except ProxyHeaderError as error:
        return str(error)


def _expected(data: bytes) -> ProxyHeader | None:
    """Return the header at the beginning of some octets as the specification describes it, or None if there is none."""
    if match := _V1.match(data[:MAX_V1]):
        version, source, destination, *ports = match.groups()
        if version is None:
            return ProxyHeader("", match.end())
        packed = [_packed(_FAMILIES[version], field) for field in (source, destination)]
        if None in packed or any(int(port) > 65535 for port in ports):
            return None
        return _named(packed[0] or b"", match.end())
    if data[:12] != _SIGNATURE or len(data) < 16 or data[12] not in (0x20, 0x21):
        return None
    size = 16 + int.from_bytes(data[14:16], "big")
    if not size <= MAX_V2 or len(data) < size:
        return None
    return _block(data[12] == 0x20, data[13], data[16:size], size)


def _block(local: bool, family: int, block: bytes, size: int) -> ProxyHeader | None:  # noqa: FBT001
    if local:
        return ProxyHeader("", size)
    if family in (0x11, 0x21):
        octets = 4 if family == 0x11 else 16
        return None if len(block) < 2 * octets + 4 else _named(block[:octets], size)
    return ProxyHeader("", size) if family >> 4 <= 3 and family & 15 <= 2 else None


def _packed(family: socket.AddressFamily, field: bytes) -> bytes | None:
    try:
        return socket.inet_pton(family, field.decode())
    except OSError:
        return None


def _named(packed: bytes, size: int) -> ProxyHeader | None:
    if packed[:12] == bytes(10) + b"\xff\xff":
        packed = packed[12:]
    if not any(packed) or (packed[0] >> 4 == 14 if len(packed) == 4 else packed[0] == 255):
        return None
    return ProxyHeader(str(ipaddress.ip_address(packed)), size)


def read(tape: Tape) -> bytes:
    """Read octets: one chooses the beginning, and for version 2 another one the family."""
    beginning = tape.choose((b"", b"PROXY TCP4 ", b"PROXY TCP6 ", b"PROXY ", _SIGNATURE, _SIGNATURE))
    if beginning != _SIGNATURE:
        return beginning + tape.rest()
    command, family = tape.choose((0x21, 0x20, 0x22)), tape.choose((0x11, 0x21, 0x31, 0, tape.number()))
    rest = tape.rest()
    return beginning + struct.pack(">BBH", command, family, len(rest) & 0xFFF) + rest


_WORDS = (
    *(b"PROXY ", b"TCP4 ", b"TCP6 ", b"UNKNOWN", b" ", b"\r\n", b"192.0.2.9 ", b"10.0.0.2 ", b"2001:db8::9 ", b"::1 "),
    *(b"40000 ", b"25", b"65535", b"65536 ", b"0 ", b"01 ", b"::ffff:192.0.2.9 ", b"0.0.0.0 ", b":: ", b"224.0.0.1 "),
    *(b"1.2.3 ", b"1.2.3.04 ", b"\n", b"\r", b"\0", b"\xff", b"%eth0", b"EHLO a.test\r\n", b"\x16\x03\x01"),
)
_VALID = (
    b"PROXY TCP4 192.0.2.9 10.0.0.2 40000 25\r\n",
    b"PROXY TCP6 2001:db8::9 ::1 40000 25\r\n",
    b"PROXY UNKNOWN\r\n",
    _SIGNATURE + b"\x21\x11\0\x0c" + bytes(range(1, 13)),
    _SIGNATURE + b"\x21\x21\0\x24" + bytes(range(1, 37)),
    _SIGNATURE + b"\x20\0\0\0",
    _SIGNATURE + b"\x21\x11\0\x13" + bytes(range(1, 13)) + b"\3\0\4\1\2\3\4",
)


def _changed(header: bytes, at: int, octet: int, cut: int) -> bytes:
    at %= len(header)
    return (header[:at] + bytes((octet,)) + header[at + 1 :])[: cut or None]


headers = (
    sentences(_WORDS).map(lambda words: b"PROXY " + words)
    | st.tuples(st.sampled_from(_VALID), st.binary(max_size=4)).map(b"".join)
    | st.builds(_changed, st.sampled_from(_VALID), st.integers(0, 255), st.integers(0, 255), st.integers(0, 60))
)
GROWTH = (
    Growth("a line without an end", lambda size: b"PROXY UNKNOWN " + b"x" * size),
    Growth("octets behind a header", lambda size: _VALID[0] + b"x" * size),
    Growth("TLVs", lambda size: _SIGNATURE + b"\x21\0\x07\xf0" + b"\4\0\0" * (size // 3)),
)
TARGET = Target("proxy", check, read, headers, (*_WORDS, *_VALID), GROWTH)
