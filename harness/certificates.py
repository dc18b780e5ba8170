"""A certificate authority that a test makes for itself. Keys and signatures are real; no client trusts it otherwise."""

import datetime as dt
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID
from OpenSSL import SSL, crypto
from twisted.internet.ssl import CertificateOptions, TLSVersion

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
PublicKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey

_DAY = dt.timedelta(days=1)
# Python 3.13 verifies strictly: a root certificate must have the key usage extension (RFC 5280 section 4.2.1.3).
_SIGNS_CERTIFICATES = x509.KeyUsage(
    digital_signature=False,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=True,
    encipher_only=False,
    decipher_only=False,
)


@dataclass(frozen=True)
class Leaf:
    """A server's certificate and private key."""

    certificate: x509.Certificate
    key: Key
    #: The certificates of authorities that the server sends behind its own.
    above: tuple[x509.Certificate, ...] = ()

    @property
    def certificate_pem(self) -> bytes:
        """The certificate, and those behind it, as PEM."""
        return b"".join(each.public_bytes(serialization.Encoding.PEM) for each in (self.certificate, *self.above))

    @property
    def key_pem(self) -> bytes:
        """The private key as unencrypted PEM."""
        return self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )

    def write(self, folder: Path, name: str = "server") -> tuple[Path, Path]:
        """Write `<name>.pem` and `<name>.key` into a folder and return (certificate path, key path)."""
        certificate, key = folder / f"{name}.pem", folder / f"{name}.key"
        certificate.write_bytes(self.certificate_pem)
        key.write_bytes(self.key_pem)
        key.chmod(0o600)
        return certificate, key

    def server_options(self, lowest: int = SSL.TLS1_2_VERSION) -> CertificateOptions:
        """Return the options with which a Twisted server presents this certificate, by `listenSSL` or `startTLS`."""
        options = CertificateOptions(
            privateKey=crypto.PKey.from_cryptography_key(self.key),
            certificate=crypto.X509.from_cryptography(self.certificate),
            extraCertChain=[crypto.X509.from_cryptography(each) for each in self.above],
            insecurelyLowerMinimumTo=TLSVersion.TLSv1_0 if lowest < SSL.TLS1_2_VERSION else TLSVersion.TLSv1_2,
        )
        options.getContext().set_min_proto_version(lowest)
        return options


@dataclass(frozen=True)
class Authority:
    """A root that signs leaves."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def certificate_pem(self) -> bytes:
        """The root certificate as PEM, for the clients that are to trust it."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    def write(self, folder: Path, name: str = "authority") -> Path:
        """Write the root certificate as `<name>.pem` into a folder and return its path."""
        path = folder / f"{name}.pem"
        path.write_bytes(self.certificate_pem)
        return path

    def intermediate(self, name: str, *, expired: bool = False) -> "Authority":
        """Sign the certificate of another authority, which `authority` must allow by its path length."""
        key = ec.generate_private_key(ec.SECP256R1())
        builder = _authority(_builder(name, self.certificate.subject, key.public_key(), expired=expired), key, 0)
        return Authority(builder.sign(self.key, hashes.SHA256()), key)

    def leaf(
        self,
        names: Sequence[str] = (),
        ips: Sequence[str] = (),
        *,
        expired: bool = False,
        key: Key | None = None,
        above: Sequence["Authority"] = (),
    ) -> Leaf:
        """Sign a certificate for these host names and IP addresses; an expired one ended yesterday.

        The server sends the certificates of the authorities `above` with it.
        """
        key = key or ec.generate_private_key(ec.SECP256R1())
        builder = _builder((*names, *ips)[0], self.certificate.subject, key.public_key(), expired=expired)
        builder = builder.add_extension(_alternatives(names, ips), critical=False).add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False
        )
        return Leaf(builder.sign(self.key, hashes.SHA256()), key, tuple(each.certificate for each in above))


def authority(name: str = "Test Authority", *, path_length: int = 0) -> Authority:
    """Make a root of its own, which may have this many authorities below it."""
    key = ec.generate_private_key(ec.SECP256R1())
    builder = _authority(_builder(name, None, key.public_key()), key, path_length)
    return Authority(builder.sign(key, hashes.SHA256()), key)


def self_signed(names: Sequence[str] = (), ips: Sequence[str] = (), *, expired: bool = False) -> Leaf:
    """Make a certificate that vouches for itself, as most mail servers have."""
    key = ec.generate_private_key(ec.SECP256R1())
    builder = _builder((*names, *ips)[0], None, key.public_key(), expired=expired)
    builder = builder.add_extension(_alternatives(names, ips), critical=False)
    return Leaf(builder.sign(key, hashes.SHA256()), key)


def _authority(
    builder: x509.CertificateBuilder, key: ec.EllipticCurvePrivateKey, path_length: int
) -> x509.CertificateBuilder:
    return (
        builder.add_extension(x509.BasicConstraints(ca=True, path_length=path_length), critical=True)
        .add_extension(_SIGNS_CERTIFICATES, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _builder(
    subject: str, issuer: x509.Name | None, key: PublicKey, *, expired: bool = False
) -> x509.CertificateBuilder:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)])
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer or name)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - 30 * _DAY)
        .not_valid_after(now - _DAY if expired else now + 30 * _DAY)
    )


def _alternatives(names: Sequence[str], ips: Sequence[str]) -> x509.SubjectAlternativeName:
    return x509.SubjectAlternativeName(
        [*(x509.DNSName(name) for name in names), *(x509.IPAddress(ipaddress.ip_address(ip)) for ip in ips)]
    )
