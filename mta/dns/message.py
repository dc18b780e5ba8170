"""DNS messages: builds queries and turns replies into answers (RFC 1035 section 4, RFC 2308, RFC 6891)."""

import enum
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from mta.dns.answers import Answer, Found, LookupFailed, MxRecord, NoData, NoSuchName, TlsaRecord
from mta.dns.parser import CNAME, HEADER_OCTETS, MX, TLSA, DnsRecord, DnsReply, MalformedReply, label_text, parse_reply
from mta.reactor.late_modules import load_late

# dnspython imports it for names outside ASCII, of which the relay gives it none. Its tables take 0.5 MB (measured).
load_late("idna")

import dns.exception  # noqa: E402
import dns.message  # noqa: E402
import dns.name  # noqa: E402
import dns.rcode  # noqa: E402
import dns.rdatatype  # noqa: E402

#: Bits in the header of a query: the reply's AD bit is wanted (RFC 6840), and an answer even if it is bogus (RFC 4035).
AUTHENTIC_DATA, CHECKING_DISABLED = 0x20, 0x10
#: The UDP payload that fits every path without fragmentation (DNS flag day 2020).
UDP_PAYLOAD = 1232
#: Records kept of one answer, the most preferred MX records; a reply over TCP could have thousands.
MAX_RECORDS = 100
MAX_EXCHANGERS = 50
#: CNAMEs followed in one reply.
MAX_CHAIN = 16

# Seconds. A TTL of zero would cost a query for each message, one of days would outlast a change of hosts; RFC 2308
# section 5 limits negative answers.
_MIN_TTL = 1.0
_MAX_TTL = 3600.0
_MAX_NEGATIVE_TTL = 300.0
_NO_TTL = 2**31
_FOREVER = float("inf")
_TLSA_NUMBERS = 3
# Stands in the text of every name that no host can have.
_ESCAPE = "\\"


class RecordType(enum.Enum):
    """The record types that the relay asks for."""

    MX = dns.rdatatype.MX
    A = dns.rdatatype.A
    AAAA = dns.rdatatype.AAAA
    TXT = dns.rdatatype.TXT
    TLSA = dns.rdatatype.TLSA
    #: Only for the question whether it is proven: other look-ups follow it.
    CNAME = dns.rdatatype.CNAME
    #: Only for the question whether they are proven: `interpret` does not read the records.
    DNSKEY = dns.rdatatype.DNSKEY


@dataclass(frozen=True, slots=True)
class CanonicalName:
    """The server followed the CNAMEs up to `target` and no further, so `target` has to be asked for."""

    target: str
    ttl: float


def make_query(
    name: str, rdtype: RecordType, *, edns: bool = True, mixed_case: bool = False, bits: int = 0
) -> dns.message.QueryMessage:
    """Build a query with a random id, with `mixed_case` in random case, and with these bits in its header.

    Raises ValueError if `name` cannot be a DNS name. A server repeats the case in its reply, so that each letter is one
    more bit that a forger has to guess.
    """
    try:
        absolute = dns.name.from_text(name, dns.name.root)
    except (dns.exception.DNSException, UnicodeError) as error:
        raise ValueError(f"{name!r} cannot be a name: {error}") from None
    if mixed_case:
        absolute = _in_mixed_case(absolute)
    query = dns.message.make_query(absolute, rdtype.value, use_edns=0 if edns else False, payload=UDP_PAYLOAD)
    query.flags |= bits
    return query


def parse_reply_to(query: dns.message.QueryMessage, wire: bytes) -> DnsReply | None:
    """Return the reply to exactly this query (id, opcode, question: RFC 5452 section 9.1); None for anything else.

    `case_matches` of the reply says whether the name in its question has the case of the query's.
    """
    try:
        reply = parse_reply(wire)
    except MalformedReply:
        return None
    if reply.id != query.id:
        return None
    if reply.question is None:
        # A server that did not understand the question may leave it out.
        return reply if rcode_error(reply) else None
    asked = query.question[0]
    if reply.question != (_name_text(asked.name), asked.rdtype):
        return None
    # The question follows the header, so its name cannot contain compression pointers.
    encoded_name = asked.name.to_wire()
    assert encoded_name is not None
    reply.case_matches = wire[HEADER_OCTETS:].startswith(encoded_name)
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


