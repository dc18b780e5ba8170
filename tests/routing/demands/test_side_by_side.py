"""Look-ups of a first delivery run side by side: the validator is asked about hosts while their addresses are found."""

import random

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from harness.zone import Zone, ZoneResolver
from mta.blocking import result_of
from mta.dns.answers import AddressAnswer, TlsaRecord
from mta.routing.demands.dane import Dane
from mta.routing.demands.deciding import DemandTerms
from mta.routing.demands.proof import Proof, ProofSource
from mta.routing.demands.secured import SecuredRouting
from mta.routing.direct import DirectRouting
from mta.routing.nat64 import Nat64
from mta.routing.route import Plan
from mta.routing.rules import Decision, RouterRules
from mta.smtp.domains import DomainList
from tests.fakes.authenticity import ZoneAuthenticity

RECORD = TlsaRecord(3, 1, 1, b"e" * 32)
ZONE = Zone(
    {
        "a.test": {"MX": [[10, "mx.a.test"]]},
        "mx.a.test": {"A": ["198.51.100.1"]},
        "_25._tcp.mx.a.test": {"TLSA": [RECORD]},
    }
)


class SlowResolver(ZoneResolver):
    """A resolver whose addresses come when `ready` fires."""

    def __init__(self) -> None:
        super().__init__(ZONE)
        self.ready: Deferred[None] = Deferred()

    async def addresses(self, name: str, *, ipv6: bool = True, search: bool = False) -> AddressAnswer:
        await self.ready
        return await super().addresses(name, ipv6=ipv6, search=search)


def resolving(resolver: SlowResolver, authenticity: ZoneAuthenticity) -> "Deferred[Decision]":
    clock = Clock()
    rules = RouterRules(mailname="relay.test", local_domains=DomainList(), relay_domains=DomainList())
    direct = DirectRouting(rules, resolver, Nat64(resolver, clock.seconds), random.Random(0))
    dane = Dane(authenticity)
    secured = SecuredRouting(direct, resolver, DemandTerms(), dane=dane, policies=None, seconds=clock.seconds)
    return Deferred.fromCoroutine(secured.resolve("a.test"))


def test_the_validator_is_asked_for_the_addresses_at_the_same_time() -> None:
    resolver, authenticity = SlowResolver(), ZoneAuthenticity(ZONE, ["a.test"])
    decision = resolving(resolver, authenticity)
    assert authenticity.asked == [("a.test", "MX"), ("mx.a.test", "A")]
    resolver.ready.callback(None)
    routing = result_of(decision).routing
    assert isinstance(routing, Plan)
    assert routing.routes[0].proof == Proof(ProofSource.DANE, "a.test", (), (RECORD,))


def test_nothing_is_asked_where_no_answer_can_be_secure() -> None:
    resolver, authenticity = SlowResolver(), ZoneAuthenticity(ZONE)
    authenticity.usable = False
    resolving(resolver, authenticity)
    assert authenticity.asked == [("a.test", "MX")]
