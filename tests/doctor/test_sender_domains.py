"""The checks of a sender's domain, in good and bad states."""

from dataclasses import replace

import pytest

from mta.doctor.findings import Level
from mta.doctor.lookups import zone_line
from mta.doctor.sender_domains import DomainFacts, KeyFacts, check_domain
from tests.doctor.zone import FAILED, dns_of, with_printed

V4, V6 = "192.0.2.7", "2001:db8::7"
KEY = KeyFacts("dkim._domainkey.a.test", "rsa, 2048 bits", 'dkim._domainkey.a.test. IN TXT "v=DKIM1; p=x"', True)
FACTS = DomainFacts("a.test", (V4, V6), keys=(KEY,), signs=True)
GOOD = {
    ("a.test", "TXT"): [f"v=spf1 ip4:{V4} ip6:{V6} -all"],
    ("_dmarc.a.test", "TXT"): ["v=DMARC1; p=reject"],
    ("a.test", "MX"): ["10 mx.a.test"],
    ("mx.a.test", "A"): ["192.0.2.8"],
}
PROVIDER = replace(FACTS, addresses=(), includes=("spf.provider.test",), by_smarthost=True)


def levels(zone, facts=FACTS):
    return {(each.check.removeprefix("domain/"), each.level) for each in check_domain(facts, dns_of(zone))}


def test_a_domain_in_order_has_nothing_but_ok():
    found = list(check_domain(FACTS, dns_of(GOOD)))
    assert {each.level for each in found} == {Level.OK}
    assert [each.check for each in found] == [
        *(["domain/spf"] * 2),
        "domain/dkim",
        "domain/dmarc",
        "domain/mx",
    ]
    assert "SPF and DKIM" in found[3].seen


@pytest.mark.parametrize(
    ("change", "check", "level"),
    [
        ({("a.test", "TXT"): []}, "spf", Level.WARNING),
        ({("a.test", "TXT"): FAILED}, "spf", Level.WARNING),
        ({("a.test", "TXT"): ["v=spf1 -all", "v=spf1 +all"]}, "spf", Level.FAILURE),
        ({("a.test", "TXT"): [f"v=spf1 ip4:{V4} -all"]}, "spf", Level.FAILURE),
        ({("a.test", "TXT"): [f"v=spf1 ip4:{V4} ~all"]}, "spf", Level.WARNING),
        ({("a.test", "TXT"): [f"v=spf1 include:none.test ip4:{V4} -all"]}, "spf", Level.FAILURE),
        ({("a.test", "TXT"): [f"v=spf1 ip4:{V4} ip6:{V6} include:none.test"]}, "spf", Level.WARNING),
        ({("a.test", "TXT"): ["v=spf1 include:x.test"], ("x.test", "TXT"): FAILED}, "spf", Level.WARNING),
        ({("_dmarc.a.test", "TXT"): []}, "dmarc", Level.WARNING),
        ({("_dmarc.a.test", "TXT"): FAILED}, "dmarc", Level.WARNING),
        ({("_dmarc.a.test", "TXT"): ["v=DMARC1; p=rejekt"]}, "dmarc", Level.FAILURE),
        ({("_dmarc.a.test", "TXT"): ["v=DMARC1; p=none"] * 2}, "dmarc", Level.FAILURE),
        ({("a.test", "MX"): []}, "mx", Level.FAILURE),
        ({("a.test", "MX"): [], ("a.test", "A"): ["192.0.2.8"]}, "mx", Level.WARNING),
        ({("a.test", "MX"): FAILED}, "mx", Level.WARNING),
        ({("a.test", "MX"): ["0 "]}, "mx", Level.FAILURE),
        ({("mx.a.test", "A"): []}, "mx", Level.FAILURE),
        ({("a.test", "MX"): ["10 mx.a.test", "20 gone.a.test"]}, "mx", Level.WARNING),
    ],
)
def test_each_fault_of_the_records_is_found(change, check, level):
    assert (check, level) in levels(GOOD | change)


@pytest.mark.parametrize(
    ("change", "level"),
    [
        ({"matches": False, "remark": "the DNS has no such record"}, Level.FAILURE),
        ({"matches": False, "unknown": True}, Level.WARNING),
        ({"weakness": "an RSA key of 1024 bits is weak"}, Level.WARNING),
        ({"remark": "t=y"}, Level.WARNING),
    ],
)
def test_each_fault_of_a_key_is_found(change, level):
    assert ("dkim", level) in levels(GOOD, replace(FACTS, keys=(replace(KEY, **change),)))


def test_mail_without_a_signature_is_a_warning_unless_the_smarthost_may_sign():
    assert ("dkim", Level.WARNING) in levels(GOOD, replace(FACTS, keys=(), signs=False))
    assert ("dkim", Level.WARNING) in levels(GOOD, replace(FACTS, keys=(), by_smarthost=True))
    assert ("dkim", Level.SKIPPED) in levels(GOOD, replace(FACTS, keys=(), signs=False, by_smarthost=True))


def test_without_proofs_dmarc_decides_by_its_policy():
    zone = GOOD | {("a.test", "TXT"): []}
    bare = replace(FACTS, keys=())
    assert {("spf", Level.FAILURE), ("dmarc", Level.FAILURE)} <= levels(zone, bare)
    assert ("dmarc", Level.WARNING) in levels(zone | {("_dmarc.a.test", "TXT"): ["v=DMARC1; p=none"]}, bare)


def test_the_policy_of_the_domain_above_counts():
    facts = replace(FACTS, domain="news.a.test")
    assert ("dmarc", Level.OK) in levels(GOOD, facts)
    (found,) = (each for each in check_domain(facts, dns_of(GOOD)) if each.check == "domain/dmarc")
    assert found.seen.startswith("_dmarc.a.test asks for p=reject")


@pytest.mark.parametrize(
    "change",
    [
        {("a.test", "TXT"): []},
        {("a.test", "TXT"): [f"v=spf1 ip4:{V4} -all"]},
        {("a.test", "TXT"): [f"v=spf1 ip6:{V6} ~all"]},
        {("_dmarc.a.test", "TXT"): []},
    ],
)
def test_the_printed_records_mend_the_fault(change):
    zone = GOOD | change
    lines = [line for each in check_domain(FACTS, dns_of(zone)) for line in each.records]
    assert lines
    found = list(check_domain(FACTS, with_printed(zone, lines)))
    assert {each.level for each in found} == {Level.OK}


@pytest.mark.parametrize("record", ["v=spf1 -all", None])
def test_the_include_of_a_provider_is_wanted_and_printed(record):
    zone = GOOD | {("spf.provider.test", "TXT"): ["v=spf1 ip4:198.51.100.0/24 ~all"]}
    zone[("a.test", "TXT")] = [record] if record else []
    lines = [line for each in check_domain(PROVIDER, dns_of(zone)) for line in each.records]
    terms = "include:spf.provider.test " + ("-all" if record else "~all")
    assert lines == [zone_line("a.test", f"v=spf1 {terms}")]
    mended = check_domain(PROVIDER, with_printed(zone, lines))
    assert {each.level for each in mended} == {Level.OK}


def test_a_null_mx_record_is_named_as_such():
    (found,) = (x for x in check_domain(FACTS, dns_of(GOOD | {("a.test", "MX"): ["0 "]})) if x.check == "domain/mx")
    assert "null MX" in found.seen
