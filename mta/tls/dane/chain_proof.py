"""Judges the certificate chain of a host by TLSA records (RFC 7671, RFC 7672 section 3). Pure.

OpenSSL can do this itself, but no Python library offers it.
"""

from collections.abc import Iterator, Sequence

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID
from OpenSSL import crypto

from mta.dns.answers import DANE_EE, DANE_TA, TlsaRecord
from mta.routing.demands.proof import Proof
from mta.tls.certificate_text import Fault, Problem, certificate_problem, names_problem
from mta.tls.dane.tlsa import anchor_of, is_signed_by, matches

# Certificates of a chain that are looked at: OpenSSL reads 100 KiB of them, real chains have up to five.
_MAX_CHAIN = 20
# Keys of authorities in full that are tried as signers, because each costs a signature for each certificate.
_MAX_KEYS = 5
_SHOWN_RECORDS, _SHOWN_DIGITS = 3, 8
_X509_V_ERR_INVALID_PURPOSE = 26


def dane_problem(proof: Proof, base: str, chain: Sequence[x509.Certificate]) -> Problem | None:
    """Return why a chain, the host's certificate first, matches none of the TLSA records; None if it matches one.

    A record of usage 3 is about the host's certificate alone: names, dates and authorities do not count (RFC 7672
    section 3.1.1). A record of usage 2 names an authority, by which the chain must be valid at this time, and the
    certificate must be for one of the proof's names. `base` is the name of the records, for the text.
    """
    leaf, above = chain[0], chain[1:_MAX_CHAIN]
    if any(record.usage == DANE_EE and matches(record, leaf) for record in proof.records):
        return None
    anchors = tuple(_anchors([record for record in proof.records if record.usage == DANE_TA], leaf, above))
    if not anchors:
        return Problem(Fault.TLSA_MISMATCH, f"certificate matches none of the TLSA records of {base}: {_shown(proof)}")
    if (problem := _anchored_problem(leaf, above, anchors)) is not None:
        return problem
    return names_problem(leaf, proof.names)


def _anchors(
    records: Sequence[TlsaRecord], leaf: x509.Certificate, above: Sequence[x509.Certificate]
) -> Iterator[x509.Certificate]:
    """Yield the certificates that records of usage 2 make trusted.

    That of a key which a record holds need not be sent (RFC 7671 section 10.1.1), so a certificate that the key signed
    is trusted in its place.
    """
    keys = 0
    for record in records:
        yield from (each for each in above if matches(record, each))
        anchor = anchor_of(record)
        if isinstance(anchor, x509.Certificate):
            yield anchor
        elif anchor is not None and keys < _MAX_KEYS:
            keys += 1
            yield from (each for each in (leaf, *above) if is_signed_by(each, anchor))


def _anchored_problem(
    leaf: x509.Certificate, above: Sequence[x509.Certificate], anchors: Sequence[x509.Certificate]
) -> Problem | None:
    """Return why the chain does not lead to one of the anchors, or is not valid; None if it is good."""
    store = crypto.X509Store()
    # An anchor need not be a root.
    store.set_flags(crypto.X509StoreFlags.PARTIAL_CHAIN)
    for anchor in anchors:
        store.add_cert(crypto.X509.from_cryptography(anchor))
    sent = [crypto.X509.from_cryptography(each) for each in above]
    context = crypto.X509StoreContext(store, crypto.X509.from_cryptography(leaf), sent)
    try:
        context.verify_certificate()
    except crypto.X509StoreContextError as error:
        code, depth = error.errors[:2]
        return certificate_problem(error.certificate.to_cryptography(), code, depth)
    return None if _is_for_servers(leaf) else certificate_problem(leaf, _X509_V_ERR_INVALID_PURPOSE, 0)


def _is_for_servers(certificate: x509.Certificate) -> bool:
    try:
        usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return True
    return ExtendedKeyUsageOID.SERVER_AUTH in usage or ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE in usage


def _shown(proof: Proof) -> str:
    """Return the records as in a zone file, with the first digits of their data."""
    shown = ", ".join(
        f"{each.usage} {each.selector} {each.matching} {each.data.hex()[:_SHOWN_DIGITS]}..."
        for each in proof.records[:_SHOWN_RECORDS]
    )
    more = len(proof.records) - _SHOWN_RECORDS
    return f"{shown} and {more} more" if more > 0 else shown
