"""DKIM keys: private ones that sign, and the DNS record of the public one. RFC 6376 section 3.6, RFC 8301, RFC 8463."""

import base64
import hashlib
from dataclasses import dataclass
from typing import Literal

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

KeyType = Literal["rsa", "ed25519"]
Private = RSAPrivateKey | Ed25519PrivateKey

#: RFC 8301 section 3.2: nobody may sign with fewer bits, and nobody should with fewer than the second figure.
MIN_RSA_BITS = 1024
GOOD_RSA_BITS = 2048

_PADDING = PKCS1v15()
_SHA256 = SHA256()


class KeyFormatError(ValueError):
    """Octets that are no private key for DKIM; the message says why in words for an operator."""


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private key and the selector under which the DNS has its public half."""

    selector: str
    private: Private

    @property
    def type(self) -> KeyType:
        """The word of the `k=` tag."""
        return "rsa" if isinstance(self.private, RSAPrivateKey) else "ed25519"

    @property
    def algorithm(self) -> str:
        """The word of the `a=` tag."""
        return f"{self.type}-sha256"

    @property
    def bits(self) -> int:
        """The size of the key."""
        return self.private.key_size if isinstance(self.private, RSAPrivateKey) else 256

    @property
    def weakness(self) -> str:
        """Why the key should be replaced by a better one, or ""."""
        if self.bits < GOOD_RSA_BITS and self.type == "rsa":
            return f"an RSA key of {self.bits} bits is weak; make one of {GOOD_RSA_BITS} or more"
        return ""

    def sign(self, data: bytes) -> bytes:
        """Return the signature of octets. Takes half a millisecond with 2048 bits of RSA."""
        if isinstance(self.private, RSAPrivateKey):
            return self.private.sign(data, _PADDING, _SHA256)
        # RFC 8463 section 3: what Ed25519 signs is the hash.
        return self.private.sign(hashlib.sha256(data).digest())


def read_key(selector: str, pem: bytes) -> SigningKey:
    """Return the key in a PEM file, PKCS#8 or PKCS#1. Raises KeyFormatError."""
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
    """Make a key; `bits` is for RSA."""
    if type == "rsa":
        return SigningKey(selector, generate_private_key(public_exponent=65537, key_size=bits))
    return SigningKey(selector, Ed25519PrivateKey.generate())


def to_pem(key: SigningKey) -> bytes:
    """Return the private key as the text of a file."""
    return key.private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def record_name(domain: str, selector: str) -> str:
    """Return where the DNS has the record."""
    return f"{selector}._domainkey.{domain}"


def record(key: SigningKey) -> str:
    """Return the text of the DNS record (RFC 6376 section 3.6.1)."""
    return f"v=DKIM1; k={key.type}; p={public(key)}"


def public(key: SigningKey) -> str:
    """Return the `p=` tag: the public key, for Ed25519 without its wrapping (RFC 8463 section 4)."""
    half = key.private.public_key()
    if key.type == "rsa":
        octets = half.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    else:
        octets = half.public_bytes(Encoding.Raw, PublicFormat.Raw)
    return base64.b64encode(octets).decode()
