"""The routing of messages with REQUIRETLS, and of those whose sender does without TLS."""

from typing import Any

import pytest
from twisted.internet.defer import Deferred

from mta.dns.answers import TlsaRecord
from mta.message.outcome import Failed, TryLater
from mta.routing.choice import Reroute, ViaSmarthost
from mta.routing.demands.proof import Proof, ProofSource
from mta.routing.route import Smarthost, TlsRule
from mta.smtp.parameters import TlsDemand
from tests.fakes.authenticity import sts_policy
from tests.routing.demands.test_secured import EE, Setup, proofs
from tests.routing.test_router import RouterCase

REQUIRED, OPTIONAL = TlsDemand.REQUIRED, TlsDemand.OPTIONAL
NAMED = sts_policy("enforce", "mx.plain.test")


def by_name(host: str) -> Proof:
    return Proof(ProofSource.REQUIRETLS, "", (host,))


def resolve(setup: Setup, domain: str, demand: TlsDemand | None = REQUIRED) -> Any:
    return setup.resolve(domain, None, demand)


def test_hosts_that_dnssec_names_must_prove_their_names() -> None:
    plan = resolve(Setup(), "a.test")
    assert proofs(plan) == {host: by_name(host) for host in ("mx1.a.test", "mx2.a.test")}
    assert plan.destination == "mx1.a.test,mx2.a.test (requiretls)"


def test_hosts_that_must_prove_themselves_anyway_share_their_destination() -> None:
    setup = Setup({"a.test": sts_policy("enforce", "*.a.test")})
    assert resolve(setup, "a.test") == setup.plan("a.test")
    plan = resolve(Setup(), "dane.test")
    found = proofs(plan)
    assert found["mx1.a.test"] == by_name("mx1.a.test")
    assert found["mx1.dane.test"] is not None
    assert found["mx1.dane.test"].records == (EE,)


@pytest.mark.parametrize("mode", ["enforce", "testing"])
def test_hosts_that_a_policy_names_must_prove_their_names(mode: str) -> None:
    setup = Setup({"plain.test": sts_policy(mode, "mx.plain.test")})
    found = proofs(resolve(setup, "plain.test"))
    assert set(found) == {"mx.plain.test"}
    proof = found["mx.plain.test"]
    assert proof is not None
    assert proof.names == ("mx.plain.test",)
    assert proof.enforced


def test_mail_for_a_domain_whose_hosts_nothing_proves_fails() -> None:
    for policies in ({}, {"plain.test": sts_policy("none", "mx.plain.test")}):
        failed = resolve(Setup(policies), "plain.test")
        assert isinstance(failed, Failed)
        assert failed.status == "5.7.30"
        assert "mx.plain.test: neither DNSSEC nor MTA-STS proves that it is an MX host of plain.test" in failed.text


def test_mail_waits_if_dnssec_may_prove_the_hosts_later() -> None:
    setup = Setup()
    setup.authenticity.usable = False
    assert setup.plan("plain.test")
    later = resolve(setup, "plain.test")
    assert isinstance(later, TryLater)
    assert later.status == "4.7.30"
    assert isinstance(resolve(Setup(), "allforged.test"), TryLater)
    assert isinstance(resolve(Setup(), "forgedmx.test"), TryLater)


def test_mail_waits_for_the_demand_of_its_sender_if_the_policy_names_no_host() -> None:
    setup = Setup({"a.test": sts_policy("enforce", "*.x.a.test")})
    later = resolve(setup, "a.test")
    assert isinstance(later, TryLater)
    assert later.text == (
        "the sender demands REQUIRETLS, and no MX host may get such mail: mx1.a.test: the MTA-STS policy of a.test does"
        " not name it; mx2.a.test: the MTA-STS policy of a.test does not name it"
    )
    assert later.status == "4.7.30"
    assert setup.policies.again == ["a.test"]


def test_no_setting_is_named_that_does_not_lift_the_demand_of_a_sender() -> None:
    assert "TLS_POLICY" in Setup().waits("forgedmx.test").text
    assert "TLS_POLICY" not in resolve(Setup(), "forgedmx.test").text


def test_the_operators_policy_goes_before_that_of_the_domain_which_may_prove_hosts_all_the_same() -> None:
    for level in ("opportunistic", "verify"):
        unnamed = Setup({"a.test": sts_policy("enforce", "*.x.a.test")}, f"a.test={level}")
        assert set(proofs(resolve(unnamed, "a.test"))) == {"mx1.a.test", "mx2.a.test"}
        named = Setup({"plain.test": NAMED}, f"plain.test={level}")
        assert set(proofs(resolve(named, "plain.test"))) == {"mx.plain.test"}


