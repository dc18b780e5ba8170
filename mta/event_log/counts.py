"""The values of messages that a log gathers for a part of the relay that counts them, hundreds at a time.

They are lists, and not a method for each event, because a call would cost a message more than the counting (measured).
"""

from typing import Any, Protocol

#: The values that the log adds to each list for an event.
ACCEPTED_VALUES, DELIVERED_VALUES = 3, 6
#: The lengths of the lists at which their values are to be counted.
ACCEPTED_TOGETHER, DELIVERED_TOGETHER = 500 * ACCEPTED_VALUES, 500 * DELIVERED_VALUES


class MessageCounts(Protocol):
    """Counts messages; `mta.metrics.counters` has the implementation."""

    #: Values that are not counted yet: of each message its octets, recipients and protection by TLS.
    accepted: list[Any]
    #: Of each delivery its seconds in all, for a connection and for the transaction, attempts, status, protection.
    delivered: list[Any]

    def count_accepted(self) -> None:
        """Count the values in `accepted`, and empty it."""

    def count_delivered(self) -> None:
        """Count the values in `delivered`, and empty it."""
