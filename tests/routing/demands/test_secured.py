"""Routing with demands: plans whose routes have their proofs, names of destinations, and mail that must wait."""

import random
from collections.abc import Coroutine, Mapping
from typing import Any, TypeVar

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from harness.zone import Zone, ZoneResolver
from mta.blocking import result_of
from mta.dns.answers import TlsaRecord
from mta.message.outcome import ErrorKind, Failed, TryLater
from mta.routing.choice import MxOf, Reroute, ViaSmarthost
from mta.routing.demands.dane import Dane
from mta.routing.demands.deciding import DemandTerms
from mta.routing.demands.proof import Proof, ProofSource
from mta.routing.demands.secured import SecuredDecision, SecuredRouting
from mta.routing.demands.tls_policy import TlsLevel, TlsPolicy, TlsPolicyEntry
from mta.routing.direct import DirectRouting
from mta.routing.private_addresses import OwnSockets
from mta.routing.route import Plan, Routing, Smarthost, TlsRule
from mta.routing.router import MailRouter
from mta.routing.rules import RouterRules
from mta.smtp.domains import domain_list
from mta.sts.policy import StsPolicy
from tests.fakes.authenticity import FixedPolicies, ZoneAuthenticity, sts_policy

EE, TA = TlsaRecord(3, 1, 1, b"e" * 32), TlsaRecord(2, 1, 1, b"t" * 32)

ZONE: dict[str, dict[str, Any]] = {
    # All signed but plain.test.
    "a.test": {"MX": [[10, "mx1.a.test"], [20, "mx2.a.test"]], "TTL": 40},
    "mx1.a.test": {"A": ["198.51.100.1"]},
    "mx2.a.test": {"A": ["198.51.100.2"]},
    "dane.test": {"MX": [[10, "mx1.dane.test"], [20, "mx1.a.test"]]},
    "mx1.dane.test": {"A": ["198.51.100.3", "198.51.100.4"]},
    "_25._tcp.mx1.dane.test": {"TLSA": [EE], "TTL": 20},
    "authority.test": {"MX": [[10, "ta.dane.test"]]},
    "other.test": {"MX": [[10, "ta.dane.test"]]},
    "ta.dane.test": {"A": ["198.51.100.5"]},
    "_25._tcp.ta.dane.test": {"TLSA": [TA]},
    "forged.test": {"MX": [[10, "mx.forged.test"], [20, "mx1.a.test"]]},
    "mx.forged.test": {"A": ["198.51.100.6"]},
    "allforged.test": {"MX": [[10, "mx.forged.test"]]},
    "forgedmx.test": {"MX": [[10, "mx1.a.test"]]},
    "brokenmx.test": {"FAIL": "SERVFAIL"},
    "nomx.test": {"A": ["198.51.100.7"]},
    "null.test": {"MX": [[0, ""]]},
    "plain.test": {"MX": [[10, "mx.plain.test"], [20, "mx1.dane.test"]]},
    "mx.plain.test": {"A": ["198.51.100.8"]},
    "hosted.plain.test": {"MX": [[10, "ta.dane.test"]]},
    "many.test": {"MX": [*([n, f"mx{n}.many.test"] for n in range(20)), [30, "mx1.a.test"]]},
    **{f"mx{n}.many.test": {"A": [f"198.51.100.{30 + n}"]} for n in range(20)},
    "second.test": {"MX": [[10, "mx1.a.test"], [20, "relay.test"], [30, "mx2.a.test"]]},
    "relay.test": {"A": ["198.51.100.250"]},
}
SIGNED_NAMES = ("a", "dane", "authority", "other", "forged", "allforged", "forgedmx", "nomx", "null", "many", "second")
SIGNED = tuple(f"{name}.test" for name in SIGNED_NAMES)
BOGUS = {"_25._tcp.mx.forged.test": "signature expired", "forgedmx.test": "no signatures"}
STS = Proof(ProofSource.STS, "a.test", ("mx1.a.test",))


