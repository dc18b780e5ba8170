"""How much mail the delivering side works on at once, and for how long: one record, with defaults.

The limits of one destination are in `window`, those of one connection in `feedback` and `host_limits`, the seconds that
it is kept in `lines`, and the seconds that a remote host may take in `timeouts`.
"""

from dataclasses import dataclass

from mta.message.body import MAX_MEMORY_BODY


@dataclass(frozen=True, slots=True)
class DeliveryLimits:
    """How much is in work at once, and for how long. Sizes are octets, times are seconds."""

    #: Messages in work, and the octets their bodies may take in memory.
    jobs: int = 5000
    job_octets: int = 64 * 1024 * 1024
    #: No body takes more memory than this: larger ones lie in files.
    body_octets: int = MAX_MEMORY_BODY
    #: Groups that may wait before a destination that has no connection yet. One that has may fill half of the room.
    waiting_unconnected: int = 50
    #: The part of all the room that mail may have for destinations that never took any, or did not the last time.
    unproven: float = 0.75
    #: For how long mail that finds no room before its destination may be put back into the queue.
    longest_requeue: float = 60.0
    #: Recipients of one transaction (RFC 5321 section 4.5.3.1.8: every server takes 100).
    recipients_per_transaction: int = 100
    #: How many messages are claimed from the queue at a time.
    claims: int = 100
    #: How long a claim is ours. A message still in work at the end of it is claimed anew by ourselves.
    lease: float = 3600.0
    #: How long running transactions may go on when the service stops: docker kills after 10, and there is more to do.
    grace: float = 7.0
    #: The wait before asking the queue again after it failed.
    queue_retry: float = 5.0
    #: The longest sleep while mail waits, so that a clock set back cannot hold what is due.
    longest_sleep: float = 60.0
