"""Gets a refresh token by a user's consent: with a device code (RFC 8628), or by an address that the user pastes.

Both work on a host without a browser. The flows have no terminal: the command that runs them talks to the user.
"""

import base64
import hashlib
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from mta.https.interface import HttpsError, HttpsRequester
from mta.oauth.answers import MAX_ANSWER, AccessToken, TokenAnswer, TokenLater, json_object, masked, read_answer
from mta.oauth.grants import secrets_of
from mta.oauth.providers import GOOGLE_CONSENT_URL, GOOGLE_SCOPE, GOOGLE_TOKEN_URL
from mta.smtp.address import printable

#: The address to which Google sends the browser: no program listens there, and the user copies it from the browser.
REDIRECT_URL = "http://127.0.0.1:8085/"

_HEADERS = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
_DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
# The bounds of the seconds between two polls, and of the life of a device code.
_INTERVALS, _LIVES = (1.0, 60.0), (60.0, 1800.0)
_USUAL_INTERVAL, _USUAL_LIFE, _SLOWER = 5.0, 900.0, 5.0
_MAX_PASTED, _MAX_SHOWN = 8192, 300


class AuthorizeError(Exception):
    """There is no refresh token. The message is one line with the reason and the remedy, without any secret."""


@dataclass(frozen=True, slots=True)
class DeviceClient:
    """The endpoints of a device flow, and the application for which it asks. The secret is "" for public clients."""

    device_url: str
    token_url: str
    client_id: str = field(repr=False)
    client_secret: str = field(default="", repr=False)
    scope: str = ""


@dataclass(frozen=True, slots=True)
class DeviceCode:
    """The code that a user enters at an address, and the times in seconds of RFC 8628 section 3.2."""

    device_code: str = field(repr=False)
    user_code: str
    address: str
    life: float
    interval: float


async def authorize_device(
    https: HttpsRequester, clock: IReactorTime, client: DeviceClient, show: Callable[[DeviceCode], object]
) -> str:
    """Return a refresh token, after the user has entered the code that `show` gets. Raises AuthorizeError."""
    code = await _device_code(https, client)
    show(code)
    form = {"grant_type": _DEVICE_GRANT, "client_id": client.client_id, "device_code": code.device_code}
    if client.client_secret:
        form["client_secret"] = client.client_secret
    end, interval = clock.seconds() + code.life, code.interval
    while clock.seconds() < end:
        await deferLater(clock, interval)
        answer = await _post(https, client.token_url, form)
        if isinstance(answer, AccessToken):
            return _refresh_token(answer)
        if isinstance(answer, TokenLater):
            interval += _SLOWER
        elif answer.error != "authorization_pending":
            raise AuthorizeError(f"{answer.words.removesuffix('.')}{_DEVICE_ADVICE.get(answer.error, '')}")
    raise AuthorizeError("the code has expired before it was entered: run the command again")


_DEVICE_ADVICE = {
    "authorization_declined": ". Run the command again, and agree",
    "access_denied": ". Run the command again, and agree",
    "expired_token": ". Run the command again, and enter the code in time",
    "invalid_client": ". Allow public client flows under Authentication of the application, or set O365_CLIENT_SECRET",
}


async def _device_code(https: HttpsRequester, client: DeviceClient) -> DeviceCode:
    form = {"client_id": client.client_id, "scope": client.scope}
    try:
        answer = await https.request("POST", client.device_url, _HEADERS, _encoded(form), limit=MAX_ANSWER)
    except HttpsError as error:
        raise AuthorizeError(str(error)) from None
    fields = json_object(answer.body)
    texts = [fields.get(name) for name in ("device_code", "user_code", "verification_uri")]
    if answer.status != 200 or not all(isinstance(text, str) and text for text in texts):
        refused = read_answer(answer, 0.0, secrets_of(form))
        raise AuthorizeError(getattr(refused, "words", "the endpoint gives no device code"))
    code, shown, address = map(str, texts)
    life = _seconds(fields.get("expires_in"), _USUAL_LIFE, _LIVES)
    interval = _seconds(fields.get("interval"), _USUAL_INTERVAL, _INTERVALS)
    # Not masked: an address may be longer than the words that could be tokens.
    return DeviceCode(code, printable(shown[:_MAX_SHOWN]), printable(address[:_MAX_SHOWN]), life, interval)