class Setup:
    """A router by MX with demands, over a zone and fixed policies."""

    def __init__(
        self,
        policies: Mapping[str, StsPolicy] | None = None,
        entries: str = "",
        *,
        dane: bool = True,
        enforce: bool = True,
        **rules: Any,
    ) -> None:
        self.clock = Clock()
        self.zone = Zone(ZONE)
        self.resolver = ZoneResolver(self.zone)
        self.authenticity = ZoneAuthenticity(self.zone, SIGNED, BOGUS)
        self.policies = FixedPolicies(policies)
        self.notices: list[str] = []
        self.unproven: list[tuple[str, str, str]] = []
        rules.setdefault("local_domains", domain_list(["local.test"]))
        self.rules = RouterRules(mailname="relay.test", relay_domains=domain_list(["second.test"]), **rules)
        read = (entry.split("=") for entry in entries.split())
        policy = TlsPolicy(tuple(TlsPolicyEntry(pattern, TlsLevel(level)) for pattern, level in read))
        self._terms = DemandTerms(policy, enforce_sts=enforce)
        self._dane = Dane(self.authenticity) if dane else None
        self.router = MailRouter(self.rules, self.resolver, self.clock.seconds, random.Random(0), secure=self._secure)

    def _secure(self, direct: DirectRouting) -> SecuredRouting:
        self.secured = SecuredRouting(
            direct,
            self.resolver,
            self._terms,
            dane=self._dane,
            policies=self.policies,
            seconds=self.clock.seconds,
            notice=self.notices.append,
            unproven=lambda *facts: self.unproven.append(facts),
        )
        return self.secured

    def resolve(self, domain: str, *choice: Any) -> Routing:
        return run(self.router.resolve(domain, *choice))

    def plan(self, domain: str, *choice: Any) -> Plan:
        routing = self.resolve(domain, *choice)
        assert isinstance(routing, Plan), routing
        return routing

    def waits(self, domain: str) -> TryLater:
        routing = self.resolve(domain)
        assert isinstance(routing, TryLater), routing
        return routing

    def explain(self, domain: str) -> SecuredDecision:
        return run(self.secured.explain(domain))


T = TypeVar("T")


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    return result_of(Deferred.fromCoroutine(coroutine))


def proofs(plan: Plan) -> dict[str, Proof | None]:
    return {route.host: route.proof for route in plan.routes}


def test_a_domain_that_publishes_nothing_has_the_plan_of_direct_delivery() -> None:
    plan = Setup().plan("a.test")
    assert proofs(plan) == {"mx1.a.test": None, "mx2.a.test": None}
    assert (plan.destination, plan.domain) == ("mx1.a.test,mx2.a.test", "a.test")


def test_mta_sts_demands_the_name_of_each_host_that_it_allows() -> None:
    setup = Setup({"a.test": sts_policy("enforce", "mx1.a.test")})
    plan = setup.plan("a.test")
    assert proofs(plan) == {"mx1.a.test": STS}
    # It is apart from a domain with both hosts, whose mail may go to the other one.
    assert plan.destination == "mx1.a.test (sts)"
    assert Setup({"a.test": sts_policy("enforce", "*.a.test")}).plan("a.test").destination == (
        "mx1.a.test,mx2.a.test (sts)"
    )
    assert setup.policies.asked == ["a.test"]


def test_mail_waits_if_no_host_is_allowed_and_the_policy_is_looked_at_again() -> None:
    setup = Setup({"a.test": sts_policy("enforce", "*.x.a.test")})
    waits = setup.waits("a.test")
    assert waits.text == (
        "no MX host of a.test may get mail now: mx1.a.test: the MTA-STS policy of a.test does not name it; mx2.a.test:"
        " the MTA-STS policy of a.test does not name it; mail stays queued."
        " TLS_POLICY=a.test=opportunistic would send it all the same"
    )
    assert (waits.status, waits.kind) == ("4.7.5", ErrorKind.TLS)
    assert setup.policies.again == ["a.test"]


def test_a_domain_without_mx_is_a_host_that_the_policy_must_name() -> None:
    assert Setup({"nomx.test": sts_policy("enforce", "mx.nomx.test")}).waits("nomx.test").status == "4.7.5"
    plan = Setup({"nomx.test": sts_policy("enforce", "nomx.test")}).plan("nomx.test")
    assert proofs(plan) == {"nomx.test": Proof(ProofSource.STS, "nomx.test", ("nomx.test",))}


