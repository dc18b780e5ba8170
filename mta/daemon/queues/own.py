"""The relay's own queue: one SQLite file in its home, which no other process opens for mail."""

import time
from pathlib import Path

from twisted.logger import Logger
from twisted.python.failure import Failure

from mta.daemon.parts.context import RelayContext
from mta.daemon.periodic import PeriodicService
from mta.daemon.queues.relay_queue import OpenedQueue
from mta.event_log.log import EventLog
from mta.queue.disk.queue_dir import FILE_NAME, homes, is_without_queue
from mta.queue.disk.threads import Threads
from mta.queue.failures import Failures
from mta.queue.sqlite.group_commit import Step, no_step
from mta.queue.sqlite.operator.failures import count_failures
from mta.queue.sqlite.queue import open_queue
from mta.queue.sqlite.recovery import Recovery
from mta.queue.sqlite.wal import INTERVAL, WAL_OCTETS, WalMonitor

_log = Logger()


def open_own_queue(context: RelayContext, threads: Threads) -> OpenedQueue:
    """Open the queue in the home of a relay, and log its recovery. Raises QueueError."""
    queue = open_queue(
        context.home,
        run=threads,
        now=time.time(),
        retry_all=True,
        call_later=context.reactor.callLater,
        wal_octets=WAL_OCTETS,
        step=_step(context),
    )
    _log_recovery(context.event_log, queue.recovery)
    if queue.recovery.possible_duplicates:
        queue.clear_reported_marks().addErrback(_log_not_noted)
    wal = WalMonitor(context.home / FILE_NAME, threads, trouble=context.event_log.trouble)
    return OpenedQueue(queue, context.ids, [PeriodicService(wal.look, INTERVAL, context.reactor)])


def own_failures(directory: Path, since: float, until: float) -> Failures:
    """Return the failures of all workers from one time to another. Blocks; raises QueueError."""
    failures = Failures()
    for home in homes(directory):
        if not is_without_queue(home):
            count_failures(home / FILE_NAME, since, until, failures)
    return failures


def _step(context: RelayContext) -> Step:
    """Return the callable that the queue tells its steps, which measures commits if there are counters."""
    if context.counters is None:
        return no_step
    from mta.metrics.counters import commit_timer  # noqa: PLC0415

    return commit_timer(context.counters, time.monotonic)


def _log_not_noted(failure: Failure) -> None:
    _log.warn("possible duplicates are logged again at the next start: {why}", why=failure.getErrorMessage())


def _log_recovery(event_log: EventLog, recovery: Recovery) -> None:
    if recovery.leases or recovery.strays or recovery.possible_duplicates:
        event_log.recovered(recovery.leases, recovery.strays)
    for id in recovery.missing:
        event_log.trouble("the file with the body of this message is gone: it cannot be delivered", id)
    for id, address in recovery.possible_duplicates:
        event_log.possible_duplicate(id, address)
