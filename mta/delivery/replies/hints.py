"""What an operator can do about a session that could not be opened, in one line.

Mail that goes in clear although the host offers TLS: notices about it, and hosts that refuse it for that.
"""

import re

from mta.message.outcome import TryLater
from mta.routing.route import Route, TlsRule
from mta.smtp.client.dialogue import FailureKind, SessionFailure
from mta.smtp.replies import Reply
from mta.tls.client import Fault

# Where else a smarthost may offer TLS: 465 has it from the first byte, 587 by STARTTLS (RFC 8314 section 3).
_OTHER_PORTS = {587: "465", 465: "587", 2587: "2465", 2465: "2587"}
_TLS_FIRST = (465, 2465)


def operator_hint(trouble: SessionFailure, route: Route, fault: Fault | None = None) -> TryLater:
    """Return the outcome of a failed opening: the failure and, where settings matter, the one to change.

    `fault` tells why the host's certificate was rejected, when it was.
    """
    words = _words(trouble, route, fault or Fault.UNUSABLE)
    return TryLater(words, route.label, trouble.status, reply=trouble.reply)


def _words(trouble: SessionFailure, route: Route, fault: Fault) -> str:
    match trouble.cause:
        case FailureKind.LOGIN_REFUSED:
            return f"login refused: {trouble.text}; mail stays queued. Check {_login(route)}"
        case FailureKind.NO_MECHANISM:
            advice = f"Ask the smarthost's operator for one of these, or unset {_login(route)}"
            return f"{trouble.text}; mail stays queued. {advice}"
        case FailureKind.OURSELVES:
            advice = "Mend the DNS or SMARTHOST_ADDRESS, or give this relay a MAILNAME that no other host has"
            return (
                f"mail loops back to this relay: {route.label} answers, but {trouble.text}; mail stays queued. {advice}"
            )
        case FailureKind.NO_TLS:
            rule = "" if _is_provider(route) else f" by SMARTHOST_TLS={route.tls.value}"
            return f"TLS is required{rule}, but: {trouble.text}; mail stays queued. {_without_tls(route)}"
        case FailureKind.NOT_TRUSTED:
            return f"certificate not trusted: {trouble.text}; mail stays queued. {_to_trust(route, fault)}"
        case FailureKind.TLS_FAILED if route.tls in (TlsRule.REQUIRE, TlsRule.VERIFY):
            return f"TLS failed: {trouble.text}; mail stays queued. {_without_tls(route)}"
        case FailureKind.TLS_FAILED if route.smarthost and route.port in _TLS_FIRST:
            other = _OTHER_PORTS[route.port]
            return f"TLS failed: {trouble.text}; mail stays queued. Port {route.port} begins with TLS: try port {other}"
        case FailureKind.TLS_FAILED:
            return f"TLS failed: {trouble.text}"
        case FailureKind.REFUSED if route.smarthost:
            advice = "Have it allow this host's address, and see that MAILNAME is a name that the DNS knows"
            return f"the smarthost refuses this relay: {trouble.text}; mail stays queued. {advice}"
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


def _to_trust(route: Route, fault: Fault) -> str:
    """Return the remedy for a certificate that was rejected."""
    if _is_provider(route):
        return _AT_PROVIDER[fault].format(host=route.host)
    return f"{_AT_SMARTHOST[fault].format(host=route.host)}; SMARTHOST_TLS=require takes any certificate"


