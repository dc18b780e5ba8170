"""One-shot timers that are cancelled together, when the part of the relay that set them stops."""

from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall, IReactorTime


class Timers:
    """Timers of one clock."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._calls: set[IDelayedCall] = set()
        self._stopped = False

    def later(self, seconds: float, call: Callable[[], object]) -> None:
        """Call it in so many seconds, unless the timers are stopped before."""
        if self._stopped:
            return

        def fire() -> None:
            self._calls.discard(timer)
            call()

        timer = self._clock.callLater(seconds, fire)
        self._calls.add(timer)

    def stop(self) -> None:
        """Cancel all timers, and set none any more."""
        self._stopped = True
        for timer in self._calls:
            timer.cancel()
        self._calls.clear()
