"""The connections of one destination: those in use, those that idle, and those that are being opened."""

from collections.abc import Callable

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from mta.delivery.carriage import Carrier, Connection
from mta.delivery.lines import IdleLines, Line
from mta.message.outcome import TryLater
from mta.routing.route import Plan

#: Gets the result of an opening; None when it was cancelled.
Opened = Callable[[Connection | TryLater | None], None]


class Connections:
    """Opens connections and counts them."""

    def __init__(self, carrier: Carrier, clock: IReactorTime, idle_ended: Callable[[], object]) -> None:
        """Prepare; `idle_ended` is called when connections that idled too long were ended."""
        self._carrier = carrier
        self._opening: set[Deferred[Connection | TryLater]] = set()
        self.busy: set[Line] = set()
        self.idle = IdleLines(clock, idle_ended)

    @property
    def opening(self) -> int:
        """How many are being opened."""
        return len(self._opening)

    @property
    def at_work(self) -> int:
        """How many are in use or being opened."""
        return len(self.busy) + len(self._opening)

    @property
    def total(self) -> int:
        """How many there are, those being opened included."""
        return len(self.busy) + len(self._opening) + len(self.idle)

    def open(self, plan: Plan, tried: frozenset[str], opened: Opened) -> None:
        """Open one by the routes of a plan that are not in `tried`; `opened` gets the result, perhaps at once."""
        opening = self._carrier.open(plan, tried)
        self._opening.add(opening)

        def came(result: Connection | TryLater) -> None:
            self._opening.discard(opening)
            opened(result)

        def failed(failure: Failure) -> None:
            self._opening.discard(opening)
            if failure.check(CancelledError):
                opened(None)
            else:
                # A fault of the relay must not hold the mail.
                opened(TryLater(f"internal error: {failure.getErrorMessage()}", status="4.3.0"))

        opening.addCallbacks(came, failed)

    def cancel_openings(self) -> None:
        """Cancel all that are being opened."""
        for opening in list(self._opening):
            opening.cancel()

    def abort(self) -> None:
        """Cut running transactions short."""
        for line in list(self.busy):
            line.connection.abort()
