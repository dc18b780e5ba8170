"""One-line hints that tell an operator how to fix a session that failed or that is not protected by TLS.

The outcome of a failed session names the setting to change. If a host offers STARTTLS but TLS with it fails, its mail
goes in clear: the operator gets a notice once a day, and a refusal of mail in clear is not final.
"""

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from mta.delivery.replies.login_hints import client_certificate_hint, no_mechanism_hint, refused_login_hint
from mta.delivery.replies.setting_names import is_provider, setting_names, tls_setting
from mta.message.outcome import ErrorKind, TryLater
from mta.routing.route import CertificateCredentials, Route, TlsRule, TokenCredentials
from mta.smtp.client.dialogue import FailureKind, SessionFailure
from mta.smtp.replies import Reply
from mta.tls.client import Fault

if TYPE_CHECKING:
    from mta.routing.demands.proof import Proof

# The other port on which a smarthost may offer TLS: 465 from the first byte, 587 by STARTTLS (RFC 8314 section 3).
_OTHER_PORTS = {587: "465", 465: "587", 2587: "2465", 2465: "2587"}
_IMPLICIT_TLS_PORTS = (465, 2465)
_ERROR_KINDS = {
    FailureKind.LOST: ErrorKind.CONNECT,
    FailureKind.TIMEOUT: ErrorKind.CONNECT,
    FailureKind.NO_TLS: ErrorKind.TLS,
    FailureKind.TLS_FAILED: ErrorKind.TLS,
    FailureKind.NOT_TRUSTED: ErrorKind.TLS,
    FailureKind.LOGIN_REFUSED: ErrorKind.LOGIN,
    FailureKind.NO_MECHANISM: ErrorKind.LOGIN,
}


def operator_hint(failure: SessionFailure, route: Route, fault: Fault | None = None) -> TryLater:
    """Return the outcome of a session that could not be opened: the failure, and the setting to change if there is one.

    `fault` is the reason for which the host's certificate was rejected, if it was.
    """
    demanded = None if route.proof is None else _demanded(failure, route, route.proof, fault)
    if demanded is not None:
        return demanded
    text = _text(failure, route, fault or Fault.UNUSABLE)
    return TryLater(text, route.label, failure.status, reply=failure.reply, kind=error_kind(failure.kind))


def error_kind(of_session: FailureKind) -> ErrorKind | None:
    """Return the kind of a session's failure; None if its reply tells more, or this relay is the reason."""
    return _ERROR_KINDS.get(of_session)


def _demanded(failure: SessionFailure, route: Route, proof: "Proof", fault: Fault | None) -> TryLater | None:
    """Return the outcome if a proof was demanded and not given; None if another text fits."""
    # Imported if needed, because a relay with a smarthost has no proofs.
    from mta.delivery.replies.demand_hints import demand_text  # noqa: PLC0415

    def text_for(domain: str) -> str:
        return demand_text(failure, route, replace(proof, domain=domain), fault) or ""

    text, kind = text_for(proof.domain), error_kind(failure.kind)
    if not text:
        return None
    named = text_for if proof.domain else None
    return TryLater(text, route.label, failure.status, reply=failure.reply, kind=kind, text_for=named)


def _text(failure: SessionFailure, route: Route, fault: Fault) -> str:
    match failure.kind:
        case FailureKind.LOGIN_REFUSED:
            return f"login refused: {failure.text}; mail stays queued. {refused_login_hint(failure, route.credentials)}"
        case FailureKind.NO_MECHANISM:
            return f"{failure.text}; mail stays queued. {no_mechanism_hint(failure, route)}"
        case FailureKind.LOOPS_BACK:
            hosts = "the DNS" if route.smarthost is None else f"the DNS or {setting_names(route.smarthost).hosts}"
            advice = f"Correct {hosts}, or give this relay a MAILNAME that no other host has"
            return (
                f"mail loops back to this relay: {route.label} answers, but {failure.text}; mail stays queued. {advice}"
            )
        case FailureKind.NO_TLS:
            rule = "" if is_provider(route) else f" by {tls_setting(route, route.tls)}"
            return f"TLS is required{rule}, but: {failure.text}; mail stays queued. {_without_tls(route)}"
        case FailureKind.NOT_TRUSTED:
            return f"certificate not trusted: {failure.text}; mail stays queued. {_to_trust(route, fault)}"
        case FailureKind.TLS_FAILED if advice := client_certificate_hint(failure, route):
            return f"TLS failed: {failure.text}; mail stays queued. {advice}"
        case FailureKind.TLS_FAILED if route.tls in (TlsRule.REQUIRE, TlsRule.VERIFY):
            return f"TLS failed: {failure.text}; mail stays queued. {_without_tls(route)}"
        case FailureKind.TLS_FAILED if route.smarthost and route.port in _IMPLICIT_TLS_PORTS:
            other = _OTHER_PORTS[route.port]
            return f"TLS failed: {failure.text}; mail stays queued. Port {route.port} begins with TLS: try port {other}"
        case FailureKind.TLS_FAILED:
            return f"TLS failed: {failure.text}"
        case FailureKind.REFUSED if route.smarthost:
            advice = "Have it allow this host's address, and see that MAILNAME is a name that the DNS knows"
            return f"the smarthost refuses this relay: {failure.text}; mail stays queued. {advice}"
        case _:
            return failure.text


