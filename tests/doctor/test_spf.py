"""SPF: the results and limits of RFC 7208."""

import pytest

from mta.doctor.spf import SpfResult, evaluate_spf, with_mechanism
from tests.doctor.zone import FAILED, dns_of

ADDRESS = "192.0.2.3"
ZONE = {
    ("a.test", "A"): ["192.0.2.3"],
    ("a.test", "AAAA"): ["2001:db8::3"],
    ("a.test", "MX"): ["10 mx.a.test", "20 mx2.a.test"],
    ("mx.a.test", "A"): ["192.0.2.129"],
    ("mx2.a.test", "A"): ["192.0.2.3"],
    ("in.test", "TXT"): ["other text", "v=spf1 ip4:192.0.2.0/24 -all"],
    ("out.test", "TXT"): ["v=spf1 ip4:198.51.100.0/24 -all"],
    ("loop.test", "TXT"): ["v=spf1 include:loop.test -all"],
    ("broken.test", "TXT"): FAILED,
    ("two.test", "TXT"): ["v=spf1 -all", "v=spf1 +all"],
    ("3.2.0.192.in-addr.arpa", "PTR"): ["mail.a.test"],
    ("mail.a.test", "A"): ["192.0.2.3"],
    ("3.2.0.192.list.test", "A"): ["127.0.0.2"],
    ("3.2.0.192.in-addr.a.test", "A"): ["127.0.0.2"],
}


def result(record, address=ADDRESS, **more):
    zone = ZONE | {("b.test", "TXT"): [record]} | more
    return evaluate_spf("b.test", address, dns_of(zone))


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        ("v=spf1 ip4:192.0.2.3 -all", SpfResult.PASS),
        ("v=spf1 ip4:192.0.2.0/24 -all", SpfResult.PASS),
        ("v=spf1 ip4:192.0.2.4 -all", SpfResult.FAIL),
        ("v=spf1 ip6:2001:db8::/32 ~all", SpfResult.SOFTFAIL),
        ("v=spf1 ip4:192.0.2.4 ?all", SpfResult.NEUTRAL),
        ("v=spf1", SpfResult.NEUTRAL),
        ("V=SPF1 ALL", SpfResult.PASS),
        ("v=spf10 +all", SpfResult.NONE),
        ("v=spf1 a:a.test -all", SpfResult.PASS),
        ("v=spf1 a:mx.a.test/25 -all", SpfResult.FAIL),
        ("v=spf1 a:mx.a.test/24 -all", SpfResult.PASS),
        ("v=spf1 a:mx.a.test/24//64 -all", SpfResult.PASS),
        ("v=spf1 mx:a.test -all", SpfResult.PASS),
        ("v=spf1 -mx:a.test +all", SpfResult.FAIL),
        ("v=spf1 include:in.test -all", SpfResult.PASS),
        ("v=spf1 include:out.test ~all", SpfResult.SOFTFAIL),
        ("v=spf1 redirect=in.test", SpfResult.PASS),
        ("v=spf1 redirect=in.test -all", SpfResult.FAIL),
        ("v=spf1 redirect=out.test", SpfResult.FAIL),
        ("v=spf1 ptr:a.test -all", SpfResult.PASS),
        ("v=spf1 ptr:c.test -all", SpfResult.FAIL),
        ("v=spf1 exists:%{ir}.list.test -all", SpfResult.PASS),
        ("v=spf1 exists:%{ir}.%{v}.a.test -all", SpfResult.PASS),
        ("v=spf1 exists:%{i}.list.test -all", SpfResult.FAIL),
        ("v=spf1 exp=why.test ip4:192.0.2.3 -all", SpfResult.PASS),
        ("v=spf1 include:none.test -all", SpfResult.PERMERROR),
        ("v=spf1 redirect=none.test", SpfResult.PERMERROR),
        ("v=spf1 include:two.test -all", SpfResult.PERMERROR),
        ("v=spf1 include:broken.test -all", SpfResult.TEMPERROR),
        ("v=spf1 include:loop.test -all", SpfResult.PERMERROR),
        ("v=spf1 ipv4:192.0.2.3 -all", SpfResult.PERMERROR),
        ("v=spf1 ip4:nonsense -all", SpfResult.PERMERROR),
        ("v=spf1 exists:%{x}.test -all", SpfResult.PERMERROR),
        ("v=spf1 a:n1.test a:n2.test a:n3.test -all", SpfResult.PERMERROR),
    ],
)
def test_a_record_gives_the_result_of_the_rfc(record, expected):
    assert result(record).result is expected


def test_the_other_family_is_looked_up_for_an_ipv6_address():
    assert result("v=spf1 a:a.test -all", "2001:db8::3").result is SpfResult.PASS
    assert result("v=spf1 a:a.test//64 -all", "2001:db8::4").result is SpfResult.PASS
    assert result("v=spf1 a:a.test//128 -all", "2001:db8::4").result is SpfResult.FAIL


@pytest.mark.parametrize(("includes", "expected"), [(10, SpfResult.PASS), (11, SpfResult.PERMERROR)])
def test_ten_look_ups_are_the_most(includes, expected):
    zone = {(f"i{number}.test", "TXT"): ["v=spf1 ip4:198.51.100.1 ?all"] for number in range(includes)}
    record = " ".join(["v=spf1", *(f"include:i{number}.test" for number in range(includes)), "+all"])
    found = evaluate_spf("b.test", ADDRESS, dns_of(zone | {("b.test", "TXT"): [record]}))
    assert found.result is expected
    assert found.terms == includes


def test_the_reason_names_the_term_that_decided():
    assert result("v=spf1 ip4:192.0.2.0/24 -all").reason == "ip4:192.0.2.0/24 of b.test"
    assert "ipv4:192.0.2.3" in result("v=spf1 ipv4:192.0.2.3 -all").reason


@pytest.mark.parametrize(
    ("record", "extended"),
    [
        ("v=spf1 a -all", "v=spf1 a ip4:192.0.2.1 -all"),
        ("v=spf1 a ~all exp=x.test", "v=spf1 a ip4:192.0.2.1 ~all exp=x.test"),
        ("v=spf1 redirect=x.test", "v=spf1 ip4:192.0.2.1 redirect=x.test"),
        ("v=spf1", "v=spf1 ip4:192.0.2.1"),
    ],
)
def test_a_mechanism_goes_before_the_term_that_ends_a_record(record, extended):
    assert with_mechanism(record, "ip4:192.0.2.1") == extended
