"""Reading a DNS reply (RFC 1035 section 4): octets that a stranger chose to the few records that routing asks for.

A name may end in a pointer to an earlier one, so that 64 KiB can hold thousands of long names. Each piece of a name is
read once here, and records are not compared: what a reply costs grows with its octets, whatever it is made of.
"""

import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass, field
from struct import Struct
from typing import NamedTuple

A, CNAME, SOA, MX, AAAA, OPT = 1, 5, 6, 15, 28, 41

_INTERNET = 1
_RESPONSE, _OPCODE, _TRUNCATED, _CODE = 0x8000, 0x7800, 0x0200, 0x000F
_HEADER, _QUESTION, _RECORD = Struct("!6H"), Struct("!2H"), Struct("!2HIH")
HEADER_OCTETS = _HEADER.size
_SHORT, _LONG = Struct("!H"), Struct("!I")
_POINTER, _MOST_LABEL, _MOST_NAME = 0xC0, 63, 255
# Pointers one after the other that nobody else followed before: more than any real server makes of a name.
_MOST_HOPS = 64
_PLAIN = frozenset(b"abcdefghijklmnopqrstuvwxyz0123456789-_")


class Unreadable(ValueError):
    """The octets are no DNS reply."""


class DnsQuestion(NamedTuple):
    """What was asked; the name is in the form of `DnsReply`."""

    name: str
    kind: int


class DnsRecord(NamedTuple):
    """One answer. `data` is an address or a name; `preference` is that of an MX."""

    name: str
    kind: int
    ttl: int
    data: str
    preference: int = 0


@dataclass(slots=True)
class DnsReply:
    r"""A reply of class IN.

    Names are in lower case without the final dot, an octet that no host name has as `\DDD`; "" is the root.
    """

    id: int
    question: DnsQuestion | None
    code: int
    truncated: bool
    answers: list[DnsRecord] = field(default_factory=list)
    #: For how many seconds a "no" is good (RFC 2308 section 5); None when no SOA says so.
    negative_ttl: int | None = None
    #: Whether its question has the name in the case of the query.
    case_kept: bool = True


def read(wire: bytes) -> DnsReply:
    """Read a reply; one that says it was cut short only as far as it goes. Raises Unreadable."""
    reader = _Reader(wire)
    id, flags, questions, *counts = reader.numbers(_HEADER)
    if not flags & _RESPONSE or flags & _OPCODE or questions > 1:
        raise Unreadable("not a reply to a question")
    reply = DnsReply(id, reader.question() if questions else None, flags & _CODE, bool(flags & _TRUNCATED))
    try:
        _read_sections(reader, reply, *counts)
    except Unreadable:
        if not reply.truncated:
            raise
    return reply


def _read_sections(reader: "_Reader", reply: DnsReply, answers: int, authorities: int, additional: int) -> None:
    for raw in reader.raws(answers):
        record = reader.record(raw)
        if record is not None:
            reply.answers.append(record)
    for raw in reader.raws(authorities):
        if raw.kind == SOA:
            reply.negative_ttl = min(raw.ttl, reader.minimum(raw))
    for raw in reader.raws(additional):
        if raw.kind == OPT:
            # RFC 6891 section 6.1.3: the upper eight bits of the code.
            reply.code |= raw.ttl >> 24 << 4


class _Raw(NamedTuple):
    name: str
    kind: int
    group: int
    ttl: int
    start: int
    end: int


