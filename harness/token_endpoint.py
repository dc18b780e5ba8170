"""A token endpoint (RFC 6749) over HTTPS for tests, which shares no code with the relay.

It checks client, refresh token or assertion, and gives out numbered tokens.
"""

import base64
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from harness.web_server import WebAnswer, WebRequest, WebServer

_JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_DEVICE_CODE = "urn:ietf:params:oauth:grant-type:device_code"


class _Refused(Exception):
    """The request gets an error of RFC 6749 section 5.2: its code, then its description."""


@dataclass
class TokenEndpoint(WebServer):
    """The server. A context manager; `requests` and `tokens` may be read, and the rules changed, at any time."""

    address: str = "127.0.0.1"
    port: int = 0
    #: The secrets of clients by their ids; others are refused. None lets every client in.
    clients: dict[str, str] | None = None
    #: The refresh tokens that are valid; the list changes if they are rotated.
    refresh_tokens: list[str] = field(default_factory=list)
    #: Whether each use replaces a refresh token, after which the old one is refused.
    rotate: bool = False
    #: The keys that may sign assertions, by the issuer's name.
    issuers: dict[str, RSAPublicKey] = field(default_factory=dict)
    #: The codes of RFC 6749 section 4.1 or RFC 8628 that are exchanged, and whether the user has agreed to the latter.
    codes: list[str] = field(default_factory=list)
    agreed: bool = True
    expires_in: int = 3600
    #: The beginning of the tokens that are given out.
    prefix: str = "token"

    def __post_init__(self) -> None:
        """Begin without tokens."""
        super().__post_init__()
        #: The access tokens that were given out, and the claims of each assertion.
        self.tokens: list[str] = []
        self.claims: list[dict[str, Any]] = []

    @property
    def url(self) -> str:
        """The URL of the endpoint, by its address."""
        return f"https://{self.address}:{self.port}/token"

    def own_answer(self, request: WebRequest) -> WebAnswer:
        """Grant a token, or refuse it."""
        try:
            return _json(200, self._granted(request))
        except _Refused as refused:
            code, description = refused.args
            body = {"error": code, "error_description": description}
            return _json(401 if code == "invalid_client" else 400, body)

    def _granted(self, request: WebRequest) -> dict[str, Any]:
        form = request.form
        if request.path.endswith("/devicecode"):
            return self._device_code()
        kind = form.get("grant_type")
        if kind == _JWT_BEARER:
            self.claims.append(verified_claims(form.get("assertion", ""), self.issuers, self.url))
            return self._token()
        self._check_client(form)
        if kind == "client_credentials":
            return self._token()
        if kind == "refresh_token":
            return self._refreshed(form.get("refresh_token", ""))
        if kind in {"authorization_code", _DEVICE_CODE}:
            return self._exchanged(form.get("code") or form.get("device_code", ""))
        raise _Refused("unsupported_grant_type", f"there is no grant {kind}")

    def _check_client(self, form: Mapping[str, str]) -> None:
        client = form.get("client_id", "")
        if self.clients is not None and self.clients.get(client, "") != form.get("client_secret", ""):
            raise _Refused(
                "invalid_client", f"AADSTS7000215: Invalid client secret provided: {form.get('client_secret')}"
            )

    def _token(self) -> dict[str, Any]:
        self.tokens.append(f"{self.prefix}-{len(self.tokens) + 1}")
        return {"token_type": "Bearer", "access_token": self.tokens[-1], "expires_in": self.expires_in}

    def _refreshed(self, refresh_token: str) -> dict[str, Any]:
        if refresh_token not in self.refresh_tokens:
            raise _Refused("invalid_grant", f"the refresh token {refresh_token} is expired or revoked")
        if not self.rotate:
            return self._token()
        self.refresh_tokens.remove(refresh_token)
        return self._token() | {"refresh_token": self._new_refresh_token()}

    def _new_refresh_token(self) -> str:
        self.refresh_tokens.append(f"{self.prefix}-refresh-{len(self.tokens) + 1}")
        return self.refresh_tokens[-1]

    def _device_code(self) -> dict[str, Any]:
        self.codes.append(f"{self.prefix}-device-{len(self.codes) + 1}")
        return {
            "device_code": self.codes[-1],
            "user_code": "WDJB-MJHT",
            "verification_uri": "https://login.example.test/device",
            "expires_in": 900,
            "interval": 1,
        }

    def _exchanged(self, code: str) -> dict[str, Any]:
        if code not in self.codes:
            raise _Refused("invalid_grant", "the code is unknown or was used")
        if not self.agreed:
            raise _Refused("authorization_pending", "the user has not agreed yet")
        self.codes.remove(code)
        return self._token() | {"refresh_token": self._new_refresh_token()}


def verified_claims(assertion: str, issuers: Mapping[str, RSAPublicKey], audience: str) -> dict[str, Any]:
    """Return the claims of an assertion that is signed with RS256, for this endpoint, and valid now."""
    try:
        signed, _, signature = assertion.rpartition(".")
        header, claims = (cast("dict[str, Any]", json.loads(_octets(part))) for part in signed.split("."))
        key = issuers[claims["iss"]]
        key.verify(_octets(signature), signed.encode(), PKCS1v15(), hashes.SHA256())
    except (ValueError, KeyError, InvalidSignature) as error:
        raise _Refused("invalid_grant", f"Invalid JWT Signature. ({type(error).__name__})") from error
    if header["alg"] != "RS256" or claims["aud"] != audience:
        raise _Refused("invalid_grant", "Invalid JWT: another algorithm or audience")
    if not claims["iat"] - 10 <= time.time() <= claims["exp"] <= claims["iat"] + 3600:
        raise _Refused("invalid_grant", "Invalid JWT: Token must be a short-lived token and in a reasonable timeframe.")
    return claims


def _json(status: int, body: Mapping[str, Any]) -> WebAnswer:
    return WebAnswer(status, json.dumps(body).encode(), {"Content-Type": "application/json"})


def _octets(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
