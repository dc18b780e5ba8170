"""Makes the TLSA records of certificates."""

import hashlib

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from mta.dns.answers import TlsaRecord


def key_of(certificate: x509.Certificate) -> bytes:
    """Return the SubjectPublicKeyInfo of a certificate."""
    return certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def tlsa(usage: int, selector: int, matching: int, certificate: x509.Certificate) -> TlsaRecord:
    """Return the record with these numbers for a certificate."""
    data = certificate.public_bytes(Encoding.DER) if selector == 0 else key_of(certificate)
    digests = {1: hashlib.sha256, 2: hashlib.sha512}
    return TlsaRecord(usage, selector, matching, digests[matching](data).digest() if matching in digests else data)