class _Reader:
    """Where reading has come to, and the names seen so far by where they begin."""

    def __init__(self, wire: bytes) -> None:
        self._wire = wire
        self._at = 0
        self._names: dict[int, tuple[str, int]] = {}

    def numbers(self, form: Struct) -> tuple[int, ...]:
        """Take numbers. Raises Unreadable when the octets end before."""
        start, self._at = self._at, self._at + form.size
        if self._at > len(self._wire):
            raise Unreadable("it ends too soon")
        return form.unpack_from(self._wire, start)

    def question(self) -> DnsQuestion:
        name = self._name()
        kind, group = self.numbers(_QUESTION)
        if group != _INTERNET:
            raise Unreadable("a question of another class")
        return DnsQuestion(name, kind)

    def raws(self, count: int) -> Iterator[_Raw]:
        """Take records, their data unread."""
        for _ in range(count):
            name = self._name()
            kind, group, ttl, size = self.numbers(_RECORD)
            start, end = self._at, self._at + size
            if end > len(self._wire):
                raise Unreadable("it ends too soon")
            yield _Raw(name, kind, group, ttl, start, end)
            self._at = end

    def record(self, raw: _Raw) -> DnsRecord | None:
        """Return an answer; None for a kind that nobody asks for."""
        name, kind, group, ttl, start, end = raw
        if group != _INTERNET:
            return None
        if kind in (A, AAAA):
            return DnsRecord(name, kind, ttl, self._address(kind, start, end))
        if kind == CNAME:
            return DnsRecord(name, kind, ttl, self._name_in(start, end))
        if kind == MX:
            return DnsRecord(name, kind, ttl, self._name_in(start + 2, end), _SHORT.unpack_from(self._wire, start)[0])
        return None

    def minimum(self, raw: _Raw) -> int:
        """Return the last number of an SOA."""
        if raw.end - raw.start < _LONG.size:
            raise Unreadable("an SOA without its numbers")
        minimum: int = _LONG.unpack_from(self._wire, raw.end - _LONG.size)[0]
        return minimum

    def _address(self, kind: int, start: int, end: int) -> str:
        octets = self._wire[start:end]
        if len(octets) != (4 if kind == A else 16):
            raise Unreadable("an address of the wrong length")
        return str(ipaddress.ip_address(octets))

    def _name_in(self, start: int, end: int) -> str:
        """Return the name that ends where its record does."""
        self._at = start
        name = self._name()
        if self._at != end:
            raise Unreadable("a name that does not end with its record")
        return name

    def _name(self, hops: int = 0) -> str:
        """Take a name. A pointer leads to before the name begins, so there is no circle."""
        start = at = self._at
        labels = []
        while 0 < (size := self._octet(at)) <= _MOST_LABEL:
            labels.append(at)
            at += 1 + size
        if size >= _POINTER:
            rest, length = self._pointed(at, start, hops)
            self._at = at + _SHORT.size
        elif size == 0:
            rest, length = "", 1
            self._at = at + 1
        else:
            raise Unreadable("a label of a kind that nobody uses")
        self._names[start] = self._joined(labels, rest, length)
        return self._names[start][0]

    def _octet(self, at: int) -> int:
        if at >= len(self._wire):
            raise Unreadable("a name without an end")
        return self._wire[at]

    def _pointed(self, at: int, before: int, hops: int) -> tuple[str, int]:
        """Return the name that the pointer at `at` leads to, and its length."""
        self._at = at
        target = self.numbers(_SHORT)[0] & 0x3FFF
        if target >= before or hops > _MOST_HOPS:
            raise Unreadable("a pointer that does not lead back, or one of too many")
        if target not in self._names:
            self._at = target
            self._name(hops + 1)
        return self._names[target]

    def _joined(self, labels: list[int], rest: str, length: int) -> tuple[str, int]:
        """Put labels before the rest of a name, and remember what begins at each of them."""
        for at in reversed(labels):
            size = self._wire[at]
            length += 1 + size
            if length > _MOST_NAME:
                raise Unreadable("a name that is too long")
            label = label_text(self._wire[at + 1 : at + 1 + size])
            rest = f"{label}.{rest}" if rest else label
            self._names[at] = rest, length
        return rest, length


def label_text(label: bytes) -> str:
    """Return one label of a name as `DnsReply` has it."""
    lower = label.lower()
    if _PLAIN.issuperset(lower):
        return lower.decode("ascii")
    return "".join(chr(octet) if octet in _PLAIN else f"\\{octet:03d}" for octet in lower)
