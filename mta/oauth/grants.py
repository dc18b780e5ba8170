"""Grants: the proofs for which a token endpoint gives an access token (RFC 6749 sections 4.4 and 6, RFC 7523).

Each makes the form of its request. Identities and secrets are left out of `repr`, so that they cannot reach a log by
accident.
"""

import base64
import enum
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

#: Seconds for which an assertion is valid: the longest time that Google allows.
ASSERTION_SECONDS = 3600

_JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"


class Provider(enum.Enum):
    """The providers for whose answers there is advice; each value is the prefix of the settings."""

    MICROSOFT = "O365"
    GOOGLE = "GMAIL"
    OTHER = "SMARTHOST"


@dataclass(frozen=True, slots=True)
class ClientCredentials:
    """The relay's own identity and secret (RFC 6749 section 4.4)."""

    url: str
    client_id: str = field(repr=False)
    client_secret: str = field(repr=False)
    scope: str = ""
    provider: Provider = Provider.OTHER

    def form(self, now: float) -> Mapping[str, str]:  # noqa: ARG002  the signature of all grants
        """Return the fields of the request; `now` is in seconds since 1970."""
        return _without_empty(
            grant_type="client_credentials",
            client_id=self.client_id,
            client_secret=self.client_secret,
            scope=self.scope,
        )

    @property
    def lineage(self) -> str:
        """A digest of the configured token from which refresh tokens descend: always "" here."""
        return ""

    @property
    def digest(self) -> str:
        """A digest of the whole grant."""
        return _digest(self.url, self.client_id, self.client_secret, self.scope)


@dataclass(frozen=True, slots=True)
class RefreshToken:
    """A token by which a user has let the relay send mail (RFC 6749 section 6). The secret is "" for public clients."""

    url: str
    client_id: str = field(repr=False)
    client_secret: str = field(repr=False)
    refresh_token: str = field(repr=False)
    scope: str = ""
    provider: Provider = Provider.OTHER

    def form(self, now: float) -> Mapping[str, str]:  # noqa: ARG002  the signature of all grants
        """Return the fields of the request; `now` is in seconds since 1970."""
        return _without_empty(
            grant_type="refresh_token",
            client_id=self.client_id,
            client_secret=self.client_secret,
            refresh_token=self.refresh_token,
            scope=self.scope,
        )

    def rotated(self, refresh_token: str) -> "RefreshToken":
        """Return the grant with the refresh token by which the provider has replaced the configured one."""
        return replace(self, refresh_token=refresh_token)

    @property
    def lineage(self) -> str:
        """A digest of the configured token from which refresh tokens descend; a new client secret does not change it.

        A token is long and random, so that the digest does not help to guess it.
        """
        return _digest(self.url, self.client_id, self.refresh_token)

    @property
    def digest(self) -> str:
        """A digest of the whole grant."""
        return _digest(self.url, self.client_id, self.client_secret, self.refresh_token, self.scope)


@dataclass(frozen=True, slots=True)
class ServiceAccount:
    """A key that signs an assertion about a user (RFC 7523 section 2.1), as for Google Workspace.

    `issuer` is the account's address, `user` the mailbox for which it asks, `key` an RSA key as PEM.
    """

    url: str
    issuer: str
    user: str
    key: str = field(repr=False)
    key_id: str = ""
    scope: str = ""
    provider: Provider = Provider.GOOGLE

    def form(self, now: float) -> Mapping[str, str]:
        """Return the fields of the request, with a new assertion; `now` is in seconds since 1970."""
        return {"grant_type": _JWT_BEARER, "assertion": self.assertion(now)}

    def assertion(self, now: float) -> str:
        """Return a JWT that is signed with RS256 (RFC 7515, RFC 7519)."""
        header = _without_empty(alg="RS256", typ="JWT", kid=self.key_id)
        issued = int(now)
        claims = {
            "iss": self.issuer,
            "sub": self.user,
            "scope": self.scope,
            "aud": self.url,
            "iat": issued,
            "exp": issued + ASSERTION_SECONDS,
        }
        signed = f"{_base64url(_json(header))}.{_base64url(_json(claims))}"
        signature = load_rsa_key(self.key).sign(signed.encode("ascii"), PKCS1v15(), hashes.SHA256())
        return f"{signed}.{_base64url(signature)}"

    @property
    def lineage(self) -> str:
        """A digest of the configured token from which refresh tokens descend: always "" here."""
        return ""

    @property
    def digest(self) -> str:
        """A digest of the whole grant."""
        return _digest(self.url, self.issuer, self.user, self.key, self.scope)


Grant = ClientCredentials | RefreshToken | ServiceAccount

# The fields of a form that may be shown.
_PLAIN_FIELDS = frozenset({"grant_type", "scope"})


def secrets_of(form: Mapping[str, str]) -> tuple[str, ...]:
    """Return the values of a form that must not be shown."""
    return tuple(text for name, text in form.items() if name not in _PLAIN_FIELDS)


def load_rsa_key(pem: str) -> RSAPrivateKey:
    """Return an unencrypted RSA key. Raises ValueError, with words that do not show the key."""
    try:
        key = load_pem_private_key(pem.encode(), None)
    except Exception:  # noqa: BLE001  the library's errors are of many classes, and their words may quote the key
        raise ValueError("the private key is not an unencrypted key as PEM") from None
    if not isinstance(key, RSAPrivateKey):
        raise ValueError("the private key is not an RSA key")  # noqa: TRY004  the text of the key is wrong
    return key


def _without_empty(**fields: str) -> dict[str, str]:
    return {name: text for name, text in fields.items() if text}


def _digest(*parts: str) -> str:
    return hashlib.sha256(_json(parts)).hexdigest()


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _base64url(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode("ascii")
