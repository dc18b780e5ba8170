"""DANE: which hosts have TLSA records that count, which have none, and which must not get mail (RFC 7672)."""

from collections.abc import Coroutine
from typing import Any, TypeVar

import pytest
from twisted.internet.defer import Deferred, succeed

from harness.zone import Zone
from mta.blocking import result_of
from mta.dns.answers import Found, MxRecord, NoSuchName, TlsaRecord
from mta.dns.dnssec.authenticity import ValidatedAnswer
from mta.dns.message import RecordType
from mta.routing.demands.dane import MAX_RECORDS, Dane, MxFinding, TlsaFinding, TlsaState, usable_records
from tests.fakes.authenticity import ZoneAuthenticity

EE, OTHER = TlsaRecord(3, 1, 1, b"e" * 32), TlsaRecord(3, 1, 1, b"o" * 32)
PKIX = TlsaRecord(1, 1, 1, b"p" * 32)

ZONE: dict[str, dict[str, Any]] = {
    "signed.test": {"MX": [[10, "mx.signed.test"]]},
    "mx.signed.test": {"A": ["192.0.2.1"]},
    "_25._tcp.mx.signed.test": {"TLSA": [EE], "TTL": 60},
    "_2525._tcp.mx.signed.test": {"TLSA": [OTHER]},
    "v6.signed.test": {"AAAA": ["2001:db8::1"], "TTL": 20},
    "_25._tcp.v6.signed.test": {"TLSA": [EE]},
    "bare.signed.test": {"A": ["192.0.2.2"]},
    "pkix.signed.test": {"A": ["192.0.2.3"]},
    "_25._tcp.pkix.signed.test": {"TLSA": [PKIX]},
    "malformed.signed.test": {"A": ["192.0.2.3"]},
    "broken.signed.test": {"A": ["192.0.2.4"]},
    "_25._tcp.broken.signed.test": {"FAIL": "SERVFAIL"},
    "forged.signed.test": {"A": ["192.0.2.5"]},
    "_25._tcp.forged.signed.test": {"TLSA": [EE]},
    "forgedhost.signed.test": {"A": ["192.0.2.6"]},
    "plain.test": {"MX": [[10, "mx.plain.test"]]},
    "mx.plain.test": {"A": ["192.0.2.7"]},
    "_25._tcp.mx.plain.test": {"TLSA": [EE]},
    # CNAMEs: records at the target, at the name, at both, at neither, and out of the signed zones.
    "target.signed.test": {"A": ["192.0.2.8"]},
    "_25._tcp.target.signed.test": {"TLSA": [EE]},
    "alias.signed.test": {"CNAME": "target.signed.test"},
    "both.signed.test": {"CNAME": "target.signed.test"},
    "_25._tcp.both.signed.test": {"TLSA": [OTHER]},
    "here.signed.test": {"CNAME": "bare.signed.test"},
    "_25._tcp.here.signed.test": {"TLSA": [OTHER]},
    "neither.signed.test": {"CNAME": "bare.signed.test"},
    "out.signed.test": {"CNAME": "mx.plain.test"},
    "outbare.signed.test": {"CNAME": "mx.plain.test"},
    "outforged.signed.test": {"CNAME": "mx.plain.test", "FAIL_KIND": "CNAME"},
    "from.plain.test": {"CNAME": "also.plain.test"},
    "also.plain.test": {"A": ["192.0.2.10"]},
    "_25._tcp.from.plain.test": {"TLSA": [EE]},
    "_25._tcp.out.signed.test": {"TLSA": [OTHER]},
    "tobroken.signed.test": {"CNAME": "broken.signed.test"},
    "_25._tcp.tobroken.signed.test": {"TLSA": [EE]},
    # The records themselves may be elsewhere.
    "elsewhere.signed.test": {"A": ["192.0.2.9"]},
    "_25._tcp.elsewhere.signed.test": {"CNAME": "_dane.signed.test"},
    "_dane.signed.test": {"TLSA": [OTHER]},
    "unsigned.signed.test": {"A": ["192.0.2.9"]},
    "_25._tcp.unsigned.signed.test": {"CNAME": "_25._tcp.mx.plain.test"},
}
BOGUS = {"_25._tcp.forged.signed.test": "signature expired", "forgedhost.signed.test": "no signatures"}


