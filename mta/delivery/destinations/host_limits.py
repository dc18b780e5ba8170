"""The limits of one destination's hosts that their answers taught, and the hosts that are left out for a while.

Pure: time is an argument, in monotonic seconds. The pace is in `pace`, the number of connections in `ceiling`.
"""

from collections.abc import Iterable

#: Transactions over one connection, after which a new one is opened, because remote hosts count too.
TRANSACTIONS_PER_CONNECTION = 500
#: No limit that was learned.
UNLIMITED = 1_000_000
#: Seconds for which a limit is believed: it may have been lifted since.
BELIEVED = 4 * 3600.0
#: Seconds for which no attempt goes on to a host that could not be reached or that throttles.
PASSED_OVER = 60.0
#: How many kept connections in a row that a host closed after the same number of messages show a limit.
AGAIN_AND_AGAIN = 3


class HostLimits:
    """The limits of one transaction and of one connection. Where there are none it costs a comparison a transaction."""

    def __init__(self) -> None:
        #: Recipients that one transaction may have; `recipients_now` tells whether this is still believed.
        self.recipients = UNLIMITED
        self._recipients_until = 0.0
        #: Messages that one connection may carry; `messages_now` tells whether this is still believed.
        self.messages = TRANSACTIONS_PER_CONNECTION
        self._messages_until = 0.0
        # After how many messages a kept connection was found closed, and how many times in a row.
        self._closed_after = (0, 0)
        self._passed_over: dict[str, float] = {}

    def recipients_now(self, now: float) -> int:
        """Return how many recipients one transaction may have."""
        if now >= self._recipients_until:
            self.recipients = UNLIMITED
        return self.recipients

    def recipients_refused(self, accepted: int, now: float) -> None:
        """Note that a host refused more recipients in one transaction than those it `accepted`, one or more."""
        self.recipients = accepted
        self._recipients_until = now + BELIEVED

    def messages_now(self, now: float) -> int:
        """Return how many messages one connection may carry."""
        if now >= self._messages_until:
            self.messages = TRANSACTIONS_PER_CONNECTION
        return self.messages

    def messages_refused(self, carried: int, now: float) -> None:
        """Note that a host refused more messages over a connection than those it had `carried`, one or more."""
        self.messages = min(carried, TRANSACTIONS_PER_CONNECTION)
        self._messages_until = now + BELIEVED

    def closed(self, carried: int, now: float) -> None:
        """Note that a host closed a kept connection that had `carried` so many messages: again and again is a limit."""
        last, times = self._closed_after
        self._closed_after = (carried, times + 1 if carried == last else 1)
        if carried and self._closed_after[1] >= AGAIN_AND_AGAIN:
            self.messages_refused(carried, now)

    def passed_over(self, now: float) -> frozenset[str]:
        """Return the labels of the routes that no attempt goes on to, because a short while ago that was in vain."""
        if not self._passed_over:
            return frozenset()
        self._passed_over = {label: until for label, until in self._passed_over.items() if now < until}
        return frozenset(self._passed_over)

    def pass_over(self, labels: Iterable[str], now: float) -> None:
        """Note that no host could be reached by these routes, or that the hosts throttle."""
        self._passed_over.update(dict.fromkeys(labels, now + PASSED_OVER))
