"""The client's side of the mechanisms without a proof by the server, and the choice between all mechanisms.

EXTERNAL (RFC 4422 appendix A) uses the certificate of the TLS connection, OAUTHBEARER (RFC 7628) and XOAUTH2 a token,
CRAM-MD5 (RFC 2195), PLAIN (RFC 4616) and LOGIN a password.
"""

import hashlib
import hmac
import json
from collections.abc import Iterable, Iterator

from mta.smtp.sasl import scram
from mta.smtp.sasl.interface import Mechanism, SaslError
from mta.smtp.sasl.logins import CertificateLogin, ChannelBinding, Login, PasswordLogin, TokenLogin
from mta.smtp.sasl.scram_client import ScramClient

_MAX_FAILURE = 100


class External:
    """The certificate that was shown in TLS is the login; an empty user leaves it to the server whose it is."""

    name = "EXTERNAL"
    complete = True
    failure = ""

    def __init__(self, login: CertificateLogin) -> None:
        self.initial: bytes | None = login.user.encode()

    def respond(self, challenge: bytes) -> bytes:  # noqa: ARG002  the signature of Mechanism
        """Raise SaslError, because EXTERNAL has no challenge after its initial response."""
        raise SaslError("EXTERNAL has no challenge")


class OAuthBearer:
    """A token in one response, readable; a challenge means that the server refuses it (RFC 7628 section 3.2.3)."""

    name = "OAUTHBEARER"
    complete = True

    def __init__(self, login: TokenLogin) -> None:
        name = f"a={scram.escape_name(login.user)}" if login.user else ""
        self.initial: bytes | None = f"n,{name},\1auth=Bearer {login.token}\1\1".encode()
        self.failure = ""

    def respond(self, challenge: bytes) -> bytes:
        """Keep the reason for the refusal; return the octet that makes the server send its reply."""
        self.failure = _refusal(self.name, self.failure, challenge)
        return b"\1"


class XOAuth2:
    """The form of OAUTHBEARER that Google made before the RFC, and the only one that Microsoft takes."""

    name = "XOAUTH2"
    complete = True

    def __init__(self, login: TokenLogin) -> None:
        self.initial: bytes | None = f"user={login.user}\1auth=Bearer {login.token}\1\1".encode()
        self.failure = ""

    def respond(self, challenge: bytes) -> bytes:
        """Keep the reason for the refusal; return the empty response that makes the server send its reply."""
        self.failure = _refusal(self.name, self.failure, challenge)
        return b""


class CramMd5:
    """A keyed digest of the server's challenge; the password itself is not sent."""

    name = "CRAM-MD5"
    complete = True
    failure = ""

    def __init__(self, login: PasswordLogin) -> None:
        self.initial: bytes | None = None
        self._login = login
        self._responded = False

    def respond(self, challenge: bytes) -> bytes:
        """Return user and digest."""
        if self._responded:
            raise SaslError("CRAM-MD5 has one challenge")
        self._responded = True
        return f"{self._login.user} {_digest(self._login.password, challenge)}".encode()


class Plain:
    """User and password in one response, readable: only for an encrypted connection."""

    name = "PLAIN"
    complete = True
    failure = ""

    def __init__(self, login: PasswordLogin) -> None:
        self.initial: bytes | None = f"\0{login.user}\0{login.password}".encode()

    def respond(self, challenge: bytes) -> bytes:  # noqa: ARG002  the signature of Mechanism
        """Raise SaslError, because PLAIN has no challenge after its initial response."""
        raise SaslError("PLAIN has no challenge")


class LoginMechanism:
    """User, then password, each after a challenge of any text; as readable as PLAIN."""

    name = "LOGIN"
    complete = True
    failure = ""

    def __init__(self, login: PasswordLogin) -> None:
        self.initial: bytes | None = None
        self._responses = [login.password.encode(), login.user.encode()]

    def respond(self, challenge: bytes) -> bytes:  # noqa: ARG002  its text differs by server
        """Return the user for the first challenge and the password for the second."""
        if not self._responses:
            raise SaslError("LOGIN has two challenges")
        return self._responses.pop()


def choose(offered: Iterable[str], login: Login, *, in_clear: bool, binding: ChannelBinding | None) -> list[Mechanism]:
    """Return the mechanisms to try with a login, best first.

    `in_clear` leaves those that do not show the password. `binding` is that of the TLS connection, if it has one. With
    it, a server that offers SCRAM-SHA-256-PLUS gets no other mechanism: a host that stands between the two cannot pass
    that one on, so it would refuse it to be given the password by another.
    """
    names = {name.upper() for name in offered}
    match login:
        case CertificateLogin():
            return [External(login)] if External.name in names and not in_clear else []
        case TokenLogin():
            return [kind(login) for kind in (OAuthBearer, XOAuth2) if kind.name in names and not in_clear]
        case PasswordLogin():
            if scram.PLUS_NAME in names and binding is not None:
                return [ScramClient(login, binding, plus=True)]
            return list(_by_password(names, login, binding, in_clear=in_clear))


def _by_password(
    names: set[str], login: PasswordLogin, binding: ChannelBinding | None, *, in_clear: bool
) -> Iterator[Mechanism]:
    # The order of CRAM-MD5, PLAIN and LOGIN is that of Exim's configuration in the image that the relay replaces.
    if scram.NAME in names:
        yield ScramClient(login, binding)
    if CramMd5.name in names:
        yield CramMd5(login)
    if not in_clear:
        yield from (kind(login) for kind in (Plain, LoginMechanism) if kind.name in names)


def _digest(password: str, challenge: bytes) -> str:
    return hmac.new(password.encode(), challenge, hashlib.md5).hexdigest()


def _refusal(name: str, earlier: str, challenge: bytes) -> str:
    """Return the reason in a challenge by which a server refuses a token: JSON, or text that is no reason."""
    if earlier:
        raise SaslError(f"{name} has one challenge")
    try:
        found = json.loads(challenge)
    except (ValueError, RecursionError):
        found = None
    fields = found if isinstance(found, dict) else {}
    words = [f"{key} {fields[key]}" for key in ("status", "scope") if isinstance(fields.get(key), str)]
    text = ", ".join(words)[:_MAX_FAILURE] or "token refused"
    return "".join(each if " " <= each <= "~" else "?" for each in text)
