"""Parses DNS replies (RFC 1035 section 4) into the few record types that routing needs.

A reply is chosen by a stranger, and a name in it may end in a pointer to an earlier name, so that 64 KiB can hold
thousands of long names. This parser reads each part of a name once and does not compare records, so its time grows only
with the octets of the reply. That is why the relay does not use `dns.message.from_wire` of dnspython here: a crafted
reply of 65 KB with 4,047 MX records full of pointers takes 39 ms instead of 12.7 s, during which the reactor would
serve no connection, and a usual reply takes 58 us instead of 1.5 ms (measured).
"""

import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass, field
from struct import Struct
from typing import NamedTuple

A, CNAME, SOA, MX, TXT, AAAA, OPT, TLSA = 1, 5, 6, 15, 16, 28, 41, 52

_INTERNET = 1
_RESPONSE, _OPCODE, _TRUNCATED, _AUTHENTIC, _RCODE = 0x8000, 0x7800, 0x0200, 0x0020, 0x000F
_HEADER, _QUESTION, _RECORD = Struct("!6H"), Struct("!2H"), Struct("!2HIH")
HEADER_OCTETS = _HEADER.size
_SHORT, _LONG = Struct("!H"), Struct("!I")
_POINTER, _MAX_LABEL, _MAX_NAME = 0xC0, 63, 255
# Consecutive pointers to names that were not read before: more than any real server makes.
_MAX_HOPS = 64
_PLAIN = frozenset(b"abcdefghijklmnopqrstuvwxyz0123456789-_")


class MalformedReply(ValueError):
    """The octets are not a DNS reply."""


class DnsQuestion(NamedTuple):
    """The question of a reply; the name is in the form that `DnsReply` uses."""

    name: str
    rdtype: int


class DnsRecord(NamedTuple):
    """A record of the answer section.

    `data` is an address, a name or a text, each octet of which is one character; `preference` is that of an MX record,
    and `octets` are the data of a TLSA record.
    """

    name: str
    rdtype: int
    ttl: int
    data: str
    preference: int = 0
    octets: bytes = b""


@dataclass(slots=True)
class DnsReply:
    r"""A reply of class IN.

    Names are in lower case without the final dot; octets that host names do not have appear as `\DDD`; "" is the root.
    """

    id: int
    question: DnsQuestion | None
    rcode: int
    truncated: bool
    answers: list[DnsRecord] = field(default_factory=list)
    #: Seconds for which a negative answer may be cached (RFC 2308 section 5); None without an SOA record.
    negative_ttl: int | None = None
    #: Whether the name in the question has the case of the query.
    case_matches: bool = True
    #: The bit AD: the server says that it has validated all records of the answer (RFC 4035 section 3.2.3).
    authentic: bool = False


def parse_reply(wire: bytes) -> DnsReply:
    """Return the reply in these octets; a truncated one as far as it goes. Raises MalformedReply."""
    reader = _Reader(wire)
    id, flags, questions, *counts = reader.unpack(_HEADER)
    if not flags & _RESPONSE or flags & _OPCODE or questions > 1:
        raise MalformedReply("not a reply to a question")
    question = reader.question() if questions else None
    reply = DnsReply(id, question, flags & _RCODE, bool(flags & _TRUNCATED), authentic=bool(flags & _AUTHENTIC))
    try:
        _read_sections(reader, reply, *counts)
    except MalformedReply:
        if not reply.truncated:
            raise
    return reply


def _read_sections(reader: "_Reader", reply: DnsReply, answers: int, authorities: int, additional: int) -> None:
    for raw in reader.raw_records(answers):
        record = reader.decode(raw)
        if record is not None:
            reply.answers.append(record)
    for raw in reader.raw_records(authorities):
        if raw.rdtype == SOA:
            reply.negative_ttl = min(raw.ttl, reader.soa_minimum(raw))
    for raw in reader.raw_records(additional):
        if raw.rdtype == OPT:
            # RFC 6891 section 6.1.3: the upper eight bits of the response code.
            reply.rcode |= raw.ttl >> 24 << 4


class _RawRecord(NamedTuple):
    name: str
    rdtype: int
    rdclass: int
    ttl: int
    start: int
    end: int


