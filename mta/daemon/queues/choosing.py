"""Chooses the queue of a relay by its settings. Nothing of a shared queue is imported for a relay without one."""

from collections.abc import Callable
from functools import partial

from mta.config.settings import Settings
from mta.daemon.parts.context import RelayContext
from mta.daemon.queues.own import open_own_queue, own_failures
from mta.daemon.queues.relay_queue import OpenedQueue
from mta.queue.disk.threads import Threads
from mta.queue.failures import Failures
from mta.queue.interface import Ledger, QueueError
from mta.queue.worker_queues.totals import totals


def open_relay_queue(context: RelayContext, threads: Threads) -> OpenedQueue:
    """Open the queue of a relay, which then owns it, and log its recovery. Raises QueueError."""
    if context.settings.shared_queue is None:
        return open_own_queue(context, threads)
    raise QueueError("QUEUE_URL: this version of smtprelay cannot share its queue yet: unset it")


def totals_of(settings: Settings) -> Callable[[], Ledger]:
    """Return the callable that blocks for the counts of all mail so far, and raises OSError or QueueError."""
    return partial(totals, settings.queue_dir)


def failures_of(settings: Settings) -> Callable[[float, float], Failures]:
    """Return the callable that blocks for the failures from one time to another, and raises QueueError."""
    return partial(own_failures, settings.queue_dir)
