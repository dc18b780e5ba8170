"""Puts the parts of the house together, once ports and queue are open; mta.daemon.relay starts and stops them."""

import socket
import time
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from twisted.application.service import IService
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThreadPool

from mta.config.settings import Settings
from mta.daemon.clocks import ROUND as CLOCK_ROUND
from mta.daemon.clocks import ClockWatch
from mta.daemon.control import ControlService
from mta.daemon.periodic import PeriodicService
from mta.delivery.destinations.window import NewWindow, own_windows, window_limits
from mta.delivery.local.aliases import AliasesFile
from mta.delivery.local.forward import Forwarding
from mta.delivery.local.lmtp import LmtpConnector, LookUp, mail_store
from mta.delivery.local.local import LocalMail
from mta.delivery.local.rule import LocalKind
from mta.delivery.remote.connector import ConnectorOptions, SmtpConnector
from mta.delivery.remote.in_flight import QueueInFlightLog
from mta.delivery.remote.interface import Connector
from mta.delivery.replies.hints import ClearTextNotices
from mta.delivery.reports import DsnReporter
from mta.delivery.service import DeliveryService
from mta.delivery.settlement import Settler
from mta.dkim.keyring import Keyring
from mta.dkim.signature import Canon
from mta.dkim.signer import DkimSigner, Signer, UnsignedNotices
from mta.dns.answers import AddressAnswer, Found, LookupFailed
from mta.dns.resolver import DnsResolver, make_resolver
from mta.event_log.log import EventLog
from mta.event_log.repeats import WINDOW as REPEATS_ROUND
from mta.inbound.balance import Balance
from mta.inbound.intake import Intake
from mta.inbound.limits import InboundLimits
from mta.inbound.listener import ESMTPFactory
from mta.inbound.networks import client_address
from mta.inbound.policy import Client, DomainCheck, Policy
from mta.inbound.ports import room_for_clients
from mta.inbound.session import Session
from mta.inbound.trust import Addresses, TrustedClients
from mta.message.envelope import Envelope
from mta.message.outcome import TryLater
from mta.queue.ids import IdSource
from mta.queue.sqlite.queue import SqliteQueue
from mta.queue.upkeep import HISTORY_ROUND, Auditor, HistoryKeeper, RoomKeeper
from mta.queue.upkeep import LOOK as ROOM_LOOK
from mta.queue.upkeep import ROUND as AUDIT_ROUND
from mta.routing.private_addresses import OwnSockets
from mta.routing.route import Route
from mta.routing.router import MailRouter
from mta.routing.rules import RouterRules
from mta.smtp.address import Address
from mta.smtp.limits import STRICT, Leniency, SmtpLimits
from mta.smtp.server.machine import ServerMachine
from mta.tls.authorities import Authorities
from mta.tls.server import ROUND as CERTIFICATE_ROUND
from mta.tls.server import ListeningCertificate


@dataclass(frozen=True, slots=True)
class RelayContext:
    """What a relay is given; everything in it stands on this."""

    settings: Settings
    reactor: Any
    event_log: EventLog
    #: Bound and listening; the relay closes them.
    sockets: Sequence[socket.socket]
    certificate: ListeningCertificate | None
    keyring: Keyring | None
    #: Where the queue lies, and with it the control socket.
    home: Path
    ids: IdSource
    #: Given when other processes share the limits of destinations, and when they accept from the same sockets.
    windows: NewWindow | None = None
    balance: Balance | None = None


