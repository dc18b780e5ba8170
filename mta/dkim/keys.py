"""DKIM keys: the private key that signs, and the DNS record of the public key (RFC 6376, RFC 8301, RFC 8463)."""

import base64
import hashlib
from dataclasses import dataclass
from typing import Literal

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256

KeyType = Literal["rsa", "ed25519"]
PrivateKey = RSAPrivateKey | Ed25519PrivateKey

#: RFC 8301 section 3.2: signers must not use fewer bits than the first number and should not use fewer than the second.
MIN_RSA_BITS = 1024
GOOD_RSA_BITS = 2048

_PADDING = PKCS1v15()
_SHA256 = SHA256()


class KeyFormatError(ValueError):
    """The octets are not a private key for DKIM. The text gives the reason to an operator."""


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private key and the selector under which the DNS has the public key."""

    selector: str
    private: PrivateKey

    @property
    def type(self) -> KeyType:
        """The value of the `k=` tag."""
        return "rsa" if isinstance(self.private, RSAPrivateKey) else "ed25519"

    @property
    def algorithm(self) -> str:
        """The value of the `a=` tag."""
        return f"{self.type}-sha256"

    @property
    def bits(self) -> int:
        """The length of the key."""
        return self.private.key_size if isinstance(self.private, RSAPrivateKey) else 256

    @property
    def weakness(self) -> str:
        """The reason to replace the key by a better one, or ""."""
        if self.bits < GOOD_RSA_BITS and self.type == "rsa":
            return f"an RSA key of {self.bits} bits is weak; make one of {GOOD_RSA_BITS} or more"
        return ""

    def sign(self, data: bytes) -> bytes:
        """Return the signature of octets. RSA with 2048 bits takes half a millisecond."""
        if isinstance(self.private, RSAPrivateKey):
            return self.private.sign(data, _PADDING, _SHA256)
        # RFC 8463 section 3: Ed25519 signs the hash of the octets.
        return self.private.sign(hashlib.sha256(data).digest())


def read_key(selector: str, pem: bytes) -> SigningKey:
    """Return the key in a PEM file, PKCS#8 or PKCS#1. Raises KeyFormatError."""
    # Imported if needed, because it is large, and also has the formats of OpenSSH.
    from cryptography.hazmat.primitives.serialization import load_pem_private_key  # noqa: PLC0415

    try:
        private = load_pem_private_key(pem, password=None)
    except TypeError:
        raise KeyFormatError("the key is encrypted; decrypt it with `openssl pkey`") from None
    except (ValueError, UnsupportedAlgorithm):
        raise KeyFormatError("no private key in PEM form; `smtprelay dkim keygen` makes one") from None
    if not isinstance(private, RSAPrivateKey | Ed25519PrivateKey):
        raise KeyFormatError("neither an RSA nor an Ed25519 key; `smtprelay dkim keygen` makes one")
    if isinstance(private, RSAPrivateKey) and private.key_size < MIN_RSA_BITS:
        raise KeyFormatError(
            f"receivers ignore RSA keys under {MIN_RSA_BITS} bits and this has {private.key_size};"
            " make a new one with `smtprelay dkim keygen`"
        )
    return SigningKey(selector, private)


def new_key(selector: str, type: KeyType, bits: int = GOOD_RSA_BITS) -> SigningKey:
    """Generate a key; `bits` applies to RSA."""
    if type == "rsa":
        return SigningKey(selector, generate_private_key(public_exponent=65537, key_size=bits))
    return SigningKey(selector, Ed25519PrivateKey.generate())


def to_pem(key: SigningKey) -> bytes:
    """Return the private key in PEM form, for a file."""
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat  # noqa: PLC0415

    return key.private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def record_name(domain: str, selector: str) -> str:
    """Return the DNS name of the record."""
    return f"{selector}._domainkey.{domain}"


def dns_record(key: SigningKey) -> str:
    """Return the text of the DNS record (RFC 6376 section 3.6.1)."""
    return f"v=DKIM1; k={key.type}; p={public_tag(key)}"


def public_tag(key: SigningKey) -> str:
    """Return the value of the `p=` tag: the public key, for Ed25519 without its DER structure (RFC 8463 section 4)."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat  # noqa: PLC0415

    public_key = key.private.public_key()
    if key.type == "rsa":
        octets = public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    else:
        octets = public_key.public_bytes(Encoding.Raw, PublicFormat.Raw)
    return base64.b64encode(octets).decode()
