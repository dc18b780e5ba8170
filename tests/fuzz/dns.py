"""DNS replies: any packet as the answer to a query of the relay."""

import ipaddress
import re
import struct
from collections.abc import Callable
from contextlib import suppress

from hypothesis import strategies as st

from mta.dns.answers import Found, LookupFailed, MxRecord, NoData, NoSuchName, TlsaRecord
from mta.dns.message import MAX_RECORDS, CanonicalName, RecordType, interpret, make_query, parse_reply_to, rcode_error
from tests.fuzz.target import Growth, Tape, Target, is_line, sentences

_ID = 0x4D54
_QUESTION = b"\x04mail\x04test\x00"
#: The query, by the first octet of an input.
_RDTYPES = (RecordType.MX, RecordType.A, RecordType.AAAA, RecordType.TXT, RecordType.TLSA)
# Letters of a name as text; octets that a host's name cannot have are written as their numbers.
_NAME = re.compile(r"[!-~]*")


def check(packet: bytes) -> None:
    """Take a packet for the reply to a question; its first octet says to which."""
    rdtype = _RDTYPES[packet[0] % len(_RDTYPES)] if packet else RecordType.MX
    query = make_query("mail.test", rdtype)
    query.id = _ID
    reply = parse_reply_to(query, packet[1:])
    if reply is None:
        return
    assert reply.id == _ID
    if code := rcode_error(reply):
        assert is_line(code)
        return
    answer = interpret(reply)
    assert answer.ttl >= 1 or isinstance(answer, LookupFailed)
    assert answer.ttl <= 3600
    match answer:
        case Found(records, _, name):
            # MX records may name only names that no host can have, and TLSA records may all be too short.
            assert records or rdtype in (RecordType.MX, RecordType.TLSA)
            assert len(records) <= MAX_RECORDS
            _check_name(name)
            for record in records:
                _check_record(rdtype, record)
        case CanonicalName(target):
            _check_host(target)
        case LookupFailed(reason):
            assert is_line(reason)
            assert len(reason) < 2000
        case _:
            assert isinstance(answer, NoSuchName | NoData)


def _check_record(rdtype: RecordType, record: MxRecord | TlsaRecord | str) -> None:
    match record:
        case MxRecord(_, host):
            _check_host(host)
        case TlsaRecord(usage, selector, matching, data):
            assert max(usage, selector, matching) < 256
            assert len(data) < 1 << 16
        case text if rdtype is RecordType.TXT:
            assert len(text) < 1 << 16
            text.encode("latin-1")
        case address:
            ipaddress.ip_address(address)


def _check_host(name: str) -> None:
    _check_name(name)
    assert "\\" not in name


def _check_name(name: str) -> None:
    assert _NAME.fullmatch(name), name
    assert name == name.lower()
    assert len(name) <= 4 * 255
    # The relay asks for these names next: "" must differ from an impossible name.
    with suppress(ValueError):
        make_query(name, RecordType.A)


# The two ways to an input


def _packet(rdtype: int, flags: int, counts: tuple[int, int, int], records: bytes) -> bytes:
    """Return an octet for the query, and a packet that answers it."""
    head = struct.pack("!HHHHHH", _ID, flags, 1, *counts)
    return bytes([rdtype]) + head + _QUESTION + struct.pack("!HH", _RDTYPES[rdtype % len(_RDTYPES)].value, 1) + records


def read(tape: Tape) -> bytes:
    """Read a packet: the query, the flags, the announced numbers of records, then records."""
    rdtype, high, low, answers, authority = (tape.number() for _ in range(5))
    if high & 8:
        return bytes([rdtype]) + struct.pack("!H", _ID) + tape.rest()
    return _packet(rdtype, 0x8000 | (high & 2) << 8 | low, (answers % 32, authority % 4, 0), tape.rest())


