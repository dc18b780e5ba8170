"""Options and makeService for twistd, and the life of the daemon: what is opened when, and how it all ends."""

import os
import signal
import socket
import sys
import time
from ipaddress import ip_address
from typing import Any, NoReturn

from twisted.application.service import MultiService
from twisted.internet.defer import Deferred, gatherResults, maybeDeferred
from twisted.internet.interfaces import IListeningPort
from twisted.logger import ILogObserver, Logger
from twisted.python import usage
from twisted.python.components import Componentized

import mta
from mta.assembly import Assembly, Ground
from mta.config.settings import Settings, SettingsError, read_settings
from mta.config.understanding import understanding
from mta.delivery.keyring import DkimKeyError, Keyring, open_keyring
from mta.inbound.ports import NoSuchProtocol, PortError, bind
from mta.inbound.tls import CertificateError, ListeningCertificate
from mta.ops.journal import FORMATS, Journal
from mta.ops.notify import ManagerService, find_manager
from mta.ops.output import Output, TwistedObserver
from mta.queue.interface import QueueError, Summary
from mta.queue.place import place_notice
from mta.queue.runner import Workers
from mta.queue.sqlite import open_queue

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
        try:
            self._sockets.append(bind(settings.bind_ip, settings.port, "BIND_IP"))
            if settings.bind_ip6 is not None:
                self._sockets.append(bind(settings.bind_ip6, settings.port, "BIND_IP6"))
        except NoSuchProtocol as error:
            # Everywhere is also nowhere: a kernel without IPv6 has no address to miss.
            if not self._sockets or ip_address(settings.bind_ip6 or "::1") != ip_address("::"):
                fail(str(error))
            self._journal.notice("this host has no IPv6: listening on IPv4 only")
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
        keyring = self._read_keys()
        self._workers = Workers(self._reactor)
        try:
            self._queue = open_queue(self._settings.queue_dir, run=self._workers, now=time.time(), retry_all=True)
        except QueueError as error:
            self._workers.stop()
            fail(str(error))
        self._tell_what_was_found()
        ports = tuple((each.getsockname()[0], self._settings.port) for each in self._sockets)
        ground = Ground(self._settings, self._reactor, self._journal, self._queue, ports, self._certificate, keyring)
        house = Assembly(ground)
        self._factory = house.listener
        for service in house.services:
            service.setServiceParent(self)
        super().startService()
        self._listen()
        # The manager hears that we are ready once the reactor turns, not before.
        self._manager = ManagerService(find_manager(os.environ, os.getpid()), self._reactor, self._journal.trouble)
        self._reactor.callWhenRunning(self._manager.setServiceParent, self)
        self._queue.summary().addCallbacks(self._announce, lambda failure: _log.failure("no summary", failure))

    def _read_keys(self) -> Keyring | None:
        settings = self._settings
        if settings.dkim_key_path is None:
            return None
        clock, tell = self._reactor.seconds, self._journal.notice
        try:
            return open_keyring(settings.dkim_key_path, settings.dkim_selector, clock=clock, tell=tell)
        except DkimKeyError as error:
            fail(str(error))

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


def fail(*lines: str, status: int = 1) -> NoReturn:
    """End the program because an operator must mend something first; each line says what."""
    for line in lines:
        print(f"smtprelay: {line}", file=sys.__stderr__)  # noqa: T201  logging has not begun, or would hide it
    raise SystemExit(status)