_RENEW = "Have the operator of {host} renew it; if that was done, check this host's clock"
_REPLACE = "Have the operator of {host} replace it"
_AT_SMARTHOST = {
    Fault.EXPIRED: _RENEW,
    Fault.NOT_YET_VALID: "Check this host's clock, which may be behind",
    Fault.OTHER_NAME: "If such a name is your smarthost's, set SMARTHOST_ADDRESS to it; else another host answers",
    Fault.NO_NAME: f"{_REPLACE} by one that has its name as subjectAltName",
    Fault.UNKNOWN_ISSUER: (
        "Name its authority in SMARTHOST_CA_FILE; if that is a public one, have {host} send its whole chain,"
        " or update this host's authorities"
    ),
    Fault.SELF_SIGNED: "If it is your smarthost's own, name the certificate in SMARTHOST_CA_FILE",
    Fault.WEAK: f"{_REPLACE} by one with RSA of 2048 bits or a curve of 256, signed with SHA-256",
    Fault.UNUSABLE: _REPLACE,
}
# A provider's certificates are renewed in time and fit their host, so the fault is on the way or here.
_CLOCK = "Check this host's clock: {host} renews its certificates in time"
_IN_PLACE = "Another host answers in place of {host}: look at the DNS, and for a proxy or firewall on the way"
_PROXY = (
    "A proxy or firewall on the way answers in place of {host}, or this host's authorities are out of date;"
    " if you trust that proxy, name its authority in SMARTHOST_CA_FILE"
)
_FORGED = "A proxy or firewall on the way may have made it: {host} has another certificate"
_AT_PROVIDER = {
    Fault.EXPIRED: _CLOCK,
    Fault.NOT_YET_VALID: _CLOCK,
    Fault.OTHER_NAME: _IN_PLACE,
    Fault.NO_NAME: _IN_PLACE,
    Fault.UNKNOWN_ISSUER: _PROXY,
    Fault.SELF_SIGNED: _PROXY,
    Fault.WEAK: _FORGED,
    Fault.UNUSABLE: _FORGED,
}


#: Hosts that are remembered. Mail for further hosts of the same day tells of it in its `delivered` line alone.
MAX_HOSTS = 1000
_DAY = 86400.0
#: Characters of a reason: some are a server's words.
_MAX_REASON = 200
_UNPROTECTED = re.compile(r"none\((.*)\)", re.DOTALL)
# Hosts that demand TLS say 530 (RFC 3207 section 4), 5.7.10 (RFC 5248), or these words with some other code.
_DEMANDS_TLS = re.compile(
    r"\bstarttls\b|\b(?:tls|encryption)\b.{0,40}\b(?:required|needed)\b|\brequires?\b.{0,40}\b(?:tls|encrypt)",
    re.IGNORECASE,
)


class ClearTextNotices:
    """Chooses when an operator is told that a host gets its mail in clear. Bounded by MAX_HOSTS."""

    def __init__(self) -> None:
        self._told: dict[str, float] = {}

    def text(self, route: Route, reason: str, now: float) -> str | None:
        """Return the notice for mail that goes this way; None when the host had one less than a day ago.

        `now` is in seconds of a clock that only goes forward.
        """
        told = self._told.get(route.host)
        if told is not None and now - told < _DAY:
            return None
        if told is None and len(self._told) >= MAX_HOSTS:
            self._told = {host: at for host, at in self._told.items() if now - at < _DAY}
            if len(self._told) >= MAX_HOSTS:
                return None
        self._told[route.host] = now
        sent = "mail and password go" if route.credentials is not None else "mail goes"
        return f"{sent} to {route.label} in clear, though it offers STARTTLS: {reason}. Told once a day for each host"


def unprotected(reason: str) -> str:
    """Return `none(<reason>)`, the protection of a connection that is in clear although the host offers STARTTLS."""
    return f"none({reason})"


def without_tls(reply: Reply, security: str) -> str:
    """Return why a 5yz reply is not final: the host demands TLS, which failed just now; "" for every other reply.

    `security` is the protection of the connection that the reply came over.
    """
    failed = _UNPROTECTED.fullmatch(security)
    if failed is None:
        return ""
    demands = reply.code == 530 or reply.status == "5.7.10" or _DEMANDS_TLS.search(reply.text)
    return f"the host demands TLS, and TLS with it failed: {failed[1]}; mail stays queued" if demands else ""


def brief(reason: str) -> str:
    """Return a reason as it is told, cut where it is too long."""
    return reason if len(reason) <= _MAX_REASON else f"{reason[:_MAX_REASON]}..."
