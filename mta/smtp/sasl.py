"""The client's side of the login mechanisms PLAIN (RFC 4616), LOGIN and CRAM-MD5 (RFC 2195), without their base64.

Errors contain neither user names nor passwords.
"""

import hashlib
import hmac
from collections.abc import Iterable
from typing import Protocol


class SaslError(ValueError):
    """The server sent a challenge that the mechanism does not have."""


class Mechanism(Protocol):
    """The client's side of one login attempt."""

    #: The name in the AUTH line of EHLO.
    name: str
    #: The initial response of the AUTH command (RFC 4954 section 4), or None to wait for a challenge.
    initial: bytes | None

    def respond(self, challenge: bytes) -> bytes:
        """Return the response to a challenge. Raises SaslError if the mechanism has no further challenge."""


class Plain:
    """User and password in one response, readable: only for an encrypted connection."""

    name = "PLAIN"

    def __init__(self, user: str, password: str) -> None:
        self.initial: bytes | None = f"\0{user}\0{password}".encode()

    def respond(self, challenge: bytes) -> bytes:  # noqa: ARG002  the signature of Mechanism
        """Raise SaslError, because PLAIN has no challenge."""
        raise SaslError("PLAIN has no challenge")


class LoginMechanism:
    """User, then password, each after a challenge of any text; as readable as PLAIN."""

    name = "LOGIN"

    def __init__(self, user: str, password: str) -> None:
        self.initial: bytes | None = None
        self._responses = [password.encode(), user.encode()]

    def respond(self, challenge: bytes) -> bytes:  # noqa: ARG002  its text differs by server
        """Return the user for the first challenge and the password for the second."""
        if not self._responses:
            raise SaslError("LOGIN has two challenges")
        return self._responses.pop()


class CramMd5:
    """A keyed digest of the server's challenge; the password itself is not sent."""

    name = "CRAM-MD5"

    def __init__(self, user: str, password: str) -> None:
        self.initial: bytes | None = None
        self._user = user
        self._password = password
        self._responded = False

    def respond(self, challenge: bytes) -> bytes:
        """Return user and digest."""
        if self._responded:
            raise SaslError("CRAM-MD5 has one challenge")
        self._responded = True
        return f"{self._user} {_digest(self._password, challenge)}".encode()


# In the order of the attempts, which is that of Exim's configuration in the image that the relay replaces.
_MECHANISMS = (CramMd5, Plain, LoginMechanism)


def choose(offered: Iterable[str], user: str, password: str, *, in_clear: bool) -> list[Mechanism]:
    """Return the mechanisms to try, best first; with `in_clear` only those that do not show the password."""
    names = {name.upper() for name in offered}
    return [kind(user, password) for kind in _MECHANISMS if kind.name in names and (kind is CramMd5 or not in_clear)]


def _digest(password: str, challenge: bytes) -> str:
    return hmac.new(password.encode(), challenge, hashlib.md5).hexdigest()
