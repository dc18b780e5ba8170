"""The login of each route: a password or certificate from the settings, or a token from a source that fetches it."""

from collections.abc import Awaitable
from typing import Protocol

from mta.message.outcome import ErrorKind, TryLater
from mta.routing.route import AnyCredentials, CertificateCredentials, Credentials, Route
from mta.smtp.client.dialogue import FailureKind, SessionFailure
from mta.smtp.sasl.logins import CertificateLogin, Login, PasswordLogin


class LoginSource(Protocol):
    """Has the tokens of the routes whose credentials are TokenCredentials."""

    def login(self, route: Route) -> Awaitable[Login | TryLater]:
        """Return the login for a route, with a token that is still valid for a while.

        A TryLater says in words for the operator why there is no token. The call must not raise.
        """

    def rejected(self, route: Route, login: Login) -> bool:
        """Note that the host refused a login; return whether the next call of `login` may give a better one."""


class TokensMissing:
    """The LoginSource of a relay whose settings name no tokens."""

    async def login(self, route: Route) -> Login | TryLater:
        """Return a TryLater, because there is no token."""
        return TryLater(f"there is no source of tokens for {route.label}", route.label, "4.7.0", kind=ErrorKind.LOGIN)

    def rejected(self, route: Route, login: Login) -> bool:  # noqa: ARG002  the signature of LoginSource
        """Return that another login is not to be had."""
        return False


async def login_for(route: Route, credentials: AnyCredentials, source: LoginSource) -> Login | TryLater:
    """Return the login for a route with these credentials."""
    match credentials:
        case Credentials(user, password):
            return PasswordLogin(user, password)
        case CertificateCredentials():
            return CertificateLogin()
    return await source.login(route)


def is_refused(failure: SessionFailure) -> bool:
    """Whether a session failed because the host refused the login for good (5yz)."""
    return failure.kind is FailureKind.LOGIN_REFUSED and failure.reply is not None and failure.reply.code >= 500
