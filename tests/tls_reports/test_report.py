"""A report as JSON and as mail, read by a strict receiver."""

from harness.tls_report_receiver import report_in_mail, report_of
from mta.dns.answers import TlsaRecord
from mta.message.envelope import Notify, TlsDemand
from mta.routing.demands.proof import Proof, ProofSource
from mta.routing.route import Route
from mta.smtp.address import parse_address
from mta.sts.policy import StsMode, StsPolicy
from mta.tls_reports.message import report_mail
from mta.tls_reports.policies import counted_policy, failed_session
from mta.tls_reports.report import TlsReport
from mta.tls_reports.tally import CountedPolicy, PolicyType, Tally

CONTACT = parse_address("tls-reports@relay.test")
ROUTE = Route("mx.a.test", "192.0.2.2", 25)
POLICY = StsPolicy(StsMode.ENFORCE, ("mx.a.test", "*.b.test"), 86400)
BEGIN = 20_787 * 86_400


def report() -> TlsReport:
    tally = Tally()
    sts = counted_policy(Proof(ProofSource.STS, "a.test", ("mx.a.test",)), POLICY)
    dane = counted_policy(Proof(ProofSource.DANE, "a.test", (), (TlsaRecord(3, 1, 1, b"\xab" * 32),)), POLICY)
    expired = failed_session("certificate-expired", "192.0.2.9", ROUTE, "it expired\r\non Monday")
    for policy, failure in (
        (sts, None),
        (sts, expired),
        (sts, expired),
        (dane, None),
        (counted_policy(None, None), None),
    ):
        tally.count("a.test", policy, failure)
    return TlsReport("a.test", CONTACT, BEGIN, "0a1b2c3d", tally.domains["a.test"])


def test_the_report_has_each_policy_with_its_counts() -> None:
    content = report_of("application/tlsrpt+gzip", report().octets())
    assert content["organization-name"] == "relay.test"
    assert content["contact-info"] == "tls-reports@relay.test"
    assert content["report-id"] == "2026-11-30.a.test.0a1b2c3d@relay.test"
    assert content["date-range"] == {
        "start-datetime": "2026-11-30T00:00:00Z",
        "end-datetime": "2026-11-30T23:59:59Z",
    }
    sts, dane, none = content["policies"]
    assert sts["policy"] == {
        "policy-type": "sts",
        "policy-domain": "a.test",
        "policy-string": ["version: STSv1", "mode: enforce", "mx: mx.a.test", "mx: *.b.test", "max_age: 86400"],
        "mx-host": ["mx.a.test", "*.b.test"],
    }
    assert sts["summary"] == {"total-successful-session-count": 1, "total-failure-session-count": 2}
    (failure,) = sts["failure-details"]
    assert failure.pop("failure-reason-code").startswith("it expired")
    assert failure == {
        "result-type": "certificate-expired",
        "sending-mta-ip": "192.0.2.9",
        "receiving-mx-hostname": "mx.a.test",
        "receiving-ip": "192.0.2.2",
        "failed-session-count": 2,
    }
    assert dane["policy"]["policy-string"] == [f"3 1 1 {'ab' * 32}"]
    assert none["policy"]["policy-type"] == "no-policy-found"
    assert "failure-details" not in none


def test_the_mail_is_understood_and_asks_for_no_proof() -> None:
    to = (parse_address("ann@a.test"), parse_address("bob@b.test"))
    envelope, content = report_mail(report(), to, name="mx.relay.test", now=BEGIN + 90_000.0)
    read = report_in_mail(content)
    assert (read.domain, read.submitter) == ("a.test", "relay.test")
    assert read.counts == {"sts": (1, 2), "tlsa": (1, 0), "no-policy-found": (1, 0)}
    assert envelope.sender == CONTACT
    assert envelope.tls_demand is TlsDemand.OPTIONAL
    assert [(each.address, each.notify) for each in envelope.recipients] == [(each, Notify.NEVER) for each in to]
    assert b"\r\nTLS-Required: No\r\n" in content
    assert max(map(len, content.split(b"\r\n"))) <= 998
    assert b"2 failed" in content


def test_a_policy_that_is_not_at_hand_any_more_has_no_lines() -> None:
    proof = Proof(ProofSource.STS, "a.test", ("mx.a.test",))
    assert counted_policy(proof, None) == CountedPolicy(PolicyType.STS)
    assert counted_policy(Proof(ProofSource.REQUIRETLS, ""), None) == CountedPolicy(PolicyType.NONE)
