"""The server's side of PLAIN (RFC 4616), LOGIN, SCRAM-SHA-256 and SCRAM-SHA-256-PLUS (RFC 5802, RFC 7677).

An exchange gets the client's responses and returns steps. PLAIN and LOGIN end with a password that the caller checks;
SCRAM proves the login by itself. Everything is without base64, and no step shows a secret in its `repr`.
"""

import enum
import hashlib
import hmac
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from mta.smtp.sasl import scram
from mta.smtp.sasl.logins import ChannelBinding
from mta.smtp.sasl.scram import ScramError, ScramSecret

PLAIN, LOGIN = "PLAIN", "LOGIN"

#: Octets of a user name and of a password.
MAX_USER, MAX_PASSWORD = 255, 1024

# RFC 5802 section 7, without extensions. A nonce is printable ASCII without the comma; it becomes part of a challenge,
# which must fit a reply line in base64.
_FIRST = re.compile(r"(n|y|p=([A-Za-z0-9.-]{1,32})),(?:a=([^,]*))?,n=([^,]*),r=([!-+\--~]{1,128})(?:,.*)?")
_FINAL = re.compile(r"(c=([^,]*),r=([^,]*)(?:,.*)?),p=([^,]*)")


class ExchangeFailure(enum.Enum):
    """The reasons for which an exchange fails by itself."""

    #: A response is not of the form that the mechanism demands.
    MALFORMED = enum.auto()
    #: The proof is wrong, the login is for another user, or the channel is not the client's.
    WRONG = enum.auto()


@dataclass(frozen=True, slots=True)
class Challenge:
    """The client must respond to this challenge."""

    data: bytes


@dataclass(frozen=True, slots=True)
class PasswordGiven:
    """The exchange is over if this is the password of the user. Octets that are not UTF-8 are surrogates (PEP 383)."""

    user: str = field(repr=False)
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class LoggedIn:
    """The client has proved that it knows the secret of the user."""

    user: str


@dataclass(frozen=True, slots=True)
class ExchangeFailed:
    """The exchange is over. `user` is the name that the client gave, or "" if there is none yet."""

    kind: ExchangeFailure
    user: str = field(default="", repr=False)


Step = Challenge | PasswordGiven | LoggedIn | ExchangeFailed
#: Returns the stored secret of a user; that of an unknown user is made up, but the same each time.
SecretOf = Callable[[str], ScramSecret]

_MALFORMED = ExchangeFailed(ExchangeFailure.MALFORMED)


class ServerExchange(Protocol):
    """The server's side of one login attempt."""

    def respond(self, data: bytes | None) -> Step:
        """Return the step after a response; None stands for an AUTH command without an initial response."""


def start(mechanism: str, *, secret_of: SecretOf, binding: ChannelBinding | None, nonce: str) -> ServerExchange:
    """Return the exchange of an offered mechanism.

    `binding` is that of the TLS connection, and None if SCRAM-SHA-256-PLUS is not offered on it. `nonce` is random,
    printable, without a comma and new for each exchange. Raises ValueError for an unknown mechanism.
    """
    match mechanism:
        case "PLAIN":
            return PlainExchange()
        case "LOGIN":
            return LoginExchange()
        case scram.NAME:
            return ScramExchange(secret_of, binding, nonce, plus=False)
        case scram.PLUS_NAME if binding is not None:
            return ScramExchange(secret_of, binding, nonce, plus=True)
    raise ValueError(f"no such mechanism: {mechanism}")


class PlainExchange:
    """User and password in one response. The client may act only for the user whose password it gives."""

    def respond(self, data: bytes | None) -> Step:
        """Ask for the response if there is none, then read it."""
        if data is None:
            return Challenge(b"")
        fields = data.split(b"\0")
        if len(fields) != 3:
            return _MALFORMED
        acting_for, user, password = fields
        if acting_for and acting_for != user:
            return ExchangeFailed(ExchangeFailure.WRONG, user[:MAX_USER].decode(errors="surrogateescape"))
        return _password_given(user, password)


class LoginExchange:
    """User, then password, each after a challenge. Some clients send the user with the AUTH command."""

    def __init__(self) -> None:
        self._user: bytes | None = None

    def respond(self, data: bytes | None) -> Step:
        """Ask for user and password in turn."""
        if data is None:
            return Challenge(b"Username:")
        if self._user is not None:
            return _password_given(self._user, data)
        self._user = data
        return Challenge(b"Password:") if _is_text(data, MAX_USER) else _MALFORMED


