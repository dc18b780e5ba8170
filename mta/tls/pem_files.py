"""A certificate with its chain and its private key, read from two PEM files that settings name."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from OpenSSL import SSL

from mta.tls.context import openssl_error_text

_MAX_OCTETS = 1 << 20

_Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


class CertificateError(Exception):
    """A pair cannot be used; the message is one line that names the setting and a remedy."""


@dataclass(frozen=True, slots=True)
class PemFiles:
    """The content of the files of a pair: a certificate followed by its chain, and its key."""

    certificate_path: Path
    key_path: Path
    certificate: bytes = field(repr=False)
    key: bytes = field(repr=False)
    #: The settings that name the files are CERTIFICATE_PATH and KEY_PATH with this before them.
    prefix: str = ""

    @property
    def certificate_setting(self) -> str:
        """The setting of the certificate, as messages show it: name and value."""
        return f"{self.prefix}CERTIFICATE_PATH={self.certificate_path}"

    @property
    def key_setting(self) -> str:
        """The setting of the key, as messages show it: name and value."""
        return f"{self.prefix}KEY_PATH={self.key_path}"


@dataclass(frozen=True, slots=True)
class ChainAndKey:
    """A certificate, followed by those of its issuers, and its key."""

    chain: tuple[x509.Certificate, ...]
    key: _Key = field(repr=False)
    #: The setting that the certificate came from, as messages show it.
    setting: str

    def present(self, context: SSL.Context) -> None:
        """Make connections of a context show the certificate. Raises CertificateError if OpenSSL rejects it."""
        try:
            context.use_certificate(self.chain[0])
            context.use_privatekey(self.key)
            for issuer in self.chain[1:]:
                context.add_extra_chain_cert(issuer)
        except SSL.Error as error:
            reason = openssl_error_text(error)
            raise CertificateError(
                f"{self.setting}: OpenSSL rejects the certificate: {reason}; get a new one"
            ) from None


def read_files(certificate_path: Path, key_path: Path, prefix: str = "") -> PemFiles:
    """Read the files of a pair. Raises CertificateError."""
    certificate = _read(f"{prefix}CERTIFICATE_PATH", certificate_path)
    return PemFiles(certificate_path, key_path, certificate, _read(f"{prefix}KEY_PATH", key_path), prefix)


def load(files: PemFiles) -> ChainAndKey:
    """Return the pair in these files, EC or RSA, both PEM.

    Raises CertificateError if a file cannot be parsed, or if they do not belong together. Dates are not checked.
    """
    chain = _chain(files)
    key = _key(files)
    if not _belongs(key, chain[0]):
        raise CertificateError(_misfit(files, chain, key))
    return ChainAndKey(tuple(chain), key, files.certificate_setting)


def _chain(files: PemFiles) -> Sequence[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(files.certificate)
    except ValueError:
        raise CertificateError(
            f"{files.certificate_setting}: the file holds no readable certificate; it must be PEM, the host's own"
            " certificate first, then those of its issuers"
        ) from None


def _key(files: PemFiles) -> _Key:
    # Imported if needed, because it is large, and also has the formats of OpenSSH.
    from cryptography.hazmat.primitives.serialization import load_pem_private_key  # noqa: PLC0415

    try:
        key = load_pem_private_key(files.key, None)
    except TypeError:
        words = "the key is encrypted; store it without a passphrase, readable by the relay's user alone"
    except Exception:  # noqa: BLE001  the file is at fault for any error in reading it
        words = "the file holds no readable private key; it must be an EC or RSA key as PEM"
    else:
        if isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
            return key
        words = "keys of this type are not accepted, because few mail clients know them; use an EC or RSA key"
    raise CertificateError(f"{files.key_setting}: {words}") from None


def _read(setting: str, path: Path) -> bytes:
    try:
        # Without O_NONBLOCK a pipe without a writer would block the relay here.
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:  # noqa: PTH123
            return file.read(_MAX_OCTETS) or b""
    except OSError as error:
        advice = "let the relay's user read it" if isinstance(error, PermissionError) else "check the path"
        raise CertificateError(f"{setting}={path}: the file cannot be read: {error.strerror}; {advice}") from None


def _belongs(key: _Key, certificate: x509.Certificate) -> bool:
    try:
        return certificate.public_key() == key.public_key()
    except (ValueError, UnsupportedAlgorithm):
        return False


def _misfit(files: PemFiles, chain: Sequence[x509.Certificate], key: _Key) -> str:
    if any(_belongs(key, other) for other in chain[1:]):
        return (
            f"{files.certificate_setting}: the certificate that the key belongs to does not come first;"
            " put it before those of its issuers"
        )
    return (
        f"{files.key_setting} is not the key of {files.certificate_setting}; give the two files that were made together"
    )