def test_hosts_that_are_not_allowed_do_not_use_up_the_places_of_a_plan() -> None:
    assert list(proofs(Setup({"many.test": sts_policy("enforce", "*.a.test")}).plan("many.test"))) == ["mx1.a.test"]


def test_the_loop_of_a_secondary_is_found_also_if_the_policy_does_not_name_it() -> None:
    setup = Setup({"second.test": sts_policy("enforce", "*.a.test")})
    assert list(proofs(setup.plan("second.test"))) == ["mx1.a.test"]
    own = Setup({"second.test": sts_policy("enforce", "mx2.a.test")}, listening=OwnSockets([("198.51.100.250", 25)]))
    assert isinstance(own.resolve("second.test"), Failed)


def test_a_policy_in_testing_is_told_of_and_delivered_as_without() -> None:
    told = Proof(ProofSource.STS, "a.test", ("mx1.a.test",), enforced=False)
    for setup in (
        Setup({"a.test": sts_policy("testing", "mx1.a.test")}),
        Setup({"a.test": sts_policy("enforce", "mx1.a.test")}, enforce=False),
    ):
        assert proofs(setup.plan("a.test")) == {"mx1.a.test": told, "mx2.a.test": None}
        assert setup.plan("a.test").destination == "mx1.a.test,mx2.a.test (sts testing: mx1.a.test)"
        setup.clock.advance(50)
        setup.plan("a.test")
        [said] = setup.notices
        assert said == (
            "mail for a.test may go to mx2.a.test, which the MTA-STS policy of the domain does not name: the policy is"
            " only tested. Told once a day for each domain"
        )


def test_a_host_with_proven_records_must_match_them_and_others_need_not() -> None:
    plan = Setup().plan("dane.test")
    assert proofs(plan) == {
        "mx1.dane.test": Proof(ProofSource.DANE, "dane.test", (), (EE,)),
        "mx1.a.test": None,
    }
    assert plan.destination == "mx1.a.test,mx1.dane.test (dane: mx1.dane.test)"
    assert len(plan.routes) == 3


def test_dane_decides_the_proof_and_mta_sts_the_hosts() -> None:
    plan = Setup({"dane.test": sts_policy("enforce", "mx1.dane.test")}).plan("dane.test")
    assert proofs(plan) == {"mx1.dane.test": Proof(ProofSource.DANE, "dane.test", (), (EE,))}
    assert plan.destination == "mx1.dane.test (dane)"


def test_domains_share_a_host_whose_own_authority_certifies_it_for_one_of_them_only() -> None:
    setup = Setup()
    first, second = setup.plan("authority.test"), setup.plan("other.test")
    assert first.destination == "ta.dane.test (dane authority.test)"
    assert second.destination == "ta.dane.test (dane other.test)"
    # The MX records of this one are not proven, so the host must be certified itself.
    hosted = setup.plan("hosted.plain.test")
    assert proofs(hosted) == {"ta.dane.test": Proof(ProofSource.DANE, "hosted.plain.test", ("ta.dane.test",), (TA,))}
    assert hosted.destination == "ta.dane.test (dane)"


def test_an_insecure_domain_with_a_secure_host_is_proven_by_it() -> None:
    plan = Setup().plan("plain.test")
    assert proofs(plan) == {
        "mx.plain.test": None,
        "mx1.dane.test": Proof(ProofSource.DANE, "plain.test", (), (EE,)),
    }


def test_a_host_with_forged_records_is_left_out_and_mail_waits_if_it_was_the_last() -> None:
    setup = Setup()
    assert proofs(setup.plan("forged.test")) == {"mx1.a.test": None}
    waits = setup.waits("allforged.test")
    assert waits.text == (
        "no MX host of allforged.test may get mail now: mx.forged.test: TLSA of _25._tcp.mx.forged.test: signature"
        " expired; mail stays queued. TLS_POLICY=allforged.test=opportunistic would send it all the same"
    )
    assert (waits.status, waits.kind) == ("4.7.5", ErrorKind.DNS)
    reason = "TLSA of _25._tcp.mx.forged.test: signature expired"
    assert setup.unproven == [(domain, "mx.forged.test", reason) for domain in ("forged.test", "allforged.test")]


