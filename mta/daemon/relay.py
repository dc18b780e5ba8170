"""One relay: starts and stops its queue, its listeners and its services.

It is the whole daemon, or one of its workers. Its sockets are bound already.
"""

import time
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from twisted.application.service import MultiService
from twisted.internet.defer import Deferred, gatherResults, maybeDeferred
from twisted.internet.interfaces import IListeningPort
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger
from twisted.python.failure import Failure

from mta.config.setting import SettingsError
from mta.config.settings import Settings
from mta.daemon.assembly import wire_up
from mta.daemon.malloc_trim import BUSY_INTERVAL as TRIM_INTERVAL
from mta.daemon.malloc_trim import HeapTrimmer
from mta.daemon.parts.admin import OwnState
from mta.daemon.parts.context import RelayContext
from mta.daemon.periodic import PeriodicService
from mta.daemon.queues.choosing import open_relay_queue, threads_for
from mta.daemon.queues.relay_queue import OpenedQueue
from mta.dkim.keyring import Keyring, Notice, open_keyring
from mta.event_log.log import EventLog
from mta.inbound.sockets.ports import listen
from mta.queue.interface import QueueError, Summary
from mta.tls.client_certificate import ClientCertificate, read_client_certificate
from mta.tls.server import ServerCertificate

if TYPE_CHECKING:
    from mta.metrics.metric import Samples
    from mta.users.users import Users

_log = Logger()


class Relay(MultiService):
    """Opens its queue and listens when it starts. When it stops, it settles or releases all claims."""

    def __init__(self, context: RelayContext) -> None:
        super().__init__()
        self._context = context
        #: Fires with the number of messages in the queue at the start; set by `startService`.
        self.ready: Deferred[int]
        self._ports: list[IListeningPort] = []

    def startService(self) -> None:
        """Open the queue, build the other parts around it, and listen. Raises QueueError."""
        context = self._context
        self._threads = threads_for(context.settings, context.reactor)
        try:
            opened = open_relay_queue(context, self._threads)
        except QueueError:
            self._threads.stop()
            raise
        self._queue = opened.queue
        parts = wire_up(_around(context, opened), opened)
        opened.when_due(parts.delivery.wake)
        opened.when_away(parts.set_away)
        opened.when_fenced(parts.delivery.drop_claims)
        self._reloads = parts.reloads
        self._factory = parts.factory
        self._close_parts = parts.close
        self._figures = parts.figures
        #: The relay as an operator asks and orders it; set by `startService`.
        self.state: OwnState = parts.state
        for service in (*parts.services, *opened.services):
            service.setServiceParent(self)
        PeriodicService(HeapTrimmer().trim, TRIM_INTERVAL, context.reactor).setServiceParent(self)
        super().startService()
        self._listen()
        self.ready = self._queue.summary().addCallbacks(_messages, _not_counted)

    def reload(self) -> None:
        """Read again all files that are read while the relay runs, and log their names."""
        for _, read_again in self._reloads:
            read_again()
        self._context.event_log.reloaded(", ".join(name for name, _ in self._reloads))

    async def samples(self) -> "Samples":
        """Return the figures of the relay, which has some if its context has counters."""
        return {} if self._figures is None else await self._figures.samples()

    def healthy(self) -> bool:
        """Return True, because only a reactor that runs can call this."""
        return True

    def stopService(self) -> "Deferred[None]":
        """End sessions, let running deliveries finish within their grace period, and close the queue."""
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        # The ports close last, because a client that connects meanwhile gets 421, and not a refused connection.
        await gatherResults([self._factory.stop(), maybeDeferred(super().stopService)], consumeErrors=True)
        await gatherResults([maybeDeferred(port.stopListening) for port in self._ports], consumeErrors=True)
        await self._close_parts()
        await self._queue.close()
        self._threads.stop()

    def _listen(self) -> None:
        context = self._context
        if context.balance is not None:
            context.balance.begin()
        for each in context.sockets:
            factory = self._factory.for_port(each.rule)
            self._ports.append(listen(context.reactor, each.socket, factory, context.balance))


def _around(context: RelayContext, opened: OpenedQueue) -> RelayContext:
    """Return the context of the parts around a queue."""
    return replace(context, ids=opened.ids, wall_clock=opened.wall_clock, windows=opened.windows or context.windows)


def read_keys(settings: Settings, reactor: Any, notice: Notice) -> Keyring | None:
    """Return the keys that sign mail, or None if mail is not signed. Raises DkimKeyError."""
    if settings.dkim_key_path is None:
        return None
    return open_keyring(settings.dkim_key_path, settings.dkim_selector, clock=reactor.seconds, notice=notice)


def server_certificate(settings: Settings, event_log: EventLog) -> ServerCertificate | None:
    """Return the certificate that clients are shown, or None if STARTTLS is not offered. Raises CertificateError."""
    if settings.certificate_path is None or settings.key_path is None:
        return None
    paths = settings.certificate_path, settings.key_path
    return ServerCertificate(*paths, wall_clock=time.time, notice=event_log.notice, trouble=event_log.trouble)


def client_certificate(settings: Settings, event_log: EventLog) -> ClientCertificate | None:
    """Return the certificate that the smarthost is shown, or None if there is none. Raises CertificateError."""
    if settings.client_certificate is None:
        return None
    certificate = read_client_certificate(settings.client_certificate, event_log.trouble)
    problem = certificate.problem(time.time())
    if problem:
        event_log.notice(problem)
    return certificate


def read_users(settings: Settings, reactor: Any, notice: Notice) -> "Users | None":
    """Return the users that may log in, or None if AUTH_USERS is not set. Raises SettingsError."""
    if not settings.auth_users and settings.auth_users_file is None:
        return None
    # Imported if needed, because most relays have no users.
    from mta.users.users import Users, UsersError  # noqa: PLC0415

    try:
        return Users(
            text=settings.auth_users,
            path=settings.auth_users_file,
            mailname=settings.mailname,
            notice=notice,
            run=partial(deferToThreadPool, reactor, reactor.getThreadPool()),
        )
    except UsersError as error:
        raise SettingsError(error.mistakes) from None


def _messages(summary: Summary) -> int:
    return summary.messages


def _not_counted(failure: Failure) -> int:
    # A database that has gone away since the start is told by those who need it.
    if failure.check(QueueError) is None:
        _log.failure("no summary", failure)
    return 0
