"""What is wrong with a certificate, in one line for an operator. Its text is a stranger's: it is cleaned and cut."""

import ipaddress

from cryptography import x509

from mta.smtp.printable import printable

_MAX_TEXT = 120
_MAX_NAMES = 3

# The X509_V_ERR_ codes of OpenSSL that operators meet.
_NOT_YET_VALID = 9
_EXPIRED = 10
_SELF_SIGNED = 18
_UNKNOWN_AUTHORITY = (19, 20)
_NO_INTERMEDIATE = 21


_NO_TLS_1_2 = "the host has no TLS 1.2 or newer"
_REFUSED = "the host refused the handshake: no common cipher, or it demands a client certificate"
_NO_TLS = "the host answers with something that is not TLS"
# How OpenSSL's words end for a handshake that fails before any certificate is judged; versions begin them differently.
_HANDSHAKE = {
    "unsupported protocol": _NO_TLS_1_2,
    "alert protocol version": _NO_TLS_1_2,
    "wrong version number": _NO_TLS,
    "packet length too long": _NO_TLS,
    "http request": _NO_TLS,
    "alert certificate required": "the host demands a client certificate",
    # TLS 1.2 has no alert of its own for a client without a certificate.
    "alert handshake failure": _REFUSED,
    "dh key too small": "the host's Diffie-Hellman key is too short",
    "unrecognized name": "the host does not know the name by which it was asked",
    "unexpected eof while reading": "connection lost during the TLS handshake",
}


def handshake_words(words: str) -> str:
    """Return plain words for OpenSSL's about a handshake that failed; its own where there are no better."""
    plain = next((plain for end, plain in _HANDSHAKE.items() if words.endswith(end)), words)
    return plain or "the TLS handshake failed"


def certificate_words(certificate: x509.Certificate, code: int) -> str:
    """Say why OpenSSL trusts a chain at this certificate no further; `code` is its X509_V_ERR_ number."""
    if code == _EXPIRED:
        return f"certificate expired on {certificate.not_valid_after_utc:%Y-%m-%d}"
    if code == _NOT_YET_VALID:
        return f"certificate is not valid before {certificate.not_valid_before_utc:%Y-%m-%d}"
    if code == _SELF_SIGNED:
        return "self-signed certificate"
    if code in _UNKNOWN_AUTHORITY:
        return f"certificate is signed by an authority not trusted here: {_clean(certificate.issuer.rfc4514_string())}"
    if code == _NO_INTERMEDIATE:
        return f"certificate comes without that of its signer: {_clean(certificate.issuer.rfc4514_string())}"
    return f"certificate is not acceptable (OpenSSL verification error {code})"


def mismatch_words(certificate: x509.Certificate, host: str) -> str:
    """Say whom the certificate is for instead."""
    names = _names(certificate)
    if not names:
        return f"certificate names no host, so it is not for {host}"
    shown = ", ".join(_clean(name) for name in names[:_MAX_NAMES])
    more = f" and {len(names) - _MAX_NAMES} more" if len(names) > _MAX_NAMES else ""
    return f"certificate is for {shown}{more}, not for {host}"


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
