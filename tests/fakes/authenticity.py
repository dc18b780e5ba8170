"""The security of DNS answers over a zone in a dictionary, and the policies of MTA-STS from another one."""

from collections.abc import Iterable, Mapping

from harness.zone import Zone, ZoneResolver
from mta.dns.answers import FAILURE_TTL, Found, LookupFailed, NoData
from mta.dns.dnssec.authenticity import Security, ValidatedAnswer
from mta.dns.message import RecordType
from mta.sts.policy import StsMode, StsPolicy


class ZoneAuthenticity:
    """Answers for names in and below the `signed` zones are secure, if all CNAMEs on the way are in such zones.

    A name in `bogus` has a reason. `asked` holds the questions, with names and types.
    """

    def __init__(self, zone: Zone, signed: Iterable[str] = (), bogus: Mapping[str, str] | None = None) -> None:
        self._zone = zone
        self._resolver = ZoneResolver(zone)
        self.signed = tuple(signed)
        self.bogus = dict(bogus or {})
        self.asked: list[tuple[str, str]] = []
        self.usable = True

    async def look_up(self, name: str, rdtype: RecordType) -> ValidatedAnswer:
        self.asked.append((name, rdtype.name))
        chain = [name]
        while rdtype is not RecordType.CNAME and (target := self._zone.alias(chain[-1])):
            chain.append(target)
        for each in chain:
            if each in self.bogus:
                reason = self.bogus[each]
                return ValidatedAnswer(LookupFailed(reason, FAILURE_TTL), Security.BOGUS, reason)
        answer = self._resolver.find(name, rdtype.name)
        if rdtype is RecordType.MX:
            answer = await self._resolver.mx(name)
        if rdtype is RecordType.CNAME and isinstance(answer, NoData) and (target := self._zone.alias(name)):
            answer = Found((target,), answer.ttl, name)
        if isinstance(answer, LookupFailed):
            return ValidatedAnswer(answer, Security.BOGUS, answer.reason)
        if self.usable and all(f".{each}".endswith(tuple(f".{zone}" for zone in self.signed)) for each in chain):
            return ValidatedAnswer(answer, Security.SECURE)
        return ValidatedAnswer(answer, Security.INSECURE, "the zone is not signed" if self.usable else "DNSSEC is off")

    def start(self) -> None:
        """Do nothing."""

    def stop(self) -> None:
        """Do nothing."""


def sts_policy(mode: str, *mx: str) -> StsPolicy:
    """Return a policy for a day."""
    return StsPolicy(StsMode(mode), mx, 86400)


class FixedPolicies:
    """The policies of MTA-STS by domain. `asked` and `again` hold the domains of the two calls."""

    def __init__(self, policies: Mapping[str, StsPolicy] | None = None) -> None:
        self.policies = dict(policies or {})
        self.asked: list[str] = []
        self.again: list[str] = []

    async def policy(self, domain: str) -> StsPolicy | None:
        self.asked.append(domain)
        return self.policies.get(domain)

    def look_again(self, domain: str) -> None:
        self.again.append(domain)
