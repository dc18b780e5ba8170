"""Where accepted mail goes: the decisions of `[[router]]` rules and of the relay's router on each recipient."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import groupby

from mta.config.summary import describe_local_delivery
from mta.explain.demands.words import demanded_of
from mta.explain.parts import DecidingParts
from mta.explain.values import RouteKind, RouteVerdict
from mta.message.envelope import Envelope
from mta.message.outcome import Failed, TryLater
from mta.routing.carriage import carried
from mta.routing.choice import Discard, Fail, MxOf, Reroute, RouteChoice, ViaSmarthost
from mta.routing.hostpatterns import host_address
from mta.routing.route import Local, Plan, Routing, Smarthost
from mta.routing.rules import like_a_rule
from mta.rules.explanation import RouteDecision, explain_route
from mta.smtp.address import Address, bracketed, literal_ip

_DEFAULT = "default"


@dataclass(frozen=True, slots=True)
class _Way:
    """A way as far as settings and rules tell it."""

    kind: RouteKind
    words: str
    hosts: tuple[str, ...] = ()
    #: The setting or table that has the hosts, or "".
    setting: str = ""
    smarthost: str = ""
    names: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Return the words with the setting."""
        return f"{self.words} ({self.setting})" if self.setting else self.words


async def decide_route(
    address: Address, envelope: Envelope, relay: DecidingParts, *, ordered: str = ""
) -> RouteVerdict:
    """Return the route of mail for a recipient of an envelope in the queue.

    `ordered` is the way that an operator wants for the next attempt (`mta.routing.choice`), or "".
    """
    if relay.rules.is_local(address.domain):
        return _local(str(address), address.domain, relay)
    usual = await _usual(address, envelope, relay)
    return await _by_order(Reroute(ordered), address, usual, envelope, relay) if ordered else usual


async def _by_order(
    order: Reroute, address: Address, usual: RouteVerdict, envelope: Envelope, relay: DecidingParts
) -> RouteVerdict:
    choice = like_a_rule(order, relay.rules)
    found = replace(usual, words="nowhere") if choice is None else await _route(address, choice, envelope, relay)
    words = f"{found.words} (the next attempt alone, by the order {order.where}); then again {usual.words}"
    return replace(found, words=words, passed_over=())


async def _usual(address: Address, envelope: Envelope, relay: DecidingParts) -> RouteVerdict:
    way = relay.route_rules.way(envelope, address)
    if way.open:
        words = "waits until a host name in the rules is looked up"
        return RouteVerdict(str(address), RouteKind.UNDECIDED, words)
    verdict = await _route(address, way.choice, envelope, relay)
    return verdict if relay.route_rules.routes is None else _with_rules(verdict, address, envelope, relay)


async def plan_of(address: Address, envelope: Envelope, relay: DecidingParts) -> Plan | None:
    """Return the plan of mail for a recipient, or None if it goes to no host, or its hosts are not known."""
    way = relay.route_rules.way(envelope, address)
    if relay.rules.is_local(address.domain) or way.open or not relay.can_resolve(address, way.choice):
        return None
    routing: Routing | TryLater = await relay.router.resolve(address.domain, way.choice, envelope.tls_demand)
    if isinstance(routing, Plan):
        names = tuple(dict.fromkeys(route.host for route in routing.routes))
        routing = _as_rules_want(routing, address.domain, names, relay)
    return routing if isinstance(routing, Plan) else None


async def _route(
    address: Address, choice: RouteChoice | None, envelope: Envelope, relay: DecidingParts
) -> RouteVerdict:
    """Return the route of mail by the choice of a rule, or by the settings alone."""
    recipient, way = str(address), _way(address, choice, relay)
    verdict = RouteVerdict(
        recipient, way.kind, way.words, way.hosts, way.setting, names=way.names, smarthost=way.smarthost
    )
    if isinstance(choice, Discard | Fail):
        return replace(verdict, failed=isinstance(choice, Fail))
    if not relay.can_resolve(address, choice):
        return replace(verdict, demands=_entry(address, choice, relay)) if way.kind is RouteKind.MX else verdict
    routing: Routing = await relay.router.resolve(address.domain, choice, envelope.tls_demand)
    names: tuple[str, ...] = ()
    if isinstance(routing, Plan):
        names = tuple(dict.fromkeys(route.host for route in routing.routes))
        routing = _as_rules_want(routing, address.domain, names, relay)
    match routing:
        case Failed(text) | Fail(text):
            return replace(verdict, words=f"returned: {text}", hosts=(), failed=True)
        case TryLater(text):
            return replace(verdict, words=f"waits: {text}", hosts=(), names=names)
        case Local():
            return _local(recipient, address.domain, relay)
        case Discard():
            return replace(verdict, words="discarded", hosts=())
    if way.kind in {RouteKind.MX, RouteKind.LITERAL}:
        way = _way(address, choice, relay, routing.routes[0].port)
    demands = tuple(_demands(routing))
    if not relay.dns:
        return replace(verdict, words=way.words, hosts=way.hosts, names=way.names or names, demands=demands)
    labels = tuple(route.label for route in routing.routes)
    return replace(verdict, words=f"{way.words}: {', '.join(labels)}", hosts=labels, names=names, demands=demands)