def test_mail_waits_if_the_mx_records_are_forged() -> None:
    setup = Setup()
    waits = setup.waits("forgedmx.test")
    assert setup.unproven == [("forgedmx.test", "", "no signatures")]
    assert waits.text == (
        "looking up the MX of forgedmx.test: no signatures; mail stays queued."
        " TLS_POLICY=forgedmx.test=opportunistic would send it all the same"
    )
    assert (waits.status, waits.kind) == ("4.7.5", ErrorKind.DNS)


def test_a_failed_look_up_of_the_mx_records_is_told_as_without_dane() -> None:
    waits = Setup().waits("brokenmx.test")
    assert (waits.status, waits.text) == ("4.4.3", "looking up the MX of brokenmx.test failed: SERVFAIL")


def test_proven_mx_records_count_in_place_of_others() -> None:
    setup = Setup()
    setup.resolver.zone = Zone({**ZONE, "a.test": {"MX": [[10, "mx.plain.test"]]}})
    assert list(proofs(setup.plan("a.test"))) == ["mx1.a.test", "mx2.a.test"]
    assert list(proofs(Setup(dane=False).plan("a.test"))) == ["mx1.a.test", "mx2.a.test"]


@pytest.mark.parametrize(("domain", "status"), [("gone.a.test", "5.1.2"), ("null.test", "5.1.10")])
def test_a_domain_without_mail_fails_as_without_demands(domain: str, status: str) -> None:
    routing = Setup({domain: sts_policy("enforce", "mx.a.test")}).resolve(domain)
    assert isinstance(routing, Failed)
    assert routing.status == status


def test_a_plan_is_valid_as_long_as_the_answers_that_it_was_made_of() -> None:
    setup = Setup()
    assert setup.explain("a.test").decision.ttl == 40
    assert setup.explain("dane.test").decision.ttl == 20
    assert setup.explain("allforged.test").decision.ttl == 5
    assert setup.explain("forgedmx.test").decision.ttl == 5
    # What the validator says may end before the records that are used.
    setup.resolver.zone = Zone(ZONE)
    setup.zone.add("plain.test", TTL=7)
    assert setup.explain("plain.test").decision.ttl == 7


def test_plans_are_cached_as_without_demands() -> None:
    setup = Setup({"a.test": sts_policy("enforce", "*.a.test")})
    plan = setup.plan("a.test")
    assert setup.router.cached("a.test") is plan
    setup.clock.advance(41)
    assert setup.router.cached("a.test") is None
    setup.policies.policies.clear()
    assert set(proofs(setup.plan("a.test")).values()) == {None}


def test_without_dnssec_no_records_are_asked_for() -> None:
    setup = Setup()
    setup.authenticity.usable = False
    assert proofs(setup.plan("dane.test")) == {"mx1.dane.test": None, "mx1.a.test": None}
    assert setup.authenticity.asked == [("dane.test", "MX")]
    off = Setup(dane=False)
    off.plan("dane.test")
    assert off.authenticity.asked == []


@pytest.mark.parametrize("level", ["none", "opportunistic", "require", "verify"])
def test_an_entry_of_tls_policy_is_all_that_is_demanded(level: str) -> None:
    setup = Setup({"dane.test": sts_policy("enforce", "mx9.dane.test")}, f"dane.test={level}")
    plan = setup.plan("dane.test")
    assert proofs(plan) == {"mx1.dane.test": None, "mx1.a.test": None}
    assert {route.tls for route in plan.routes} == {TlsRule(level)}
    place = "" if level == "opportunistic" else f"TLS_POLICY=dane.test={level}"
    assert {route.tls_place for route in plan.routes} == {place}
    name = "mx1.a.test,mx1.dane.test"
    assert plan.destination == (name if level == "opportunistic" else f"{name} ({level})")


