"""The limits of a destination's hosts, learned from their answers, and the hosts that are passed over for a while.

Time is an argument, in monotonic seconds. The pace is in `pace`, the number of connections in `window`.
"""

from collections.abc import Iterable

#: Transactions over one connection, after which a new one is opened, because remote hosts count too.
TRANSACTIONS_PER_CONNECTION = 500
#: The number that stands for the absence of a limit.
UNLIMITED = 1_000_000
#: Seconds after which a limit is forgotten, because the host may have lifted it.
LIMIT_SECONDS = 4 * 3600.0
#: Seconds for which a host that could not be reached, or that throttles, gets no further attempt.
PASSED_OVER_SECONDS = 60.0
#: Idle connections in a row that a host must have closed after the same number of messages to show a limit.
EQUAL_CLOSES = 3


class HostLimits:
    """The limits of one transaction and of one connection. Without limits they cost one comparison a transaction."""

    def __init__(self, most_messages: int = TRANSACTIONS_PER_CONNECTION) -> None:
        """`most_messages` is the number that one connection may carry at most, whatever the hosts answer."""
        self._most_messages = most_messages
        #: The recipients that one transaction may have, unless the limit is old: see `recipients_now`.
        self.recipients = UNLIMITED
        self._recipients_until = 0.0
        #: The messages that one connection may carry, unless the limit is old: see `messages_now`.
        self.messages = most_messages
        self._messages_until = 0.0
        # The messages after which an idle connection was found closed, and how many times in a row it was this number.
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
        self._recipients_until = now + LIMIT_SECONDS

    def messages_now(self, now: float) -> int:
        """Return how many messages one connection may carry."""
        if now >= self._messages_until:
            self.messages = self._most_messages
        return self.messages

    def messages_refused(self, carried: int, now: float) -> None:
        """Note that a host refused more messages over a connection than those it had `carried`, one or more."""
        self.messages = min(carried, self._most_messages)
        self._messages_until = now + LIMIT_SECONDS

    def offered(self, recipients: int | None, messages: int | None, now: float) -> None:
        """Note the limits that a host announces in its reply to EHLO; those known by now stay if they are lower."""
        if recipients is not None and recipients <= self.recipients_now(now):
            self.recipients_refused(recipients, now)
        if messages is not None and messages <= self.messages_now(now):
            self.messages_refused(messages, now)

    def closed(self, carried: int, now: float) -> None:
        """Note that a host closed an idle connection after so many messages; done repeatedly, this shows a limit."""
        last, times = self._closed_after
        self._closed_after = (carried, times + 1 if carried == last else 1)
        if carried and self._closed_after[1] >= EQUAL_CLOSES:
            self.messages_refused(carried, now)

    def learned(self, now: float) -> tuple[int | None, int | None]:
        """Return the recipients of a transaction and the messages of a connection, each None if no host limits them."""
        recipients, messages = self.recipients_now(now), self.messages_now(now)
        return recipients if recipients < UNLIMITED else None, messages if messages < self._most_messages else None

    def passed_over(self, now: float) -> frozenset[str]:
        """Return the labels of the routes that failed or throttled a short while ago."""
        if not self._passed_over:
            return frozenset()
        self._passed_over = {label: until for label, until in self._passed_over.items() if now < until}
        return frozenset(self._passed_over)

    def pass_over(self, labels: Iterable[str], now: float) -> None:
        """Pass over these routes for a while, because no host could be reached by them, or the hosts throttle."""
        self._passed_over.update(dict.fromkeys(labels, now + PASSED_OVER_SECONDS))
