"""DNS answers as values, and the interface of a resolver.

Names are text in lower case without the final dot. "No such name" and "no data" are answers, on which mail may be
returned; a failed look-up is not an answer, so the mail has to wait.
"""

from collections.abc import Awaitable
from dataclasses import dataclass, replace
from typing import Generic, Protocol, TypeVar

#: Seconds for which a failure is cached: long enough to stop a stampede, short enough to notice the recovery.
FAILURE_TTL = 5.0

# Octets of memory that Python needs besides the text, for an answer and for a record.
_ANSWER_OCTETS, _RECORD_OCTETS = 200, 150

#: The usages of TLSA records that SMTP knows (RFC 7672 section 3.1): an authority of the domain's own, and the host's
#: certificate or key.
DANE_TA, DANE_EE = 2, 3
#: The matching type of a TLSA record that has the certificate or the key itself and no digest (RFC 6698 section 2.1.3).
FULL_VALUE = 0

Record = TypeVar("Record")


@dataclass(frozen=True, slots=True, order=True)
class MxRecord:
    """One MX record (RFC 1035 section 3.3.9). `host` "" is the root, which stands for no mail (RFC 7505)."""

    preference: int
    host: str


@dataclass(frozen=True, slots=True)
class TlsaRecord:
    """One TLSA record (RFC 6698 section 2.1): which certificate a server must have. No field is checked."""

    usage: int
    selector: int
    matching: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Found(Generic[Record]):
    """The name has records of the type. `name` is the owner of the records, after CNAMEs; `ttl` is in seconds from now.

    MX records whose target cannot be a host name are left out, so that `records` may be empty.
    """

    records: tuple[Record, ...]
    ttl: float
    name: str
    #: Why the look-up of the other address family failed; "" when the records are all that the name has.
    incomplete: str = ""


@dataclass(frozen=True, slots=True)
class NoSuchName:
    """The name does not exist (NXDOMAIN)."""

    ttl: float


@dataclass(frozen=True, slots=True)
class NoData:
    """The name exists but has no records of the type."""

    ttl: float


@dataclass(frozen=True, slots=True)
class LookupFailed:
    """No server gave an answer (SERVFAIL, silence, malformed replies). `reason` is one line for an operator."""

    reason: str
    ttl: float = FAILURE_TTL


Answer = Found[Record] | NoSuchName | NoData | LookupFailed
MxAnswer = Answer[MxRecord]
#: Addresses are IP address literals without brackets.
AddressAnswer = Answer[str]
#: The strings of each TXT record are joined (RFC 7208 section 3.3), and each octet is one character.
TxtAnswer = Answer[str]


class Resolver(Protocol):
    """Looks names up in the DNS.

    Does not raise for any behaviour of a server. An answer may come from a cache; its `ttl` is then the rest.
    """

    def mx(self, name: str) -> Awaitable[MxAnswer]:
        """Return the MX records of a domain."""

    def addresses(self, name: str, *, ipv6: bool = True, search: bool = False) -> Awaitable[AddressAnswer]:
        """Return the addresses of a host: IPv4, and IPv6 if wanted.

        An entry in the system's hosts file takes precedence over the DNS. With `search` the system's search list is
        applied, as is usual for names that an operator wrote; names from DNS records are looked up as they are.
        """

    def txt(self, name: str) -> Awaitable[TxtAnswer]:
        """Return the texts of the TXT records of a name."""


def memory_size(answer: Answer[MxRecord] | Answer[str] | Answer[TlsaRecord]) -> int:
    """Return the approximate number of octets of memory that an answer takes."""
    if isinstance(answer, LookupFailed):
        return _ANSWER_OCTETS + len(answer.reason)
    if not isinstance(answer, Found):
        return _ANSWER_OCTETS
    records = sum(map(_record_size, answer.records))
    return _ANSWER_OCTETS + len(answer.name) + len(answer.incomplete) + records


def _record_size(record: MxRecord | str | TlsaRecord) -> int:
    if isinstance(record, MxRecord):
        return _RECORD_OCTETS + len(record.host)
    return _RECORD_OCTETS + len(record if isinstance(record, str) else record.data)


def with_ttl(answer: Answer[Record], ttl: float) -> Answer[Record]:
    """Return the answer with another TTL."""
    return replace(answer, ttl=ttl)


def combine(first: Answer[Record], second: Answer[Record]) -> Answer[Record]:
    """Combine the answers to two questions about one name.

    Records count even if the other look-up failed, and are then marked as incomplete. Without records a failure takes
    precedence over a negative answer, and "no such name" counts only if both answers say so, since some servers send
    it for every record type that they do not know.
    """
    ttl = min(first.ttl, second.ttl)
    if isinstance(first, Found) and isinstance(second, Found):
        return Found(first.records + second.records, ttl, first.name)
    for found, other in ((first, second), (second, first)):
        if isinstance(found, Found):
            incomplete = other.reason if isinstance(other, LookupFailed) else ""
            return replace(found, ttl=ttl, incomplete=incomplete)
    for kind in (LookupFailed, NoData):
        for answer in (first, second):
            if isinstance(answer, kind):
                return with_ttl(answer, ttl)
    return NoSuchName(ttl)
