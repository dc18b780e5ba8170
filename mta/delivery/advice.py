"""What an operator can do about a session that could not be opened, in one line."""

from mta.message.outcome import TryLater
from mta.routing.route import Route, TlsRule
from mta.smtp.dialogue import Cause, Trouble

# Where else a smarthost may offer TLS: 465 has it from the first byte, 587 by STARTTLS (RFC 8314 section 3).
_OTHER_PORTS = {587: "465", 465: "587"}


def explain(trouble: Trouble, route: Route) -> TryLater:
    """Return the outcome of a failed opening: what failed and, where settings matter, what to set."""
    return TryLater(_words(trouble, route), route.label, trouble.status)


def _words(trouble: Trouble, route: Route) -> str:
    match trouble.cause:
        case Cause.LOGIN_REFUSED:
            return f"login refused: {trouble.text}; mail stays queued. Check {_login(route)}"
        case Cause.NO_MECHANISM:
            advice = f"Ask the smarthost's operator for one of these, or unset {_login(route)}"
            return f"{trouble.text}; mail stays queued. {advice}"
        case Cause.OURSELVES:
            advice = "Mend the DNS or SMARTHOST_ADDRESS, or give this relay a MAILNAME that no other host has"
            return (
                f"mail loops back to this relay: {route.label} answers, but {trouble.text}; mail stays queued. {advice}"
            )
        case Cause.NO_TLS:
            rule = "" if _is_provider(route) else f" by SMARTHOST_TLS={route.tls.value}"
            return f"TLS is required{rule}, but: {trouble.text}; mail stays queued. {_without_tls(route)}"
        case Cause.NOT_TRUSTED:
            return f"certificate not trusted: {trouble.text}; mail stays queued. {_to_trust(route)}"
        case Cause.TLS_FAILED if route.tls in (TlsRule.REQUIRE, TlsRule.VERIFY):
            return f"TLS failed: {trouble.text}; mail stays queued. {_without_tls(route)}"
        case Cause.TLS_FAILED:
            return f"TLS failed: {trouble.text}"
        case _:
            return trouble.text


def _is_provider(route: Route) -> bool:
    """Whether this is Gmail or Amazon SES, whose rule for TLS no setting changes."""
    return route.credentials is not None and route.credentials.settings != "SMARTHOST"


def _login(route: Route) -> str:
    prefix = route.credentials.settings if route.credentials else "SMARTHOST"
    return f"{prefix}_USER and {prefix}_PASSWORD"


def _without_tls(route: Route) -> str:
    if _is_provider(route):
        return f"Find out what keeps TLS from {route.host}: a firewall between here and there may"
    what = "mail and password" if route.credentials else "mail"
    return (
        f"Try port {_OTHER_PORTS.get(route.port, '587 or 465')}; only SMARTHOST_TLS=opportunistic sends {what} in clear"
    )


def _to_trust(route: Route) -> str:
    if _is_provider(route):
        return f"Somebody stands between here and {route.host}; if you believe their authority, set SMARTHOST_CA_FILE"
    return "Name its authority in SMARTHOST_CA_FILE, or set SMARTHOST_TLS=require or opportunistic"
