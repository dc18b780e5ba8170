"""Gathers the facts about a destination: from the relay or its queue files, the DNS, and the present settings."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby

from mta.admin.state import RelayState
from mta.explain.demands.words import demanded_of, left_out, policy_lines
from mta.explain.destination.facts import DestinationFacts, TlsFact, Ways
from mta.explain.destination.live import host_name
from mta.explain.destination.mx_hosts import MxHosts, find_mx_hosts
from mta.explain.destination.page import NoDestination
from mta.explain.message.gathering import address_of, envelope_of
from mta.explain.parts import DecidingParts
from mta.explain.present import PresentRelay
from mta.explain.route_stage import decide_route, plan_of
from mta.explain.transport_stage import decide_transport
from mta.explain.values import RouteKind, RouteVerdict
from mta.message.envelope import Envelope, Origin, Recipient, TlsDemand
from mta.queue.interface import Entry, Query, Status
from mta.queue.search.conditions import Conditions, State
from mta.routing.choice import MxOf
from mta.routing.route import Plan, Smarthost
from mta.smtp.address import Address, AddressError, is_ip, parse_address, parse_domain

#: Messages that are read for their replies: the newest and the oldest that wait, and the newest of all.
LOOKED_AT = 20
#: Domains that are told for a host.
MAX_DOMAINS = 20


async def gather(name: str, state: RelayState, present: PresentRelay | None, now: float) -> DestinationFacts:
    """Return the facts about a destination; `name` is a domain, an address of it, a host, or a smarthost's name.

    Without `present` the route is not told. Raises NoDestination, and StateError as `state` does.
    """
    smarthost = None if present is None else _smarthost(name, present)
    recipient = _recipient(name, named=smarthost is not None)
    domain = recipient.domain if recipient is not None else name.lower()
    shapes = await state.domains()
    live = await state.destinations()
    shape = next((each for each in shapes if each.domain == domain), None)
    if "." not in domain and ":" not in domain and not (smarthost or shape):
        raise NoDestination(f"{name} is no id of a message, and the name of no domain, host or smarthost that is known")
    by_host = [each for each in shapes if host_name(each.host) == domain or f"[{domain}]" in each.host][:MAX_DOMAINS]
    is_host = bool(by_host) or smarthost is not None or any(domain in each.hosts for each in live)
    as_domain = recipient is not None and (shape is not None or not is_host)
    entries = await _entries(domain, state, as_domain=as_domain)
    ways = None
    if as_domain and recipient is not None and present is not None:
        ways = await _ways(recipient, entries, present)
    names = [domain]
    if smarthost is not None:
        names.append(smarthost.name)
    if ways is not None and ways.destinations:
        names += ways.destinations
    elif as_domain:
        # The hosts are not looked up, so those count that the domain's mail was tried at.
        names += [host_name(each.host) for entry in entries for each in entry.recipients if each.host]
    unknown = ways is not None and ways.mx is None and ways.route.kind is RouteKind.MX
    return DestinationFacts(
        domain,
        now,
        (await state.about()).started is not None,
        ways,
        shape=shape,
        by_host=tuple(by_host),
        smarthost=smarthost,
        live=tuple(each for each in live if not {each.name, *each.domains, *each.hosts}.isdisjoint(names)),
        entries=tuple(entries),
        hints=("names were not looked up, so the MX hosts are not told",) if unknown else (),
    )


def _recipient(name: str, *, named: bool) -> Address | None:
    """Return an address of the domain, or None for a smarthost's name or an IP address. Raises NoDestination."""
    if (named and "." not in name) or is_ip(name):
        return None
    try:
        if "@" in name:
            return parse_address(name, loose=True)
        return Address("postmaster", parse_domain(name, loose=True))
    except AddressError as error:
        raise NoDestination(f"{name} is the name of no domain, host or smarthost: {error}") from None


def _smarthost(name: str, present: PresentRelay) -> Smarthost | None:
    """Return the smarthost with this name or with this host."""
    known = [] if present.settings.smarthost is None else [present.settings.smarthost]
    if present.book is not None and present.book.router is not None:
        known += present.book.router.smarthosts
    name = name.lower()
    return next((each for each in known if name == each.name or name in [host.lower() for host, _ in each.hosts]), None)


