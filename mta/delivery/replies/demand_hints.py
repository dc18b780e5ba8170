"""One-line hints about TLS that the recipient's domain, or the sender, demands and a host does not give."""

from mta.delivery.replies.setting_names import tls_setting
from mta.routing.demands.proof import Proof, ProofSource
from mta.routing.route import Route, TlsRule
from mta.smtp.client.dialogue import FailureKind, SessionFailure
from mta.tls.client import Fault

_NAMES = {ProofSource.STS: "MTA-STS", ProofSource.DANE: "DANE", ProofSource.REQUIRETLS: "REQUIRETLS"}
_BEGINNINGS = {
    FailureKind.NO_TLS: "TLS is required, but: ",
    FailureKind.TLS_FAILED: "TLS failed: ",
    FailureKind.NOT_TRUSTED: "certificate not trusted: ",
}


def demand_text(failure: SessionFailure, route: Route, proof: Proof, fault: Fault | None) -> str | None:
    """Return demand, finding, and the setting that lifts the demand; None if another rule than this proof failed.

    `fault` is the reason for which the host's certificate was rejected, if it was.
    """
    beginning = _BEGINNINGS.get(failure.kind)
    if beginning is None or not proof.enforced or _is_of_rule(failure, route, proof, fault):
        return None
    return f"{beginning}{failure.text}; {_demand(proof)}; mail stays queued{_lifting(route, proof)}"


def _is_of_rule(failure: SessionFailure, route: Route, proof: Proof, fault: Fault | None) -> bool:
    """Whether a certificate fails the operator's own rule, because TLSA records would accept it."""
    by_rule = route.tls is TlsRule.VERIFY and bool(proof.records)
    return by_rule and failure.kind is FailureKind.NOT_TRUSTED and fault is not Fault.TLSA_MISMATCH


def _demand(proof: Proof) -> str:
    by = _NAMES[proof.source]
    return f"{proof.domain} demands it by {by}" if proof.domain else f"the sender demands it by {by}"


def _lifting(route: Route, proof: Proof) -> str:
    if not proof.domain:
        return ""
    setting = f"TLS_POLICY={proof.domain}=opportunistic"
    if route.tls_place:
        setting = f"{setting}, with {tls_setting(route, TlsRule.OPPORTUNISTIC)},"
    return f". {setting} would send it all the same"


def testing_text(route: Route, proof: Proof, reason: str) -> str:
    """Return the notice that a host gets mail although it does not give the proof that a domain is testing."""
    return (
        f"mail for {proof.domain} goes to {route.label} though {_NAMES[proof.source]}, if it were not in testing, would"
        f" have it wait: {reason}. Told once a day for each host"
    )
