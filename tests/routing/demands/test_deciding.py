"""The demand on one host: TLS_POLICY, then DANE, then MTA-STS, then the default."""

import pytest

from mta.dns.answers import TlsaRecord
from mta.message.outcome import ErrorKind
from mta.routing.demands.dane import TlsaFinding, TlsaState
from mta.routing.demands.deciding import (
    DemandTerms,
    HostDemand,
    PublishedDemands,
    host_demand,
    no_host_left,
    weakened,
)
from mta.routing.demands.proof import Proof, ProofSource
from mta.routing.demands.tls_policy import TlsLevel, TlsPolicy, TlsPolicyEntry
from mta.routing.route import TlsRule
from tests.fakes.authenticity import sts_policy

HOST, DOMAIN = "mx.a.test", "a.test"
EE, TA = TlsaRecord(3, 1, 1, b"e" * 32), TlsaRecord(2, 1, 1, b"t" * 32)


def found(state: TlsaState, *records: TlsaRecord, base: str = HOST) -> TlsaFinding:
    return TlsaFinding(state, 300, base, records, "forged" if state is TlsaState.FAILED else "")


DANE, UNUSABLE, BOGUS, ABSENT = (
    found(TlsaState.USABLE, EE),
    found(TlsaState.UNUSABLE),
    found(TlsaState.FAILED),
    found(TlsaState.ABSENT),
)
NO_STS, ENFORCE, TESTING, ELSEWHERE, NONE = (
    None,
    sts_policy("enforce", "*.a.test"),
    sts_policy("testing", "*.a.test"),
    sts_policy("enforce", "mx.other.test"),
    sts_policy("none"),
)
STS_PROOF = Proof(ProofSource.STS, DOMAIN, (HOST,))
TOLD = Proof(ProofSource.STS, DOMAIN, (HOST,), enforced=False)
DANE_PROOF = Proof(ProofSource.DANE, DOMAIN, (), (EE,))
ANY_TLS = Proof(ProofSource.DANE, DOMAIN)
LEFT_OUT = "left out"


def terms(*entries: str, enforce: bool = True) -> DemandTerms:
    read = (entry.split("=") for entry in entries)
    policy = TlsPolicy(tuple(TlsPolicyEntry(pattern, TlsLevel(level)) for pattern, level in read))
    return DemandTerms(policy, enforce_sts=enforce)


def demand(
    policy: object = None, finding: TlsaFinding | None = ABSENT, *entries: str, enforce: bool = True
) -> HostDemand:
    published = PublishedDemands(DOMAIN, policy)  # type: ignore[arg-type]
    return host_demand(HOST, finding, published, terms(*entries, enforce=enforce))


def short(decided: HostDemand) -> object:
    """Return the demand as a row of a table has it."""
    if decided.left_out:
        return LEFT_OUT
    return decided.proof if decided.proof is not None else decided.tls.value


@pytest.mark.parametrize(
    ("policy", "finding", "result"),
    [
        (NO_STS, None, "opportunistic"),
        (NO_STS, ABSENT, "opportunistic"),
        (NO_STS, DANE, DANE_PROOF),
        (NO_STS, UNUSABLE, ANY_TLS),
        (NO_STS, BOGUS, LEFT_OUT),
        (NONE, ABSENT, "opportunistic"),
        (TESTING, None, TOLD),
        (TESTING, ABSENT, TOLD),
        (TESTING, DANE, DANE_PROOF),
        (TESTING, UNUSABLE, ANY_TLS),
        (TESTING, BOGUS, LEFT_OUT),
        (ENFORCE, None, STS_PROOF),
        (ENFORCE, ABSENT, STS_PROOF),
        (ENFORCE, DANE, DANE_PROOF),
        (ENFORCE, UNUSABLE, STS_PROOF),
        (ENFORCE, BOGUS, LEFT_OUT),
        (ELSEWHERE, None, LEFT_OUT),
        (ELSEWHERE, ABSENT, LEFT_OUT),
        (ELSEWHERE, DANE, LEFT_OUT),
        (ELSEWHERE, UNUSABLE, LEFT_OUT),
        (ELSEWHERE, BOGUS, LEFT_OUT),
    ],
)
def test_dane_decides_the_proof_and_mta_sts_the_hosts(policy: object, finding: TlsaFinding, result: object) -> None:
    decided = demand(policy, finding)
    assert short(decided) == result
    assert decided.tls is TlsRule.OPPORTUNISTIC


@pytest.mark.parametrize("level", ["none", "opportunistic", "require", "verify"])
@pytest.mark.parametrize("pattern", ["a.test", "*.test"])
@pytest.mark.parametrize(("policy", "finding"), [(ENFORCE, ABSENT), (ELSEWHERE, DANE), (TESTING, BOGUS), (None, None)])
def test_an_entry_beats_all_that_is_published(
    level: str, pattern: str, policy: object, finding: TlsaFinding | None
) -> None:
    decided = demand(policy, finding, f"{pattern}={level}", "*=verify")
    assert (decided.tls, decided.proof, decided.left_out) == (TlsRule(level), None, "")
    assert decided.why == f"TLS_POLICY has {pattern}={level}"


@pytest.mark.parametrize(
    ("finding", "result"),
    [(DANE, DANE_PROOF), (UNUSABLE, LEFT_OUT), (BOGUS, LEFT_OUT), (ABSENT, LEFT_OUT), (None, LEFT_OUT)],
)
@pytest.mark.parametrize("policy", [NO_STS, TESTING, ENFORCE, ELSEWHERE])
def test_an_entry_for_dane_needs_records(policy: object, finding: TlsaFinding | None, result: object) -> None:
    assert short(demand(policy, finding, "a.test=dane")) == result


