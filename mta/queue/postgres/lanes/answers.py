"""Statements that the reactor executes itself: it sends them and reads their answers, and no thread waits for them.

A thread would have to be woken for each batch and to wake the reactor in turn, while the two contend for the
interpreter's lock. On a lone client's message that took a seventh of the time (measured).
"""

import os
from collections.abc import Mapping

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFDSet, IReadWriteDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

from mta.queue.interface import QueueError
from mta.queue.postgres.errors import OutcomeUnknown
from mta.queue.postgres.prepared import PreparedStatement, Rows
from mta.queue.postgres.session import DatabaseSession

_NONE = -1


@implementer(IReadWriteDescriptor)
class AnswerReader:
    """Executes statements on a session, one at a time. From `acquire` to `release` no thread may use the session."""

    def __init__(self, session: DatabaseSession, reactor: IReactorFDSet) -> None:
        self._session = session
        self._reactor = reactor
        # The driver closes its descriptor when the connection is lost, and the number may then be that of another
        # socket. The reactor must be able to forget this one first.
        self._descriptor = _NONE
        self._answered: Deferred[Rows] | None = None

    def acquire(self) -> bool:
        """Have the reactor watch the connection. Return whether it does: it may be that no file descriptor is left."""
        if self._descriptor == _NONE:
            try:
                self._descriptor = os.dup(self._session.connection.fileno())
            except OSError:
                return False
            self._reactor.addReader(self)
        return True

    def execute(self, statement: PreparedStatement, values: Mapping[str, bytes | None]) -> "Deferred[Rows]":
        """Execute a statement for which the session is ready, after `acquire` has returned True.

        Fails with the errors of `DatabaseSession.rows`.
        """
        answered: Deferred[Rows] = Deferred()
        self._answered = answered
        try:
            if not self._session.begin(statement, values):
                self._reactor.addWriter(self)
        except QueueError:
            self._fail(Failure())
        return answered

    def release(self) -> None:
        """Have the reactor forget the connection, which a thread may then use. No statement may be under way."""
        if self._descriptor != _NONE:
            self._reactor.removeReader(self)
            self._reactor.removeWriter(self)
            os.close(self._descriptor)
            self._descriptor = _NONE

    def fileno(self) -> int:
        """Return the socket's descriptor; called by the reactor."""
        return self._descriptor

    def logPrefix(self) -> str:
        """Return the name of this reader; called by the reactor."""
        return "queue"

    def doRead(self) -> None:
        """Read the octets that have arrived; called by the reactor."""
        try:
            rows = self._session.receive()
        except QueueError:
            self._fail(Failure())
            return
        if rows is not None:
            answered, self._answered = self._answered, None
            assert answered is not None
            answered.callback(rows)

    def doWrite(self) -> None:
        """Send the rest of a statement; called by the reactor."""
        if self._descriptor == _NONE:
            # In the same turn `doRead` has found that the connection is lost.
            return
        try:
            if self._session.send_rest():
                self._reactor.removeWriter(self)
        except QueueError:
            self._fail(Failure())

    def connectionLost(self, reason: Failure) -> None:
        """Give the connection up; called by the reactor."""
        self._session.close()
        self._fail(Failure(OutcomeUnknown(f"the connection to the database was lost ({reason.getErrorMessage()})")))

    def _fail(self, failure: Failure) -> None:
        """Let the statement that is under way fail. The session has closed its connection."""
        self.release()
        answered, self._answered = self._answered, None
        if answered is not None:
            answered.errback(failure)
