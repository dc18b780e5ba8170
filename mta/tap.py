"""Options and makeService for twistd: the only place that builds concrete things."""

import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NoReturn

from twisted.application.service import MultiService
from twisted.internet.defer import Deferred, gatherResults, maybeDeferred
from twisted.internet.interfaces import IListeningPort
from twisted.internet.threads import deferToThreadPool
from twisted.logger import ILogObserver, Logger
from twisted.python import usage
from twisted.python.components import Componentized

import mta
from mta.config.settings import Settings, SettingsError, read_settings
from mta.config.understanding import understanding
from mta.delivery.aliasfile import AliasesFile
from mta.delivery.carriage import Carrier
from mta.delivery.carrier import Parts, SmtpCarrier
from mta.delivery.keyring import DkimKeyError, open_keyring
from mta.delivery.lmtp import LookUp, StoreCarrier, mail_store
from mta.delivery.local import Forwarding, LocalMail
from mta.delivery.localrule import LocalKind
from mta.delivery.reports import DsnReporter
from mta.delivery.service import DeliveryService
from mta.delivery.settlement import Settler
from mta.delivery.signing import DkimSigner, Signer
from mta.inbound.existence import DomainCheck
from mta.inbound.intake import Intake
from mta.inbound.listener import ESMTPFactory
from mta.inbound.networks import client_address
from mta.inbound.policy import Client, Policy
from mta.inbound.ports import PortError, bind
from mta.inbound.session import Session
from mta.inbound.tls import CertificateError, CertificateWatch, ListeningCertificate
from mta.inbound.trust import Addresses, TrustedClients
from mta.message.dkim import Canon
from mta.message.envelope import Envelope
from mta.message.outcome import TryLater
from mta.ops.control import ControlService
from mta.ops.journal import FORMATS, Journal
from mta.ops.notify import ManagerService, find_manager
from mta.ops.output import Output, TwistedObserver
from mta.queue.ids import IdSource
from mta.queue.interface import QueueError, Summary
from mta.queue.keeper import HistoryKeeper
from mta.queue.place import place_notice
from mta.queue.runner import Workers
from mta.queue.sqlite import open_queue
from mta.routing.answers import Found, LookupFailed
from mta.routing.resolver import DnsResolver, make_resolver
from mta.routing.router import MailRouter
from mta.routing.rules import RouterRules
from mta.routing.targets import OwnSockets
from mta.routing.tls import Trust, client_options
from mta.smtp.limits import Limits
from mta.smtp.server import ServerMachine

_log = Logger()


class Options(usage.Options):
    """The command line of `twistd smtprelay`, which has no options: the environment is the configuration."""

    synopsis = "(all settings are environment variables: see `smtprelay config show`)"
    settings: Settings
    output: Output
    journal: Journal

    def postOptions(self) -> None:
        """Read the settings. Ends the program with all mistakes, before anything is made."""
        from twisted.internet import reactor  # noqa: PLC0415  twistd may choose another one before this

        try:
            self.settings = read_settings(os.environ)
        except SettingsError as error:
            fail(*error.mistakes, status=os.EX_CONFIG)
        self.output = Output(1, reactor)
        self.journal = Journal(self.output.write, time.time, FORMATS[self.settings.log_format])


def makeService(options: Options) -> "Relay":
    """Return the relay that the environment describes."""
    from twisted.internet import reactor  # noqa: PLC0415

    return Relay(options.settings, options.journal, options.output, reactor)


