"""What the journal says of clients that were turned away: some lines a minute, however many they are."""

from collections import Counter
from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from mta.event_log.log import EventLog
from mta.smtp.replies import Reply

#: Seconds that are told of together.
WINDOW = 60.0
#: Addresses (and what they were told) that are spoken of one by one in that time; all others are one line.
MOST = 20


class RejectionLog:
    """Tells of the first refusal of each address at once, and at the end of a minute how many more there were."""

    def __init__(self, event_log: EventLog, clock: IReactorTime) -> None:
        self._event_log = event_log
        self._clock = clock
        self._more: Counter[tuple[str, Reply]] = Counter()
        self._others = 0
        self._troubles: set[str] = set()
        self._window: IDelayedCall | None = None

    def turned_away(self, address: str, refusal: Reply) -> None:
        """Count a client."""
        key = (address, refusal)
        if key in self._more:
            self._more[key] += 1
        elif len(self._more) < MOST:
            self._more[key] = 0
            self._event_log.turned_away(address, refusal)
        else:
            self._others += 1
        self._begin()

    def trouble(self, text: str, say: Callable[[str], object]) -> None:
        """Say what an operator should know, but not again before the minute is over."""
        if text not in self._troubles:
            self._troubles.add(text)
            say(text)
        self._begin()

    def close(self) -> None:
        """Tell what is not told yet."""
        if self._window is not None:
            self._window.cancel()
            self._tell()

    def _begin(self) -> None:
        if self._window is None:
            self._window = self._clock.callLater(WINDOW, self._tell)

    def _tell(self) -> None:
        self._window = None
        for (address, refusal), count in self._more.items():
            if count:
                self._event_log.turned_away(address, refusal, more=count)
        if self._others:
            self._event_log.notice(f"{self._others} more connections, of other addresses, were turned away as well")
        self._more.clear()
        self._troubles.clear()
        self._others = 0