async def _entries(domain: str, state: RelayState, *, as_domain: bool) -> list[Entry]:
    """Return some messages of a domain, or of those that a host answered, each once."""
    wanted = Conditions(domain=domain) if as_domain else Conditions(host=domain)
    waiting = Conditions(domain=wanted.domain, host=wanted.host, states=(State.WAITING, State.HELD))
    found = [
        *await state.find(Query(conditions=waiting, limit=LOOKED_AT, details=True)),
        *await state.find(Query(conditions=waiting, limit=LOOKED_AT, newest_first=True, details=True)),
        *await state.find(Query(conditions=wanted, limit=LOOKED_AT, newest_first=True, finished=True, details=True)),
    ]
    return list({entry.id: entry for entry in found}.values())


async def _ways(recipient: Address, entries: Sequence[Entry], present: PresentRelay) -> Ways:
    """Return how mail for a domain goes now, as that of a message that waits for it, or of the relay itself."""
    relay = await present.parts()
    recipient, envelope = _example(recipient, entries, relay)
    route = await decide_route(recipient, envelope, relay)
    plan = await plan_of(recipient, envelope, relay)
    demands = dict.fromkeys(TlsDemand(entry.tls_demand) for entry in entries if entry.tls_demand)
    others = [await plan_of(recipient, replace(envelope, tls_demand=demand), relay) for demand in demands]
    mx: MxHosts | None = None
    policy: tuple[str, ...] = ()
    if present.resolver is not None and route.kind is RouteKind.MX:
        choice = relay.route_rules.way(envelope, recipient).choice
        domain = choice.domain if isinstance(choice, MxOf) and choice.domain else recipient.domain
        mx = await find_mx_hosts(domain, present.resolver, relay.rules, time.monotonic)
        if relay.demands is not None:
            found = await relay.demands(domain)
            policy = tuple(policy_lines(found))
            mx = _without(mx, left_out(found))
    return Ways(
        route,
        decide_transport(recipient, route, relay),
        mx if plan is None else _as_carried(mx, route, plan),
        () if plan is None else tuple(_tls(plan)),
        tuple(each.destination for each in (plan, *others) if each is not None),
        policy,
    )


def _without(mx: MxHosts, reasons: Mapping[str, str]) -> MxHosts:
    """Return the MX hosts, those left out that may not have the mail for these reasons."""
    hosts = (
        host if host.left_out or host.name not in reasons else replace(host, left_out=reasons[host.name])
        for host in mx.hosts
    )
    return replace(mx, hosts=tuple(hosts))


def _example(recipient: Address, entries: Sequence[Entry], relay: DecidingParts) -> tuple[Address, Envelope]:
    """Return a recipient of the domain and its envelope, because rules may ask for them.

    The demand of one message on TLS is not that of mail for the domain.
    """
    for entry in entries:
        for state in entry.recipients:
            address = address_of(state.address)
            if state.status is Status.WAITING and address is not None and address.domain == recipient.domain:
                return address, replace(envelope_of(entry, (address,), relay), tls_demand=None)
    return recipient, Envelope(None, (Recipient(recipient),), Origin.of_relay(relay.settings.mailname))


def _as_carried(mx: MxHosts | None, route: RouteVerdict, plan: Plan) -> MxHosts | None:
    """Return the MX hosts, those among them left out that transport rules have taken from the plan."""
    if mx is None or plan.carriage is None:
        return mx
    used = {each.host for each in plan.routes}
    lost = f"the relay's own port or IPv6 by {' and '.join(plan.carriage.places)}"
    hosts = (
        replace(host, left_out=lost)
        if not host.left_out and host.name in route.names and host.name not in used
        else host
        for host in mx.hosts
    )
    return replace(mx, hosts=tuple(hosts))


def _tls(plan: Plan) -> Iterator[TlsFact]:
    """Yield the TLS policies of a plan, each with its hosts."""
    for (rule, implicit, place, demand), group in groupby(
        plan.routes,
        lambda each: (each.tls, each.implicit_tls, each.tls_place or _place(each.smarthost), demanded_of(each)),
    ):
        yield TlsFact(tuple(dict.fromkeys(route.host for route in group)), rule, implicit, place, demand)


def _place(smarthost: Smarthost | None) -> str:
    return "" if smarthost is None else smarthost.place
