"""The carriage of mail as the operator's rules want it: connections, rates, TLS, names and addresses of the relay.

A router puts it on a plan, which may then have a destination of its own. Routing applies `tls`, `port` and `ipv6`, the
connector `helo` and `source`, and the destination the rest.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from mta.message.outcome import TryLater
from mta.rate import Rate
from mta.routing.destination_names import carried_destination
from mta.routing.route import Plan, Route, TlsRule
from mta.routing.rules import RouterRules

# Each is stricter than the one before.
_BY_STRICTNESS = (TlsRule.NONE, TlsRule.OPPORTUNISTIC, TlsRule.REQUIRE, TlsRule.VERIFY)


@dataclass(frozen=True, slots=True)
class CarriageRate:
    """Rates that hold together, with the place of the rule that has them: `30-pace.toml:1`, or a variable's name."""

    place: str
    limits: tuple[Rate, ...]
    #: A digest of the rule's text, by which it is known again in another place; "" for a rule without a text.
    rule: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Carriage:
    """The settings of one destination. A setting that is None or empty is as the relay has it without rules."""

    #: The places of the rules that any of the settings come from, each once, in the order of the rules.
    places: tuple[str, ...] = ()
    #: Those of them that may not apply to another domain with the same hosts. Two domains with the same hosts whose
    #: `apart` is different are different destinations; if it is the same, so is their carriage.
    apart: tuple[str, ...] = ()
    #: The largest number of connections to the destination at the same time.
    connections: int | None = None
    #: The messages after which a connection is closed.
    messages_per_connection: int | None = None
    #: The rates of all mail of a rule together, whatever its destination: all that have the same place share a window.
    rates: tuple[CarriageRate, ...] = ()
    #: The rates of this destination alone.
    rates_each: tuple[CarriageRate, ...] = ()
    #: The TLS that the routes require.
    tls: TlsRule | None = None
    #: The port of the hosts that MX records name.
    port: int | None = None
    #: The name that the relay gives in EHLO.
    helo: str | None = None
    #: The relay's own addresses from which to connect, one of each family at most.
    source: tuple[str, ...] = ()
    #: Whether IPv6 addresses are used.
    ipv6: bool | None = None


def carried(plan: Plan, carriage: Carriage, rules: RouterRules) -> Plan | TryLater:
    """Return a plan as the carriage wants it, or the reason why no route of it can be used."""
    routes = tuple(_routes(plan, carriage, rules))
    if routes:
        name = carried_destination(plan.destination, carriage.apart)
        return replace(plan, destination=name, routes=routes, carriage=carriage)
    return TryLater(_why_none(plan, carriage), status="4.4.4")


def _routes(plan: Plan, carriage: Carriage, rules: RouterRules) -> Iterator[Route]:
    for route in plan.routes:
        port, tls = route.port, _tls(route, carriage.tls, rules.tls)
        if carriage.port is not None and route.smarthost is None:
            port = carriage.port
        by_wrong_family = carriage.ipv6 is False and ":" in route.address
        if not by_wrong_family and (port == route.port or not rules.listening.includes(route.address, port)):
            implicit = route.implicit_tls and tls is not TlsRule.NONE
            place = route.tls_place if tls is route.tls else " and ".join(carriage.places)
            yield replace(route, port=port, tls=tls, implicit_tls=implicit, tls_place=place)


def _tls(route: Route, wanted: TlsRule | None, direct: TlsRule) -> TlsRule:
    """Return the TLS rule of a route; `direct` is that of direct delivery.

    A login, the demand of a recipient's domain, and an entry of TLS_POLICY allow only a stricter one.
    """
    if wanted is None:
        return route.tls
    of_policy = route.smarthost is None and route.tls is not direct
    if route.credentials is None and route.proof is None and not of_policy:
        return wanted
    return max(route.tls, wanted, key=_BY_STRICTNESS.index)


def _why_none(plan: Plan, carriage: Carriage) -> str:
    hosts = ", ".join(dict.fromkeys(route.host for route in plan.routes))
    why = "this relay itself" if carriage.port is not None else ""
    if carriage.ipv6 is False:
        why = f"{why}, or an IPv6 address while IPv6 is off" if why else "an IPv6 address while IPv6 is off"
    port = "" if carriage.port is None else f", port {carriage.port},"
    return f"{hosts}{port} is {why}: check {' and '.join(carriage.places)}"
