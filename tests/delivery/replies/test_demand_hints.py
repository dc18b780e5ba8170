"""Hints about TLS that a domain or a sender demands."""

from dataclasses import replace

from mta.delivery.replies.demand_hints import testing_text as notice_of
from mta.delivery.replies.hints import operator_hint
from mta.dns.answers import TlsaRecord
from mta.routing.demands.proof import Proof, ProofSource
from mta.routing.route import Route, TlsRule
from mta.smtp.client.dialogue import FailureKind, SessionFailure
from mta.tls.client import Fault

STS = Proof(ProofSource.STS, "a.test", ("mx.test",))
DANE = Proof(ProofSource.DANE, "a.test", ("mx.test",), (TlsaRecord(3, 1, 1, b"x"),))
ROUTE = Route("mx.test", "192.0.2.1", 25)
EXPIRED = SessionFailure(FailureKind.NOT_TRUSTED, "4.7.5", "certificate expired on 2026-01-01")
LIFTED = " TLS_POLICY=a.test=opportunistic would send it all the same"


def words(failure: SessionFailure, proof: Proof | None, fault: Fault | None = Fault.EXPIRED, **route: object) -> str:
    return operator_hint(failure, replace(ROUTE, proof=proof, **route), fault).text  # type: ignore[arg-type]


def test_the_demand_of_a_domain_is_named_with_the_setting_that_lifts_it() -> None:
    expected = (
        "certificate not trusted: certificate expired on 2026-01-01; a.test demands it by MTA-STS; mail stays queued."
    )
    assert words(EXPIRED, STS) == expected + LIFTED


def test_the_text_can_be_had_for_another_domain_with_the_same_hosts() -> None:
    outcome = operator_hint(EXPIRED, replace(ROUTE, proof=STS), Fault.EXPIRED)
    assert outcome.text_for is not None
    assert outcome.text_for("b.test") == outcome.text.replace("a.test", "b.test")
    by_sender = operator_hint(EXPIRED, replace(ROUTE, proof=Proof(ProofSource.REQUIRETLS, "", ("mx.test",))))
    assert by_sender.text_for is None


def test_the_demand_of_a_sender_is_lifted_by_no_setting() -> None:
    said = words(EXPIRED, Proof(ProofSource.REQUIRETLS, "", ("mx.test",)))
    assert said.endswith("; the sender demands it by REQUIRETLS; mail stays queued")


def test_a_rule_that_is_strict_too_must_be_lifted_too() -> None:
    failure = SessionFailure(FailureKind.NO_TLS, "4.7.4", "STARTTLS is not offered")
    said = words(failure, DANE, None, tls=TlsRule.REQUIRE, tls_place="30.toml:2")
    assert said == (
        "TLS is required, but: STARTTLS is not offered; a.test demands it by DANE; mail stays queued. "
        'TLS_POLICY=a.test=opportunistic, with tls = "opportunistic" of 30.toml:2, would send it all the same'
    )


def test_a_certificate_that_fails_the_operators_rule_alone_is_not_blamed_on_the_domain() -> None:
    assert "DANE" not in words(EXPIRED, DANE, tls=TlsRule.VERIFY)
    assert "by DANE" in words(EXPIRED, DANE, Fault.TLSA_MISMATCH, tls=TlsRule.VERIFY)
    assert "by MTA-STS" in words(EXPIRED, STS, tls=TlsRule.VERIFY)


def test_a_policy_in_testing_demands_nothing() -> None:
    assert "MTA-STS" not in words(EXPIRED, replace(STS, enforced=False), tls=TlsRule.VERIFY)


def test_other_failures_are_no_matter_of_the_demand() -> None:
    for kind in (FailureKind.LOST, FailureKind.TIMEOUT, FailureKind.CLOSING, FailureKind.REFUSED):
        assert words(SessionFailure(kind, "4.4.2", "it ended"), STS, None) == "it ended"


def test_the_notice_of_a_policy_in_testing_names_domain_host_and_reason() -> None:
    assert notice_of(ROUTE, STS, "self-signed certificate") == (
        "mail for a.test goes to mx.test[192.0.2.1]:25 though MTA-STS, if it were not in testing, would have it wait:"
        " self-signed certificate. Told once a day for each host"
    )
