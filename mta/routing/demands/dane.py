"""DANE: the TLSA records of an MX host, and whether DNSSEC proves them (RFC 7672 section 2.2).

Records are asked for only if the addresses of the host, or its CNAME, are proven, because servers of zones without
DNSSEC may fail on record types that they do not know.
"""

import enum
import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace

from twisted.internet.defer import Deferred

from mta.dns.answers import DANE_EE, DANE_TA, FULL_VALUE, Found, LookupFailed, MxAnswer, TlsaRecord
from mta.dns.dnssec.authenticity import Authenticity, Security, ValidatedAnswer
from mta.dns.message import RecordType

#: Usable records of one host that are kept; real hosts have up to ten.
MAX_RECORDS = 50

_USAGES, _SELECTORS = (DANE_TA, DANE_EE), (0, 1)
# The lengths of the digests SHA-256 and SHA-512 by their matching type; the larger type is the stronger one.
_DIGEST_OCTETS = {1: 32, 2: 64}


class TlsaState(enum.Enum):
    """The state of a host's TLSA records in the DNS; the values are words for an operator."""

    #: DNSSEC does not prove the host's addresses or records, so that it has no records for SMTP.
    INSECURE = "not proven by DNSSEC"
    #: DNSSEC proves that there are none.
    ABSENT = "no TLSA records"
    #: There are records by which the host can prove itself.
    USABLE = "TLSA records"
    #: There are records, but none that SMTP can use. They still say that the host has TLS.
    UNUSABLE = "TLSA records that SMTP cannot use"
    #: The answers are forged, or the look-up failed, so that the host must not get mail now.
    FAILED = "the look-up of the TLSA records failed"


@dataclass(frozen=True, slots=True)
class TlsaFinding:
    """The TLSA records of a host, for as many seconds as `ttl` says."""

    state: TlsaState
    ttl: float
    #: The name below which the records are: the host, or the name that it is a CNAME for.
    base: str = ""
    #: Those that count (RFC 7671 section 9).
    records: tuple[TlsaRecord, ...] = ()
    #: Why the answers are insecure or the look-up failed, in one line.
    reason: str = ""

    @property
    def words(self) -> str:
        """The state in words, with its reason."""
        return f"{self.state.value} ({self.reason})" if self.reason else self.state.value


@dataclass(frozen=True, slots=True)
class MxFinding:
    """The MX records of a domain by the validator: `answer` is None if they are not proven.

    The mail must wait if `failure` has a reason.
    """

    answer: MxAnswer | None
    ttl: float
    failure: str = ""


class Dane:
    """Asks for the security of MX records, and for the TLSA records of hosts."""

    def __init__(self, authenticity: Authenticity) -> None:
        self._authenticity = authenticity
        # Whether a look-up has waited until it was known whether DNSSEC can be used.
        self._began = False

    @property
    def off(self) -> bool:
        """Whether it is known that no answer can be secure now, as when the name server removes signatures."""
        return self._began and not self._authenticity.usable

    async def mx(self, domain: str) -> MxFinding:
        """Return the MX records of a domain as far as DNSSEC proves them. Does not raise."""
        if self.off:
            return MxFinding(None, math.inf)
        found = await self._authenticity.look_up(domain, RecordType.MX)
        self._began = True
        match found.security:
            case Security.SECURE:
                return MxFinding(found.answer, found.answer.ttl)
            case Security.INSECURE:
                return MxFinding(None, found.answer.ttl)
        return MxFinding(None, found.answer.ttl, _reason(found))

    def begin(self, host: str) -> None:
        """Begin the look-up of a host's addresses, the first one of `records`, so that others can run meanwhile."""
        if not self.off:
            Deferred.fromCoroutine(self._begun(host))

    async def _begun(self, host: str) -> None:
        await self._authenticity.look_up(host, RecordType.A)

    async def records(self, host: str, port: int, *, by_ipv6: bool = False) -> TlsaFinding:
        """Return the TLSA records for a port of a host. Does not raise.

        `by_ipv6` says that the host is known to have only IPv6 addresses.
        """
        if self.off:
            return TlsaFinding(TlsaState.INSECURE, math.inf, reason="DNSSEC cannot be used now")
        addresses = await self._authenticity.look_up(host, RecordType.AAAA if by_ipv6 else RecordType.A)
        self._began = True
        ttl = addresses.answer.ttl
        if addresses.security is Security.BOGUS:
            return TlsaFinding(TlsaState.FAILED, ttl, reason=f"addresses of {host}: {_reason(addresses)}")
        target = addresses.answer.name if isinstance(addresses.answer, Found) else host
        # A host that is a CNAME may have its records at either name; those of the target count first.
        bases = dict.fromkeys((target, host))
        if addresses.security is Security.INSECURE:
            alias = None if target == host else await self._authenticity.look_up(host, RecordType.CNAME)
            if alias is None or alias.security is Security.INSECURE:
                return TlsaFinding(TlsaState.INSECURE, ttl, reason=addresses.reason)
            if alias.security is Security.BOGUS:
                return TlsaFinding(TlsaState.FAILED, ttl, reason=f"CNAME of {host}: {_reason(alias)}")
            # Only the target is in a zone that is not signed (RFC 7672 section 2.1.3).
            bases = {host: None}
        for base in bases:
            finding = await self._at(base, port)
            ttl = min(ttl, finding.ttl)
            if finding.state is not TlsaState.ABSENT:
                break
        return replace(finding, ttl=ttl)

    async def _at(self, base: str, port: int) -> TlsaFinding:
        name = f"_{port}._tcp.{base}"
        found = await self._authenticity.look_up(name, RecordType.TLSA)
        answer = found.answer
        if found.security is Security.BOGUS or isinstance(answer, LookupFailed):
            return TlsaFinding(TlsaState.FAILED, answer.ttl, base, reason=f"TLSA of {name}: {_reason(found)}")
        if found.security is Security.INSECURE:
            # A CNAME or a delegation may lead from a signed zone to one that is not signed.
            return TlsaFinding(TlsaState.ABSENT, answer.ttl, base, reason=found.reason)
        if not isinstance(answer, Found):
            return TlsaFinding(TlsaState.ABSENT, answer.ttl, base)
        usable = usable_records(answer.records)
        state = TlsaState.USABLE if usable else TlsaState.UNUSABLE
        return TlsaFinding(state, answer.ttl, base, usable)


def usable_records(records: Iterable[TlsaRecord]) -> tuple[TlsaRecord, ...]:
    """Return the records that SMTP can use, of the digests of one usage and selector only the strongest.

    Records with full values stay beside digests (RFC 7671 section 9, RFC 7672 section 3.1).
    """
    strongest: dict[tuple[int, int], int] = defaultdict(int)
    usable = [record for record in dict.fromkeys(records) if _is_usable(record)]
    for record in usable:
        key = record.usage, record.selector
        strongest[key] = max(strongest[key], record.matching)
    return tuple(
        record for record in usable if record.matching in (FULL_VALUE, strongest[record.usage, record.selector])
    )[:MAX_RECORDS]


def _is_usable(record: TlsaRecord) -> bool:
    if record.usage not in _USAGES or record.selector not in _SELECTORS:
        return False
    if record.matching == FULL_VALUE:
        return bool(record.data)
    return len(record.data) == _DIGEST_OCTETS.get(record.matching)


def _reason(found: ValidatedAnswer) -> str:
    return found.reason or (found.answer.reason if isinstance(found.answer, LookupFailed) else found.security.value)