def test_records_of_which_none_can_be_used_are_no_proof() -> None:
    setup = Setup()
    setup.zone.records["_25._tcp.mx1.dane.test"] = {"TLSA": [TlsaRecord(1, 1, 1, b"p" * 32)]}
    assert proofs(resolve(setup, "dane.test"))["mx1.dane.test"] == by_name("mx1.dane.test")


def test_a_stricter_rule_of_the_operator_holds_too_and_a_laxer_one_does_not() -> None:
    strict = resolve(Setup(entries="a.test=verify"), "a.test")
    assert {route.tls for route in strict.routes} == {TlsRule.VERIFY}
    for level in ("none", "opportunistic", "require", "verify"):
        assert proofs(resolve(Setup(entries=f"a.test={level}"), "a.test"))["mx1.a.test"] == by_name("mx1.a.test")


def test_an_address_literal_must_prove_its_address() -> None:
    assert proofs(resolve(Setup(), "[198.51.100.9]")) == {"198.51.100.9": by_name("198.51.100.9")}


def test_a_sender_without_need_of_tls_gets_past_what_domains_publish() -> None:
    setup = Setup({"a.test": sts_policy("enforce", "mx1.a.test")})
    plan = resolve(setup, "a.test", OPTIONAL)
    assert proofs(plan) == {"mx1.a.test": None, "mx2.a.test": None}
    assert plan.destination == "mx1.a.test,mx2.a.test"
    assert proofs(resolve(Setup(), "dane.test", OPTIONAL)) == {"mx1.dane.test": None, "mx1.a.test": None}
    assert {route.host for route in resolve(Setup(), "allforged.test", OPTIONAL).routes} == {"mx.forged.test"}


def test_it_does_not_get_past_the_operators_policy() -> None:
    for entry in ("a.test=verify", "*=verify"):
        plan = resolve(Setup(entries=entry), "a.test", OPTIONAL)
        assert {route.tls for route in plan.routes} == {TlsRule.VERIFY}
    for entry in ("dane.test=dane", "*=dane"):
        found = proofs(resolve(Setup(entries=entry), "dane.test", OPTIONAL))
        assert set(found) == {"mx1.dane.test"}
        assert isinstance(resolve(Setup(entries=entry.replace("dane.test", "a.test")), "a.test", OPTIONAL), TryLater)


def test_the_plans_of_demands_are_cached_apart() -> None:
    setup = Setup({"a.test": sts_policy("enforce", "mx1.a.test")})
    plans = [resolve(setup, "a.test", demand) for demand in (None, OPTIONAL, REQUIRED)]
    setup.resolver.asked.clear()
    assert [setup.router.cached("a.test", None, demand) for demand in (None, OPTIONAL, REQUIRED)] == plans
    assert setup.resolver.asked == []
    assert len({plan.destination for plan in plans}) == 3 - (plans[0].destination == plans[2].destination)


class TestWithoutPublishedDemands(RouterCase):
    """A relay that follows neither DANE nor MTA-STS, and smarthosts."""

    def routed(self, domain: str, choice: Any = None, demand: TlsDemand | None = REQUIRED, **rules: Any) -> Any:
        return self.successResultOf(Deferred.fromCoroutine(self.make(**rules).resolve(domain, choice, demand)))

    def test_nothing_proves_mx_hosts(self) -> None:
        text = "the sender demands REQUIRETLS, and nothing can prove the MX hosts of example.test"
        assert self.routed("example.test") == Failed(f"{text}: DANE and MTA_STS are off", status="5.7.30")

    def test_a_sender_without_need_of_tls_is_routed_as_others_are(self) -> None:
        assert self.routed("example.test", demand=OPTIONAL).destination == self.plan("example.test").destination

    def test_local_mail_stays_local(self) -> None:
        assert self.routed("local.test") == self.resolve("local.test")

    def test_a_smarthost_must_prove_its_name(self) -> None:
        smarthost = Smarthost((("a.example.test", 25),), TlsRule.OPPORTUNISTIC)
        for choice, rules in ((None, {"smarthost": smarthost}), (ViaSmarthost(smarthost), {})):
            plan = self.routed("far.test", choice, **rules)
            assert proofs(plan) == {"a.example.test": by_name("a.example.test")}
            assert plan.destination == "smarthost (requiretls)"
            assert plan.smarthost == smarthost

    def test_a_smarthost_that_must_prove_its_name_anyway_keeps_its_destination(self) -> None:
        smarthost = Smarthost((("a.example.test", 25),), TlsRule.VERIFY)
        plan = self.routed("far.test", smarthost=smarthost)
        assert plan.destination == "smarthost"
        assert proofs(plan) == {"a.example.test": None}

    def test_a_host_that_an_operator_names_must_prove_its_name(self) -> None:
        plan = self.routed("far.test", Reroute("a.example.test:25"))
        assert proofs(plan) == {"a.example.test": by_name("a.example.test")}
