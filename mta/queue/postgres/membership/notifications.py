"""Reads notifications of the database in the reactor, from the socket of a connection that listens."""

import os
from collections.abc import Callable

import psycopg
from twisted.internet.interfaces import IReactorFDSet, IReadDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer


@implementer(IReadDescriptor)
class NotificationReader:
    """Calls `received` with the text of each notification, and `lost` once if the connection ends before `stop`."""

    def __init__(
        self,
        reactor: IReactorFDSet,
        connection: psycopg.Connection,
        received: Callable[[str], object],
        lost: Callable[[], object],
    ) -> None:
        """Only the reader may use the connection until it is lost or the reader is stopped.

        Raises OSError if the process has no descriptor left.
        """
        self._reactor = reactor
        self._connection = connection.pgconn
        # The driver closes its descriptor when the connection is lost, and the number may then be that of another
        # socket. The reactor must be able to forget this one first.
        self._descriptor = os.dup(connection.fileno())
        self._received = received
        self._lost = lost
        self._running = True
        reactor.addReader(self)

    def stop(self) -> None:
        """Stop reading; the connection is the caller's again."""
        if self._running:
            self._running = False
            self._reactor.removeReader(self)
            os.close(self._descriptor)

    def fileno(self) -> int:
        """Return the socket's descriptor; called by the reactor."""
        return self._descriptor

    def logPrefix(self) -> str:
        """Return the name of this reader; called by the reactor."""
        return "wake-ups"

    def doRead(self) -> None:
        """Read the octets that have arrived; called by the reactor."""
        try:
            self._connection.consume_input()
        except psycopg.Error as error:
            self.connectionLost(Failure(error))
        while self._running and (notification := self._connection.notifies()) is not None:
            self._received(notification.extra.decode("utf-8", "replace"))

    def connectionLost(self, _reason: Failure) -> None:
        """Give the connection up; called by the reactor."""
        if self._running:
            self.stop()
            self._lost()
