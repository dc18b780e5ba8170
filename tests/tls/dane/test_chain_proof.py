"""Chains of certificates that TLSA records prove, or do not (RFC 7671, RFC 7672 section 3)."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import replace

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from harness.certificates import Authority, Leaf, authority, self_signed
from mta.dns.answers import TlsaRecord
from mta.routing.demands.proof import Proof, ProofSource
from mta.tls.certificate_text import Fault, Problem
from mta.tls.dane.chain_proof import dane_problem
from tests.drivers.tlsa import tlsa

HOST, DOMAIN = "mx.example.test", "example.test"
ROOT = authority("Root", path_length=1)
MIDDLE = ROOT.intermediate("Middle")
OLD_MIDDLE = ROOT.intermediate("Old Middle", expired=True)
OTHER = authority("Other", path_length=1)
# The same name and another key than ROOT.
FORGED = authority("Root", path_length=1)

LEAF = MIDDLE.leaf([HOST], above=[MIDDLE])
OLD_LEAF = MIDDLE.leaf([HOST], above=[MIDDLE], expired=True)
OWN = self_signed([HOST])
OLD_OWN = self_signed(["elsewhere.test"], expired=True)


#: The keys of the host's certificates by serial number, for the servers of test_openssl.
KEYS: dict[int, Leaf] = {}


def chain(leaf: Leaf, *further: Authority) -> list[x509.Certificate]:
    KEYS[leaf.certificate.serial_number] = leaf
    return [leaf.certificate, *leaf.above, *(each.certificate for each in further)]


def problem(sent: Sequence[x509.Certificate], *records: TlsaRecord, names: Sequence[str] = (HOST,)) -> Problem | None:
    return dane_problem(Proof(ProofSource.DANE, DOMAIN, tuple(names), records), HOST, sent)


def ta(selector: int, matching: int, of: Authority) -> TlsaRecord:
    return tlsa(2, selector, matching, of.certificate)


def ee(selector: int, matching: int, of: Leaf) -> TlsaRecord:
    return tlsa(3, selector, matching, of.certificate)


GOOD = [
    ("a self-signed certificate by its key", chain(OWN), [ee(1, 1, OWN)]),
    ("an expired one for another name", chain(OLD_OWN), [ee(1, 1, OLD_OWN)]),
    ("the whole certificate in full", chain(OWN), [ee(0, 0, OWN)]),
    ("the key by SHA-512", chain(OWN), [ee(1, 2, OWN)]),
    ("one of an authority, whose chain is not sent", chain(replace(LEAF, above=())), [ee(0, 1, LEAF)]),
    ("the second of two records", chain(OWN), [ee(1, 1, LEAF), ee(1, 1, OWN)]),
    ("the host's own besides another authority", chain(OWN), [ta(0, 1, OTHER), ee(1, 1, OWN)]),
    ("a root that is sent", chain(LEAF, ROOT), [ta(0, 1, ROOT)]),
    ("the key of a root that is sent", chain(LEAF, ROOT), [ta(1, 1, ROOT)]),
    ("an authority below the root", chain(LEAF), [ta(1, 2, MIDDLE)]),
    ("an authority below a root that is sent too", chain(LEAF, ROOT), [ta(0, 1, MIDDLE)]),
    ("a root in the record, not sent", chain(LEAF), [ta(0, 0, ROOT)]),
    ("an authority in the record, not sent", chain(replace(LEAF, above=())), [ta(0, 0, MIDDLE)]),
    ("a root's key in the record, the root not sent", chain(LEAF), [ta(1, 0, ROOT)]),
    ("the key above the host's own certificate in the record", chain(replace(LEAF, above=())), [ta(1, 0, MIDDLE)]),
    ("a root of two", chain(LEAF, ROOT), [ta(0, 1, OTHER), ta(0, 1, ROOT)]),
    ("a chain in another order", [LEAF.certificate, ROOT.certificate, MIDDLE.certificate], [ta(0, 1, ROOT)]),
    ("a chain with a certificate too many", chain(LEAF, OTHER, ROOT), [ta(0, 1, ROOT)]),
]


@pytest.mark.parametrize(("sent", "records"), [case[1:] for case in GOOD], ids=[case[0] for case in GOOD])
def test_a_record_proves(sent: Sequence[x509.Certificate], records: Sequence[TlsaRecord]) -> None:
    assert problem(sent, *records) is None


NONE_OF = "certificate matches none of the TLSA records of mx.example.test: "
ABSENT = Fault.TLSA_MISMATCH
WRONG = Fault.UNKNOWN_ISSUER
BAD = [
    ("another key", chain(OWN), [ee(1, 1, LEAF)], ABSENT),
    ("another certificate of the same key", chain(OWN), [ee(0, 1, LEAF)], ABSENT),
    ("a record of the host about an authority", chain(LEAF, ROOT), [tlsa(3, 1, 1, ROOT.certificate)], ABSENT),
    ("a record of an authority about the host", chain(LEAF, ROOT), [tlsa(2, 1, 1, LEAF.certificate)], ABSENT),
    ("a self-signed one as its own authority", chain(OWN), [tlsa(2, 0, 1, OWN.certificate)], ABSENT),
    ("a root that is not sent", chain(LEAF), [ta(0, 1, ROOT)], ABSENT),
    ("another root", chain(LEAF, ROOT), [ta(0, 1, OTHER)], ABSENT),
    ("another root in the record", chain(LEAF, ROOT), [ta(0, 0, OTHER)], WRONG),
    ("another root's key in the record", chain(LEAF, ROOT), [ta(1, 0, OTHER)], ABSENT),
    ("a root that signed nothing of it", chain(OWN, ROOT), [ta(0, 1, ROOT)], Fault.SELF_SIGNED),
    ("another root of the same name", chain(LEAF, ROOT), [ta(0, 0, FORGED)], Fault.UNUSABLE),
    ("no authority between", chain(replace(LEAF, above=()), ROOT), [ta(0, 1, ROOT)], WRONG),
    ("an expired certificate", chain(OLD_LEAF, ROOT), [ta(0, 1, ROOT)], Fault.EXPIRED),
    (
        "an expired authority between",
        chain(OLD_MIDDLE.leaf([HOST], above=[OLD_MIDDLE]), ROOT),
        [ta(0, 1, ROOT)],
        Fault.EXPIRED,
    ),
    ("another name", chain(MIDDLE.leaf(["mx.other.test"], above=[MIDDLE])), [ta(1, 1, MIDDLE)], Fault.OTHER_NAME),
    ("an authority of another chain", chain(MIDDLE.leaf([HOST]), OTHER), [ta(0, 1, OTHER)], WRONG),
    (
        "no record of a usage for mail",
        chain(LEAF, ROOT),
        [tlsa(1, 1, 1, LEAF.certificate), tlsa(0, 1, 1, ROOT.certificate)],
        ABSENT,
    ),
    ("octets in place of a certificate", chain(LEAF), [TlsaRecord(2, 0, 0, b"\x30\x03")], ABSENT),
]


@pytest.mark.parametrize(("sent", "records", "fault"), [case[1:] for case in BAD], ids=[case[0] for case in BAD])
def test_a_record_does_not_prove(sent: Sequence[x509.Certificate], records: Sequence[TlsaRecord], fault: Fault) -> None:
    found = problem(sent, *records)
    assert found is not None
    assert found.fault is fault
    assert found.text.startswith(NONE_OF) == (fault is ABSENT)
    assert found.text.isprintable()


def test_the_names_count_for_an_authoritys_record_and_one_is_enough() -> None:
    for_domain = chain(MIDDLE.leaf([DOMAIN], above=[MIDDLE]))
    assert problem(for_domain, ta(1, 1, MIDDLE), names=(HOST, DOMAIN)) is None
    found = problem(for_domain, ta(1, 1, MIDDLE), names=(HOST, "other.test"))
    assert found is not None
    assert found.text == "certificate is for example.test, not for mx.example.test or other.test"


def test_a_record_of_the_host_heals_what_an_authoritys_does_not_prove() -> None:
    assert problem(chain(OLD_LEAF, ROOT), ta(0, 1, ROOT), ee(1, 1, OLD_LEAF)) is None


def test_a_certificate_for_clients_only_is_none_of_a_server() -> None:
    for purpose, fault in ((ExtendedKeyUsageOID.CLIENT_AUTH, Fault.UNUSABLE), (ExtendedKeyUsageOID.SERVER_AUTH, None)):
        leaf = for_purpose(purpose)
        found = problem([leaf, MIDDLE.certificate], ta(0, 1, MIDDLE))
        assert (found.fault if found else None) is fault


def for_purpose(purpose: x509.ObjectIdentifier) -> x509.Certificate:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, HOST)]))
        .issuer_name(MIDDLE.certificate.subject)
        .public_key(LEAF.key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(HOST)]), critical=False)
        .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        .sign(MIDDLE.key, hashes.SHA256())
    )


def test_the_text_shows_three_records_by_their_first_digits() -> None:
    records = [TlsaRecord(3, 1, 1, bytes([n]) * 32) for n in range(5)]
    found = problem(chain(OWN), *records)
    assert found is not None
    assert found.text == f"{NONE_OF}3 1 1 00000000..., 3 1 1 01010101..., 3 1 1 02020202... and 2 more"


def test_the_keys_that_are_tried_as_signers_are_bounded() -> None:
    others = [ta(1, 0, authority(f"Other {n}")) for n in range(4)]
    assert problem(chain(LEAF), *others, ta(1, 0, ROOT)) is None
    found = problem(chain(LEAF), *others, ta(1, 0, OTHER), ta(1, 0, ROOT))
    assert found is not None
    assert found.fault is ABSENT


def test_a_chain_of_any_length_is_judged_by_its_beginning() -> None:
    assert problem([LEAF.certificate, *[OTHER.certificate] * 500, ROOT.certificate], ta(0, 1, ROOT)) is not None