class Relay(MultiService):
    """The whole daemon. Binds its ports first, while it may; everything else is built when it starts."""

    def __init__(self, settings: Settings, journal: Journal, output: Output, reactor: Any) -> None:
        super().__init__()
        self._settings = settings
        self._journal = journal
        self._output = output
        self._reactor = reactor
        self._sockets: list[socket.socket] = []
        self._ports: list[IListeningPort] = []

    def setServiceParent(self, parent: Any) -> None:  # noqa: N802  Twisted names it
        """Join an application, and have Twisted log through our journal."""
        if isinstance(parent, Componentized):
            parent.setComponent(ILogObserver, TwistedObserver(self._journal, self._output.flush))
        super().setServiceParent(parent)

    def privilegedStartService(self) -> None:
        """Bind, or end the program with one line."""
        settings = self._settings
        wanted = [(settings.bind_ip, "BIND_IP")]
        if settings.bind_ip6 is not None:
            wanted.append((settings.bind_ip6, "BIND_IP6"))
        try:
            for address, setting in wanted:
                if ":" in address and not socket.has_ipv6:
                    continue
                self._sockets.append(bind(address, settings.port, setting))
        except PortError as error:
            fail(str(error))
        self._certificate = self._read_certificate()
        super().privilegedStartService()

    def _read_certificate(self) -> ListeningCertificate | None:
        """Read certificate and key while we may, or end the program with one line."""
        settings, journal = self._settings, self._journal
        if settings.certificate_path is None or settings.key_path is None:
            return None
        paths = settings.certificate_path, settings.key_path
        try:
            return ListeningCertificate(*paths, wall=time.time, notice=journal.notice, trouble=journal.trouble)
        except CertificateError as error:
            fail(str(error))

    def startService(self) -> None:
        """Open the queue, build the rest around it, and begin."""
        # Twisted takes the signals when it begins to run.
        self._reactor.callWhenRunning(signal.signal, signal.SIGTERM, self._stop_asked)
        self._signer = self._make_signer()
        self._workers = Workers(self._reactor)
        try:
            self._queue = open_queue(self._settings.queue_dir, run=self._workers, now=time.time(), retry_all=True)
        except QueueError as error:
            self._workers.stop()
            fail(str(error))
        self._tell_what_was_found()
        self._build()
        super().startService()
        self._listen()
        # The manager hears that we are ready once the reactor turns, not before.
        self._manager = ManagerService(find_manager(os.environ, os.getpid()), self._reactor, self._journal.trouble)
        self._reactor.callWhenRunning(self._manager.setServiceParent, self)
        self._queue.summary().addCallbacks(self._announce, lambda failure: _log.failure("no summary", failure))

    def _stop_asked(self, _signal: int, _frame: object) -> None:
        """Stop and exit with status 0: Twisted's own handler would end us by the signal, which reads like a crash."""
        self._reactor.callFromThread(self._reactor.stop)

    def stopService(self) -> "Deferred[None]":
        """End sessions, let running deliveries finish within their grace, close the queue."""
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        await gatherResults([maybeDeferred(port.stopListening) for port in self._ports], consumeErrors=True)
        await gatherResults([self._factory.stop(), maybeDeferred(super().stopService)], consumeErrors=True)
        await self._queue.close()
        self._workers.stop()
        self._journal.stopped()
        self._output.flush()

    def _build(self) -> None:
        settings, clock = self._settings, self._reactor
        resolver = make_resolver(clock, settings.dns_servers or None)
        self._trusted = TrustedClients(settings.trusted, _looking_up(resolver), clock, self._journal)
        router = MailRouter(self._router_rules(), resolver, clock.seconds)
        ids = IdSource()
        local = self._local_mail(ids)
        delivery = self._delivery(router, local, ids, self._carrier(resolver))
        self._factory = self._listener(router, local, ids, delivery)
        keeper = HistoryKeeper(
            self._queue, settings.history_days, clock=clock, wall=time.time, trouble=self._journal.trouble
        )
        control = ControlService(self._reactor, settings.queue_dir, delivery.amended, self._journal.trouble)
        if self._certificate is not None:
            CertificateWatch(self._certificate, clock).setServiceParent(self)
        for service in (self._trusted, delivery, keeper, control):
            service.setServiceParent(self)

    def _router_rules(self) -> RouterRules:
        settings = self._settings
        listening = [(each.getsockname()[0], settings.port) for each in self._sockets]
        return RouterRules(
            mailname=settings.mailname,
            local_domains=settings.local_domains,
            relay_domains=settings.relay_domains,
            smarthost=settings.smarthost,
            port_out=settings.port_out,
            ipv6=settings.ipv6,
            private=settings.private_destinations,
            listening=OwnSockets(listening),
        )

    def _local_mail(self, ids: IdSource) -> LocalMail:
        settings, forwarding = self._settings, None
        if settings.aliases_file is not None:
            aliases = AliasesFile(settings.aliases_file, self._journal.notice)
            forwarding = Forwarding(
                aliases.current, settings.local_domains.matches, lambda: ids.new(time.time()), self._queue.writer
            )
        return LocalMail(
            settings.mail_dir,
            settings.mailname,
            run=self._in_a_thread,
            wall=time.time,
            create=settings.local_delivery.kind is LocalKind.MAILDIR_CREATE,
            store=mail_store(settings.local_delivery),
            forwarding=forwarding,
        )

    def _carrier(self, resolver: DnsResolver) -> Carrier:
        settings = self._settings
        options = partial(client_options, trust=_trust(settings))
        carrier = SmtpCarrier(Parts(self._reactor, settings.mailname, options))
        store = mail_store(settings.local_delivery)
        if store is None:
            return carrier
        return StoreCarrier(carrier, store, _store_addresses(resolver, ipv6=settings.ipv6))

    def _delivery(self, router: MailRouter, local: LocalMail, ids: IdSource, carrier: Carrier) -> DeliveryService:
        settings = self._settings
        reporter = DsnReporter(settings.mailname, ids, settings.retry_schedule)
        settler = Settler(self._queue, reporter, settings.retry_schedule, wall=time.time, journal=self._journal)
        return DeliveryService(
            self._queue,
            router,
            carrier,
            local,
            settler,
            schedule=settings.retry_schedule,
            clock=self._reactor,
            wall=time.time,
            journal=self._journal,
            signer=self._signer,
        )

    def _make_signer(self) -> Signer | None:
        settings = self._settings
        if settings.dkim_key_path is None:
            return None
        try:
            keyring = open_keyring(
                settings.dkim_key_path, settings.dkim_selector, clock=self._reactor.seconds, tell=self._journal.notice
            )
        except DkimKeyError as error:
            fail(str(error))
        return DkimSigner(keyring, Canon(*settings.dkim_canon), ours=self._is_ours, run=self._in_a_thread)

    def _is_ours(self, envelope: Envelope) -> bool:
        client = envelope.origin.client
        return not client or self._trusted(client)

    def _listener(self, router: MailRouter, local: LocalMail, ids: IdSource, delivery: DeliveryService) -> ESMTPFactory:
        settings, journal, name = self._settings, self._journal, self._settings.mailname
        limits = Limits(message_size=settings.message_size_limit, text_line=settings.line_length_limit)
        intake = Intake(self._queue, delivery, journal, ids=ids, wall=time.time, name=name, limits=limits)
        policy = Policy(settings.relay_domains, settings.local_domains, local.accepts)
        check = DomainCheck(router)

        def new_session(client: Client, late: Callable[[], None]) -> Session:
            machine = ServerMachine(limits, name, starttls=self._certificate is not None)
            return Session(machine, client, policy, intake, existence=check, journal=journal, late=late)

        certificate, clock = self._certificate, self._reactor
        return ESMTPFactory(
            new_session, self._trusted, journal, name=name, limits=limits, clock=clock, certificate=certificate
        )

    def _listen(self) -> None:
        for listening in self._sockets:
            address, port = listening.getsockname()[:2]
            self._ports.append(
                self._reactor.adoptStreamPort(listening.fileno(), listening.family, self._factory),
            )
            listening.close()
            self._journal.listening(address, port)

    def _tell_what_was_found(self) -> None:
        for notice in self._settings.notices:
            self._journal.notice(notice)
        for line in understanding(self._settings):
            self._journal.understood(line)
        place = place_notice(self._settings.queue_dir)
        if place is not None:
            self._journal.notice(place)
        recovery = self._queue.recovery
        if recovery.leases or recovery.strays:
            self._journal.recovered(recovery.leases, recovery.strays)
        for id in recovery.missing:
            self._journal.trouble("the file with the body of this message is gone: it cannot be delivered", id)

    def _announce(self, summary: Summary) -> None:
        settings = self._settings
        self._manager.status(f"{settings.mailname}: {summary.messages} messages in the queue at the start")
        self._journal.started(mta.__version__, settings.mailname, str(settings.queue_dir), summary.messages)

    def _in_a_thread(self, work: Callable[[], Any]) -> "Deferred[Any]":
        return deferToThreadPool(self._reactor, self._reactor.getThreadPool(), work)


