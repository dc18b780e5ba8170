"""Puts the parts of a relay together around its open queue. `mta.daemon.relay` starts and stops them."""

import time
from collections.abc import Awaitable, Callable, Container, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from twisted.application.service import IService
from twisted.internet.interfaces import IReactorTime

from mta.admin.feed import Feed
from mta.admin.state import Order, RelayState
from mta.admin.traffic import Traffic
from mta.admin.unix_socket import AdminSocket, SocketFactory
from mta.config.readers.events import EventsTarget
from mta.daemon.clocks import CHECK_INTERVAL as CLOCK_INTERVAL
from mta.daemon.clocks import ClockWatch, seconds_since_boot
from mta.daemon.parts.admin import AskedRelay, OwnState
from mta.daemon.parts.context import RelayContext
from mta.daemon.parts.deciding import follow_transport_rules, local_mail, relay_policy, router_rules, sender_rewriting
from mta.daemon.parts.listening import listener
from mta.daemon.parts.lookups import store_lookup, trust_lookup
from mta.daemon.parts.metrics import RelayFigures, dns_observer, relay_figures
from mta.daemon.parts.rates import OwnRates
from mta.daemon.periodic import PeriodicService
from mta.daemon.queues.relay_queue import OpenedQueue, RelayQueue
from mta.daemon.queues.turns import in_turn
from mta.daemon.secure.mx_demands import MxDemands
from mta.delivery.context import DeliveryContext
from mta.delivery.destinations.window import own_windows, window_limits
from mta.delivery.local.aliases import AliasesFile
from mta.delivery.local.forward import Forwarding
from mta.delivery.local.lmtp import LmtpConnector, mail_store
from mta.delivery.local.local import LocalMail
from mta.delivery.remote.connector import ConnectorOptions, SmtpConnector
from mta.delivery.remote.in_flight import AgingInFlightLog, InFlightLog, QueueInFlightLog
from mta.delivery.remote.interface import Connector
from mta.delivery.remote.logins import TokensMissing
from mta.delivery.remote.source import SourceTroubles
from mta.delivery.replies.hints import clear_text_notice
from mta.delivery.reports import DsnReporter
from mta.delivery.retry_policy import RetryPolicy
from mta.delivery.route_rules import RouteRules
from mta.delivery.service import DeliveryService
from mta.delivery.settlement import Settler
from mta.dkim.signature import Canon
from mta.dkim.signer import DkimSigner, Signer, UnsignedNotices
from mta.dns.resolver import DnsResolver, make_resolver
from mta.event_log.log import EventLog
from mta.event_log.repeats import WINDOW as REPEATS_ROUND
from mta.inbound.intake import Intake
from mta.inbound.limits import InboundLimits
from mta.inbound.listener import SmtpServerFactory
from mta.inbound.policy import DomainCheck
from mta.inbound.session import Session
from mta.inbound.sockets.ports import room_for_clients
from mta.inbound.trust import Addresses, HostAddresses, TrustedClients
from mta.message.envelope import Envelope
from mta.queue.interface import Action, QueueId
from mta.queue.upkeep import AUDIT_INTERVAL, HISTORY_INTERVAL, SPACE_INTERVAL, Auditor, HistoryKeeper, SpaceKeeper
from mta.rate_counts import RateCounts
from mta.retry_schedule import RetryTerms
from mta.routing.demands.notices import DailyNotices
from mta.routing.private_addresses import OwnSockets
from mta.routing.route import Route
from mta.routing.router import MailRouter
from mta.rules.book import CurrentRules
from mta.smtp.address import Address
from mta.smtp.domains import DomainList
from mta.tls.server import CHECK_INTERVAL as CERTIFICATE_INTERVAL
from mta.tls.trust_store import TrustStore

if TYPE_CHECKING:
    from mta.events.stream import EventStream
    from mta.oauth.grants import Grant
    from mta.oauth.token_source import TokenSource


@dataclass(frozen=True, slots=True)
class RelayParts:
    """The parts of a relay that its life cycle needs."""

    #: Makes the protocol of each connection.
    factory: SmtpServerFactory
    #: Started and stopped together.
    services: Sequence[IService]
    #: The names of the files that are read again on SIGHUP, each with the callable that reads it.
    reloads: Sequence[tuple[str, Callable[[], object]]]
    #: Called once all services have stopped.
    close: Callable[[], Awaitable[object]]
    #: None if metrics are off.
    figures: RelayFigures | None
    #: The relay as an operator asks and orders it.
    state: OwnState
    delivery: DeliveryService
    #: Has the intake refuse mail, or take it again.
    set_away: Callable[[bool], object]


