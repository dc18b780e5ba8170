"""TLSA records and the certificates that they are for."""

import hashlib
from dataclasses import replace

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from harness.certificates import authority, self_signed
from mta.dns.answers import TlsaRecord
from mta.tls.dane.tlsa import anchor_of, is_signed_by, key_octets, matches
from tests.drivers.tlsa import key_of, tlsa

ROOT = authority()
LEAF = ROOT.leaf(["mx.test"]).certificate
OTHER = ROOT.leaf(["mx.test"]).certificate


@pytest.mark.parametrize("selector", [0, 1])
@pytest.mark.parametrize("matching", [0, 1, 2])
def test_a_record_matches_its_certificate_only(selector: int, matching: int) -> None:
    record = tlsa(3, selector, matching, LEAF)
    assert matches(record, LEAF)
    assert not matches(record, OTHER)
    assert not matches(replace(record, data=record.data[:-1]), LEAF)
    assert not matches(replace(record, data=b""), LEAF)


def test_the_digests_are_those_of_rfc_6698() -> None:
    whole = LEAF.public_bytes(Encoding.DER)
    assert matches(TlsaRecord(3, 0, 1, hashlib.sha256(whole).digest()), LEAF)
    assert matches(TlsaRecord(3, 0, 2, hashlib.sha512(whole).digest()), LEAF)
    assert matches(TlsaRecord(3, 0, 0, whole), LEAF)
    assert not matches(TlsaRecord(3, 1, 0, whole), LEAF)


@given(st.integers(0, 255), st.integers(0, 255))
def test_other_numbers_match_nothing(selector: int, matching: int) -> None:
    record = tlsa(3, selector if selector < 2 else 0, matching if matching < 3 else 0, LEAF)
    assert matches(replace(record, selector=selector, matching=matching), LEAF) == (selector < 2 and matching < 3)


@pytest.mark.parametrize(
    "key",
    [rsa.generate_private_key(65537, 2048), ec.generate_private_key(ec.SECP384R1())],
    ids=["rsa", "p384"],
)
def test_the_key_is_found_in_any_certificate(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> None:
    certificate = ROOT.leaf(["mx.test", f"{'x' * 60}.{'y' * 60}.test"], key=key).certificate
    assert key_octets(certificate) == key_of(certificate)


# A self-signed certificate of version 1, which has no extensions and does not say its version; made by openssl 3.0.
VERSION_1 = b"""-----BEGIN CERTIFICATE-----
MIICqzCCAZMCFEkETSEa7LcSjtaJS7vu5uDgHP/9MA0GCSqGSIb3DQEBCwUAMBIx
EDAOBgNVBAMMB214LnRlc3QwHhcNMjYxMTMwMDc1MDUwWhcNMzYxMTI3MDc1MDUw
WjASMRAwDgYDVQQDDAdteC50ZXN0MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIB
CgKCAQEAi8zvM38mgLuLDV87w9PAY9P/gkHrSV6lf5umbOgIB0i6mdwhjB9MNLBj
pk1B35HLcNv5aXon/9Os0sCFa+gCTIqlb8JMMzjREAi9+Tiazpq6EBKbylVVRu6/
WWEQHIbolxNCKBBhe1yiVnf1iz3avi29HKTLOS/4pp3b5aPDK/RRVI/6uS3uYukK
o4NsHlPFN1xp4E36fNoDAMPc49rFElEb/Z6+89U2uM6lTsaojuZg7v0ndLLzHTEZ
XCwwtrMwpswyko/HktFMflAqq0ZEGBHPUozaE8YWtEqOpcTgrfuf1f8EkU3T/dDB
I3zc3DUGX+ET0E3YM44o1V/MIv3O3wIDAQABMA0GCSqGSIb3DQEBCwUAA4IBAQBy
+ybzULVcwe1NgKMYNDA1uoEXxnuuevnM3m63TsU1+y4tQcec4mtQujVqUOqdWVxN
N4b9GBBRkVjtIFjYZh4sSZyCH/yZLQrznjFoHgE835gQjIN7BTWriLHDQCnGKtQ9
ySgS8Y3NC3mFzvESxpqrwovQgZzMQk/LpV9wpRy5LlmEdJebgs7rhTWBIVxNFhsg
oNPwSCFOmEqdFJfhDv+c5cqarpEqaaT4aPLrSodNS326PC5BP2L8yQMchjdP5Oj7
m8QtzmS12n+a+cm5rfCluwoLRxCfQio+uq3jI26p1J2xTdvjapf+9gX3B3myzv+W
YG94q+cod7bk8hoC82T3
-----END CERTIFICATE-----
"""


def test_the_key_is_found_in_a_certificate_of_version_1() -> None:
    certificate = x509.load_pem_x509_certificate(VERSION_1)
    assert certificate.version is x509.Version.v1
    assert key_octets(certificate) == key_of(certificate)


def test_a_record_holds_a_certificate_or_a_key_only_in_full() -> None:
    assert anchor_of(tlsa(2, 0, 0, ROOT.certificate)) == ROOT.certificate
    assert anchor_of(tlsa(2, 1, 0, ROOT.certificate)) == ROOT.key.public_key()
    for record in (tlsa(2, 0, 1, LEAF), tlsa(2, 1, 1, LEAF), tlsa(3, 0, 0, LEAF), TlsaRecord(2, 7, 0, b"x")):
        assert anchor_of(record) is None


@given(st.binary(max_size=200), st.integers(0, 1))
def test_octets_that_are_no_certificate_hold_nothing(data: bytes, selector: int) -> None:
    assert anchor_of(TlsaRecord(2, selector, 0, data)) is None


def test_a_cut_certificate_holds_nothing() -> None:
    whole = tlsa(2, 0, 0, ROOT.certificate)
    assert anchor_of(replace(whole, data=whole.data[:-1])) is None
    assert anchor_of(replace(whole, selector=1)) is None


def test_a_signature_is_that_of_one_key() -> None:
    assert is_signed_by(LEAF, ROOT.key.public_key())
    assert not is_signed_by(LEAF, authority().key.public_key())
    assert not is_signed_by(LEAF, rsa.generate_private_key(65537, 2048).public_key())
    assert not is_signed_by(LEAF, ed25519.Ed25519PrivateKey.generate().public_key())
    own = self_signed(["mx.test"])
    assert is_signed_by(own.certificate, own.key.public_key())


def test_the_key_of_a_record_may_be_any_that_signs() -> None:
    for key in (ed25519.Ed25519PrivateKey.generate(), rsa.generate_private_key(65537, 2048)):
        data = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        assert anchor_of(TlsaRecord(2, 1, 0, data)) == key.public_key()