def _entry(address: Address, choice: RouteChoice | None, relay: DecidingParts) -> tuple[str, ...]:
    """Return the entry of TLS_POLICY for mail by MX, which no look-up is needed to know."""
    domain = choice.domain if isinstance(choice, MxOf) and choice.domain else address.domain
    entry = relay.settings.secure_delivery.tls_policy.entry(domain)
    return () if entry is None else (f"TLS_POLICY has {entry}",)


def _demands(plan: Plan) -> Iterator[str]:
    """Yield the proof that each host of a plan must give; hosts with the same demand are told together."""
    for demand, group in groupby(plan.routes, demanded_of):
        if demand:
            yield f"{', '.join(dict.fromkeys(route.host for route in group))}: {demand}"


def _as_rules_want(plan: Plan, domain: str, names: tuple[str, ...], relay: DecidingParts) -> Plan | TryLater:
    """Return a plan with the ports and without the addresses that `[[transport]]` rules change and leave out."""
    transport = None if relay.book is None else relay.book.transport
    smarthost = "" if plan.smarthost is None else plan.smarthost.name
    carriage = None if transport is None else transport.carriage(domain, smarthost, names)
    return plan if carriage is None else carried(plan, carriage, relay.rules)


def _with_rules(verdict: RouteVerdict, address: Address, envelope: Envelope, relay: DecidingParts) -> RouteVerdict:
    """Return a verdict with the rule that has decided, the way without it, and the rules that were passed over."""
    origin = envelope.origin
    trusted = not origin.client or origin.authenticated or bool(relay.trust(origin.client).verdict)
    facts = relay.route_rules.facts(envelope, address, trusted=trusted)
    found: RouteDecision = explain_route(relay.route_rules.routes, facts)
    passed_over = tuple(map(str, found.passed_over))
    if found.chosen is None:
        return replace(verdict, passed_over=passed_over)
    other = found.otherwise
    otherwise = str(_way(address, None if other is None else other.choice, relay))
    by = "" if other is None else f" by {other.rule}"
    return replace(verdict, rule=str(found.chosen.rule), otherwise=otherwise + by, passed_over=passed_over)


def _local(recipient: str, domain: str, relay: DecidingParts) -> RouteVerdict:
    named = bool(domain) and not domain.startswith("[") and domain != "localhost"
    setting = "OTHER_HOSTNAMES" if named else ""
    return RouteVerdict(recipient, RouteKind.LOCAL, f"local, {describe_local_delivery(relay.settings)}", (), setting)


def _way(address: Address, choice: RouteChoice | None, relay: DecidingParts, port: int = 0) -> _Way:
    """Return the way of a choice, or without one that of the settings; `port` is that of MX hosts if rules set it."""
    smarthost, port = relay.settings.smarthost, port or relay.settings.port_out
    match choice:
        case Discard():
            return _Way(RouteKind.DISCARD, "discarded, without a report")
        case Fail(text, status):
            return _Way(RouteKind.FAIL, f"returned to the sender: {status} {text}")
        case ViaSmarthost(chosen):
            return _by_rule(chosen)
        case MxOf(domain):
            return _by_mx(address, domain, port)
    if smarthost is None:
        return _by_mx(address, None, port)
    hosts = _hosts(smarthost)
    words = f"the smarthost {', '.join(hosts)}"
    return _Way(RouteKind.SMARTHOST, words, hosts, smarthost.place, _DEFAULT, _names(smarthost))


def _by_rule(smarthost: Smarthost) -> _Way:
    hosts = _hosts(smarthost)
    if smarthost.lists_hosts:
        # The hosts of a rule, whose place is told anyway.
        return _Way(RouteKind.HOSTS, ", ".join(hosts), hosts, "", smarthost.name, _names(smarthost))
    login = ", with its login" if smarthost.credentials is not None else ""
    words = f"the smarthost {smarthost.name}, {', '.join(hosts)}{login}"
    return _Way(RouteKind.SMARTHOST, words, hosts, smarthost.place, smarthost.name, _names(smarthost))


def _by_mx(address: Address, other: str | None, port: int) -> _Way:
    if address.is_literal and other is None:
        host = f"{bracketed(literal_ip(address.domain))}:{port}"
        return _Way(RouteKind.LITERAL, "the host of the address literal", (host,))
    return _Way(RouteKind.MX, f"the MX hosts of {other or address.domain}, port {port}")


def _hosts(smarthost: Smarthost) -> tuple[str, ...]:
    return tuple(f"{bracketed(host)}:{port}" for host, port in smarthost.hosts)


def _names(smarthost: Smarthost) -> tuple[str, ...]:
    """Return the names of the hosts as routes have them."""
    return tuple(dict.fromkeys(host_address(host) or host.rstrip(".") for host, _ in smarthost.hosts))
