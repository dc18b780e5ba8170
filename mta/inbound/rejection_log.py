"""Logs rejected clients in a bounded number of lines a minute."""

from collections import Counter
from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from mta.event_log.log import EventLog
from mta.smtp.replies import Reply

#: Seconds that are summed up in one line for each address.
WINDOW = 60.0
#: Pairs of address and reply with a line of their own in that time; all others together have one line.
MAX_ADDRESSES = 20


class RejectionLog:
    """Logs the first rejection of each address at once, and the number of further rejections after a minute."""

    def __init__(self, event_log: EventLog, clock: IReactorTime) -> None:
        self._event_log = event_log
        self._clock = clock
        self._repeats: Counter[tuple[str, Reply]] = Counter()
        self._others = 0
        self._troubles: set[str] = set()
        self._window: IDelayedCall | None = None

    def turned_away(self, address: str, refusal: Reply) -> None:
        """Log or count the rejection of a client."""
        key = (address, refusal)
        if key in self._repeats:
            self._repeats[key] += 1
        elif len(self._repeats) < MAX_ADDRESSES:
            self._repeats[key] = 0
            self._event_log.turned_away(address, refusal)
        else:
            self._others += 1
        self._start_window()

    def trouble(self, text: str, log: Callable[[str], object], kind: str = "") -> None:
        """Log a trouble, but neither it nor another one of its kind again before the minute is over."""
        if (kind or text) not in self._troubles:
            self._troubles.add(kind or text)
            log(text)
        self._start_window()

    def close(self) -> None:
        """Log the rejections that were only counted."""
        if self._window is not None:
            self._window.cancel()
            self._log_repeats()

    def _start_window(self) -> None:
        if self._window is None:
            self._window = self._clock.callLater(WINDOW, self._log_repeats)

    def _log_repeats(self) -> None:
        self._window = None
        for (address, refusal), count in self._repeats.items():
            if count:
                self._event_log.turned_away(address, refusal, more=count)
        if self._others:
            self._event_log.notice(f"{self._others} more connections, of other addresses, were turned away as well")
        self._repeats.clear()
        self._troubles.clear()
        self._others = 0
