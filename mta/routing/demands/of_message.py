"""REQUIRETLS of a message whose hosts the sender or the operator named, or that MX records alone name (RFC 8689). Pure.

Hosts that are named must prove their names. MX hosts must be proven to be such as well, which `deciding` asks.
"""

from dataclasses import replace

from mta.message.outcome import Failed
from mta.routing.demands.proof import Proof, ProofSource
from mta.routing.destination_names import demanded_destination
from mta.routing.route import Plan, Route, TlsRule

#: The status of mail without a host that may have it (RFC 8689 section 4.2.1), after its class.
STATUS = "7.30"


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


def no_proof_at_all(domain: str) -> Failed:
    """Return why a message with REQUIRETLS has no host, because the relay uses neither DANE nor MTA-STS."""
    return Failed(
        f"the sender demands REQUIRETLS, and nothing can prove the MX hosts of {domain}: DANE and MTA_STS are off",
        status=f"5.{STATUS}",
    )
