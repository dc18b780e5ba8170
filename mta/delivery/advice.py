"""What an operator can do about a session that could not be opened, in one line."""

from mta.message.outcome import TryLater
from mta.routing.route import Route, TlsRule
from mta.smtp.dialogue import Cause, Trouble


def explain(trouble: Trouble, route: Route) -> TryLater:
    """Return the outcome of a failed opening: what failed and, where settings matter, what to set."""
    return TryLater(_words(trouble, route), route.label, trouble.status)


def _words(trouble: Trouble, route: Route) -> str:
    match trouble.cause:
        case Cause.LOGIN_REFUSED:
            advice = "Check SMARTHOST_USER and SMARTHOST_PASSWORD"
            return f"login refused: {trouble.text}; mail stays queued. {advice}"
        case Cause.NO_MECHANISM:
            advice = "Ask the smarthost's operator for one of these, or unset SMARTHOST_USER and SMARTHOST_PASSWORD"
            return f"{trouble.text}; mail stays queued. {advice}"
        case Cause.NO_TLS:
            advice = _in_clear(route)
            return (
                f"TLS is required by SMARTHOST_TLS={route.tls.value}, but: {trouble.text}; mail stays queued. {advice}"
            )
        case Cause.NOT_TRUSTED:
            advice = "Use a certificate the system trusts, or set SMARTHOST_TLS=require or opportunistic"
            return f"certificate not trusted: {trouble.text}; mail stays queued. {advice}"
        case Cause.TLS_FAILED if route.tls in (TlsRule.REQUIRE, TlsRule.VERIFY):
            advice = _in_clear(route)
            return f"TLS failed: {trouble.text}; mail stays queued. {advice}"
        case Cause.TLS_FAILED:
            return f"TLS failed: {trouble.text}"
        case _:
            return trouble.text


def _in_clear(route: Route) -> str:
    what = "mail and password" if route.credentials else "mail"
    return f"Set SMARTHOST_TLS=opportunistic to send {what} in clear"