def _record(name: bytes, rdtype: int, data: bytes, ttl: int = 60) -> bytes:
    return name + struct.pack("!HHIH", rdtype, 1, ttl, len(data)) + data


_HERE = b"\xc0\x0c"
_OTHER, _THIRD = b"\x05other\x04test\x00", b"\x05third\x04test\x00"
_SOA = b"\x00\x00" + struct.pack("!IIIII", 1, 2, 3, 4, 5)
_RECORDS = (
    *(
        _record(_HERE, 15, b"\x00\x0a" + _OTHER),
        _record(_HERE, 15, b"\x00\x14\x00", 0),
        _record(_HERE, 1, b"\xc0\x00\x02\x01"),
    ),
    *(_record(_HERE, 28, b"\x20" + bytes(14) + b"\x01"), _record(_HERE, 5, _OTHER), _record(_OTHER, 5, _THIRD)),
    *(
        _record(_THIRD, 5, _HERE),
        _record(_OTHER, 1, b"\x7f\x00\x00\x01", 1 << 31),
        _record(_OTHER, 15, b"\x00\x01" + _HERE),
    ),
    *(
        _record(b"\x04test\x00", 6, _SOA),
        _record(b"\x00", 41, b""),
        _record(_HERE, 16, b"\x05v=one\x00\x02\xff "),
        _record(_HERE, 52, b"\x03\x01\x01" + bytes(32)),
        _record(_HERE, 5, _HERE),
        _record(_HERE, 1, b"\x00"),
    ),
    *(
        _record(_HERE, 15, b"\x00\x01\x03a\nb\x02\xc3\xbc\x00"),
        _record(_HERE, 15, b"\x00\x01" + b"\x3f" + b"." * 63 + b"\x00"),
    ),
    *(_record(_HERE, 5, b"\x01\xff\x00"), b"\xc0", b"\x3f", b"\x00" * 9, _record(_HERE, 46, b"\x00\x0f" + bytes(18))),
)
packets = st.builds(
    _packet,
    st.integers(0, len(_RDTYPES) - 1),
    st.sampled_from([0x8180] * 8 + [0x8183] * 4 + [0x8380, 0x8182, 0x0000, 0xFFFF, 0x8580]),
    st.tuples(st.integers(0, 12), st.integers(0, 3), st.integers(0, 2)),
    sentences(_RECORDS),
)


def _shape(name: str, make: Callable[[int], bytes], size: int = 1 << 11) -> Growth[bytes]:
    return Growth(name, make, size)


def _many(record: bytes, size: int, rdtype: int = 0) -> bytes:
    count = size // len(record)
    return _packet(rdtype, 0x8180, (count, 0, 0), record * count)


def _chain(size: int) -> bytes:
    names = [b"\x04mail\x04test\x00", *(b"\x06a%05d\x00" % number for number in range(size // 26))]
    return _packet(1, 0x8180, (len(names) - 1, 0, 0), b"".join(map(lambda a, b: _record(a, 5, b), names, names[1:])))


GROWTH = (
    _shape("one record many times", lambda n: _many(_RECORDS[0], n)),
    _shape(
        "records of different hosts",
        lambda n: _packet(
            0,
            0x8180,
            (n // 20, 0, 0),
            b"".join(_record(_HERE, 15, b"\x00\x0a\x05%05d\x00" % i) for i in range(n // 20)),
        ),
    ),
    _shape(
        "addresses",
        lambda n: _packet(
            1, 0x8180, (n // 16, 0, 0), b"".join(_record(_HERE, 1, struct.pack("!I", i)) for i in range(n // 16))
        ),
    ),
    _shape("a chain of names", _chain),
    _shape("what is behind the end", lambda n: _packet(0, 0x8180, (0, 0, 0), b"x" * n)),
)
TARGET = Target("dns", check, read, packets, (*_RECORDS, _HERE, _OTHER, b"\x00\x0f\x00\x01", b"\x00"), GROWTH)
