"""Counts of the mail that each client, login or sender has sent, for the rates of `[[acl]]` rules.

The counts belong to the text of a rule, so that they outlive a reload that does not change it. They are in memory.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from mta.rate import Rate, RateWindow

#: The counts that are kept; beyond, those that were used the longest ago are forgotten.
MAX_COUNTS = 10_000
#: The entries of all windows together, likewise.
MAX_ENTRIES = 100_000
#: The entries of one window: a rate of a larger number is counted in steps of a sixtieth of its time.
ENTRIES_EACH = 60


@dataclass(frozen=True, slots=True)
class Counted:
    """A rate and the mail that it counts."""

    #: The digest of the text of the rule.
    rule: str
    rate: Rate
    #: The client, login or sender whose mail is counted.
    subject: str


class _Usage:
    __slots__ = ("entries", "reserved", "window")

    def __init__(self, rate: Rate) -> None:
        self.window = RateWindow(rate, ENTRIES_EACH)
        # The mail that is under way and may be counted.
        self.reserved = 0
        # Those of the window when it was last used.
        self.entries = 0


class RateCounts:
    """The counts of one process. `seconds` is a monotonic clock."""

    def __init__(
        self, seconds: Callable[[], float], tell: Callable[[Counted, int], object] = lambda _counted, _number: None
    ) -> None:
        """`tell` is called with each number that is counted here, so that other processes can count it too."""
        self._seconds = seconds
        self._tell = tell
        # Those that were used the longest ago come first.
        self._usages: OrderedDict[Counted, _Usage] = OrderedDict()
        self._entries = 0

    @property
    def kept(self) -> int:
        """The number of counts that are kept."""
        return len(self._usages)

    def has_room(self, counted: Counted) -> bool:
        """Whether one more may be counted, beside those that are reserved."""
        usage = self._usages.get(counted)
        return usage is None or usage.window.room(self._seconds()) > usage.reserved

    def reserve(self, counted: Counted) -> None:
        """Keep room for one more. `release` must follow, and `count` if the mail is accepted."""
        self._use(counted).reserved += 1
        self._forget()

    def release(self, counted: Counted) -> None:
        """End a reservation."""
        usage = self._usages.get(counted)
        # It may have been forgotten in the meantime.
        if usage is not None and usage.reserved:
            usage.reserved -= 1

    def count(self, counted: Counted) -> None:
        """Count one more that is accepted here."""
        self.add(counted, 1)
        self._tell(counted, 1)

    def add(self, counted: Counted, number: int) -> None:
        """Count a number that another process has accepted."""
        self._use(counted).window.count(self._seconds(), number)
        self._note_size(counted)

    def dump(self) -> Iterator[tuple[Counted, list[tuple[float, int]]]]:
        """Yield all counts as plain values: ages in seconds, each with a number."""
        now = self._seconds()
        for counted, usage in self._usages.items():
            ages = [(now - at, number) for at, number in usage.window.dump() if now - at < counted.rate.seconds]
            if ages:
                yield counted, ages

    def restore(self, counted: Counted, ages: Iterable[tuple[float, int]]) -> None:
        """Add a count that `dump` of another process gave, to those that were counted here."""
        now, window = self._seconds(), self._use(counted).window
        window.load([*window.dump(), *((now - age, number) for age, number in ages)], now)
        self._note_size(counted)

    def _use(self, counted: Counted) -> _Usage:
        usage = self._usages.get(counted)
        if usage is None:
            usage = self._usages[counted] = _Usage(counted.rate)
        self._usages.move_to_end(counted)
        return usage

    def _note_size(self, counted: Counted) -> None:
        usage = self._usages[counted]
        self._entries += usage.window.entries - usage.entries
        usage.entries = usage.window.entries
        self._forget()

    def _forget(self) -> None:
        while len(self._usages) > MAX_COUNTS or (self._entries > MAX_ENTRIES and len(self._usages) > 1):
            _, usage = self._usages.popitem(last=False)
            self._entries -= usage.entries
