"""The windows of one rate of a rule, with the transactions that have leave by it and the destinations that wait."""

import math

from twisted.internet.interfaces import IDelayedCall

from mta.delivery.rates.journal import Used
from mta.delivery.rates.terms import limits_of
from mta.rate import RateUnit, RateWindow

# The file is written for a tenth of a rate at a time.
_BLOCKS = 10

#: A worker, 0 in a relay of one process, and the name of a destination.
Asker = tuple[int, str]
#: The rates that hold for a destination.
Keys = tuple[str, ...]


class Request:
    """A destination that waits for leave for one transaction."""

    __slots__ = ("asker", "blocked_by", "keys", "recipients", "told")

    def __init__(self, asker: Asker, keys: Keys, recipients: int) -> None:
        self.asker = asker
        self.keys = keys
        self.recipients = recipients
        #: The key of the rate that it waits for; "" once it has leave that is being written to the file.
        self.blocked_by = ""
        #: The time that it was told last.
        self.told = -math.inf


class Limit:
    """The windows of one key: those of the rates that a rule names together."""

    __slots__ = ("_block", "_saved", "key", "messages", "recipients", "timer", "waiting", "windows")

    def __init__(self, key: str) -> None:
        self.key = key
        self.windows = tuple(map(RateWindow, limits_of(key)))
        #: What has leave and has not ended.
        self.messages = 0
        self.recipients = 0
        # The messages and recipients that are written to the file at a time, and those of them that are left.
        self._block = tuple(map(self._block_of, (RateUnit.MESSAGES, RateUnit.RECIPIENTS)))
        self._saved = [0.0 if block else math.inf for block in self._block]
        self.waiting: dict[Asker, Request] = {}
        self.timer: IDelayedCall | None = None

    @property
    def unsaved(self) -> bool:
        """Whether more leave was given than the file says."""
        return min(self._saved) < 0

    def take(self, messages: int, recipients: int) -> None:
        """Give leave, or with numbers below 0 take it back."""
        self.messages += messages
        self.recipients += recipients
        self._saved[0] -= messages
        self._saved[1] -= recipients

    def end(self, recipients: int) -> None:
        """Note that a message with leave has ended."""
        self.messages -= 1
        self.recipients -= recipients

    def to_save(self) -> Used:
        """Return the lines that have to be written before leave is given."""
        messages, recipients = map(_needed, self._block, self._saved)
        return Used(self.key, messages, recipients)

    def saved(self, used: Used) -> None:
        """Note that this is on disk."""
        self._saved[0] += used.messages
        self._saved[1] += used.recipients

    def given(self) -> Used:
        """Return the mail that has leave, or may have by the file, and has not ended."""
        left = [0 if saved == math.inf else max(0, int(saved)) for saved in self._saved]
        return Used(self.key, self.messages + left[0], self.recipients + left[1])

    def _block_of(self, unit: RateUnit) -> int:
        """Return the number that is written at a time; 0 if no rate has the unit."""
        least = min((window.rate.count for window in self.windows if window.rate.unit is unit), default=0)
        return max(1, least // _BLOCKS) if least else 0

    def count(self, now: float, recipients: int) -> None:
        """Count a message that has ended now."""
        for window in self.windows:
            window.count(now, recipients if window.rate.unit is RateUnit.RECIPIENTS else 1)

    def next_start(self, now: float, recipients: int) -> float:
        """Return when one more message may begin: now, later, or infinity if another one has to end before."""
        at = now
        for window in self.windows:
            by_recipients = window.rate.unit is RateUnit.RECIPIENTS
            number = self.recipients + recipients if by_recipients else self.messages + 1
            if number > window.rate.count:
                return math.inf
            at = max(at, window.next_start(now, number))
        return at

    def room(self, now: float) -> int:
        """Return how many messages of one recipient may begin now."""
        running = {RateUnit.MESSAGES: self.messages, RateUnit.RECIPIENTS: self.recipients}
        return max(0, min(window.room(now) - running[window.rate.unit] for window in self.windows))

    def wait_of(self, place: int) -> float:
        """Return the seconds that so many messages take."""
        return place / min(window.rate.count / window.rate.seconds for window in self.windows)

    def idle(self, now: float) -> bool:
        """Whether nothing counts and no destination waits."""
        if self.waiting or self.messages:
            return False
        return all(window.room(now) == window.rate.count for window in self.windows)


def _needed(block: int, saved: float) -> int:
    return max(block, -int(saved)) if saved < 0 else 0
