"""The result of one TLS session with a host, as TLS reports count it (RFC 8460)."""

import enum
from dataclasses import dataclass

from mta.delivery.remote.protocol import SmtpClientProtocol
from mta.routing.route import Route, TlsRule
from mta.smtp.client.dialogue import FailureKind, SessionFailure
from mta.tls.client import Fault, options_of


class TlsFailure(enum.Enum):
    """The result types of RFC 8460 section 4.3 that a session has; `mta.sts.fetching` has those of policies."""

    STARTTLS_NOT_SUPPORTED = "starttls-not-supported"
    HOST_MISMATCH = "certificate-host-mismatch"
    EXPIRED = "certificate-expired"
    NOT_TRUSTED = "certificate-not-trusted"
    VALIDATION = "validation-failure"
    TLSA_INVALID = "tlsa-invalid"


@dataclass(frozen=True, slots=True)
class TlsSession:
    """One session, which got as far as STARTTLS or its absence."""

    #: The recipient's domain whose MX host it is.
    domain: str
    #: The host, and in `proof` the policy under which the session was made.
    route: Route
    #: None if the session has the TLS that the policy wants; without a policy, any TLS.
    failure: TlsFailure | None
    #: The reason of the failure, one line; it may quote the host.
    text: str = ""
    #: The relay's own address in the session; "" if no handshake began.
    own_address: str = ""


_BY_FAULT = {
    Fault.EXPIRED: TlsFailure.EXPIRED,
    Fault.OTHER_NAME: TlsFailure.HOST_MISMATCH,
    Fault.NO_NAME: TlsFailure.HOST_MISMATCH,
    Fault.UNKNOWN_ISSUER: TlsFailure.NOT_TRUSTED,
    Fault.SELF_SIGNED: TlsFailure.NOT_TRUSTED,
}
_BY_KIND = {FailureKind.NO_TLS: TlsFailure.STARTTLS_NOT_SUPPORTED, FailureKind.TLS_FAILED: TlsFailure.VALIDATION}


def result_of(
    domain: str, route: Route, protocol: SmtpClientProtocol, failure: SessionFailure | None
) -> TlsSession | None:
    """Return the result of an attempt to open a session; None if it ended before TLS, or the operator wants none.

    `failure` is why the session is not ready. A session that fails after its handshake has the TLS all the same.
    """
    result = _result(route, protocol, failure)
    if result is None:
        return None
    kind, text = result
    return TlsSession(domain, route, kind, text, protocol.own_address)


def _result(
    route: Route, protocol: SmtpClientProtocol, failure: SessionFailure | None
) -> tuple[TlsFailure | None, str] | None:
    if failure is not None and failure.kind is FailureKind.NOT_TRUSTED:
        return _of_fault(protocol.fault), failure.text
    if failure is not None and failure.kind in _BY_KIND:
        return _BY_KIND[failure.kind], failure.text
    if protocol.handshake_done:
        return _of_handshake(route, protocol)
    if failure is None and route.tls is not TlsRule.NONE:
        return TlsFailure.STARTTLS_NOT_SUPPORTED, protocol.client.starttls_refused or "STARTTLS is not offered"
    return None


def _of_handshake(route: Route, protocol: SmtpClientProtocol) -> tuple[TlsFailure | None, str]:
    """Return the result of a handshake that succeeded, though a policy in testing may find a fault."""
    proof = route.proof
    if proof is None:
        return None, ""
    if not (proof.names or proof.records):
        return TlsFailure.TLSA_INVALID, "none of the TLSA records can be used"
    options = options_of(protocol.transport)
    problem = None if options is None else options.problem
    return (None, "") if problem is None else (_of_fault(problem.fault), problem.text)


def _of_fault(fault: Fault | None) -> TlsFailure:
    return TlsFailure.VALIDATION if fault is None else _BY_FAULT.get(fault, TlsFailure.VALIDATION)
