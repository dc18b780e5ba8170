"""Matches certificates with TLSA records (RFC 6698 section 2.1). Pure.

    matches(record, certificate)
    anchor_of(record)               # what a record itself holds, if that is a certificate or a key

Numbers that no standard defines match nothing.
"""

import hashlib
from collections.abc import Callable, Mapping

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, load_der_public_key

from mta.dns.answers import DANE_TA, FULL_VALUE, TlsaRecord

_WHOLE, _KEY = 0, 1
_FORMS: Mapping[int, Callable[[bytes], bytes]] = {
    FULL_VALUE: bytes,
    1: lambda data: hashlib.sha256(data).digest(),
    2: lambda data: hashlib.sha512(data).digest(),
}

# The parts of a TBSCertificate before the key (RFC 5280 section 4.1): version, serial number, signature, issuer,
# validity, subject. Version 1 certificates leave out the first.
_VERSION_TAG, _PARTS_BEFORE_KEY = 0xA0, 5


def matches(record: TlsaRecord, certificate: x509.Certificate) -> bool:
    """Whether a certificate is the one that the record selects, or has the key that it selects."""
    form = _FORMS.get(record.matching)
    if form is None or record.selector not in (_WHOLE, _KEY):
        return False
    selected = certificate.public_bytes(Encoding.DER) if record.selector == _WHOLE else key_octets(certificate)
    return form(selected) == record.data


def key_octets(certificate: x509.Certificate) -> bytes:
    """Return the SubjectPublicKeyInfo of a certificate, octet by octet as it is in there.

    A library that writes the key again may choose another form, which would have another digest.
    """
    data = certificate.tbs_certificate_bytes
    _, position, _ = _header(data, 0)
    tag, _, end = _header(data, position)
    position = end if tag == _VERSION_TAG else position
    for _ in range(_PARTS_BEFORE_KEY):
        _, _, position = _header(data, position)
    _, _, end = _header(data, position)
    return data[position:end]


def _header(data: bytes, position: int) -> tuple[int, int, int]:
    """Return the tag of the DER value at this position, where its content begins, and where the value ends."""
    tag, length, content = data[position], data[position + 1], position + 2
    if length & 0x80:
        octets = length & 0x7F
        length = int.from_bytes(data[content : content + octets])
        content += octets
    return tag, content, content + length


def anchor_of(record: TlsaRecord) -> x509.Certificate | CertificateIssuerPublicKeyTypes | None:
    """Return the certificate or the key of an authority that a record holds in full.

    None if the record holds a digest, or octets that cannot be read.
    """
    if record.usage != DANE_TA or record.matching != FULL_VALUE:
        return None
    try:
        if record.selector == _WHOLE:
            return x509.load_der_x509_certificate(record.data)
        key = load_der_public_key(record.data) if record.selector == _KEY else None
    except (ValueError, UnsupportedAlgorithm):
        return None
    if isinstance(key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | ed448.Ed448PublicKey):
        return key
    return None


def is_signed_by(certificate: x509.Certificate, key: CertificateIssuerPublicKeyTypes) -> bool:
    """Whether this key signed the certificate."""
    signature, signed = certificate.signature, certificate.tbs_certificate_bytes
    try:
        parameters, digest = certificate.signature_algorithm_parameters, certificate.signature_hash_algorithm
        match key:
            case rsa.RSAPublicKey():
                key.verify(signature, signed, parameters, digest)  # type: ignore[arg-type]  # None raises TypeError
            case ec.EllipticCurvePublicKey():
                key.verify(signature, signed, parameters)  # type: ignore[arg-type]  # as above
            case ed25519.Ed25519PublicKey() | ed448.Ed448PublicKey():
                key.verify(signature, signed)
            case _:
                return False
    except (InvalidSignature, UnsupportedAlgorithm, TypeError, ValueError):
        # The last two mean that the signature is of another kind than the key.
        return False
    return True