def wire_up(context: RelayContext, opened: OpenedQueue) -> RelayParts:
    """Build a relay around an open queue: the look-ups, then delivery, then the listener. Start none of it."""
    queue = opened.queue
    settings, event_log, clock = context.settings, context.event_log, context.reactor
    looked_up = dns_observer(context.counters)
    resolver = make_resolver(clock, settings.dns_servers or None, notice=event_log.notice, looked_up=looked_up)
    events = _event_stream(context, settings.events, resolver) if settings.events else None
    trusted = TrustedClients(settings.trusted, trust_lookup(resolver), clock, event_log)
    rules = router_rules(settings, OwnSockets(each.address for each in context.sockets))
    trust_store = TrustStore(settings.smarthost_ca_file, event_log.trouble, context.client_certificate)
    aliases = None if settings.aliases_file is None else AliasesFile(settings.aliases_file, event_log.notice)
    local = _local_mail(context, queue, aliases)
    delivery_context = DeliveryContext(clock, context.wall_clock, event_log)
    tokens = None if settings.grant is None else _token_source(context, resolver, settings.grant, trust_store)
    rule_hosts = _rule_hosts(context.rules, trust_lookup(resolver), clock, event_log)
    demands = MxDemands(context, resolver, queue)
    router = MailRouter(rules, resolver, clock.seconds, secure=demands.routing)
    follow_transport_rules(router, context.rules)
    context.rules.when_changed(trust_store.forget_rules)
    rates = OwnRates(context)
    delivery = DeliveryService(
        queue,
        router,
        _connector(context, _in_flight(context, opened), resolver, trust_store, tokens, demands=demands),
        local,
        _settler(context, queue, delivery_context),
        context=delivery_context,
        windows=context.windows or own_windows(window_limits(settings.retry_schedule)),
        signer=_signer(context, trusted),
        rules=RouteRules(context.rules, trusted.verdict, rule_hosts.addresses),
        new_leave=context.new_leave or rates.new_leave,
    )
    demands.added = delivery.wake
    context.rules.when_changed(delivery.rules_changed)
    limits = InboundLimits(connections=room_for_clients(InboundLimits().connections, event_log.notice))
    intake = _intake(context, queue, delivery, limits, local)
    policy = relay_policy(settings, rules, local, trusted.may_be_trusted)
    # Strangers' look-ups have a router and a share of the resolver of their own, so that they do not delay mail.
    check = DomainCheck(MailRouter(rules, resolver.for_untrusted_clients(), clock.seconds))
    new_session = partial(
        Session,
        policy=policy,
        intake=intake,
        check_domain=check,
        rules=context.rules,
        host_addresses=rule_hosts.addresses,
        rate_counts=context.rate_counts or RateCounts(clock.seconds),
        event_log=event_log,
    )
    factory, login_services = listener(context, trusted, limits, new_session)
    services = [trusted, rule_hosts, demands, delivery, *login_services, *_periodic_services(context, opened, delivery)]
    services += [each for each in (tokens, events) if each is not None]
    figures = relay_figures(context, queue, factory, delivery, tokens)
    reloads = tuple(_reloads(context, aliases, trust_store))
    state = _own_state(context, queue, delivery, partial(_retried, router, demands, tokens))
    if context.alone:
        services.append(_admin_socket(context, state))
    closing = partial(_close, rates, events)
    return RelayParts(factory, services, reloads, closing, figures, state, delivery, intake.set_away)


async def _close(rates: OwnRates, events: "EventStream | None") -> None:
    rates.close()
    if events is not None:
        await events.close()


def _event_stream(context: RelayContext, target: EventsTarget, resolver: DnsResolver) -> "EventStream | None":
    # Imported if needed, because the HTTP client of Twisted is large.
    from mta.daemon.parts.events import event_stream  # noqa: PLC0415

    return event_stream(context, target, resolver)


def _intake(
    context: RelayContext, queue: RelayQueue, delivery: DeliveryService, limits: InboundLimits, local: LocalMail
) -> Intake:
    settings = context.settings
    return Intake(
        queue,
        delivery,
        context.event_log,
        ids=context.ids,
        wall_clock=context.wall_clock,
        name=settings.mailname,
        limits=limits,
        was_delivered_here=_loop_check(local, settings.local_domains),
        keep_subjects=settings.log_subject,
    )


