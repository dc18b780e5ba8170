"""The destinations that are down, as far as this relay knows, and its talk with the other relays about them.

When the database is away, the relay goes on by what it knew last.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Protocol

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from mta.message.outcome import TryLater
from mta.queue.interface import QueueError
from mta.queue.postgres.destinations.rows import (
    NEVER,
    DestinationRow,
    allow_probe,
    changed_rows,
    note_answer,
    note_failure,
    take_probe,
)
from mta.queue.postgres.membership.timers import Timers
from mta.queue.postgres.serial_session import SerialSession

#: Seconds between two looks for news of other relays.
LOOK = 5.0
#: Seconds within which a relay must have tried a destination before another one may. The hosts of a destination may
#: keep a connection waiting for 30 s each.
PROBE = 180.0
#: Seconds until a relay asks again that was not allowed to try a destination.
TURN = 10.0
_MAX_KNOWN = 10_000
_log = Logger()


@dataclass(frozen=True, slots=True)
class DownDestination:
    """A destination that takes no connection until then, wall-clock seconds."""

    until: float
    #: Seconds of the present step of the back-off.
    penalty: float
    trouble: TryLater


class DestinationListener(Protocol):
    """Is told of the destinations that relays found to be down."""

    def on_down(self, name: str, down: DownDestination) -> None:
        """Take note that a destination is down, or down for longer."""

    def on_up(self, name: str) -> None:
        """Take note that a destination answers again."""

    def on_probe(self, name: str, seconds: float) -> None:
        """Try a destination, as the only relay for so many seconds."""

    def on_others_probe(self, name: str, seconds: float) -> None:
        """Leave a destination to another relay that tries it, for so many seconds."""


class DestinationBoard:
    """Tells the other relays about destinations that fail, and a listener about those that failed there."""

    def __init__(
        self,
        session: SerialSession,
        listener: DestinationListener,
        *,
        clock: IReactorTime,
        wall_clock: Callable[[], float],
        offset: Callable[[], float],
        node: Callable[[], int],
        steps: tuple[float, float],
    ) -> None:
        """`offset` returns by how much the database's clock is ahead of the wall clock, `node` the present node.

        `steps` are the seconds of the first and of the longest step of the back-off.
        """
        self._session = session
        self._listener = listener
        self._wall_clock = wall_clock
        self._offset = offset
        self._node = node
        self._first, self._longest = steps
        self._timers = Timers(clock)
        self._known: dict[str, DestinationRow] = {}
        # When a destination had failed that answers by now. A look that runs may still find it down.
        self._answered: dict[str, datetime] = {}
        self._seen = NEVER

    def start(self) -> None:
        """Look for news now, and every few seconds."""
        self._session.do(partial(changed_rows, since=self._seen)).addCallbacks(self._news, _trap).addErrback(_log_bug)
        self._timers.later(LOOK, self.start)

    def stop(self) -> None:
        """Look no more."""
        self._timers.stop()

    def known(self, name: str) -> DownDestination | None:
        """Return the state of a destination that is down; None if it is not, as far as is known."""
        row = self._known.get(name)
        return None if row is None else self._down(row)

    def failed(self, name: str, trouble: TryLater) -> None:
        """Tell that a destination took no connection; the listener is told until when it is down."""
        note = partial(note_failure, name=name, trouble=trouble, first=self._first, longest=self._longest)
        self._session.do(note).addCallbacks(self._take, _trap).addErrback(_log_bug)

    def answered(self, name: str) -> None:
        """Tell that a destination that was down has answered."""
        row = self._known.pop(name, None)
        if row is not None:
            if len(self._answered) >= _MAX_KNOWN:
                self._answered.clear()
            self._answered[name] = row.failed
            self._session.do(partial(note_answer, name=name, failed=row.failed)).addErrback(_trap)

    def ask_to_probe(self, name: str) -> None:
        """Ask whether this relay is to try a destination that was down; the listener is told in any case."""
        asking = self._session.do(partial(take_probe, name=name, node=self._node(), seconds=PROBE))
        asking.addCallbacks(self._decided, self._undecided, (name,), {}, (name,)).addErrback(_log_bug)

    def retry(self, name: str) -> None:
        """Let any relay try a destination at once, because an operator wants it."""
        self._session.do(partial(allow_probe, name=name)).addErrback(_trap)

    def _down(self, row: DestinationRow) -> DownDestination:
        return DownDestination(row.until - self._offset(), row.penalty, row.trouble)

    def _news(self, rows: list[DestinationRow]) -> None:
        for row in rows:
            self._seen = max(self._seen, row.changed)
            self._take(row)

    def _take(self, row: DestinationRow | None) -> None:
        """Tell the listener of a row if it is news."""
        if row is None or not self._is_news(row):
            return
        if row.down:
            if len(self._known) >= _MAX_KNOWN:
                # The one that failed first.
                del self._known[next(iter(self._known))]
            self._known.pop(row.name, None)
            self._known[row.name] = row
            self._listener.on_down(row.name, self._down(row))
        elif self._known.pop(row.name, None) is not None:
            self._listener.on_up(row.name)

    def _is_news(self, row: DestinationRow) -> bool:
        before = self._known.get(row.name)
        if before is None:
            return row.failed > self._answered.get(row.name, NEVER)
        return row.changed > before.changed

    def _decided(self, answer: tuple[bool, DestinationRow | None], name: str) -> None:
        taken, row = answer
        if taken:
            if row is not None:
                # It may have failed since the last look; the answer to the probe is later than that failure.
                self._known[name] = row
            self._listener.on_probe(name, PROBE)
        elif row is None or not row.down:
            self._known.pop(name, None)
            self._listener.on_up(name)
        else:
            self._known[name] = row
            self._tell(name, self._down(row))

    def _undecided(self, failure: Failure, name: str) -> None:
        failure.trap(QueueError)
        down = self.known(name)
        if down is None:
            self._listener.on_probe(name, PROBE)
        else:
            self._tell(name, down)

    def _tell(self, name: str, down: DownDestination) -> None:
        """Tell the listener that it must not try a destination, which has failed again or which another relay tries."""
        if down.until > self._wall_clock():
            self._listener.on_down(name, down)
        else:
            self._listener.on_others_probe(name, TURN)


def _trap(failure: Failure) -> None:
    failure.trap(QueueError)


def _log_bug(failure: Failure) -> None:
    _log.failure("the state of a destination could not be exchanged", failure)
