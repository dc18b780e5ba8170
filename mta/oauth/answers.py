"""Reads the answers of a token endpoint (RFC 6749 section 5): a token, a refusal, or a reason to try later.

An answer is untrusted, and an error may repeat secrets of the request: the words that are shown are masked, made
printable and cut. Every answer leads to a value.
"""

import base64
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote, quote_plus

from mta.https.interface import HttpAnswer
from mta.smtp.address import printable
from mta.smtp.masking import MASK, SecretMask

#: Octets that are read of an answer.
MAX_ANSWER = 64 * 1024
#: The bounds of the life of a token in seconds, and the life of one whose answer does not tell it.
SHORTEST_LIFE, LONGEST_LIFE, USUAL_LIFE = 60.0, 86400.0, 3600.0
#: The longest wait in seconds that an endpoint may ask for.
MAX_RETRY_AFTER = 3600.0
#: The error of an answer that is not one of RFC 6749, such as a web page.
NO_OAUTH = ""

# No word of an error is as long as this, but tokens, keys and parts of them are.
_LONG = re.compile(r"[A-Za-z0-9._~+/=-]{41,}")
_MAX_WORDS = 300
# RFC 6749 appendix A.12 and A.17: the characters of tokens. Others would break the login, which separates by controls.
_TOKEN = re.compile(r"[ -~]{1,16384}")
_ERROR = re.compile(r"[\w.:/-]{1,80}", re.ASCII)
# Behind these words, Microsoft's descriptions have numbers for its own support.
_NUMBERS = re.compile(r"(?:Trace ID|Correlation ID|Timestamp):.*", re.DOTALL)
_LATER_STATUS = frozenset({408, 425, 429})
_LATER_ERRORS = frozenset({"temporarily_unavailable", "server_error", "slow_down", "rate_limit_exceeded"})


@dataclass(frozen=True, slots=True)
class AccessToken:
    """A token for logins. Times are in seconds since 1970."""

    token: str = field(repr=False)
    fetched: float
    expires: float
    #: The token by which the provider replaces the refresh token of the request, "" if it does not.
    refresh_token: str = field(default="", repr=False)

    @property
    def renewal(self) -> float:
        """The time from which a new token is wanted: when 15 minutes or a quarter of its life are left.

        That is half of its life at the latest, so that a short one does not cause a request for each message.
        """
        life = self.expires - self.fetched
        return self.expires - min(max(life / 4, _RESERVE), life / 2)


# One of Microsoft's hosts refuses tokens that are valid for less than ten minutes.
_RESERVE = 900.0


@dataclass(frozen=True, slots=True)
class TokenRefused:
    """The endpoint refuses the grant, so that only the operator can help. `error` is the code of RFC 6749 section 5.2.

    `words` are those of the endpoint for the operator, masked and on one line.
    """

    error: str
    words: str


@dataclass(frozen=True, slots=True)
class TokenLater:
    """There is no token now. `wait` is the number of seconds that the endpoint asked for, 0 if it did not."""

    words: str
    wait: float = 0.0


TokenAnswer = AccessToken | TokenRefused | TokenLater


def read_answer(answer: HttpAnswer, now: float, secrets: Iterable[str] = ()) -> TokenAnswer:
    """Return the meaning of an answer that arrived at `now`; `secrets` are the texts of the request to be masked."""
    fields = json_object(answer.body)
    if answer.status == 200 and fields.get("access_token") is not None:
        return _token(fields, now)
    error = fields.get("error")
    error = error if isinstance(error, str) and _ERROR.fullmatch(error) else NO_OAUTH
    words = _words(answer, error, fields, secrets)
    if answer.status >= 500 or answer.status in _LATER_STATUS or error in _LATER_ERRORS:
        return TokenLater(words, _retry_after(answer.headers.get("retry-after", ""), now))
    return TokenRefused(error, words)


def json_object(body: bytes) -> Mapping[str, Any]:
    """Return the JSON object of a body, or an empty one if it is anything else."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def masked(text: str, secrets: Iterable[str] = ()) -> str:
    """Return a remote's words on one line, without secrets in any usual form and without words as long as a token."""
    mask = SecretMask(form for secret in secrets for form in _forms(secret))
    line = " ".join(_LONG.sub(MASK, mask.text(text)).split())
    shown = printable(line)
    return shown if len(shown) <= _MAX_WORDS else f"{shown[:_MAX_WORDS]}..."


def _token(fields: Mapping[str, Any], now: float) -> AccessToken | TokenRefused:
    token, kind = fields["access_token"], fields.get("token_type", "Bearer")
    if not isinstance(token, str) or not _TOKEN.fullmatch(token):
        return TokenRefused(NO_OAUTH, "the answer has an access token with characters that no token has")
    if not isinstance(kind, str) or kind.lower() != "bearer":
        return TokenRefused(NO_OAUTH, "the answer has a token of another type than Bearer")
    refresh = fields.get("refresh_token")
    refresh = refresh if isinstance(refresh, str) and _TOKEN.fullmatch(refresh) else ""
    return AccessToken(token, now, now + _life(fields.get("expires_in")), refresh)


def _life(seconds: object) -> float:
    """Return the life of a token in seconds. Some providers write the number as text."""
    try:
        life = float(seconds) if isinstance(seconds, int | float | str) else USUAL_LIFE
    except (ValueError, OverflowError):
        life = USUAL_LIFE
    # False for NaN, too.
    return min(max(life, SHORTEST_LIFE), LONGEST_LIFE) if life == life else USUAL_LIFE  # noqa: PLR0124


def _words(answer: HttpAnswer, error: str, fields: Mapping[str, Any], secrets: Iterable[str]) -> str:
    description = fields.get("error_description")
    if not error:
        place = masked(answer.headers.get("location", ""), secrets)
        return f"the token endpoint answers with status {answer.status} and no token" + (
            f", but with another place: {place}" * bool(place)
        )
    told = _NUMBERS.sub("", description) if isinstance(description, str) else ""
    return masked(f"{error}: {told}" if told else error, secrets)


def _retry_after(text: str, now: float) -> float:
    """Return the seconds of a Retry-After header (RFC 9110 section 10.2.3), 0 without a readable one."""
    if text.isascii() and text.isdigit():
        return min(float(text[:9]), MAX_RETRY_AFTER)
    try:
        return min(max(parsedate_to_datetime(text).timestamp() - now, 0.0), MAX_RETRY_AFTER)
    except (ValueError, TypeError, IndexError, OverflowError):
        return 0.0


def _forms(secret: str) -> set[str]:
    """Return a secret as it is, and in the encodings of forms, of Basic logins and of JSON."""
    octets = secret.encode("utf-8", "replace")
    encoded = base64.b64encode(octets).decode("ascii").rstrip("=")
    return {secret, quote(secret, safe=""), quote(secret), quote_plus(secret), encoded, json.dumps(secret)[1:-1]}
