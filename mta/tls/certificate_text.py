"""Describes the fault of a host's certificate: its kind, and one line for the operator.

Text from a certificate is untrusted, so it is made printable and cut.
"""

import enum
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from mta.smtp.address import is_ip, printable

_MAX_TEXT = 120
_MAX_NAMES = 3


class Fault(enum.Enum):
    """The reasons why a certificate does not prove a host; each has a different remedy."""

    EXPIRED = enum.auto()
    NOT_YET_VALID = enum.auto()
    #: The certificate is for other names, or names no host.
    OTHER_NAME = enum.auto()
    NO_NAME = enum.auto()
    #: No trusted authority signed it, or the host did not send an intermediate certificate.
    UNKNOWN_ISSUER = enum.auto()
    SELF_SIGNED = enum.auto()
    #: The key is too short, or the signature can be forged.
    WEAK = enum.auto()
    #: None of the TLSA records of the host is for the certificate, or for an authority above it.
    TLSA_MISMATCH = enum.auto()
    #: Any other fault, for which only another certificate helps.
    UNUSABLE = enum.auto()


@dataclass(frozen=True, slots=True)
class Problem:
    """A fault, and the line for an operator."""

    fault: Fault
    text: str


# The X509_V_ERR_ codes of OpenSSL whose text needs the certificate.
_NOT_YET_VALID, _EXPIRED, _SELF_SIGNED, _CRITICAL = 9, 10, 18, 34
_UNKNOWN_ISSUER = frozenset({2, 19, 20, 21, 27})
_SHORT_KEY = frozenset({66, 67})
_WEAK_DIGEST = 68
_PURPOSE = 26
# Text after "certificate" or "the certificate of the authority ..." for the others.
_UNUSABLE = {
    4: "has a signature that cannot be decrypted",
    6: "has a key that cannot be read",
    7: "has a wrong signature: it was changed, or the host sends the wrong certificate of its authority",
    13: "has no readable begin of its validity",
    14: "has no readable end of its validity",
    22: "has too many authorities above it",
    23: "was revoked by its authority",
    24: "is not an authority's, but signed another",
    25: "allows fewer authorities below it than there are",
    28: "is marked as rejected in this host's list of authorities",
    29: "does not name its signer as the signer names itself",
    30: "names another key of its signer than the signer has",
    31: "names another certificate of its signer than there is",
    32: "may not sign others by its key usage, but did",
    37: "is an authority's and not a host's",
    39: "may not make signatures by its key usage",
    40: "is a proxy certificate, which mail hosts do not use",
    41: "has an extension that is malformed",
    42: "has a policy extension that is malformed",
    43: "has no policy where one is demanded",
    47: "is for names that its authority may not sign",
    48: "is for names that its authority must not sign",
    49: "has limits on names that are not supported",
    51: "has limits on names of an unknown kind",
    52: "has limits on names that are malformed",
    53: "has a name that is malformed",
    76: "has a signature of an unknown kind",
    77: "has a signature of another kind than its signer's key",
    78: "names two kinds of signature",
    79: "is not an authority's, but signed another",
    80: "has a path length without being an authority's",
    94: "has an elliptic curve of its own",
}


def certificate_problem(certificate: x509.Certificate, code: int, depth: int) -> Problem:
    """Return why OpenSSL rejects a certificate: `code` is an X509_V_ERR_ number, `depth` is 0 for the host's own."""
    issuer = _clean(certificate.issuer.rfc4514_string())
    it = "certificate" if depth == 0 else f"the certificate of the authority {_subject(certificate)}"
    if code == _EXPIRED:
        return Problem(Fault.EXPIRED, f"{it} expired on {certificate.not_valid_after_utc:%Y-%m-%d}")
    if code == _NOT_YET_VALID:
        return Problem(Fault.NOT_YET_VALID, f"{it} is not valid before {certificate.not_valid_before_utc:%Y-%m-%d}")
    if code == _SELF_SIGNED:
        return Problem(Fault.SELF_SIGNED, "self-signed certificate")
    if code in _UNKNOWN_ISSUER:
        return Problem(Fault.UNKNOWN_ISSUER, f"certificate is signed by an authority not trusted here: {issuer}")
    if code in _SHORT_KEY:
        return Problem(Fault.WEAK, f"{it} has {_key(certificate)}, which is too short")
    if code == _WEAK_DIGEST:
        return Problem(Fault.WEAK, f"{it} is signed with {_digest(certificate)}, which can be forged")
    return Problem(Fault.UNUSABLE, f"{it} {_unusable(certificate, code, depth)}")