def _password_given(user: bytes, password: bytes) -> Step:
    if not (_is_text(user, MAX_USER) and _is_text(password, MAX_PASSWORD)):
        return _MALFORMED
    # Devices send passwords in their own character sets, in which users have them too.
    return PasswordGiven(user.decode(errors="surrogateescape"), password.decode(errors="surrogateescape"))


def _is_text(data: bytes, most: int) -> bool:
    """Whether a response is text of bounded length, which may be a user name or a password."""
    return 0 < len(data) <= most and b"\0" not in data


class ScramExchange:
    """One login by SCRAM, bound to the TLS connection with `plus`.

    With a `binding`, a client that believes that -PLUS was not offered is refused: a host between the two has removed
    it from the offer (RFC 5802 section 6).
    """

    def __init__(self, secret_of: SecretOf, binding: ChannelBinding | None, nonce: str, *, plus: bool) -> None:
        self._secret_of = secret_of
        self._binding = binding
        self._plus = plus
        self._nonce = nonce
        self._user = ""
        # The parts of the messages that the proof covers, and the header that the client must repeat.
        self._before_final = ""
        self._header = ""
        self._secret: ScramSecret
        self._step: Callable[[str], Step] = self._first

    def respond(self, data: bytes | None) -> Step:
        """Ask for the client's first message if there is none, then read its two messages and its last word."""
        if data is None:
            return Challenge(b"")
        try:
            return self._step(data.decode())
        except (UnicodeDecodeError, ScramError):
            return ExchangeFailed(ExchangeFailure.MALFORMED, self._user)

    def _first(self, message: str) -> Step:
        match = _FIRST.fullmatch(message)
        if match is None:
            return _MALFORMED
        flag, binding_name, acting_for, user, nonce = match.groups()
        self._user = scram.unescape_name(user)
        if not 0 < len(self._user.encode()) <= MAX_USER or "\0" in self._user:
            return _MALFORMED
        other_user = bool(acting_for) and scram.unescape_name(acting_for) != self._user
        if other_user or not self._may_bind(flag, binding_name):
            return ExchangeFailed(ExchangeFailure.WRONG, self._user)
        bare = message[match.start(4) - len("n=") :]
        self._header = message[: len(message) - len(bare)]
        self._secret = secret = self._secret_of(self._user)
        self._nonce = nonce + self._nonce
        challenge = f"r={self._nonce},s={scram.encode(secret.salt)},i={secret.iterations}"
        self._before_final = f"{bare},{challenge}"
        self._step = self._final
        return Challenge(challenge.encode())

    def _may_bind(self, flag: str, binding_name: str | None) -> bool:
        """Whether the client's flag for channel binding fits the offer."""
        if self._plus:
            return self._binding is not None and binding_name == self._binding.name
        return flag == "n" or (flag == "y" and self._binding is None)

    def _final(self, message: str) -> Step:
        match = _FINAL.fullmatch(message)
        if match is None:
            return ExchangeFailed(ExchangeFailure.MALFORMED, self._user)
        without_proof, bound, nonce, proof_text = match.groups()
        binding = self._binding.data if self._plus and self._binding is not None else b""
        proof, signed = scram.decode(proof_text), f"{self._before_final},{without_proof}".encode()
        if len(proof) != scram.KEY_OCTETS:
            return ExchangeFailed(ExchangeFailure.MALFORMED, self._user)
        client_key = scram.exclusive_or(proof, scram.signature(self._secret.stored_key, signed))
        known = hmac.compare_digest(hashlib.sha256(client_key).digest(), self._secret.stored_key)
        same_channel = scram.decode(bound) == self._header.encode() + binding
        if not (known and same_channel and nonce == self._nonce):
            return ExchangeFailed(ExchangeFailure.WRONG, self._user)
        self._step = self._last
        # SMTP has no room for it beside the final reply, so it is one more challenge (RFC 4954 section 4).
        return Challenge(b"v=" + scram.encode(scram.signature(self._secret.server_key, signed)).encode())

    def _last(self, message: str) -> Step:
        return ExchangeFailed(ExchangeFailure.MALFORMED, self._user) if message else LoggedIn(self._user)
