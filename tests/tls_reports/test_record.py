"""The record by which a domain asks for reports."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.smtp.address import parse_address
from mta.tls_reports.record import MAX_TARGETS, ReportTargets, record_name, report_targets

ANN = parse_address("ann@a.test")


@pytest.mark.parametrize(
    ("text", "targets"),
    [
        ("v=TLSRPTv1; rua=mailto:ann@a.test", ReportTargets((ANN,))),
        ("v=TLSRPTv1;rua=https://a.test/in?x=1", ReportTargets((), ("https://a.test/in?x=1",))),
        (
            "v=TLSRPTv1 ; x=1; RUA = MAILTO:ann@a.test?subject=x , https://a.test/;",
            ReportTargets((ANN,), ("https://a.test/",)),
        ),
        ("v=TLSRPTv1; rua=mailto:a%6en@a.test,mailto:ann@a.test", ReportTargets((ANN,))),
        (
            "v=TLSRPTv1; rua=http://a.test/,mailto:ann,mailto:a@[10.0.0.1],,ftp://x,mailto:ann@a.test",
            ReportTargets((ANN,)),
        ),
        ("v=TLSRPTv1; rua=https://a.test:8025/api", None),
        ("v=TLSRPTv1; rua=https://a.test:443/", ReportTargets((), ("https://a.test:443/",))),
        ("v=TLSRPTv1; rua=http://a.test/", None),
        ("v=TLSRPTv1;", None),
        ("v=TLSRPTv1", None),
        ("v=TLSRPTv12; rua=mailto:ann@a.test", None),
        ("v=spf1 -all", None),
        ("v=TLSRPTv1; rua=mailto:ann@a.test; " + "x" * 2048, None),
    ],
)
def test_the_targets_of_a_record(text: str, targets: ReportTargets | None) -> None:
    assert report_targets(["google-site-verification=x", text]) == targets


def test_two_records_are_as_none() -> None:
    assert report_targets(["v=TLSRPTv1; rua=mailto:ann@a.test"] * 2) is None


def test_a_record_has_so_many_targets() -> None:
    uris = ",".join(f"https://a.test/{number}" for number in range(MAX_TARGETS + 1))
    targets = report_targets([f"v=TLSRPTv1; rua={uris}"])
    assert targets is not None
    assert len(targets.urls) == MAX_TARGETS


def test_the_name_of_a_record_is_no_longer_than_the_dns_takes() -> None:
    assert record_name("a.test") == "_smtp._tls.a.test"
    assert record_name(".".join(["a" * 60] * 4)) == ""


@given(st.text(max_size=300))
def test_no_text_makes_it_fail(text: str) -> None:
    report_targets([f"v=TLSRPTv1; rua={text}"])
