"""The demands of a message on its hosts (RFC 8689): REQUIRETLS, beside the demands of the recipient's domain. Pure.

A host must be named by the sender or the operator, or be proven to be an MX host of the domain, and prove its name.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from mta.message.outcome import ErrorKind, Failed, TryLater
from mta.routing.demands.proof import Proof, ProofSource
from mta.routing.destination_names import demanded_destination
from mta.routing.route import Plan, Route, TlsRule

# A relay with a smarthost does not know the policies of domains.
if TYPE_CHECKING:
    from mta.routing.demands.deciding import HostDemand, PublishedDemands

_SHOWN_HOSTS = 3
# RFC 8689 section 4.2.1.
_STATUS = "7.30"


def proven_by_name(plan: Plan, default: TlsRule) -> Plan:
    """Return a plan whose hosts must each prove their name; `default` is the TLS rule that they have without demands.

    It is for hosts that the sender or the operator named. Those that must do so anyway keep their plan.
    """
    routes = tuple(_proven(route) for route in plan.routes)
    return replace(plan, destination=demanded_destination(plan.destination, routes, default), routes=routes)


def _proven(route: Route) -> Route:
    if route.tls is TlsRule.VERIFY:
        return route
    return replace(route, proof=Proof(ProofSource.REQUIRETLS, "", (route.host,)))


def proven_mx(demand: "HostDemand", published: "PublishedDemands") -> "HostDemand":
    """Return the demand of a message with REQUIRETLS on an MX host; `demand` is that of its domain.

    DNSSEC, or a policy of MTA-STS in any mode, must prove that it is an MX host of the domain.
    """
    if demand.left_out:
        return demand
    if not (published.mx_secure or published.names(demand.host)):
        return replace(demand, left_out=_not_proven(published))
    proof = demand.proof
    if proof is not None and proof.enforced and (proof.names or proof.records):
        return demand
    return replace(demand, proof=Proof(ProofSource.REQUIRETLS, "", (demand.host,)), why="REQUIRETLS")


def _not_proven(published: "PublishedDemands") -> str:
    return f"neither DNSSEC nor MTA-STS proves that it is an MX host of {published.domain}"


def no_proven_host(
    published: "PublishedDemands", demands: "Sequence[HostDemand]", *, may_change: bool
) -> TryLater | Failed:
    """Return why a message with REQUIRETLS has no host. `may_change` says that DNSSEC may prove the hosts later."""
    reasons = [f"{demand.host}: {demand.left_out}" for demand in demands[:_SHOWN_HOSTS]]
    if len(demands) > _SHOWN_HOSTS:
        reasons.append(f"and {len(demands) - _SHOWN_HOSTS} more")
    text = f"the sender demands REQUIRETLS, and no MX host may get such mail: {'; '.join(reasons)}"
    if may_change or any(demand.left_out != _not_proven(published) for demand in demands):
        return TryLater(text, status=f"4.{_STATUS}", kind=ErrorKind.TLS)
    return Failed(text, status=f"5.{_STATUS}")


def no_proof_at_all(domain: str) -> Failed:
    """Return why a message with REQUIRETLS has no host, because the relay uses neither DANE nor MTA-STS."""
    return Failed(
        f"the sender demands REQUIRETLS, and nothing can prove the MX hosts of {domain}: DANE and MTA_STS are off",
        status=f"5.{_STATUS}",
    )