def rcode_error(reply: DnsReply) -> str:
    """Return the name of a response code that is not an answer, such as SERVFAIL; "" for NOERROR and NXDOMAIN."""
    if reply.rcode in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
        return ""
    return dns.rcode.to_text(dns.rcode.Rcode(reply.rcode))


def is_negative(reply: DnsReply) -> bool:
    """Whether a reply says that the name does not exist, or has no records of the type."""
    return not rcode_error(reply) and (reply.rcode == dns.rcode.NXDOMAIN or not reply.answers)


def interpret(reply: DnsReply) -> Answer[Any] | CanonicalName:
    """Return the answer that a reply without `rcode_error` gives, or the name that has to be asked for next."""
    assert reply.question is not None
    name, rdtype = reply.question
    ttl, aliases = _FOREVER, {record.name: record for record in reply.answers if record.rdtype == CNAME}
    for hop in range(MAX_CHAIN + 1):
        found = [record for record in reply.answers if record.name == name and record.rdtype == rdtype]
        if found:
            return _found(reply, found, ttl)
        alias = aliases.get(name)
        if alias is None:
            return _not_found(reply, name, ttl, unfinished=hop > 0)
        if _ESCAPE in alias.data:
            return LookupFailed("its CNAME is no name that a host can have")
        name, ttl = alias.data, min(ttl, _valid_ttl(alias.ttl))
    return LookupFailed("its CNAMEs run in a circle or are too many")


def _found(reply: DnsReply, found: list[DnsRecord], ttl: float) -> Found[Any] | LookupFailed:
    if reply.rcode == dns.rcode.NXDOMAIN:
        return LookupFailed("the answer contradicts itself: it has records, and says that there is no such name")
    ttl = min(ttl, *(_valid_ttl(record.ttl) for record in found))
    if found[0].rdtype == MX:
        hosts = sorted({MxRecord(record.preference, record.data) for record in found if _ESCAPE not in record.data})
        return Found(tuple(hosts[:MAX_EXCHANGERS]), _clamped(ttl, _MAX_TTL), found[0].name)
    values: Iterable[str | TlsaRecord] = (record.data for record in found)
    if found[0].rdtype == TLSA:
        # A record too short for its numbers has no meaning.
        values = (_tlsa(record.octets) for record in found if len(record.octets) >= _TLSA_NUMBERS)
    return Found(tuple(dict.fromkeys(values))[:MAX_RECORDS], _clamped(ttl, _MAX_TTL), found[0].name)


def _tlsa(octets: bytes) -> TlsaRecord:
    usage, selector, matching = octets[:_TLSA_NUMBERS]
    return TlsaRecord(usage, selector, matching, octets[_TLSA_NUMBERS:])


def _not_found(reply: DnsReply, name: str, ttl: float, *, unfinished: bool) -> NoSuchName | NoData | CanonicalName:
    if reply.negative_ttl is not None:
        ttl = min(ttl, _valid_ttl(reply.negative_ttl))
    ttl = _clamped(ttl, _MAX_NEGATIVE_TTL)
    if reply.rcode == dns.rcode.NXDOMAIN:
        return NoSuchName(ttl)
    # RFC 2308 section 2.2: the SOA tells "no data" from a chain of CNAMEs that the server did not finish.
    return CanonicalName(name, ttl) if unfinished and reply.negative_ttl is None else NoData(ttl)


def _name_text(name: dns.name.Name) -> str:
    """Return a name in the form that `DnsReply` uses."""
    return ".".join(map(label_text, name.labels[:-1]))


def _valid_ttl(ttl: int) -> float:
    # RFC 2181 section 8: a TTL with the highest bit set counts as zero.
    return float(ttl if ttl < _NO_TTL else 0)


def _clamped(ttl: float, maximum: float) -> float:
    return min(max(ttl, _MIN_TTL), maximum)