def source() -> ZoneAuthenticity:
    return ZoneAuthenticity(Zone(ZONE), ["signed.test"], BOGUS)


T = TypeVar("T")


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    return result_of(Deferred.fromCoroutine(coroutine))


def records(host: str, port: int = 25, **kwargs: Any) -> TlsaFinding:
    found: TlsaFinding = run(Dane(source()).records(host, port, **kwargs))
    return found


@pytest.mark.parametrize(
    ("host", "base", "found"),
    [
        ("mx.signed.test", "mx.signed.test", EE),
        ("alias.signed.test", "target.signed.test", EE),
        ("both.signed.test", "target.signed.test", EE),
        ("here.signed.test", "here.signed.test", OTHER),
        # Those of the target, whose zone is not signed, do not count.
        ("out.signed.test", "out.signed.test", OTHER),
        ("elsewhere.signed.test", "elsewhere.signed.test", OTHER),
    ],
)
def test_proven_records_are_found_at_the_target_of_a_cname_first(host: str, base: str, found: TlsaRecord) -> None:
    finding = records(host)
    assert (finding.state, finding.base, finding.records) == (TlsaState.USABLE, base, (found,))


@pytest.mark.parametrize(
    ("host", "state", "words"),
    [
        ("bare.signed.test", TlsaState.ABSENT, "no TLSA records"),
        ("neither.signed.test", TlsaState.ABSENT, "no TLSA records"),
        ("unsigned.signed.test", TlsaState.ABSENT, "no TLSA records (the zone is not signed)"),
        ("mx.plain.test", TlsaState.INSECURE, "not proven by DNSSEC (the zone is not signed)"),
        ("from.plain.test", TlsaState.INSECURE, "not proven by DNSSEC (the zone is not signed)"),
        ("outbare.signed.test", TlsaState.ABSENT, "no TLSA records"),
        (
            "outforged.signed.test",
            TlsaState.FAILED,
            "the look-up of the TLSA records failed (CNAME of outforged.signed.test: SERVFAIL)",
        ),
        ("pkix.signed.test", TlsaState.UNUSABLE, "TLSA records that SMTP cannot use"),
        (
            "broken.signed.test",
            TlsaState.FAILED,
            "the look-up of the TLSA records failed (TLSA of _25._tcp.broken.signed.test: SERVFAIL)",
        ),
        (
            "tobroken.signed.test",
            TlsaState.FAILED,
            "the look-up of the TLSA records failed (TLSA of _25._tcp.broken.signed.test: SERVFAIL)",
        ),
        (
            "forged.signed.test",
            TlsaState.FAILED,
            "the look-up of the TLSA records failed (TLSA of _25._tcp.forged.signed.test: signature expired)",
        ),
        (
            "forgedhost.signed.test",
            TlsaState.FAILED,
            "the look-up of the TLSA records failed (addresses of forgedhost.signed.test: no signatures)",
        ),
    ],
)
def test_a_host_without_usable_records_is_told_apart_by_the_reason(host: str, state: TlsaState, words: str) -> None:
    finding = records(host)
    assert (finding.state, finding.records, finding.words) == (state, (), words)


def test_records_of_hosts_that_dnssec_does_not_prove_are_not_asked_for() -> None:
    asked = source()
    run(Dane(asked).records("mx.plain.test", 25))
    assert asked.asked == [("mx.plain.test", "A")]


def test_records_are_those_of_the_port() -> None:
    assert records("mx.signed.test", 2525).records == (OTHER,)
    assert records("mx.signed.test", 26).state is TlsaState.ABSENT


def test_a_host_with_ipv6_alone_is_proven_by_its_ipv6_address() -> None:
    finding = records("v6.signed.test", by_ipv6=True)
    assert (finding.state, finding.ttl) == (TlsaState.USABLE, 20)


