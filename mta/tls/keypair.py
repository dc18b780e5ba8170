"""The server's certificate and private key, read from the files of CERTIFICATE_PATH and KEY_PATH."""

import datetime as dt
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from OpenSSL import SSL

from mta.message.dates import utc
from mta.tls.context import new_context, openssl_error_text

# All suites have forward secrecy. The last group has no AEAD, for clients that would otherwise send in clear text.
_CIPHERS = b"ECDHE+AESGCM:ECDHE+CHACHA20:ECDHE+AES:!aNULL"
# The key of session tickets would live as long as the process and decrypt every recorded session, and mail clients
# rarely resume sessions.
_OPTIONS = SSL.OP_CIPHER_SERVER_PREFERENCE | SSL.OP_NO_TICKET
# The time before its end at which a certificate is reported: this, or a third of a shorter validity.
_SOON = dt.timedelta(days=7)
_MAX_OCTETS = 1 << 20

_Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


class CertificateError(Exception):
    """A pair cannot be used; the message is one line that names KEY_PATH or CERTIFICATE_PATH and a remedy."""


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


@dataclass(frozen=True, slots=True)
class PemFiles:
    """The content of the files of a pair: a certificate followed by its chain, and its key."""

    certificate_path: Path
    key_path: Path
    certificate: bytes = field(repr=False)
    key: bytes = field(repr=False)


def read_files(certificate_path: Path, key_path: Path) -> PemFiles:
    """Read the files of a pair. Raises CertificateError."""
    certificate, key = _read("CERTIFICATE_PATH", certificate_path), _read("KEY_PATH", key_path)
    return PemFiles(certificate_path, key_path, certificate, key)


def make_pair(files: PemFiles) -> KeyPair:
    """Return the pair in these files, EC or RSA, both PEM.

    Raises CertificateError if a file cannot be parsed, or if they do not belong together. Dates are not checked.
    """
    chain = _chain(files.certificate_path, files.certificate)
    key = _key(files.key_path, files.key)
    if not _belongs(key, chain[0]):
        raise CertificateError(_misfit(files.certificate_path, files.key_path, chain, key))
    return KeyPair(chain[0], _context(files.certificate_path, chain, key))


def read_pair(certificate_path: Path, key_path: Path) -> KeyPair:
    """Read the files of a pair and return it. Raises CertificateError."""
    return make_pair(read_files(certificate_path, key_path))


def _chain(path: Path, content: bytes) -> Sequence[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(content)
    except ValueError:
        raise CertificateError(
            f"CERTIFICATE_PATH={path}: the file holds no readable certificate; it must be PEM, the host's own"
            " certificate first, then those of its issuers"
        ) from None


def _key(path: Path, content: bytes) -> _Key:
    try:
        key = load_pem_private_key(content, None)
    except TypeError:
        words = "the key is encrypted; store it without a passphrase, readable by the relay's user alone"
    except Exception:  # noqa: BLE001  the file is at fault for any error in reading it
        words = "the file holds no readable private key; it must be an EC or RSA key as PEM"
    else:
        if isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
            return key
        words = "keys of this type are not accepted, because few mail clients know them; use an EC or RSA key"
    raise CertificateError(f"KEY_PATH={path}: {words}") from None


def _read(setting: str, path: Path) -> bytes:
    try:
        # Without O_NONBLOCK a pipe without a writer would block the relay here.
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:  # noqa: PTH123
            return file.read(_MAX_OCTETS) or b""
    except OSError as error:
        advice = "let the relay's user read it" if isinstance(error, PermissionError) else "check the path"
        raise CertificateError(f"{setting}={path}: the file cannot be read: {error.strerror}; {advice}") from None


def _context(path: Path, chain: Sequence[x509.Certificate], key: _Key) -> SSL.Context:
    context = new_context(SSL.TLS_SERVER_METHOD)
    context.set_options(_OPTIONS)
    context.set_cipher_list(_CIPHERS)
    try:
        context.use_certificate(chain[0])
        context.use_privatekey(key)
        for issuer in chain[1:]:
            context.add_extra_chain_cert(issuer)
    except SSL.Error as error:
        reason = openssl_error_text(error)
        raise CertificateError(
            f"CERTIFICATE_PATH={path}: OpenSSL rejects the certificate: {reason}; get a new one"
        ) from None
    return context


def _belongs(key: _Key, certificate: x509.Certificate) -> bool:
    try:
        return certificate.public_key() == key.public_key()
    except (ValueError, UnsupportedAlgorithm):
        return False


def _misfit(certificate_path: Path, key_path: Path, chain: Sequence[x509.Certificate], key: _Key) -> str:
    if any(_belongs(key, other) for other in chain[1:]):
        return (
            f"CERTIFICATE_PATH={certificate_path}: the certificate that the key belongs to does not come first;"
            " put it before those of its issuers"
        )
    return (
        f"KEY_PATH={key_path} is not the key of CERTIFICATE_PATH={certificate_path};"
        " give the two files that were made together"
    )


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
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        found = names.get_values_for_type(x509.DNSName)
    except (x509.ExtensionNotFound, x509.DuplicateExtension, ValueError):
        found = []
    return " ".join(found[:3]) or certificate.subject.rfc4514_string() or "no name"