class Assembly:
    """The parts of one daemon. `listener` makes sessions; `services` are started together and stopped together."""

    def __init__(self, premises: RelayContext, queue: SqliteQueue) -> None:
        self._premises = premises
        self._queue = queue
        self._settings = settings = premises.settings
        self._event_log = event_log = premises.event_log
        self._ids = premises.ids
        clock = premises.reactor
        self._resolver = make_resolver(clock, settings.dns_servers or None, notice=event_log.notice)
        self._trusted = TrustedClients(settings.trusted, _looking_up(self._resolver), clock, event_log)
        self._rules = self._router_rules()
        self._router = MailRouter(self._rules, self._resolver, clock.seconds)
        self._local = self._local_mail()
        delivery = self._delivery()
        self.listener: ESMTPFactory = self._listener(delivery)
        #: The files that are read again when the operator asks: the name of the setting, and how.
        self.files: Sequence[tuple[str, Callable[[], object]]] = tuple(self._reloaded())
        keeper = HistoryKeeper(queue, settings.history_days, wall_clock=time.time, trouble=event_log.trouble)
        room = RoomKeeper(queue, wall_clock=time.time, notice=event_log.notice, trouble=event_log.trouble)
        queue.when_short(lambda: clock.callLater(0, room.look))
        auditor = Auditor(queue, wall_clock=time.time, alarm=event_log.alarm, trouble=event_log.trouble)
        self.services: tuple[IService, ...] = (
            self._trusted,
            delivery,
            PeriodicService(keeper.forget, HISTORY_ROUND, clock),
            PeriodicService(room.look, ROOM_LOOK, clock),
            PeriodicService(auditor.look, AUDIT_ROUND, clock),
            PeriodicService(event_log.tell_repeats, REPEATS_ROUND, clock),
            PeriodicService(self._clock_watch(delivery).look, CLOCK_ROUND, clock),
            ControlService(clock, premises.home, delivery.applied, event_log.trouble),
            *(
                ()
                if premises.certificate is None
                else (PeriodicService(premises.certificate.look, CERTIFICATE_ROUND, clock),)
            ),
        )

    def _router_rules(self) -> RouterRules:
        settings = self._settings
        return RouterRules(
            mailname=settings.mailname,
            local_domains=settings.local_domains,
            relay_domains=settings.relay_domains,
            smarthost=settings.smarthost,
            port_out=settings.port_out,
            ipv6=settings.ipv6,
            private=settings.private_destinations,
            listening=OwnSockets((each.getsockname()[0], settings.port) for each in self._premises.sockets),
        )

    def _reloaded(self) -> Iterator[tuple[str, Callable[[], object]]]:
        premises = self._premises
        if premises.certificate is not None:
            yield "CERTIFICATE_PATH and KEY_PATH", premises.certificate.reload
        if premises.keyring is not None:
            yield "DKIM_KEY_PATH", premises.keyring.reload
        if self._aliases is not None:
            yield "ALIASES_FILE", self._aliases.reload
        own = self._settings.smarthost_ca_file is not None
        yield "SMARTHOST_CA_FILE" if own else "the system's authorities", self._authorities.reload

    def _local_mail(self) -> LocalMail:
        settings, forwarding = self._settings, None
        self._aliases: AliasesFile | None = None
        if settings.aliases_file is not None:
            aliases = self._aliases = AliasesFile(settings.aliases_file, self._event_log.notice)
            forwarding = Forwarding(
                aliases.current,
                settings.local_domains.matches,
                new_id=lambda: self._ids.new(time.time()),
                writer=self._queue.writer,
                require_room=self._queue.require_room,
            )
        return LocalMail(
            settings.mail_dir,
            settings.mailname,
            run=self._in_a_thread,
            wall_clock=time.time,
            create=settings.local_delivery.kind is LocalKind.MAILDIR_CREATE,
            store=mail_store(settings.local_delivery),
            forwarding=forwarding,
        )

    def _in_clear(self, notices: ClearTextNotices, route: Route, reason: str) -> None:
        text = notices.text(route, reason, self._premises.reactor.seconds())
        if text is not None:
            self._event_log.notice(text)

    def _connector(self) -> Connector:
        settings = self._settings
        self._authorities = Authorities(settings.smarthost_ca_file, self._event_log.trouble)
        tls_options = self._authorities.options
        in_flight = QueueInFlightLog(self._queue, self._event_log)
        in_clear = partial(self._in_clear, ClearTextNotices())
        options = ConnectorOptions(self._premises.reactor, settings.mailname, tls_options, in_flight, in_clear=in_clear)
        connector = SmtpConnector(options)
        store = mail_store(settings.local_delivery)
        if store is None:
            return connector
        return LmtpConnector(connector, store, _store_addresses(self._resolver, ipv6=settings.ipv6))

    def _delivery(self) -> DeliveryService:
        settings = self._settings
        reporter = DsnReporter(settings.mailname, self._ids, settings.retry_schedule)
        settler = Settler(
            self._queue, reporter, settings.retry_schedule, wall_clock=time.time, event_log=self._event_log
        )
        return DeliveryService(
            self._queue,
            self._router,
            self._connector(),
            self._local,
            settler,
            windows=self._premises.windows or own_windows(window_limits(settings.retry_schedule)),
            clock=self._premises.reactor,
            wall_clock=time.time,
            event_log=self._event_log,
            signer=self._signer(),
        )

    def _clock_watch(self, delivery: DeliveryService) -> ClockWatch:
        def make_all_due() -> None:
            self._queue.make_all_due(time.time()).addCallback(lambda _: delivery.wake())

        steady, event_log = self._premises.reactor.seconds, self._event_log
        return ClockWatch(
            wall_clock=time.time, steady=steady, make_all_due=make_all_due, wake=delivery.wake, event_log=event_log
        )

    def _signer(self) -> Signer | None:
        keyring = self._premises.keyring
        if keyring is None:
            return None
        return DkimSigner(
            keyring,
            Canon(*self._settings.dkim_canon),
            ours=self._is_ours,
            run=self._in_a_thread,
            unsigned=UnsignedNotices(time.time, self._event_log.notice),
        )

    def _is_ours(self, envelope: Envelope) -> bool:
        client = envelope.origin.client
        return not client or self._trusted(client)

    def _listener(self, delivery: DeliveryService) -> ESMTPFactory:
        settings, event_log, name = self._settings, self._event_log, self._settings.mailname
        smtp_limits = SmtpLimits(message_size=settings.message_size_limit, text_line=settings.line_length_limit)
        limits = InboundLimits(connections=room_for_clients(InboundLimits().connections, event_log.notice))
        intake = self._intake(delivery, limits)
        policy = Policy(settings.relay_domains, self._rules.is_local, self._local.accepts, self._trusted.may_be_trusted)
        leniency = self._leniency()
        certificate, clock = self._premises.certificate, self._premises.reactor
        # A router and a share of the look-ups of their own: the questions of strangers do not delay mail.
        check = DomainCheck(MailRouter(self._rules, self._resolver.for_strangers(), clock.seconds))

        def new_session(client: Client, late: Callable[[], None]) -> Session:
            # A report of success goes to whomever a stranger names as the sender.
            machine = ServerMachine(
                smtp_limits, name, starttls=certificate is not None, dsn=client.trusted, leniency=leniency(client)
            )
            return Session(machine, client, policy, intake, existence=check, event_log=event_log, late=late)

        return ESMTPFactory(
            new_session, self._trusted, event_log, name=name, limits=limits, clock=clock, certificate=certificate
        )

    def _intake(self, delivery: DeliveryService, limits: InboundLimits) -> Intake:
        return Intake(
            self._queue,
            delivery,
            self._event_log,
            ids=self._ids,
            wall_clock=time.time,
            name=self._settings.mailname,
            limits=limits,
            visited=self._was_here,
        )

    def _leniency(self) -> Callable[[Client], Leniency]:
        name, line_feeds = self._settings.mailname, self._settings.line_endings == "normalize"
        own = Leniency(name, names=True, haste=True, line_feeds=line_feeds)
        # A look-up may yet show that the client is trusted, so no command is refused for good.
        undecided = Leniency(name, names=True)

        def leniency(client: Client) -> Leniency:
            if client.trusted:
                return own
            return undecided if self._trusted.may_be_trusted(client.address) else STRICT

        return leniency

    def _was_here(self, addresses: Iterable[Address], marks: Container[bytes]) -> bool:
        ours = self._settings.local_domains.matches
        return self._local.was_here((each for each in addresses if not each.domain or ours(each.domain)), marks)

    def _in_a_thread(self, work: Callable[[], Any]) -> "Deferred[Any]":
        return deferToThreadPool(self._premises.reactor, self._premises.reactor.getThreadPool(), work)


def _looking_up(resolver: DnsResolver) -> Callable[[str], Any]:
    async def look_up(name: str) -> Addresses:
        answer = await resolver.addresses(name, search=True)
        if isinstance(answer, Found):
            found = (client_address(text) for text in answer.records)
            known = frozenset(address for address in found if address is not None)
            return Addresses(known, answer.ttl, answer.incomplete)
        return Addresses(None if isinstance(answer, LookupFailed) else frozenset(), answer.ttl, _why_none(answer))

    return look_up


def _store_addresses(resolver: DnsResolver, *, ipv6: bool) -> LookUp:
    async def look_up(host: str) -> Sequence[str] | TryLater:
        answer = await resolver.addresses(host, ipv6=ipv6, search=True)
        if isinstance(answer, Found):
            return answer.records
        return TryLater(f"looking up {host} failed: {_why_none(answer)}", status="4.4.3")

    return look_up


def _why_none(answer: AddressAnswer) -> str:
    return answer.reason if isinstance(answer, LookupFailed) else "there is no such host"
