"""What the DNS said, as values, and the seam to whoever asks it.

Names are text in lower case without the final dot. "No such name" and "no data" are answers a sender may act on;
a failed look-up is none, and only time will tell.
"""

from collections.abc import Awaitable
from dataclasses import dataclass, replace
from typing import Generic, Protocol, TypeVar

#: How long a failure is believed, in seconds: long enough to stop a stampede, short enough to notice the cure.
FAILURE_TTL = 5.0

# Octets of memory that Python needs beside the text, for an answer and for a record.
_VALUE, _RECORD = 200, 150

Record = TypeVar("Record")


@dataclass(frozen=True, slots=True, order=True)
class MxRecord:
    """One MX record (RFC 1035 section 3.3.9). `host` "" is the root, which stands for no mail (RFC 7505)."""

    preference: int
    host: str


@dataclass(frozen=True, slots=True)
class Found(Generic[Record]):
    """The name has such records. `name` is the one they belong to, after CNAMEs; `ttl` is in seconds from now.

    MX records are only those that name what a host may be called, which may be none.
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
    """The name exists but has no such records."""

    ttl: float


@dataclass(frozen=True, slots=True)
class LookupFailed:
    """Nobody could say: SERVFAIL, silence, nonsense. `reason` is one line for an operator."""

    reason: str
    ttl: float = FAILURE_TTL


Answer = Found[Record] | NoSuchName | NoData | LookupFailed
MxAnswer = Answer[MxRecord]
#: Addresses are IP address literals without brackets.
AddressAnswer = Answer[str]


class Resolver(Protocol):
    """Asks the DNS. Never raises for what the DNS did; an answer may come from a cache, its `ttl` is what is left."""

    def mx(self, name: str) -> Awaitable[MxAnswer]:
        """Return the MX records of a domain."""

    def addresses(self, name: str, *, ipv6: bool = True, search: bool = False) -> Awaitable[AddressAnswer]:
        """Return the addresses of a host: IPv4, and IPv6 if wanted.

        The system's hosts file is believed first. With `search` a name is completed from the system's search list, as
        for a name an operator wrote; names out of the DNS are taken as they stand.
        """


def memory_size(answer: Answer[MxRecord] | Answer[str]) -> int:
    """Return about how much memory an answer takes."""
    if isinstance(answer, LookupFailed):
        return _VALUE + len(answer.reason)
    if not isinstance(answer, Found):
        return _VALUE
    texts = sum(len(record if isinstance(record, str) else record.host) for record in answer.records)
    return _VALUE + len(answer.name) + len(answer.incomplete) + texts + _RECORD * len(answer.records)


def with_ttl(answer: Answer[Record], ttl: float) -> Answer[Record]:
    """Return the answer with another lifetime."""
    return replace(answer, ttl=ttl)


def merge(first: Answer[Record], second: Answer[Record]) -> Answer[Record]:
    """Combine the answers to two questions about one name.

    Records that were found count even if the other half failed, and are marked as incomplete then. Without records a
    failure hides a "no", and "no such name" counts only if both say so, since some servers give it for every question
    they do not understand.
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