@dataclass(frozen=True, slots=True)
class Consent:
    """A request for a user's consent at Google (RFC 6749 section 4.1), protected by state and PKCE (RFC 7636)."""

    client_id: str = field(repr=False)
    client_secret: str = field(repr=False)
    user: str = ""
    state: str = field(default_factory=lambda: secrets.token_urlsafe(16), repr=False)
    verifier: str = field(default_factory=lambda: secrets.token_urlsafe(48), repr=False)

    @property
    def address(self) -> str:
        """The address that the user opens."""
        digest = hashlib.sha256(self.verifier.encode("ascii")).digest()
        fields = {
            "client_id": self.client_id,
            "redirect_uri": REDIRECT_URL,
            "response_type": "code",
            "scope": GOOGLE_SCOPE,
            "access_type": "offline",
            # Without it Google gives a refresh token to each user and client once only.
            "prompt": "consent",
            "state": self.state,
            "code_challenge": base64.urlsafe_b64encode(digest).rstrip(b"=").decode("ascii"),
            "code_challenge_method": "S256",
        }
        return f"{GOOGLE_CONSENT_URL}?{urlencode(fields | ({'login_hint': self.user} if self.user else {}))}"

    def code(self, pasted: str) -> str:
        """Return the code of the address at which the browser ended. Raises AuthorizeError."""
        try:
            fields = parse_qs(urlsplit(pasted.strip()[:_MAX_PASTED]).query)
        except ValueError:
            fields = {}
        error, state, code = (fields.get(name, [""])[0] for name in ("error", "state", "code"))
        if error:
            raise AuthorizeError(f"Google says {masked(error)}: run the command again, and agree")
        if not code or not state:
            raise AuthorizeError(f"this is not the address at which the browser ended: it begins with {REDIRECT_URL}?")
        if not secrets.compare_digest(state.encode(), self.state.encode()):
            raise AuthorizeError("the address belongs to another run of the command: open the address of this one")
        return code


async def exchange_code(https: HttpsRequester, consent: Consent, code: str) -> str:
    """Return the refresh token that Google gives for a code. Raises AuthorizeError."""
    form = {
        "grant_type": "authorization_code",
        "client_id": consent.client_id,
        "client_secret": consent.client_secret,
        "code": code,
        "code_verifier": consent.verifier,
        "redirect_uri": REDIRECT_URL,
    }
    answer = await _post(https, GOOGLE_TOKEN_URL, form)
    if isinstance(answer, AccessToken):
        return _refresh_token(answer)
    raise AuthorizeError(answer.words)


def _refresh_token(token: AccessToken) -> str:
    if not token.refresh_token:
        raise AuthorizeError(
            "the endpoint gives an access token, but no refresh token: let the application ask for one"
        )
    return token.refresh_token


async def _post(https: HttpsRequester, url: str, form: Mapping[str, str]) -> TokenAnswer:
    try:
        answer = await https.request("POST", url, _HEADERS, _encoded(form), limit=MAX_ANSWER)
    except HttpsError as error:
        return TokenLater(str(error))
    return read_answer(answer, 0.0, secrets_of(form))


def _encoded(form: Mapping[str, str]) -> bytes:
    return urlencode(form).encode("ascii")


def _seconds(value: Any, usual: float, bounds: tuple[float, float]) -> float:
    """Return a time of an answer within bounds; the usual one if it is not a number."""
    lowest, highest = bounds
    return min(max(value, lowest), highest) if isinstance(value, int | float) and value == value else usual  # noqa: PLR0124