def _rule_hosts(
    current: CurrentRules, look_up: Callable[[str], Awaitable[Addresses]], clock: IReactorTime, event_log: EventLog
) -> HostAddresses:
    """Return the addresses of the host names by which the rules in force name clients."""

    def names() -> tuple[str, ...]:
        return () if current.book is None else current.book.host_names

    hosts = HostAddresses(names(), look_up, clock, event_log, subject="the rules")
    current.when_changed(lambda: hosts.follow(names()))
    return hosts


def _local_mail(context: RelayContext, queue: RelayQueue, aliases: AliasesFile | None) -> LocalMail:
    settings, forwarding = context.settings, None
    if aliases is not None:
        forwarding = Forwarding(
            aliases.current,
            settings.local_domains.matches,
            new_id=lambda: context.ids.new(context.wall_clock()),
            writer=queue.writer,
            require_room=queue.require_room,
            rewriting=sender_rewriting(settings, context.wall_clock, context.event_log.notice),
        )
    return local_mail(settings, context.in_thread, context.wall_clock, forwarding)


def _admin_socket(context: RelayContext, state: RelayState) -> IService:
    """Return the socket at which commands ask and order the relay."""
    factory = SocketFactory(state, context.reactor, context.wall_clock, context.in_thread)
    return AdminSocket(context.reactor, context.home, factory, context.event_log.trouble)


def _own_state(
    context: RelayContext,
    queue: RelayQueue,
    delivery: DeliveryService,
    retried: Callable[[], object],
) -> OwnState:
    """Return the relay as an operator asks and orders it; `retried` is called before mail is tried again by order."""
    event_log = context.event_log
    feed = Feed(event_log.copy_to)
    event_log.copy_errors_to(feed.receive_error)

    def applied(order: Order, ids: list[QueueId]) -> None:
        if order.action is Action.RETRY:
            retried()
        delivery.applied(order.action, ids, order.by, recipient=order.recipient, to=order.to)

    traffic = Traffic(context.settings.queue_dir, context.wall_clock)
    return OwnState(
        AskedRelay(
            context.settings, queue, delivery, context.rules, event_log, applied, context.wall_clock, feed, traffic
        )
    )


def _retried(router: MailRouter, demands: MxDemands, tokens: "TokenSource | None") -> None:
    """Forget the routings and failures that an operator may have mended."""
    router.forget()
    demands.retry()
    if tokens is not None:
        tokens.retry()


def _token_source(
    context: RelayContext, resolver: DnsResolver, grant: "Grant", trust_store: TrustStore
) -> "TokenSource":
    # Imported if needed, because the HTTP client of Twisted is large.
    from mta.daemon.parts.tokens import token_source  # noqa: PLC0415

    return token_source(context, resolver, grant, trust_store)


def _in_flight(context: RelayContext, opened: OpenedQueue) -> InFlightLog:
    if opened.marks_last is None:
        return QueueInFlightLog(opened.queue, context.event_log)
    return AgingInFlightLog(opened.queue, context.event_log, lasts=opened.marks_last, seconds=seconds_since_boot)


def _connector(
    context: RelayContext,
    in_flight: InFlightLog,
    resolver: DnsResolver,
    trust_store: TrustStore,
    tokens: "TokenSource | None",
    *,
    demands: MxDemands,
) -> Connector:
    """Return the connector to remote hosts and, if LOCAL_DELIVERY names one, to the mail store."""
    settings = context.settings
    options = ConnectorOptions(
        context.reactor,
        settings.mailname,
        trust_store.options,
        in_flight,
        in_clear=partial(_notice_clear_text, context, DailyNotices()),
        unproven=partial(_notice_unproven, context, DailyNotices()),
        session_ended=demands.session_ended,
        logins=tokens or TokensMissing(),
        source_missing=SourceTroubles(context.event_log.trouble, context.reactor.seconds).tell,
    )
    connector = SmtpConnector(options)
    store = mail_store(settings.local_delivery)
    if store is None:
        return connector
    return LmtpConnector(connector, store, store_lookup(resolver, ipv6=settings.ipv6))


def _notice_clear_text(context: RelayContext, notices: DailyNotices, route: Route, reason: str) -> None:
    if notices.due(route.host, context.reactor.seconds()):
        context.event_log.notice(clear_text_notice(route, reason))


