"""The demands on MX hosts in words, and in the explanations of a domain and of described mail."""

from dataclasses import replace

import pytest

from mta.dns.answers import TlsaRecord
from mta.explain.demands.facts import DemandFacts, PolicyFacts
from mta.explain.demands.words import demanded_of, left_out, policy_lines
from mta.message.outcome import TryLater
from mta.routing.demands.dane import TlsaFinding, TlsaState
from mta.routing.demands.deciding import DemandTerms, PublishedDemands, host_demand
from mta.routing.demands.proof import Proof, ProofSource
from mta.routing.demands.secured import SecuredDecision
from mta.routing.demands.tls_policy import TlsLevel, TlsPolicy, TlsPolicyEntry
from mta.routing.route import Route, TlsRule
from mta.routing.rules import Decision
from tests.fakes.authenticity import sts_policy

ROUTE = Route("mx.a.test", "192.0.2.1", 25)
EE, TA = TlsaRecord(3, 1, 1, b"\xee" * 32), TlsaRecord(2, 0, 2, b"\xaa" * 64)


STS = Proof(ProofSource.STS, "a.test", ("mx.a.test",))
RECORDS = "with TLS only, the certificate must match a TLSA record of"


@pytest.mark.parametrize(
    ("proof", "words"),
    [
        (STS, ["with TLS only, a known authority must certify mx.a.test (MTA-STS of a.test)"]),
        (
            replace(STS, enforced=False),
            ["(MTA-STS of a.test); the policy is only tested, so that mail goes all the same"],
        ),
        (
            Proof(ProofSource.DANE, "a.test", (), (EE,) * 5),
            [f"{RECORDS} mx.a.test (3 1 1 eeeeeeee..., 3 1 1 eeeeeeee...,", " and 2 more) (DANE)"],
        ),
        (
            Proof(ProofSource.DANE, "a.test", ("t.test", "a.test"), (TA,), "t.test"),
            [f"{RECORDS} t.test (2 0 2 aaaaaaaa...); an authority that they name must certify t.test or a.test (DANE)"],
        ),
        (
            Proof(ProofSource.DANE, "a.test"),
            ["with TLS only, with any certificate, because SMTP cannot use its TLSA records (DANE)"],
        ),
    ],
)
def test_the_proof_of_a_host_is_told_with_its_reason(proof: Proof, words: list[str]) -> None:
    said = demanded_of(replace(ROUTE, proof=proof))
    assert all(each in said for each in words), said


def test_nothing_is_told_of_a_host_that_need_not_prove_anything() -> None:
    assert demanded_of(ROUTE) == ""


def test_an_entry_of_tls_policy_is_told_with_its_level() -> None:
    route = replace(ROUTE, tls=TlsRule.VERIFY, tls_place="TLS_POLICY=a.test=verify")
    assert demanded_of(route) == (
        "with TLS only, the certificate must prove the host's name (TLS_POLICY=a.test=verify)"
    )
    assert demanded_of(replace(route, tls_place="30-tls.toml:1")) == ""


def facts(*entries: TlsPolicyEntry, failure: str = "") -> DemandFacts:
    policy = None if failure else sts_policy("enforce", "mx1.a.test", "*.b.test")
    published = PublishedDemands("a.test", policy, mx_secure=True)
    terms = DemandTerms(TlsPolicy(entries))
    findings = {
        "mx1.a.test": TlsaFinding(TlsaState.USABLE, 60, "mx1.a.test", (EE,)),
        "mx2.a.test": TlsaFinding(TlsaState.INSECURE, 60, reason="the zone is not signed"),
    }
    hosts = tuple(host_demand(host, finding, published, terms) for host, finding in findings.items())
    secured = SecuredDecision(Decision(TryLater("x"), 1.0), published, terms.tls_policy.entry("a.test"), hosts)
    return DemandFacts(secured, PolicyFacts(None if failure else 1_800_000_000.0, failure))


def test_what_the_domain_publishes_is_told() -> None:
    assert list(policy_lines(facts())) == [
        "MTA-STS: enforce, mx mx1.a.test, *.b.test; until 2027-01-15T08:00:00.000Z",
        "DNSSEC: the MX records are proven",
        "TLSA of mx1.a.test: TLSA records",
        "TLSA of mx2.a.test: not proven by DNSSEC (the zone is not signed)",
    ]
    assert left_out(facts()) == {"mx2.a.test": "the MTA-STS policy of a.test does not name it"}


def test_an_entry_and_a_policy_that_cannot_be_fetched_are_told() -> None:
    assert next(policy_lines(facts(TlsPolicyEntry("*.test", TlsLevel.NONE)))) == (
        "TLS_POLICY: *.test=none decides, whatever the domain publishes"
    )
    assert next(policy_lines(facts(failure="mta-sts.a.test: the answer has status 404"))) == (
        "MTA-STS: the policy cannot be fetched, so it does not count: mta-sts.a.test: the answer has status 404"
    )