def _unusable(certificate: x509.Certificate, code: int, depth: int) -> str:
    if code == _CRITICAL:
        return f"has a critical extension that is unknown here{_unknown_extension(certificate)}"
    if code == _PURPOSE:
        return "is not for servers by its extended key usage" if depth == 0 else "may not sign those of servers"
    return _UNUSABLE.get(code, f"is not acceptable (OpenSSL verification error {code})")


def _subject(certificate: x509.Certificate) -> str:
    return _clean(certificate.subject.rfc4514_string())


def _key(certificate: x509.Certificate) -> str:
    match certificate.public_key():
        case rsa.RSAPublicKey(key_size=bits):
            return f"an RSA key of {bits} bits"
        case ec.EllipticCurvePublicKey(key_size=bits):
            return f"an elliptic-curve key of {bits} bits"
    return "a key"


def _digest(certificate: x509.Certificate) -> str:
    try:
        algorithm = certificate.signature_hash_algorithm
    except UnsupportedAlgorithm:
        algorithm = None
    return "a weak digest" if algorithm is None else algorithm.name.upper().replace("SHA1", "SHA-1")


def _unknown_extension(certificate: x509.Certificate) -> str:
    unknown = (
        each.oid.dotted_string
        for each in certificate.extensions
        if each.critical and isinstance(each.value, x509.UnrecognizedExtension)
    )
    oid = next(unknown, "")
    return f": {_clean(oid)}" if oid else ""


def names_problem(certificate: x509.Certificate, names: Sequence[str]) -> Problem | None:
    """Return why a certificate is for none of these host names or addresses; None if it is for one of them."""
    return None if any(_proves(certificate, name) for name in names) else _mismatch(certificate, " or ".join(names))


def _proves(certificate: x509.Certificate, name: str) -> bool:
    # Imported if needed, because many relays do not check the names of their hosts.
    from service_identity import CertificateError, VerificationError  # noqa: PLC0415
    from service_identity.cryptography import extract_patterns  # noqa: PLC0415
    from service_identity.hazmat import DNS_ID, IPAddress_ID, verify_service_identity  # noqa: PLC0415

    identity = IPAddress_ID(name) if is_ip(name) else DNS_ID(name)
    try:
        verify_service_identity(extract_patterns(certificate), [identity], [])
    except (VerificationError, CertificateError):
        return False
    return True


def _mismatch(certificate: x509.Certificate, host: str) -> Problem:
    """Return the problem of a certificate that is not for this host, with the names that it is for."""
    names = _names(certificate)
    if not names:
        return Problem(Fault.NO_NAME, f"certificate names no host, so it is not for {host}")
    shown = ", ".join(_clean(name) for name in names[:_MAX_NAMES])
    more = f" and {len(names) - _MAX_NAMES} more" if len(names) > _MAX_NAMES else ""
    return Problem(Fault.OTHER_NAME, f"certificate is for {shown}{more}, not for {host}")


def _names(certificate: x509.Certificate) -> list[str]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    addresses: list[ipaddress.IPv4Address | ipaddress.IPv6Address] = [
        address
        for address in names.get_values_for_type(x509.IPAddress)
        if isinstance(address, ipaddress.IPv4Address | ipaddress.IPv6Address)
    ]
    return [*names.get_values_for_type(x509.DNSName), *map(str, addresses)]


def _clean(text: str) -> str:
    shown = printable(text)
    return shown if len(shown) <= _MAX_TEXT else shown[:_MAX_TEXT] + "..."