def _notice_unproven(context: RelayContext, notices: DailyNotices, route: Route, reason: str) -> None:
    # Imported if needed, because a relay with a smarthost has no proofs.
    from mta.delivery.replies.demand_hints import testing_text  # noqa: PLC0415

    if route.proof is not None and notices.due(f"{route.proof.domain} {route.host}", context.reactor.seconds()):
        context.event_log.notice(testing_text(route, route.proof, reason))


def _settler(context: RelayContext, queue: RelayQueue, delivery_context: DeliveryContext) -> Settler:
    retry = RetryPolicy(RetryTerms(context.settings.retry_schedule), context.rules)
    settings = context.settings
    reporter = DsnReporter(settings.mailname, context.ids, retry, postmaster=settings.postmaster)
    return Settler(queue, reporter, retry, delivery_context)


def _signer(context: RelayContext, trusted: TrustedClients) -> Signer | None:
    """Return the signer of reports and of mail from trusted clients and users, or None if mail is not signed."""

    def ours(envelope: Envelope) -> bool:
        origin = envelope.origin
        return not origin.client or origin.authenticated or trusted(origin.client)

    if context.keyring is None:
        return None
    return DkimSigner(
        context.keyring,
        Canon(*context.settings.dkim_canon),
        ours=ours,
        run=context.in_thread,
        unsigned=UnsignedNotices(time.time, context.event_log.notice),
    )


def _loop_check(local: LocalMail, local_domains: DomainList) -> Callable[[Iterable[Address], Container[bytes]], bool]:
    """Return a callable that tells whether a message was delivered before to one of its local recipients."""

    def was_delivered_here(addresses: Iterable[Address], delivered_to: Container[bytes]) -> bool:
        return local.was_delivered_here(
            (each for each in addresses if not each.domain or local_domains.matches(each.domain)), delivered_to
        )

    return was_delivered_here


def _periodic_services(context: RelayContext, opened: OpenedQueue, delivery: DeliveryService) -> Iterator[IService]:
    queue, has_turn = opened.queue, opened.has_turn
    event_log, clock = context.event_log, context.reactor
    now, trouble = context.wall_clock, event_log.trouble
    history = HistoryKeeper(queue, context.settings.history_days, wall_clock=now, trouble=trouble)
    space = SpaceKeeper(queue, wall_clock=now, notice=event_log.notice, trouble=event_log.trouble)
    queue.when_short(lambda: clock.callLater(0, space.look))
    auditor = Auditor(queue, wall_clock=now, alarm=event_log.alarm, trouble=trouble)
    clocks = ClockWatch(
        wall_clock=time.time,
        monotonic=clock.seconds,
        make_all_due=lambda: queue.make_all_due(now()).addCallback(lambda _: delivery.wake()),
        wake=delivery.wake,
        event_log=event_log,
    )
    forget = in_turn(history.forget, "forget", HISTORY_INTERVAL, has_turn)
    audit = in_turn(auditor.look, "audit", AUDIT_INTERVAL, has_turn)
    yield PeriodicService(forget, HISTORY_INTERVAL, clock)
    yield PeriodicService(space.look, SPACE_INTERVAL, clock)
    yield PeriodicService(audit, AUDIT_INTERVAL, clock)
    yield PeriodicService(event_log.write_repeats, REPEATS_ROUND, clock)
    yield PeriodicService(clocks.look, CLOCK_INTERVAL, clock)
    if context.certificate is not None:
        yield PeriodicService(context.certificate.check, CERTIFICATE_INTERVAL, clock)
    if context.settings.postmaster is not None and context.home == context.settings.queue_dir:
        # Imported if needed, because few relays have a postmaster.
        from mta.daemon.parts.digest import digest_service  # noqa: PLC0415

        yield digest_service(context, context.settings.postmaster, queue, delivery.wake)


def _reloads(
    context: RelayContext, aliases: AliasesFile | None, trust_store: TrustStore
) -> Iterator[tuple[str, Callable[[], object]]]:
    if context.certificate is not None:
        yield "CERTIFICATE_PATH and KEY_PATH", context.certificate.reload
    if context.client_certificate is not None:
        yield "SMARTHOST_CERTIFICATE_PATH and SMARTHOST_KEY_PATH", context.client_certificate.reload
    if context.keyring is not None:
        yield "DKIM_KEY_PATH", context.keyring.reload
    if aliases is not None:
        yield "ALIASES_FILE", aliases.reload
    if context.users is not None and context.settings.auth_users_file is not None:
        yield "AUTH_USERS_FILE", context.users.reload
    own = context.settings.smarthost_ca_file is not None
    yield "SMARTHOST_CA_FILE" if own else "the system's authorities", trust_store.reload
