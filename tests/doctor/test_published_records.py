"""The findings about records by which domains demand proof of their MX hosts: each fault has a word and a remedy."""

from dataclasses import replace
from typing import Any

import pytest

from mta.dns.answers import TlsaRecord
from mta.doctor.findings import Finding, Level
from mta.doctor.published_records import (
    Followed,
    OwnCertificate,
    PublishedHost,
    PublishedRecords,
    check_destination,
    check_own_domain,
)
from mta.routing.demands.dane import TlsaFinding, TlsaState
from mta.sts.policy import StsMode, StsPolicy

ENFORCE = StsPolicy(StsMode.ENFORCE, ("mx1.a.test", "*.b.test"), 7 * 86_400)
TESTING, NONE = replace(ENFORCE, mode=StsMode.TESTING), StsPolicy(StsMode.NONE, (), 86_400)
RECORD = TlsaRecord(3, 1, 1, bytes(32))
USABLE = TlsaFinding(TlsaState.USABLE, 60, "mx1.a.test", (RECORD,))
FAILED = TlsaFinding(TlsaState.FAILED, 60, "mx1.a.test", reason="TLSA of _25._tcp.mx1.a.test: bogus")
ABSENT = TlsaFinding(TlsaState.ABSENT, 60, "mx1.a.test")
UNUSABLE = TlsaFinding(TlsaState.UNUSABLE, 60, "mx1.a.test")
INSECURE = TlsaFinding(TlsaState.INSECURE, 60, reason="a.test is not signed")
LINE = "_25._tcp.mx1.a.test. IN TLSA 3 1 1 00"


def records(policy: StsPolicy | None = None, *tlsa: TlsaFinding | None, **more: Any) -> PublishedRecords:
    hosts = tuple(PublishedHost(f"mx{number}.a.test", each) for number, each in enumerate(tlsa or (None,), 1))
    return PublishedRecords("a.test", hosts, announced=policy is not None, policy=policy, **more)


def only(found: list[Finding], check: str) -> Finding:
    (finding,) = (each for each in found if each.check.endswith(check))
    assert finding.seen.isprintable()
    assert bool(finding.remedy) == (finding.level in (Level.WARNING, Level.FAILURE))
    return finding


def of_destination(found: PublishedRecords, check: str, followed: Followed | None = None) -> Finding:
    return only(list(check_destination(found, followed or Followed())), check)


def of_own(found: PublishedRecords, check: str) -> Finding:
    return only(list(check_own_domain(found)), check)


@pytest.mark.parametrize(
    ("found", "level", "words"),
    [
        (records(), Level.SKIPPED, "a.test has no policy of MTA-STS"),
        (records(ENFORCE), Level.OK, "verified TLS (enforce, 7 days), and its policy names its MX hosts"),
        (records(TESTING), Level.OK, "(testing, 7 days)"),
        (records(NONE), Level.OK, "has ended"),
        (records(ENFORCE, None, None), Level.WARNING, "does not name its MX hosts mx2.a.test, which get no mail"),
        (records(TESTING, None, None), Level.OK, "does not name its MX hosts mx2.a.test"),
        (records(replace(ENFORCE, mx=("c.test",))), Level.FAILURE, "does not name its MX hosts mx1.a.test"),
        (
            replace(records(), announced=True, fault="mta-sts.a.test: the answer has status 404"),
            Level.WARNING,
            "cannot be had: mta-sts.a.test: the answer has status 404; mail goes as without",
        ),
    ],
)
def test_each_state_of_a_policy_has_its_finding(found: PublishedRecords, level: Level, words: str) -> None:
    finding = of_destination(found, "mta-sts")
    assert finding.level is level
    assert words in finding.seen


def test_a_policy_that_is_not_followed_says_so() -> None:
    finding = of_destination(records(ENFORCE), "mta-sts", Followed(sts="MTA_STS=off"))
    assert finding.level is Level.SKIPPED
    assert finding.seen.endswith("and MTA_STS=off does not follow it")


