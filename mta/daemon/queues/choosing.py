"""Chooses the queue of a relay by its settings. Nothing of a shared queue is imported for a relay without one."""

from mta.daemon.parts.context import RelayContext
from mta.daemon.queues.own import open_own_queue
from mta.daemon.queues.relay_queue import OpenedQueue
from mta.queue.disk.threads import Threads
from mta.queue.interface import QueueError


def open_relay_queue(context: RelayContext, threads: Threads) -> OpenedQueue:
    """Open the queue of a relay, which then owns it, and log its recovery. Raises QueueError."""
    if context.settings.shared_queue is None:
        return open_own_queue(context, threads)
    raise QueueError("QUEUE_URL: this version of smtprelay cannot share its queue yet: unset it")