@pytest.mark.parametrize(
    ("level", "policy", "finding", "result"),
    [
        *(("none", ENFORCE, finding, STS_PROOF) for finding in (None, ABSENT, UNUSABLE)),
        ("none", ENFORCE, DANE, DANE_PROOF),
        ("none", NO_STS, DANE, DANE_PROOF),
        ("none", NO_STS, UNUSABLE, ANY_TLS),
        ("none", NO_STS, BOGUS, LEFT_OUT),
        ("none", NO_STS, ABSENT, "none"),
        ("none", TESTING, ABSENT, "none"),
        ("require", NO_STS, ABSENT, "require"),
        ("require", TESTING, ABSENT, TOLD),
        ("verify", NO_STS, None, "verify"),
        ("verify", NO_STS, UNUSABLE, "verify"),
        ("verify", NO_STS, DANE, DANE_PROOF),
        ("verify", ENFORCE, ABSENT, STS_PROOF),
        ("dane", NO_STS, DANE, DANE_PROOF),
        ("dane", NO_STS, ABSENT, LEFT_OUT),
        ("dane", NO_STS, UNUSABLE, LEFT_OUT),
        ("dane", TESTING, ABSENT, LEFT_OUT),
        ("dane", ENFORCE, ABSENT, STS_PROOF),
    ],
)
def test_the_default_never_weakens_what_is_published(
    level: str, policy: object, finding: TlsaFinding | None, result: object
) -> None:
    decided = demand(policy, finding, f"*={level}")
    assert short(decided) == result
    if decided.proof is not None and decided.proof.enforced:
        assert decided.tls is TlsRule.OPPORTUNISTIC


def test_a_tested_policy_leaves_the_default_as_it_is() -> None:
    assert demand(TESTING, ABSENT, "*=require").tls is TlsRule.REQUIRE
    assert demand(TESTING, ABSENT, "*=verify").tls is TlsRule.VERIFY
    # Its result could say only that a host is not in the list.
    assert demand(sts_policy("testing", "mx.other.test")).proof is None


def test_every_policy_is_tested_only_if_the_operator_says_so() -> None:
    assert short(demand(ENFORCE, ABSENT, enforce=False)) == TOLD
    assert short(demand(ELSEWHERE, ABSENT, enforce=False)) == "opportunistic"
    assert short(demand(ELSEWHERE, DANE, enforce=False)) == DANE_PROOF


def proof(finding: TlsaFinding, *, mx_secure: bool, host: str = HOST) -> Proof:
    found = host_demand(host, finding, PublishedDemands(DOMAIN, mx_secure=mx_secure), DemandTerms()).proof
    assert found is not None
    return found


def test_an_authority_of_the_domain_must_certify_the_base_or_the_proven_domain() -> None:
    assert proof(found(TlsaState.USABLE, TA), mx_secure=True).names == (HOST, DOMAIN)
    assert proof(found(TlsaState.USABLE, TA), mx_secure=False).names == (HOST,)
    assert proof(found(TlsaState.USABLE, EE), mx_secure=True).names == ()
    assert proof(found(TlsaState.USABLE, EE, TA, base=DOMAIN), mx_secure=True, host=DOMAIN).names == (DOMAIN,)


def test_the_server_is_asked_for_the_certificate_of_the_base() -> None:
    assert proof(found(TlsaState.USABLE, EE), mx_secure=True).server_name == ""
    elsewhere = proof(found(TlsaState.USABLE, TA, base="target.test"), mx_secure=False)
    assert (elsewhere.server_name, elsewhere.names) == ("target.test", ("target.test",))


def test_mail_without_a_host_waits_with_the_reasons_and_the_setting() -> None:
    waits = no_host_left(DOMAIN, [demand(ELSEWHERE), demand(NO_STS, BOGUS)])
    assert waits.text == (
        "no MX host of a.test may get mail now: mx.a.test: the MTA-STS policy of a.test does not name it; mx.a.test:"
        " forged; mail stays queued. TLS_POLICY=a.test=opportunistic would send it all the same"
    )
    assert (waits.status, waits.kind) == ("4.7.5", ErrorKind.TLS)
    assert no_host_left(DOMAIN, [demand(NO_STS, BOGUS)]).kind is ErrorKind.DNS
    assert "; and 2 more; mail" in no_host_left(DOMAIN, [demand(ELSEWHERE)] * 5).text


def test_a_demand_for_dane_without_records_names_the_entry() -> None:
    assert demand(NO_STS, ABSENT, "a.test=dane").left_out == "no TLSA records, and TLS_POLICY has a.test=dane"
    assert demand(NO_STS, ABSENT, "*=dane").left_out == "no TLSA records, and TLS_POLICY has *=dane"


@pytest.mark.parametrize(
    ("policy", "findings", "enforce", "words"),
    [
        (ENFORCE, [DANE, ABSENT], True, "MTA-STS and DANE"),
        (ENFORCE, [], True, "MTA-STS"),
        (ENFORCE, [], False, ""),
        (TESTING, [UNUSABLE], True, "DANE"),
        (None, [ABSENT, BOGUS], True, ""),
    ],
)
def test_an_entry_weakens_demands_that_would_be_enforced(
    policy: object, findings: list[TlsaFinding], enforce: bool, words: str
) -> None:
    published = PublishedDemands(DOMAIN, policy)  # type: ignore[arg-type]
    assert weakened(published, findings, terms(enforce=enforce)) == words
