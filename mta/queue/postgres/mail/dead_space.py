"""The space of dead rows, which the ends of claims leave, for the reactor's thread.

Autovacuum looks at the tables every 15 seconds at most. A busy queue has 50,000 bodies in new pages by then, which the
server writes to the disk, and reads and writes twice more to find that they are dead. A relay has the space made usable
again while the pages are still in the memory of the server, which takes a quarter of that work (measured).
"""

from collections.abc import Callable
from functools import partial

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from mta.queue.interface import QueueError
from mta.queue.postgres.mail.statements import SQL
from mta.queue.postgres.serial_session import SerialSession
from mta.queue.postgres.session import DatabaseSession

#: Claims of this relay that end before it looks for the space of their rows.
ENOUGH = 1000
#: Seconds from one return of space to the disk to the next, and from a failure to the next attempt.
TRUNCATION_INTERVAL = 60.0
RETRY_INTERVAL = 60.0
# Of its time a relay spends at most one part in so many on it. It takes long, and in vain, while an old transaction
# needs the rows or many messages wait.
_SHARE = 20
_log = Logger()


class DeadSpace:
    """Has the space of dead rows made usable again after a number of claims.

    Autovacuum does it for the last ones, and if the database refuses it to the relay.
    """

    def __init__(self, session: SerialSession, seconds: Callable[[], float]) -> None:
        """`seconds` is a clock for pauses."""
        self._session = session
        self._seconds = seconds
        self._ended = 0
        self._running = False
        self._closed = False
        self._next = self._next_truncation = seconds()

    def claim_ended(self) -> None:
        """Count a claim, and begin to look for space after enough of them. Never fails."""
        self._ended += 1
        if self._ended < ENOUGH or self._running or self._closed or (now := self._seconds()) < self._next:
            return
        self._ended = 0
        self._running = True
        truncates = now >= self._next_truncation
        if truncates:
            self._next_truncation = now + TRUNCATION_INTERVAL
        done = self._session.do(partial(self._reuse, statement=SQL.give_space_back if truncates else SQL.reuse_space))
        done.addCallbacks(lambda _: self._pause((_SHARE - 1) * (self._seconds() - now)), self._failed)

    def _reuse(self, session: DatabaseSession, statement: str) -> None:
        # `close` cuts a connection, but not the making of one, which is over here.
        _ = session.connection
        if not self._closed:
            session.rows(statement)

    def _failed(self, failure: Failure) -> None:
        self._pause(RETRY_INTERVAL)
        if failure.check(QueueError) is None:
            _log.failure("the space of dead rows was not made usable", failure)

    def _pause(self, seconds: float) -> None:
        self._running = False
        self._next = self._seconds() + seconds

    def close(self) -> "Deferred[None]":
        """Give up a search that runs, and close the connection. Claims that end later begin nothing."""
        self._closed = True
        self._session.cut()
        return self._session.close()
