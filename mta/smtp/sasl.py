"""Logging in: PLAIN (RFC 4616), LOGIN and CRAM-MD5 (RFC 2195) as steps of octets, before their base64.

No error here ever holds a user name or a password.
"""

import hashlib
import hmac
from collections.abc import Iterable
from typing import Protocol


class SaslError(ValueError):
    """The other side's step makes no sense in this mechanism."""


class Mechanism(Protocol):
    """The client's side of one login."""

    #: As EHLO's AUTH line spells it.
    name: str
    #: What goes along with the AUTH command (RFC 4954 section 4), or None to wait for a challenge.
    initial: bytes | None

    def respond(self, challenge: bytes) -> bytes:
        """Answer a challenge. Raises SaslError when none is due any more."""


class Plain:
    """User and password in one step: only for a connection that nobody else can read."""

    name = "PLAIN"

    def __init__(self, user: str, password: str) -> None:
        self.initial: bytes | None = f"\0{user}\0{password}".encode()

    def respond(self, challenge: bytes) -> bytes:  # noqa: ARG002  the mechanism's shape
        """Refuse: PLAIN has no challenge."""
        raise SaslError("PLAIN has no challenge")


class LoginMechanism:
    """User, then password, whatever the server calls its questions; as open as PLAIN."""

    name = "LOGIN"

    def __init__(self, user: str, password: str) -> None:
        self.initial: bytes | None = None
        self._answers = [password.encode(), user.encode()]

    def respond(self, challenge: bytes) -> bytes:  # noqa: ARG002  servers word it as they like
        """Give the user to the first question and the password to the second."""
        if not self._answers:
            raise SaslError("LOGIN has two questions")
        return self._answers.pop()


class CramMd5:
    """A keyed digest of the server's challenge: the password itself never travels."""

    name = "CRAM-MD5"

    def __init__(self, user: str, password: str) -> None:
        self.initial: bytes | None = None
        self._user = user
        self._password = password
        self._answered = False

    def respond(self, challenge: bytes) -> bytes:
        """Give user and digest."""
        if self._answered:
            raise SaslError("CRAM-MD5 has one challenge")
        self._answered = True
        return f"{self._user} {_digest(self._password, challenge)}".encode()


# In the order they are tried, as Exim's configuration of the image we replace has them.
_MECHANISMS = (CramMd5, Plain, LoginMechanism)


def choose(offered: Iterable[str], user: str, password: str, *, in_clear: bool) -> list[Mechanism]:
    """Return the mechanisms to try, best first; with `in_clear` only such as do not show the password."""
    names = {name.upper() for name in offered}
    return [kind(user, password) for kind in _MECHANISMS if kind.name in names and (kind is CramMd5 or not in_clear)]


def _digest(password: str, challenge: bytes) -> str:
    return hmac.new(password.encode(), challenge, hashlib.md5).hexdigest()
