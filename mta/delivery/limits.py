"""The limits of the delivery side: how much mail is in work at once, and for how long.

The limits of one destination are in `destinations.window`, those of one connection in `destinations.host_limits`, the
seconds for which an idle connection is kept in `destinations.pool`, and the time-outs in `remote.timeouts`.
"""

from dataclasses import dataclass

from mta.message.body import MAX_MEMORY_BODY


@dataclass(frozen=True, slots=True)
class DeliveryLimits:
    """The bounds of the mail in work. Sizes are octets, times are seconds."""

    #: The messages in work, and the octets of memory that their bodies may take.
    jobs: int = 5000
    job_octets: int = 64 * 1024 * 1024
    #: The most memory that one body takes, because larger bodies are in files.
    body_octets: int = MAX_MEMORY_BODY
    #: Groups that may wait for a destination without a connection. One with a connection may fill half of the room.
    waiting_unconnected: int = 50
    #: The share of the room for mail to destinations that never took mail, or did not take it the last time.
    unproven: float = 0.75
    #: The longest time for which mail that its destination has no room for goes back to the queue; more than 2.
    longest_requeue: float = 60.0
    #: Recipients of one transaction (RFC 5321 section 4.5.3.1.8: every server takes 100).
    recipients_per_transaction: int = 100
    #: Messages that are claimed from the queue at a time.
    claims: int = 100
    #: How long a claim lasts. The relay claims a message anew that is still in work at the end of it.
    lease: float = 3600.0
    #: How long running transactions may go on when the service stops. Docker kills after 10 s; other work follows.
    grace: float = 7.0
    #: The wait until the queue is asked again after it failed.
    queue_retry: float = 5.0
    #: The longest sleep while mail waits, so that a clock that is set back cannot hold mail that is due.
    longest_sleep: float = 60.0