def test_a_notice_tells_once_a_day_where_an_entry_weakens() -> None:
    setup = Setup({"dane.test": sts_policy("enforce", "mx1.dane.test")}, "dane.test=verify a.test=none")
    setup.plan("dane.test")
    setup.plan("a.test")
    [said] = setup.notices
    assert said == (
        "TLS_POLICY has dane.test=verify, and dane.test demands more by MTA-STS and DANE: its mail goes to hosts that"
        " need not prove themselves so. Told once a day for each domain"
    )
    setup.clock.advance(80_000)
    setup.plan("dane.test")
    assert len(setup.notices) == 1
    setup.clock.advance(10_000)
    setup.plan("dane.test")
    assert len(setup.notices) == 2


def test_an_entry_is_used_at_once_while_it_is_found_out_whether_it_weakens() -> None:
    setup = Setup(entries="a.test=require")
    answer: Deferred[None] = Deferred()
    setup.policies.policy = lambda domain: answer  # type: ignore[method-assign, assignment, return-value]
    assert setup.plan("a.test").destination == "mx1.a.test,mx2.a.test (require)"
    answer.callback(None)
    assert setup.notices == []


def test_an_entry_for_dane_leaves_only_hosts_with_records() -> None:
    setup = Setup({"dane.test": sts_policy("enforce", "x.test")}, "*.test=dane")
    assert proofs(setup.plan("dane.test")) == {"mx1.dane.test": Proof(ProofSource.DANE, "dane.test", (), (EE,))}
    assert "mx1.a.test: no TLSA records, and TLS_POLICY has *.test=dane" in setup.waits("a.test").text
    # The domain's policy does not count, so it is not fetched.
    assert setup.policies.asked == []


def test_the_default_is_for_domains_that_publish_nothing() -> None:
    setup = Setup({"a.test": sts_policy("enforce", "mx1.a.test")}, "*=verify")
    assert proofs(setup.plan("a.test")) == {"mx1.a.test": STS}
    assert setup.plan("a.test").destination == "mx1.a.test (sts)"
    plan = setup.plan("nomx.test")
    assert [(route.tls, route.tls_place) for route in plan.routes] == [(TlsRule.VERIFY, "TLS_POLICY=*=verify")]
    assert setup.notices == []


def test_literals_local_domains_and_smarthosts_have_no_demands() -> None:
    smarthost = Smarthost((("mx1.dane.test", 25),), TlsRule.OPPORTUNISTIC, name="mx1.dane.test:25")
    setup = Setup(entries="*=verify")
    for routing in (
        setup.resolve("local.test"),
        setup.plan("[198.51.100.9]"),
        setup.plan("dane.test", ViaSmarthost(smarthost)),
        setup.plan("dane.test", Reroute("mx1.dane.test:25")),
    ):
        if isinstance(routing, Plan):
            assert {(route.tls, route.proof) for route in routing.routes} == {(TlsRule.OPPORTUNISTIC, None)}
    assert setup.policies.asked == setup.authenticity.asked == []


def test_mail_by_mx_has_demands_whatever_sends_it_there() -> None:
    smarthost = Smarthost((("mx1.a.test", 25),), TlsRule.OPPORTUNISTIC)
    setup = Setup({"a.test": sts_policy("enforce", "mx1.a.test")}, smarthost=smarthost)
    assert proofs(setup.plan("a.test")) == {"mx1.a.test": None}
    assert proofs(setup.plan("a.test", Reroute("mx"))) == {"mx1.a.test": STS}
    assert proofs(setup.plan("a.test", MxOf())) == {"mx1.a.test": STS}
    # A rule that names another domain for the MX sends mail as that domain demands.
    assert proofs(setup.plan("b.test", MxOf("a.test"))) == {"mx1.a.test": STS}


def test_the_explanation_has_the_demand_on_every_host() -> None:
    setup = Setup({"forged.test": sts_policy("enforce", "mx.forged.test")})
    explained = setup.explain("forged.test")
    assert explained.published.mx_secure
    assert [(host.host, host.left_out) for host in explained.hosts] == [
        ("mx.forged.test", "TLSA of _25._tcp.mx.forged.test: signature expired"),
        ("mx1.a.test", "the MTA-STS policy of forged.test does not name it"),
    ]
    assert isinstance(explained.decision.routing, TryLater)