@pytest.mark.parametrize(
    ("tlsa", "level", "words"),
    [
        ((USABLE,), Level.OK, "mx1.a.test has a TLSA record that DNSSEC proves"),
        ((replace(USABLE, records=(RECORD, RECORD)),), Level.OK, "2 TLSA records"),
        ((UNUSABLE,), Level.WARNING, "only TLSA records that SMTP cannot use"),
        ((FAILED,), Level.FAILURE, "mx1.a.test gets no mail: TLSA of _25._tcp.mx1.a.test: bogus"),
        ((FAILED, ABSENT), Level.WARNING, "mx1.a.test gets no mail"),
        ((ABSENT, ABSENT), Level.SKIPPED, "a.test: no TLSA records"),
        ((INSECURE,), Level.SKIPPED, "a.test: not proven by DNSSEC (a.test is not signed)"),
        ((None,), Level.SKIPPED, "a.test: no MX host"),
    ],
)
def test_each_state_of_tlsa_records_has_its_finding(
    tlsa: tuple[TlsaFinding | None, ...], level: Level, words: str
) -> None:
    finding = of_destination(records(None, *tlsa), "dane")
    assert finding.level is level
    assert words in finding.seen


def test_dane_that_is_off_says_so() -> None:
    assert of_destination(records(), "dane", Followed(dane="DANE=off")).seen == "a.test: DANE=off"


def test_the_addresses_for_reports_are_shown() -> None:
    found = of_destination(records(reports=("mailto:r@a.test",)), "tls-reports")
    assert (found.level, found.seen) == (Level.OK, "a.test wants TLS reports at mailto:r@a.test")
    assert of_destination(records(), "tls-reports").level is Level.SKIPPED


def own(policy: StsPolicy | None, tlsa: TlsaFinding | None, certificate: OwnCertificate | None) -> PublishedRecords:
    host = PublishedHost("mx1.a.test", tlsa, certificate)
    return replace(records(policy, reports=("mailto:r@a.test",)), hosts=(host,))


@pytest.mark.parametrize(
    ("found", "level", "words"),
    [
        (records(), Level.SKIPPED, "no MTA-STS policy"),
        (own(ENFORCE, None, OwnCertificate()), Level.OK, "a.test has MTA-STS (enforce, 7 days) and TLS-RPT"),
        (records(ENFORCE), Level.WARNING, "no TLS-RPT"),
        (records(NONE), Level.OK, "has ended"),
        (replace(records(), announced=True, fault="the record has no id"), Level.FAILURE, "cannot have it: the record"),
        (records(ENFORCE, None, None), Level.FAILURE, "does not name its MX hosts mx2.a.test, which get no mail by it"),
        (records(TESTING, None, None), Level.WARNING, "mx2.a.test, which will get no mail once it is enforced"),
        (own(ENFORCE, None, OwnCertificate("it has expired")), Level.FAILURE, "the relay's is not: it has expired"),
        (own(TESTING, None, OwnCertificate("it has expired")), Level.WARNING, "the relay's is not: it has expired"),
        (records(replace(ENFORCE, max_age=3600)), Level.WARNING, "ends after 3600 s"),
    ],
)
def test_each_fault_of_an_own_policy_has_its_finding(found: PublishedRecords, level: Level, words: str) -> None:
    finding = of_own(found, "mta-sts")
    assert finding.level is level
    assert words in finding.seen


def test_the_record_for_reports_is_printed() -> None:
    line = '_smtp._tls.a.test. IN TXT "v=TLSRPTv1; rua=mailto:postmaster@a.test"'
    assert of_own(records(ENFORCE), "mta-sts").records == (line,)


@pytest.mark.parametrize(
    ("tlsa", "certificate", "level", "words"),
    [
        (USABLE, None, Level.OK, "mx1.a.test has a TLSA record that DNSSEC proves"),
        (USABLE, OwnCertificate(), Level.OK, "that DNSSEC proves, and the relay's certificate matches"),
        (USABLE, OwnCertificate(tlsa_fault="no match", tlsa_record=LINE), Level.FAILURE, "follow DANE: no match"),
        (UNUSABLE, OwnCertificate(tlsa_record=LINE), Level.WARNING, "only TLSA records that SMTP cannot use"),
        (FAILED, None, Level.FAILURE, "mx1.a.test gets no mail of servers that follow DANE: TLSA of"),
        (ABSENT, OwnCertificate(), Level.SKIPPED, "a.test has no MX host with TLSA records"),
        (INSECURE, None, Level.SKIPPED, "a.test has no MX host with TLSA records"),
        (None, None, Level.SKIPPED, "a.test has no MX host with TLSA records"),
    ],
)
def test_each_fault_of_own_tlsa_records_has_its_finding(
    tlsa: TlsaFinding | None, certificate: OwnCertificate | None, level: Level, words: str
) -> None:
    finding = of_own(own(None, tlsa, certificate), "dane")
    assert finding.level is level
    assert words in finding.seen
    assert finding.records == ((LINE,) if certificate is not None and certificate.tlsa_record else ())