class _Reader:
    """The position in a reply, and the names read so far by the offsets at which they begin."""

    def __init__(self, wire: bytes) -> None:
        self._wire = wire
        self._at = 0
        self._names: dict[int, tuple[str, int]] = {}

    def unpack(self, form: Struct) -> tuple[int, ...]:
        """Read numbers. Raises MalformedReply if the octets end before."""
        start, self._at = self._at, self._at + form.size
        if self._at > len(self._wire):
            raise MalformedReply("it ends too soon")
        return form.unpack_from(self._wire, start)

    def question(self) -> DnsQuestion:
        name = self._name()
        rdtype, rdclass = self.unpack(_QUESTION)
        if rdclass != _INTERNET:
            raise MalformedReply("a question of another class")
        return DnsQuestion(name, rdtype)

    def raw_records(self, count: int) -> Iterator[_RawRecord]:
        """Read records without decoding their data."""
        for _ in range(count):
            name = self._name()
            rdtype, rdclass, ttl, size = self.unpack(_RECORD)
            start, end = self._at, self._at + size
            if end > len(self._wire):
                raise MalformedReply("it ends too soon")
            yield _RawRecord(name, rdtype, rdclass, ttl, start, end)
            self._at = end

    def decode(self, raw: _RawRecord) -> DnsRecord | None:
        """Return a record with its data; None for a type that the relay does not ask for."""
        name, rdtype, rdclass, ttl, start, end = raw
        if rdclass != _INTERNET:
            return None
        if rdtype in (A, AAAA):
            return DnsRecord(name, rdtype, ttl, self._address(rdtype, start, end))
        if rdtype == CNAME:
            return DnsRecord(name, rdtype, ttl, self._name_in(start, end))
        if rdtype == MX:
            return DnsRecord(name, rdtype, ttl, self._name_in(start + 2, end), _SHORT.unpack_from(self._wire, start)[0])
        if rdtype == TXT:
            return DnsRecord(name, rdtype, ttl, self._text(start, end))
        if rdtype == TLSA:
            return DnsRecord(name, rdtype, ttl, "", octets=self._wire[start:end])
        return None

    def soa_minimum(self, raw: _RawRecord) -> int:
        """Return the MINIMUM field of an SOA record, its last number."""
        if raw.end - raw.start < _LONG.size:
            raise MalformedReply("an SOA without its numbers")
        minimum: int = _LONG.unpack_from(self._wire, raw.end - _LONG.size)[0]
        return minimum

    def _address(self, rdtype: int, start: int, end: int) -> str:
        octets = self._wire[start:end]
        if len(octets) != (4 if rdtype == A else 16):
            raise MalformedReply("an address of the wrong length")
        return str(ipaddress.ip_address(octets))

    def _text(self, start: int, end: int) -> str:
        """Return the strings of a TXT record in one (RFC 1035 section 3.3.14)."""
        strings = []
        while start < end:
            begin, start = start + 1, start + 1 + self._wire[start]
            strings.append(self._wire[begin:start])
        if start != end:
            raise MalformedReply("a text that does not end with its record")
        return b"".join(strings).decode("latin-1")

    def _name_in(self, start: int, end: int) -> str:
        """Return the name that fills the octets from `start` to `end`."""
        self._at = start
        name = self._name()
        if self._at != end:
            raise MalformedReply("a name that does not end with its record")
        return name

    def _name(self, hops: int = 0) -> str:
        """Read a name. A pointer must lead to an offset before the name, so pointers cannot form a circle."""
        start = at = self._at
        labels = []
        while 0 < (size := self._octet(at)) <= _MAX_LABEL:
            labels.append(at)
            at += 1 + size
        if size >= _POINTER:
            rest, length = self._pointed(at, start, hops)
            self._at = at + _SHORT.size
        elif size == 0:
            rest, length = "", 1
            self._at = at + 1
        else:
            raise MalformedReply("a label of an unassigned type")
        self._names[start] = self._joined(labels, rest, length)
        return self._names[start][0]

    def _octet(self, at: int) -> int:
        if at >= len(self._wire):
            raise MalformedReply("a name without an end")
        return self._wire[at]

    def _pointed(self, at: int, before: int, hops: int) -> tuple[str, int]:
        """Return the name that the pointer at `at` leads to, and its length in octets."""
        self._at = at
        target = self.unpack(_SHORT)[0] & 0x3FFF
        if target >= before or hops > _MAX_HOPS:
            raise MalformedReply("a pointer that does not lead back, or one of too many")
        if target not in self._names:
            self._at = target
            self._name(hops + 1)
        return self._names[target]

    def _joined(self, labels: list[int], rest: str, length: int) -> tuple[str, int]:
        """Put labels before the rest of a name, and remember the name that begins at each of them."""
        for at in reversed(labels):
            size = self._wire[at]
            length += 1 + size
            if length > _MAX_NAME:
                raise MalformedReply("a name that is too long")
            label = label_text(self._wire[at + 1 : at + 1 + size])
            rest = f"{label}.{rest}" if rest else label
            self._names[at] = rest, length
        return rest, length


def label_text(label: bytes) -> str:
    """Return one label of a name in the form that `DnsReply` uses."""
    lower = label.lower()
    if _PLAIN.issuperset(lower):
        return lower.decode("ascii")
    return "".join(chr(octet) if octet in _PLAIN else f"\\{octet:03d}" for octet in lower)
