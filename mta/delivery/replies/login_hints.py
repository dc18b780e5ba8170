"""One-line hints that tell an operator how to fix a login that a smarthost refuses."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from mta.delivery.replies.setting_names import is_of_rules, login_settings, tls_setting, user_setting
from mta.routing.route import AnyCredentials, Credentials, Route, TlsRule, TokenCredentials
from mta.smtp.client.dialogue import SessionFailure


@dataclass(frozen=True, slots=True)
class LoginRefusal:
    """A provider's wording for a refused login. `pattern` is a regular expression that ignores case."""

    pattern: str
    #: By the type of the credentials; {user} stands for the setting with the user.
    advice: Mapping[type[AnyCredentials], str]


_SMTP_AUTH = (
    "Have the administrator of Microsoft 365 allow authenticated SMTP for the mailbox in {user}"
    " (Set-CASMailbox -SmtpClientAuthenticationDisabled $false)"
)
_BY_TOKEN = "Microsoft 365 accepts no password here: log in with a token, by O365_USER and O365_CLIENT_ID"  # noqa: S105
REFUSALS = (
    LoginRefusal(
        r"smtpclientauthentication is disabled|smtp_auth_disabled",
        {Credentials: _SMTP_AUTH, TokenCredentials: _SMTP_AUTH},
    ),
    LoginRefusal(r"basic authentication is (?:disabled|not supported)|\b5\.7\.30\b", {Credentials: _BY_TOKEN}),
    LoginRefusal(
        r"\b5\.7\.139\b",
        {
            Credentials: "Check {login}; a rule of Microsoft 365 may also forbid the login from here, or by password",
            TokenCredentials: (
                "See that Microsoft 365 allows authenticated SMTP for the mailbox in {user}, and that no rule of"
                " conditional access forbids the login from here"
            ),
        },
    ),
    LoginRefusal(
        r"\b5\.7\.3\b",
        {
            TokenCredentials: (
                "The token was issued, but gives no right on the mailbox in {user}: at Microsoft 365, grant the"
                " application SMTP.SendAsApp and full access to the mailbox, or get the refresh token as that user"
            )
        },
    ),
    LoginRefusal(
        r"\(SCRAM-SHA-256-PLUS: ",
        {
            Credentials: (
                "Check {login}; if they are right, a proxy ends TLS in front of the smarthost, or another host answers"
                " in its place"
            )
        },
    ),
    LoginRefusal(
        r"gsmtp|support\.google\.com|mail\.google\.com",
        {
            Credentials: "Check {login}; Google takes an app password here, not that of the account",
            TokenCredentials: (
                "The token was issued, but not for the account in {user}: get it as that user with the scope"
                " https://mail.google.com/; a service account needs that scope in the domain-wide delegation"
            ),
        },
    ),
)
_TAKES_TOKENS = re.compile(r"offered\b[^;]*\b(?:XOAUTH2|OAUTHBEARER)\b")
# The words of `mta.connection_errors` for a server that wants a certificate of the client, or does not accept it.
_ABOUT_CLIENT = re.compile(r"^the host demands a client certificate|this relay's certificate")


def refused_login_hint(failure: SessionFailure, credentials: AnyCredentials | None) -> str:
    """Return the remedy for a login that was refused, in one sentence."""
    user, login = user_setting(credentials), login_settings(credentials)
    for pattern, advice in _compiled():
        if credentials is not None and type(credentials) in advice and pattern.search(failure.text):
            return advice[type(credentials)].format(user=user, login=login)
    if isinstance(credentials, TokenCredentials):
        return f"The token was issued, but the smarthost does not take it: check {user} and the rights of the account"
    return f"Check {login}"


@cache
def _compiled() -> list[tuple[re.Pattern[str], Mapping[type[AnyCredentials], str]]]:
    return [(re.compile(refusal.pattern, re.IGNORECASE), refusal.advice) for refusal in REFUSALS]


def no_mechanism_hint(failure: SessionFailure, route: Route) -> str:
    """Return the remedy for a server without a usable mechanism, in one sentence."""
    by_password = isinstance(route.credentials, Credentials)
    if not by_password and "in clear" in failure.text:
        return f"Set {tls_setting(route, TlsRule.VERIFY)}"
    if isinstance(route.credentials, TokenCredentials):
        return "The token was not shown to it. Ask its operator for one of these, or log in with a password"
    if by_password and _TAKES_TOKENS.search(failure.text):
        if is_of_rules(route.credentials):
            return (
                "It accepts tokens, but only the smarthost of SMARTHOST_ADDRESS logs in with them, not that of a rule"
            )
        return "It accepts tokens: set SMARTHOST_TOKEN_URL in place of the password, or the settings of its provider"
    return f"Ask the smarthost's operator for one of these, or unset {login_settings(route.credentials)}"


def client_certificate_hint(failure: SessionFailure, route: Route) -> str:
    """Return the remedy if TLS failed because of the client's certificate; "" if it did not."""
    if route.smarthost and _ABOUT_CLIENT.search(failure.text):
        if not route.smarthost.place.isidentifier():
            return "A certificate is shown to the host of SMARTHOST_ADDRESS only: set it there, or have it demand none"
        return "Check SMARTHOST_CERTIFICATE_PATH and SMARTHOST_KEY_PATH"
    return ""