def _trust(settings: Settings) -> Trust:
    """Return whose certificates we believe: the system's authorities, or the smarthost's own in their place."""
    own = settings.smarthost_ca_file
    return Trust() if own is None else Trust(own.read_bytes(), system=False)


def _looking_up(resolver: DnsResolver) -> Callable[[str], Any]:
    async def look_up(name: str) -> Addresses:
        answer = await resolver.addresses(name, search=True)
        if isinstance(answer, Found):
            found = (client_address(text) for text in answer.records)
            return Addresses(frozenset(address for address in found if address is not None), answer.ttl)
        reason = answer.reason if isinstance(answer, LookupFailed) else "there is no such host"
        return Addresses(None, answer.ttl, reason)

    return look_up


def _store_addresses(resolver: DnsResolver, *, ipv6: bool) -> LookUp:
    async def look_up(host: str) -> Sequence[str] | TryLater:
        answer = await resolver.addresses(host, ipv6=ipv6, search=True)
        if isinstance(answer, Found):
            return answer.records
        reason = answer.reason if isinstance(answer, LookupFailed) else "there is no such host"
        return TryLater(f"looking up {host} failed: {reason}", status="4.4.3")

    return look_up


def fail(*lines: str, status: int = 1) -> NoReturn:
    """End the program because an operator must mend something first; each line says what."""
    for line in lines:
        print(f"smtprelay: {line}", file=sys.__stderr__)  # noqa: T201  logging has not begun, or would hide it
    raise SystemExit(status)
