"""The server's certificate and private key, read from the files of CERTIFICATE_PATH and KEY_PATH."""

import datetime as dt
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from OpenSSL import SSL

from mta.message.dates import utc
from mta.tls.context import new_context
from mta.tls.pem_files import CertificateError, PemFiles, load, read_files

__all__ = ["CertificateError", "KeyPair", "PemFiles", "dns_names", "make_pair", "read_files", "read_pair"]

# All suites have forward secrecy. The last group has no AEAD, for clients that would otherwise send in clear text.
_CIPHERS = b"ECDHE+AESGCM:ECDHE+CHACHA20:ECDHE+AES:!aNULL"
# The key of session tickets would live as long as the process and decrypt every recorded session, and mail clients
# rarely resume sessions.
_OPTIONS = SSL.OP_CIPHER_SERVER_PREFERENCE | SSL.OP_NO_TICKET
# The time before its end at which a certificate is reported: this, or a third of a shorter validity.
_SOON = dt.timedelta(days=7)


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A certificate and its key. As text, its names and its end: `mx.example.org, until 2027-02-01`."""

    certificate: x509.Certificate
    context: SSL.Context

    def __str__(self) -> str:
        return f"{_names(self.certificate)}, until {self.certificate.not_valid_after_utc:%Y-%m-%d}"

    def has_ended(self, now: float) -> bool:
        """Whether the certificate has expired at this time (seconds since 1970)."""
        return now > self.certificate.not_valid_after_utc.timestamp()

    def problem(self, now: float) -> str:
        """Return the fault of the certificate's dates at this time (seconds since 1970) and its remedy, or ""."""
        return _date_problem(self.certificate, utc(now))


def make_pair(files: PemFiles) -> KeyPair:
    """Return the pair in these files, EC or RSA, both PEM.

    Raises CertificateError if a file cannot be parsed, or if they do not belong together. Dates are not checked.
    """
    pair = load(files)
    context = new_context(SSL.TLS_SERVER_METHOD)
    context.set_options(_OPTIONS)
    context.set_cipher_list(_CIPHERS)
    pair.present(context)
    return KeyPair(pair.chain[0], context)


def read_pair(certificate_path: Path, key_path: Path, prefix: str = "") -> KeyPair:
    """Read the files of a pair and return it. Raises CertificateError."""
    return make_pair(read_files(certificate_path, key_path, prefix))


def _date_problem(certificate: x509.Certificate, now: dt.datetime) -> str:
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if now > end:
        return f"the certificate expired on {end:%Y-%m-%d}, and clients that check it disconnect; renew it"
    if now < begin:
        return f"the certificate is valid from {begin:%Y-%m-%d %H:%M} UTC only; check this host's clock"
    if end - now < min(_SOON, (end - begin) / 3):
        return f"the certificate expires on {end:%Y-%m-%d}; renew it; the relay loads the new files by itself"
    return ""


def _names(certificate: x509.Certificate) -> str:
    return " ".join(dns_names(certificate)[:3]) or certificate.subject.rfc4514_string() or "no name"


def dns_names(certificate: x509.Certificate) -> tuple[str, ...]:
    """Return the DNS names in a certificate."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, x509.DuplicateExtension, ValueError):
        return ()
    return tuple(names.get_values_for_type(x509.DNSName))
