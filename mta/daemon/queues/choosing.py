"""Chooses the queue of a relay by its settings. Nothing of a shared queue is imported for a relay without one."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from mta.blocking import RunBlocking
from mta.config.settings import Settings
from mta.daemon.parts.context import RelayContext
from mta.daemon.queues.own import open_own_queue, own_failures
from mta.daemon.queues.relay_queue import OpenedQueue
from mta.queue.disk.threads import THREADS, Threads
from mta.queue.failures import Failures
from mta.queue.interface import Ledger
from mta.queue.worker_queues.totals import totals

if TYPE_CHECKING:
    from mta.queue.postgres.operators_queue import OperatorsQueue

#: One for each connection: three of lanes, two of large bodies, one for the space of dead rows, two of operators, three
#: of the membership.
SHARED_THREADS = 11


def open_relay_queue(context: RelayContext, threads: Threads) -> OpenedQueue:
    """Open the queue of a relay, which then owns it, and log its recovery. Raises QueueError."""
    shared = context.settings.shared_queue
    if shared is None:
        return open_own_queue(context, threads)
    from mta.daemon.queues.shared import open_shared_queue  # noqa: PLC0415

    return open_shared_queue(context, shared, threads)


def threads_for(settings: Settings, reactor: Any) -> Threads:
    """Start the threads in which the queue of a relay blocks."""
    return Threads(reactor, THREADS if settings.shared_queue is None else SHARED_THREADS)


def totals_of(settings: Settings) -> Callable[[], Ledger]:
    """Return the callable that blocks for the counts of all mail so far, and raises OSError or QueueError."""
    if settings.shared_queue is None:
        return partial(totals, settings.queue_dir)
    from mta.daemon.queues.shared import shared_totals  # noqa: PLC0415

    return partial(shared_totals, settings.shared_queue.server)


def failures_of(settings: Settings) -> Callable[[float, float], Failures]:
    """Return the callable that blocks for the failures from one time to another, and raises QueueError."""
    if settings.shared_queue is None:
        return partial(own_failures, settings.queue_dir)
    from mta.daemon.queues.shared import shared_failures  # noqa: PLC0415

    return partial(shared_failures, settings.shared_queue.server)


def operators_queue(settings: Settings, run: RunBlocking) -> "OperatorsQueue | None":
    """Return the shared queue for operators who do not ask a relay of it; None if the queue is not shared."""
    if settings.shared_queue is None:
        return None
    from mta.queue.postgres.operators_queue import OperatorsQueue  # noqa: PLC0415

    return OperatorsQueue(settings.shared_queue.server, run)