def test_a_finding_is_valid_as_long_as_all_of_its_answers() -> None:
    assert records("mx.signed.test").ttl == 60
    assert records("broken.signed.test").ttl == 5


@pytest.mark.parametrize(
    ("domain", "finding"),
    [
        ("signed.test", MxFinding(Found((MxRecord(10, "mx.signed.test"),), 300, "signed.test"), 300)),
        ("gone.signed.test", MxFinding(NoSuchName(300), 300)),
        ("plain.test", MxFinding(None, 300)),
        ("forgedhost.signed.test", MxFinding(None, 5, "no signatures")),
        ("_25._tcp.broken.signed.test", MxFinding(None, 5, "SERVFAIL")),
    ],
)
def test_mx_records_are_those_that_dnssec_proves(domain: str, finding: MxFinding) -> None:
    assert run(Dane(source()).mx(domain)) == finding


def test_nothing_is_asked_once_it_is_known_that_dnssec_cannot_be_used() -> None:
    asked = source()
    asked.usable = False
    dane = Dane(asked)
    assert not dane.off
    # The first look-up waits for the validator, which may become usable by that.
    assert run(dane.mx("signed.test")).answer is None
    assert dane.off
    assert run(dane.mx("signed.test")).answer is None
    assert run(dane.records("mx.signed.test", 25)).state is TlsaState.INSECURE
    assert asked.asked == [("signed.test", "MX")]
    asked.usable = True
    assert run(dane.mx("signed.test")).answer is not None


def test_the_first_look_up_waits_for_the_validator() -> None:
    class Starting(ZoneAuthenticity):
        def look_up(self, name: str, rdtype: RecordType) -> "Deferred[ValidatedAnswer]":  # type: ignore[override]
            self.usable = True
            return succeed(run(ZoneAuthenticity.look_up(self, name, rdtype)))

    starting = Starting(Zone(ZONE), ["signed.test"])
    starting.usable = False
    assert run(Dane(starting).records("mx.signed.test", 25)).state is TlsaState.USABLE


def tlsa(usage: int, selector: int, matching: int, octets: int, letter: bytes = b"x") -> TlsaRecord:
    return TlsaRecord(usage, selector, matching, letter * octets)


@pytest.mark.parametrize(
    "record",
    [
        tlsa(0, 1, 1, 32),
        tlsa(1, 1, 1, 32),
        tlsa(4, 1, 1, 32),
        tlsa(255, 1, 1, 32),
        tlsa(3, 2, 1, 32),
        tlsa(3, 1, 3, 32),
        tlsa(3, 1, 1, 31),
        tlsa(3, 1, 1, 64),
        tlsa(3, 1, 2, 32),
        tlsa(3, 1, 0, 0),
    ],
)
def test_records_that_smtp_does_not_know_and_of_wrong_lengths_do_not_count(record: TlsaRecord) -> None:
    assert usable_records([record]) == ()
    assert usable_records([record, EE]) == (EE,)


def test_only_the_strongest_digest_of_each_usage_and_selector_counts() -> None:
    weak, strong, full = tlsa(3, 1, 1, 32), tlsa(3, 1, 2, 64), tlsa(3, 1, 0, 90)
    certificate, authority = tlsa(3, 0, 1, 32), tlsa(2, 1, 1, 32)
    found = usable_records([weak, strong, full, certificate, authority])
    assert found == (strong, full, certificate, authority)
    # Digests of one kind all count, as while a key is replaced; a digest that cannot be used replaces no other.
    assert usable_records([EE, OTHER, EE, tlsa(3, 1, 2, 63)]) == (EE, OTHER)
    assert usable_records([full, weak]) == (full, weak)


def test_the_records_of_a_host_are_bounded() -> None:
    many = [TlsaRecord(3, 1, 1, number.to_bytes(32)) for number in range(MAX_RECORDS + 1)]
    assert usable_records(many) == tuple(many[:MAX_RECORDS])
