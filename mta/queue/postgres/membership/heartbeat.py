"""The signs of life of a node, and the facts that it learns from each: its own takeover, living relays, the clock.

The rules take monotonic seconds as arguments and know no database; `beat` is the statement.
"""

from collections import deque
from dataclasses import dataclass
from statistics import median

from mta.queue.postgres.membership.node import LEASE
from mta.queue.postgres.membership.statements import SQL
from mta.queue.postgres.session import DatabaseSession

#: Seconds from one sign of life to the next, and from one that failed to its repetition.
INTERVAL = 5.0
RETRY = 1.0
#: Seconds without a sign of life after which a node must give signs again for LEASE before it may take others over.
_GAP = 2 * INTERVAL
# Measurements of the clock that count.
_MEASUREMENTS = 8


@dataclass(frozen=True, slots=True)
class Beat:
    """The answer of the database to a sign of life."""

    #: False if the node is fenced off.
    accepted: bool
    #: The nodes whose leases run, this one among them.
    living: tuple[int, ...]
    #: Nodes whose leases are over and that are to be taken over.
    dead: int
    #: The database's clock, in seconds since 1970.
    time: float


def beat(session: DatabaseSession, node: int) -> Beat:
    """Prolong the lease of a node. Blocks; raises QueueError."""
    ((accepted, others, dead, time, _),) = session.rows(SQL.beat, {"node": node, "lease": LEASE})
    return Beat(accepted, (node, *others), dead, time)


class Beats:
    """The row of signs of life without a gap, which decides whether the node may take others over.

    After an outage of the database all leases are over at once. The relay whose connection comes back first must not
    take the mail of the others, so it gives them as long as a lease.
    """

    def __init__(self) -> None:
        self._first: float | None = None
        self._last = 0.0

    def succeeded(self, sent: float, answered: float) -> None:
        """Take note of a sign of life, by the times at which it was sent and answered."""
        if self._first is None or answered - self._last > _GAP:
            self._first = answered
        self._last = sent

    def failed(self) -> None:
        """Take note that a sign of life failed."""
        self._first = None

    def may_take_over(self, now: float) -> bool:
        """Whether the signs of life go back for a lease without a gap."""
        return self._first is not None and now - self._last <= _GAP and now - self._first >= LEASE


class DatabaseClock:
    """The clock of the database, as the median of the measurements with the shortest round trips.

    It is compared with the monotonic clock, so that it stays right when the wall clock of this machine is set.
    """

    def __init__(self) -> None:
        # Round trips, and the seconds by which the database's clock is ahead.
        self._measured: deque[tuple[float, float]] = deque(maxlen=_MEASUREMENTS)
        #: Seconds by which the database's clock is ahead of the monotonic one; None before the first measurement.
        self.ahead: float | None = None

    def measure(self, sent: float, answered: float, time: float) -> None:
        """Take note of the database's time in an answer, by the times at which the question was sent and answered."""
        self._measured.append((answered - sent, time - (sent + answered) / 2))
        shortest = sorted(self._measured)[: (len(self._measured) + 1) // 2]
        # Kept, because the time is asked for several times a message.
        self.ahead = median(ahead for _, ahead in shortest)
