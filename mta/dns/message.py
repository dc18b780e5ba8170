"""DNS messages: a question to bytes, bytes to an answer (RFC 1035 section 4, RFC 2308, RFC 6891). Pure."""

import enum
import secrets
from dataclasses import dataclass
from typing import Any

import dns.exception
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype

from mta.dns.answers import Answer, Found, LookupFailed, MxRecord, NoData, NoSuchName
from mta.dns.parser import CNAME, HEADER_OCTETS, MX, DnsRecord, DnsReply, Unreadable, label_text, read

#: The UDP payload that fits every path in one piece (DNS flag day 2020).
UDP_PAYLOAD = 1232
#: Records kept of one answer, the best MX; TCP could bring thousands.
MAX_RECORDS = 100
MAX_EXCHANGERS = 50
#: CNAMEs followed in one reply.
MAX_CHAIN = 16

# Seconds. A zero would ask for each message, a day would outlast a move; RFC 2308 section 5 caps negative answers.
_LEAST_TTL = 1.0
_MOST_TTL = 3600.0
_MOST_NEGATIVE_TTL = 300.0
_NO_TTL = 2**31
_FOREVER = float("inf")
# In the text of every name that no host can have.
_ODD = "\\"


class RecordType(enum.Enum):
    """The types of record we ask for."""

    MX = dns.rdatatype.MX
    A = dns.rdatatype.A
    AAAA = dns.rdatatype.AAAA


@dataclass(frozen=True, slots=True)
class CanonicalName:
    """The server followed the CNAMEs up to `target` and no further."""

    target: str
    ttl: float


def make_query(name: str, kind: RecordType, *, edns: bool = True, mixed_case: bool = False) -> dns.message.QueryMessage:
    """Build a query with a random id, and with `mixed_case` in random case.

    Raises ValueError for a text that can be no name. A server repeats the case in its reply, so that each letter is one
    more bit that a forger has to guess.
    """
    try:
        absolute = dns.name.from_text(name, dns.name.root)
    except (dns.exception.DNSException, UnicodeError) as error:
        raise ValueError(f"{name!r} cannot be a name: {error}") from None
    if mixed_case:
        absolute = _in_mixed_case(absolute)
    return dns.message.make_query(absolute, kind.value, use_edns=0 if edns else False, payload=UDP_PAYLOAD)


def read_reply(query: dns.message.QueryMessage, wire: bytes) -> DnsReply | None:
    """Return the reply to exactly this query (id, opcode, question: RFC 5452 section 9.1); None for anything else.

    `case_kept` tells of it whether the name in its question has the case of the query's.
    """
    try:
        reply = read(wire)
    except Unreadable:
        return None
    if reply.id != query.id:
        return None
    if reply.question is None:
        # A server that did not understand the question may leave it out.
        return reply if trouble(reply) else None
    asked = query.question[0]
    if reply.question != (_text(asked.name), asked.rdtype):
        return None
    # The question is the first thing behind the header, so that its name has no pointers.
    written = asked.name.to_wire()
    assert written is not None
    reply.case_kept = wire[HEADER_OCTETS:].startswith(written)
    return reply


def _in_mixed_case(name: dns.name.Name) -> dns.name.Name:
    bits = secrets.randbits(8 * sum(map(len, name.labels)) + 1)
    labels = []
    for label in name.labels:
        mixed = bytearray(label.lower())
        for at, octet in enumerate(mixed):
            bits >>= 1
            if bits & 1 and ord("a") <= octet <= ord("z"):
                mixed[at] = octet - 32
        labels.append(bytes(mixed))
    return dns.name.Name(labels)


def trouble(reply: DnsReply) -> str:
    """Return the name of a response code that is no answer, such as SERVFAIL; "" when the reply is one."""
    return (
        "" if reply.code in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN) else dns.rcode.to_text(dns.rcode.Rcode(reply.code))
    )


def is_negative(reply: DnsReply) -> bool:
    """Whether a reply says that the name does not exist, or has no record of the kind."""
    return not trouble(reply) and (reply.code == dns.rcode.NXDOMAIN or not reply.answers)


def read_answer(reply: DnsReply) -> Answer[Any] | CanonicalName:
    """Say what a reply without trouble means."""
    assert reply.question is not None
    name, kind = reply.question
    ttl, aliases = _FOREVER, {record.name: record for record in reply.answers if record.kind == CNAME}
    for hop in range(MAX_CHAIN + 1):
        found = [record for record in reply.answers if record.name == name and record.kind == kind]
        if found:
            return _found(reply, found, ttl)
        alias = aliases.get(name)
        if alias is None:
            return _not_found(reply, name, ttl, unfinished=hop > 0)
        if _ODD in alias.data:
            return LookupFailed("its CNAME is no name that a host can have")
        name, ttl = alias.data, min(ttl, _lifetime(alias.ttl))
    return LookupFailed("its CNAMEs run in a circle or are too many")


def _found(reply: DnsReply, found: list[DnsRecord], ttl: float) -> Found[Any] | LookupFailed:
    if reply.code == dns.rcode.NXDOMAIN:
        return LookupFailed("the answer contradicts itself: it has records, and says that there is no such name")
    ttl = min(ttl, *(_lifetime(record.ttl) for record in found))
    if found[0].kind == MX:
        hosts = sorted({MxRecord(record.preference, record.data) for record in found if _ODD not in record.data})
        return Found(tuple(hosts[:MAX_EXCHANGERS]), _within(ttl, _MOST_TTL), found[0].name)
    addresses = tuple(dict.fromkeys(record.data for record in found))
    return Found(addresses[:MAX_RECORDS], _within(ttl, _MOST_TTL), found[0].name)


def _not_found(reply: DnsReply, name: str, ttl: float, *, unfinished: bool) -> NoSuchName | NoData | CanonicalName:
    if reply.negative_ttl is not None:
        ttl = min(ttl, _lifetime(reply.negative_ttl))
    ttl = _within(ttl, _MOST_NEGATIVE_TTL)
    if reply.code == dns.rcode.NXDOMAIN:
        return NoSuchName(ttl)
    # RFC 2308 section 2.2: the SOA is what tells "no data" from a chain that the server did not finish.
    return CanonicalName(name, ttl) if unfinished and reply.negative_ttl is None else NoData(ttl)


def _text(name: dns.name.Name) -> str:
    """Return a name as `DnsReply` has it."""
    return ".".join(map(label_text, name.labels[:-1]))


def _lifetime(ttl: int) -> float:
    # RFC 2181 section 8: with the highest bit set it counts as zero.
    return float(ttl if ttl < _NO_TTL else 0)


def _within(ttl: float, most: float) -> float:
    return min(max(ttl, _LEAST_TTL), most)
