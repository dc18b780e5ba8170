"""Logins as values: a password, a token or a certificate, and the data that binds a login to its TLS connection."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class PasswordLogin:
    """A user name and a password; `repr` shows neither."""

    user: str = field(repr=False)
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class TokenLogin:
    """A user name and an OAuth 2 access token (RFC 6750); `repr` shows neither."""

    user: str = field(repr=False)
    token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class CertificateLogin:
    """The certificate that the client shows in TLS. With a `user` the client asks to act as that user."""

    user: str = field(default="", repr=False)


Login = PasswordLogin | TokenLogin | CertificateLogin


@dataclass(frozen=True, slots=True)
class ChannelBinding:
    """The data of one TLS connection that both of its ends know, and no third party (RFC 5056)."""

    #: `tls-exporter` (RFC 9266) or `tls-unique` (RFC 5929 section 3).
    name: str
    data: bytes = field(repr=False)


def secrets_of(login: Login) -> tuple[str, ...]:
    """Return the texts of a login that must not appear in a log: the user, and the password or token."""
    match login:
        case PasswordLogin(user, password):
            return user, password
        case TokenLogin(user, token):
            return user, token
        case CertificateLogin(user):
            return (user,)
