"""Advice to the operator about a token endpoint without a token: the likely reason, and the setting or page to change.

Microsoft's descriptions begin with a number (AADSTS), which says more than the error; Google's words do.
"""

import re
from collections.abc import Callable

from mta.oauth.answers import NO_OAUTH, TokenRefused
from mta.oauth.grants import Grant, Provider, RefreshToken, ServiceAccount

_NUMBER = re.compile(r"\bAADSTS(\d{4,8})\b")
_SECRETS_PAGE = "under Certificates & secrets of the application in Microsoft Entra"
_RENEW = "Get a new one with `smtprelay oauth o365` and put it into O365_REFRESH_TOKEN"
_ENTRA = {
    "7000215": f"O365_CLIENT_SECRET must be the value of a secret, not its id; make a new one {_SECRETS_PAGE}",
    "7000222": f"The client secret has expired: make a new one {_SECRETS_PAGE}, and put it into O365_CLIENT_SECRET",
    "7000218": (
        "The application is not a public client: set O365_CLIENT_SECRET, or allow public client flows under"
        " Authentication of the application"
    ),
    "700016": "O365_CLIENT_ID names no application of O365_TENANT: compare both with the application's overview page",
    "90002": "O365_TENANT names no tenant: it is the directory id on the application's overview page",
    "900023": "O365_TENANT names no tenant: it is the directory id on the application's overview page",
    "700082": f"The refresh token was not used for months and has expired. {_RENEW}",
    "70000": f"The refresh token is not valid for this application. {_RENEW}",
    "70008": f"The refresh token has expired. {_RENEW}",
    "50173": f"The user's password was changed, which ends the user's tokens. {_RENEW}",
    "54005": f"The refresh token was used before. {_RENEW}",
    "50076": f"The user must prove a second factor. {_RENEW}",
    "50079": f"The user must set up a second factor. {_RENEW}",
    "53003": "A conditional access policy of the tenant blocks it: exclude the application or this host's address",
    "65001": "The permission SMTP.Send has no consent: grant it under API permissions of the application",
    "50057": "The user's account is disabled: enable it, or use another mailbox",
    "7000112": "The application is disabled: enable it under Enterprise applications in Microsoft Entra",
}


def advice(refusal: TokenRefused, grant: Grant) -> str:
    """Return one sentence or two, without the final period, that name what to do about a refused grant."""
    number = _NUMBER.search(refusal.words)
    if grant.provider is Provider.MICROSOFT and number is not None and number[1] in _ENTRA:
        return _ENTRA[number[1]]
    if refusal.error == NO_OAUTH:
        return _no_oauth(grant)
    if isinstance(grant, ServiceAccount):
        return _service_account(refusal)
    return _BY_ERROR.get(refusal.error, _unknown)(grant)


def unreachable(grant: Grant) -> str:
    """Return one sentence, without the final period, that names what to do about an endpoint that gives no answer."""
    if grant.provider is Provider.OTHER:
        return "See that SMARTHOST_TOKEN_URL is right, and that no firewall or proxy is in the way"
    return "See that no firewall or proxy is in the way"


def _no_oauth(grant: Grant) -> str:
    if grant.provider is Provider.OTHER:
        return "See that SMARTHOST_TOKEN_URL is the provider's token endpoint, and that no proxy answers in its place"
    return "See that no proxy or firewall answers in its place"


def _service_account(refusal: TokenRefused) -> str:
    if refusal.error == "unauthorized_client":
        return (
            "Let the service account's client id ask for the scope https://mail.google.com/ under domain-wide"
            " delegation in Google's admin console, which may take a day to count"
        )
    if "signature" in refusal.words.lower():
        return "The key was deleted: make a new one for the service account and put it into GMAIL_SERVICE_ACCOUNT"
    if refusal.error == "invalid_grant":
        return "See that GMAIL_USER is a mailbox of the Workspace domain, and that this host's clock is right"
    return "Compare GMAIL_SERVICE_ACCOUNT with the service account's page in Google's cloud console"


def _invalid_grant(grant: Grant) -> str:
    prefix = grant.provider.value
    if not isinstance(grant, RefreshToken):
        return f"Check {prefix}_CLIENT_ID and {prefix}_CLIENT_SECRET"
    if grant.provider is Provider.GOOGLE:
        return (
            "The refresh token is no longer valid: the user withdrew it, changed the password, or did not use it for"
            " six months. As long as the consent screen is in Testing, tokens end after 7 days: publish it, then get a"
            " new one with `smtprelay oauth gmail` and put it into GMAIL_REFRESH_TOKEN"
        )
    if grant.provider is Provider.MICROSOFT:
        return f"The refresh token is no longer valid: it expired, was revoked, or is another application's. {_RENEW}"
    return "The refresh token is no longer valid: get a new one and put it into SMARTHOST_REFRESH_TOKEN"


def _invalid_client(grant: Grant) -> str:
    prefix = grant.provider.value
    expired = f"; it may have expired, then make a new one {_SECRETS_PAGE}" * (grant.provider is Provider.MICROSOFT)
    return f"Check {prefix}_CLIENT_ID and {prefix}_CLIENT_SECRET{expired}"


def _unauthorized_client(grant: Grant) -> str:
    if grant.provider is Provider.MICROSOFT:
        return (
            "Check O365_TENANT and O365_CLIENT_ID, and that the application has the permission SMTP.Send (for a refresh"
            " token) or SMTP.SendAsApp (for a client secret), with the administrator's consent"
        )
    return f"Let the client {grant.provider.value}_CLIENT_ID use this kind of grant on the provider's pages"


def _invalid_scope(grant: Grant) -> str:
    if grant.provider is Provider.OTHER:
        return "Set SMARTHOST_TOKEN_SCOPE to a scope that covers SMTP"
    if grant.provider is Provider.MICROSOFT:
        return "See that O365_CLOUD is the cloud of the tenant"
    return _unknown(grant)


def _unknown(grant: Grant) -> str:
    return f"Compare the {grant.provider.value}_ settings with the provider's pages"


_BY_ERROR: dict[str, Callable[[Grant], str]] = {
    "invalid_grant": _invalid_grant,
    "invalid_client": _invalid_client,
    "unauthorized_client": _unauthorized_client,
    "unsupported_grant_type": _unauthorized_client,
    "invalid_scope": _invalid_scope,
}
