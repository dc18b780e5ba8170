"""DNS messages: a question to bytes, bytes to an answer (RFC 1035 section 4, RFC 2308, RFC 6891). Pure."""

import enum
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset

from mta.routing.answers import Answer, Found, LookupFailed, MxRecord, NoData, NoSuchName

#: The UDP payload that fits every path in one piece (DNS flag day 2020).
UDP_PAYLOAD = 1232
#: Records kept of one answer; TCP could bring thousands.
MAX_RECORDS = 100

# Seconds. A zero would ask for each message, a day would outlast a move; RFC 2308 section 5 caps negative answers.
_LEAST_TTL = 1.0
_MOST_TTL = 3600.0
_MOST_NEGATIVE_TTL = 300.0
_NO_TTL = 2**31


class Kind(enum.Enum):
    """The types of record we ask for."""

    MX = dns.rdatatype.MX
    A = dns.rdatatype.A
    AAAA = dns.rdatatype.AAAA


@dataclass(frozen=True, slots=True)
class Alias:
    """The server followed the CNAMEs up to `target` and no further."""

    target: str
    ttl: float


def make_query(name: str, kind: Kind, *, edns: bool = True) -> dns.message.QueryMessage:
    """Build a question with a random id. Raises ValueError for what cannot be a name."""
    try:
        absolute = dns.name.from_text(name, dns.name.root)
    except (dns.exception.DNSException, UnicodeError) as error:
        raise ValueError(f"{name!r} cannot be a name: {error}") from None
    return dns.message.make_query(absolute, kind.value, use_edns=0 if edns else False, payload=UDP_PAYLOAD)


def read_reply(query: dns.message.QueryMessage, wire: bytes) -> dns.message.QueryMessage | None:
    """Return the reply to exactly this query (id, opcode, question: RFC 5452 section 9.1); None for anything else."""
    try:
        reply = dns.message.from_wire(wire, ignore_trailing=True, raise_on_truncation=True)
    except dns.message.Truncated as cut:
        reply = cut.message()
    except (dns.exception.DNSException, ValueError):
        return None
    return reply if isinstance(reply, dns.message.QueryMessage) and query.is_response(reply) else None


def is_truncated(reply: dns.message.QueryMessage) -> bool:
    """Whether the rest must be fetched over TCP."""
    return bool(reply.flags & dns.flags.TC)


def trouble(reply: dns.message.QueryMessage) -> str:
    """Return the name of a response code that is no answer, such as SERVFAIL; "" when the reply is one."""
    code = reply.rcode()
    return "" if code in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN) else dns.rcode.to_text(code)


def read_answer(reply: dns.message.QueryMessage) -> Answer[Any] | Alias:
    """Say what a reply without trouble means."""
    try:
        chain = reply.resolve_chaining()
    except dns.message.ChainTooLong:
        return LookupFailed("its CNAMEs run in a circle or are too many")
    except dns.exception.DNSException as error:
        return LookupFailed(f"the answer contradicts itself: {error}")
    if chain.answer is not None:
        return Found(_records(chain.answer), _within(chain.minimum_ttl, _MOST_TTL), _text(chain.canonical_name))
    negative_ttl = _within(chain.minimum_ttl, _MOST_NEGATIVE_TTL)
    if reply.rcode() == dns.rcode.NXDOMAIN:
        return NoSuchName(negative_ttl)
    if chain.cnames and not _has_soa(reply.authority):
        return Alias(_text(chain.canonical_name), negative_ttl)
    return NoData(negative_ttl)


def _records(rrset: dns.rrset.RRset) -> tuple[Any, ...]:
    if rrset.rdtype == dns.rdatatype.MX:
        return tuple(sorted(MxRecord(rdata.preference, _text(rdata.exchange)) for rdata in rrset)[:MAX_RECORDS])
    return tuple(rdata.address for rdata in rrset)[:MAX_RECORDS]


def _has_soa(authority: Iterable[dns.rrset.RRset]) -> bool:
    """RFC 2308 section 2.2: the SOA is what tells "no data" from a chain that the server did not finish."""
    return any(rrset.rdtype == dns.rdatatype.SOA for rrset in authority)


def _text(name: dns.name.Name) -> str:
    return "" if name == dns.name.root else name.to_text(omit_final_dot=True).lower()


def _within(ttl: int, most: float) -> float:
    # RFC 2181 section 8: with the highest bit set it counts as zero.
    return min(max(float(ttl if ttl < _NO_TTL else 0), _LEAST_TTL), most)
