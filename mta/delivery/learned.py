"""Facts about the hosts of one destination that their answers taught. Pure: time is an argument, monotonic seconds."""

from collections.abc import Iterable

#: No limit that was learned.
UNLIMITED = 1_000_000
#: Seconds for which a limit is believed: it may have been lifted since.
BELIEVED = 4 * 3600.0
#: Seconds for which an attempt does not go on to a host that could not be reached.
UNREACHABLE = 60.0


class Learned:
    """What the answers of a destination's hosts taught. Without any limit it costs a comparison a transaction."""

    def __init__(self) -> None:
        #: Recipients that one transaction may have; `recipients_now` tells whether this is still believed.
        self.recipients = UNLIMITED
        self._recipients_until = 0.0
        self._unreachable: dict[str, float] = {}

    def recipients_now(self, now: float) -> int:
        """Return how many recipients one transaction may have."""
        if now >= self._recipients_until:
            self.recipients = UNLIMITED
        return self.recipients

    def recipients_refused(self, accepted: int, now: float) -> None:
        """Note that a host refused more recipients in one transaction than those it `accepted`, one or more."""
        self.recipients = accepted
        self._recipients_until = now + BELIEVED

    def unreachable(self, now: float) -> frozenset[str]:
        """Return the labels of the routes by which no host could be reached a short while ago."""
        if not self._unreachable:
            return frozenset()
        self._unreachable = {label: until for label, until in self._unreachable.items() if now < until}
        return frozenset(self._unreachable)

    def not_reached(self, labels: Iterable[str], now: float) -> None:
        """Note that no host could be reached by these routes."""
        self._unreachable.update(dict.fromkeys(labels, now + UNREACHABLE))