def _without_tls(route: Route) -> str:
    if is_provider(route):
        return f"Find out what keeps TLS from {route.host}: a firewall between here and there may"
    if route.smarthost is None:
        return f"Ask its operator for TLS; only {tls_setting(route, TlsRule.OPPORTUNISTIC)} sends mail in clear"
    ports = _OTHER_PORTS.get(route.port, "587 or 465")
    if isinstance(route.credentials, TokenCredentials | CertificateCredentials):
        # Neither is ever used in clear.
        return f"Try port {ports}"
    exposed = "mail and password" if route.credentials else "mail"
    return f"Try port {ports}; only {tls_setting(route, TlsRule.OPPORTUNISTIC)} sends {exposed} in clear"


def _to_trust(route: Route, fault: Fault) -> str:
    """Return the remedy for a certificate that was rejected."""
    if is_provider(route):
        return _AT_PROVIDER[fault].format(host=route.host)
    if route.smarthost is None:
        remedy = _AT_MX_HOST[fault].format(host=route.host)
    else:
        names = setting_names(route.smarthost)
        remedy = _AT_SMARTHOST[fault].format(host=route.host, hosts=names.hosts, ca_file=names.ca_file)
    return f"{remedy}; {tls_setting(route, TlsRule.REQUIRE)} takes any certificate"


_RENEW = "Have the operator of {host} renew it; if that was done, check this host's clock"
_REPLACE = "Have the operator of {host} replace it"
_REPLACE_NAME = f"{_REPLACE} by one that has its name as subjectAltName"
_REPLACE_ISSUER = f"{_REPLACE} by one of an authority that this host knows"
_REPLACE_WEAK = f"{_REPLACE} by one with RSA of 2048 bits or a curve of 256, signed with SHA-256"
_AT_SMARTHOST = {
    Fault.EXPIRED: _RENEW,
    Fault.NOT_YET_VALID: "Check this host's clock, which may be behind",
    Fault.OTHER_NAME: "If such a name is your smarthost's, set {hosts} to it; else another host answers",
    Fault.NO_NAME: _REPLACE_NAME,
    Fault.UNKNOWN_ISSUER: (
        "Name its authority in {ca_file}; if that is a public one, have {host} send its whole chain,"
        " or update this host's authorities"
    ),
    Fault.SELF_SIGNED: "If it is your smarthost's own, name the certificate in {ca_file}",
    Fault.WEAK: _REPLACE_WEAK,
    Fault.TLSA_MISMATCH: _REPLACE,
    Fault.UNUSABLE: _REPLACE,
}
_AT_MX_HOST = _AT_SMARTHOST | {
    Fault.OTHER_NAME: _REPLACE_NAME,
    Fault.UNKNOWN_ISSUER: _REPLACE_ISSUER,
    Fault.SELF_SIGNED: _REPLACE_ISSUER,
}
# A provider renews its certificates in time and issues them for the right names, so the fault lies between the hosts or
# on this one.
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
    Fault.TLSA_MISMATCH: _FORGED,
    Fault.UNUSABLE: _FORGED,
}


#: The length in characters to which a reason is cut, because some reasons quote a server.
_MAX_REASON = 200
_UNPROTECTED = re.compile(r"none\((.*)\)", re.DOTALL)
# Hosts that demand TLS reply 530 (RFC 3207 section 4), 5.7.10 (RFC 5248), or these words with another code.
_DEMANDS_TLS = re.compile(
    r"\bstarttls\b|\b(?:tls|encryption)\b.{0,40}\b(?:required|needed)\b|\brequires?\b.{0,40}\b(?:tls|encrypt)",
    re.IGNORECASE,
)


def clear_text_notice(route: Route, reason: str) -> str:
    """Return the notice that a host gets its mail in clear."""
    sent = "mail and password go" if route.credentials is not None else "mail goes"
    return f"{sent} to {route.label} in clear, though it offers STARTTLS: {reason}. Told once a day for each host"


def unprotected(reason: str) -> str:
    """Return `none(<reason>)`, the protection of a connection in clear to a host that offers STARTTLS."""
    return f"none({reason})"


def without_tls(reply: Reply, security: str) -> str:
    """Return the reason if a 5yz reply is not final because the host demands TLS and TLS with it failed; "" otherwise.

    `security` is the protection of the connection on which the reply arrived.
    """
    failed = _UNPROTECTED.fullmatch(security)
    if failed is None:
        return ""
    demands = reply.code == 530 or reply.status == "5.7.10" or _DEMANDS_TLS.search(reply.text)
    return f"the host demands TLS, and TLS with it failed: {failed[1]}; mail stays queued" if demands else ""


def brief(reason: str) -> str:
    """Return a reason, cut to the length that notices and log lines show."""
    return reason if len(reason) <= _MAX_REASON else f"{reason[:_MAX_REASON]}..."
