"""Wake-ups: relays tell each other that mail has become due, and look for it by themselves where that does not work.

A notification is a hint only. It is never part of a transaction that changes mail, because it would have all commits
wait for each other. A pooler between relay and database may lose it, so each relay sends one to itself first.
"""

import secrets
from collections.abc import Callable

import psycopg
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFDSet, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from mta.queue.interface import QueueError
from mta.queue.postgres.membership.notifications import NotificationReader
from mta.queue.postgres.membership.statements import SQL
from mta.queue.postgres.membership.timers import Timers
from mta.queue.postgres.serial_session import SerialSession
from mta.queue.postgres.session import DatabaseSession

#: Seconds between two looks, and between them where no notification arrives.
LOOK = 5.0
LOOK_ALONE = 1.0
#: Seconds from one notification of this relay to its next at least.
PAUSE = 1.0
#: Seconds after which a lost connection is made anew.
RECONNECT = 5.0
_log = Logger()


class Wakeups:
    """Calls `woken` when mail may have become due that this relay did not make due.

    Its argument is True if that mail may have been due for long: after a notification of another relay, and at each
    look while no notifications arrive.
    """

    def __init__(
        self,
        clock: IReactorTime,
        reactor: IReactorFDSet,
        *,
        listening: SerialSession,
        sending: SerialSession,
        woken: Callable[[bool], object],
    ) -> None:
        """`listening` is for this alone; notifications are sent on `sending`."""
        self._clock = clock
        self._reactor = reactor
        self._listening = listening
        self._sending = sending
        self._woken = woken
        self._timers = Timers(clock)
        self._reader: NotificationReader | None = None
        # By this text the relay knows its own notifications.
        self._own = secrets.token_hex(8)
        self._sent_at = -PAUSE
        self._waiting = False
        self._running = False
        #: Whether notifications arrive, as far as is known.
        self.works = False

    def start(self) -> None:
        """Listen, and look now and then."""
        self._running = True
        self._connect()
        self._timers.later(LOOK_ALONE, self._look)

    def stop(self) -> "Deferred[None]":
        """Stop; the Deferred fires when the connection is closed."""
        self._running = self.works = False
        self._timers.stop()
        self._stop_reading()
        return self._listening.close()

    def wake_peers(self) -> None:
        """Tell the other relays that mail is due, now or within PAUSE. Never fails: they look by themselves too."""
        if self._waiting:
            return
        self._waiting = True
        self._timers.later(max(0.0, self._sent_at + PAUSE - self._clock.seconds()), self._wake_now)

    def _wake_now(self) -> None:
        self._waiting = False
        self._sent_at = self._clock.seconds()
        self._sending.do(self.notify).addErrback(_ignore)

    def notify(self, session: DatabaseSession) -> None:
        """Send a notification. Blocks; raises QueueError."""
        session.rows(SQL.notify, {"text": self._own})

    def _look(self) -> None:
        self._timers.later(LOOK if self.works else LOOK_ALONE, self._look)
        # Without notifications nobody tells that mail was released which has been due for long.
        self._woken(not self.works)

    # --- Listening

    def _connect(self) -> None:
        self._listening.do(_listen).addCallback(self._connected).addErrback(self._failed).addErrback(_log_bug)

    def _connected(self, connection: psycopg.Connection) -> None:
        if self._running:
            self._stop_reading()
            self._reader = NotificationReader(self._reactor, connection, self._received, self._reconnect)
            self._sending.do(self.notify).addErrback(self._failed)

    def _received(self, text: str) -> None:
        if text == self._own:
            self.works = True
        else:
            self._woken(True)

    def _failed(self, failure: Failure) -> None:
        # An OSError is that of a process which has no descriptor left.
        failure.trap(QueueError, OSError)
        self._reconnect()

    def _reconnect(self) -> None:
        self.works = False
        self._stop_reading()
        if self._running:
            self._listening.close()
            self._timers.later(RECONNECT, self._connect)

    def _stop_reading(self) -> None:
        if self._reader is not None:
            self._reader.stop()
            self._reader = None


def _listen(session: DatabaseSession) -> psycopg.Connection:
    session.rows(SQL.listen)
    return session.connection


def _ignore(failure: Failure) -> None:
    failure.trap(QueueError)


def _log_bug(failure: Failure) -> None:
    _log.failure("wake-ups failed", failure)
