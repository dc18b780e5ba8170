"""Makes the daily digest for the postmaster: once a day, over restarts and kills, by one process of the relay."""

import time
from collections.abc import Callable
from pathlib import Path

from twisted.internet.defer import Deferred

from mta.admin.digest import Period, digest, due, read_last, until_next, write_last
from mta.blocking import RunBlocking
from mta.daemon.parts.context import RelayContext
from mta.daemon.periodic import PeriodicService
from mta.daemon.queues.choosing import failures_of
from mta.event_log.log import EventLog
from mta.message.body import MemoryBody
from mta.queue.failures import Failures
from mta.queue.ids import IdSource, first_number, to_id
from mta.queue.interface import Description, NewMail, Query, Queue, QueueError, QueueId
from mta.queue.search.conditions import Conditions
from mta.smtp.address import Address

#: Seconds from the start until the first look, and the longest time between two looks, as the clock may be set.
FIRST_LOOK, LOOK_INTERVAL = 5.0, 600.0


def digest_service(
    context: RelayContext, postmaster: Address, queue: Queue, added: Callable[[], object]
) -> PeriodicService:
    """Return the service of a relay, or of the first of its workers, that makes the digests."""
    maker = DigestMaker(
        queue,
        context.settings.queue_dir,
        failures_of(context.settings),
        name=context.settings.mailname,
        postmaster=postmaster,
        ids=context.ids,
        run=context.in_thread,
        event_log=context.event_log,
        added=added,
        shared=context.settings.shared_queue is not None,
    )
    return PeriodicService(maker.look, FIRST_LOOK, context.reactor)


class DigestMaker:
    """Looks whether a digest is due, and adds it to the queue if mail has failed."""

    def __init__(
        self,
        queue: Queue,
        directory: Path,
        count: Callable[[float, float], Failures],
        *,
        name: str,
        postmaster: Address,
        ids: IdSource,
        run: RunBlocking,
        event_log: EventLog,
        added: Callable[[], object],
        wall_clock: Callable[[], float] = time.time,
        shared: bool = False,
    ) -> None:
        """`directory` is QUEUE_DIR, and `added` is called when a digest is in the queue.

        With `shared`, other relays have the same queue, and one digest a day is made for all of them together. `count`
        blocks for the failures from one time to another, and raises QueueError.
        """
        self._queue = queue
        self._count = count
        self._directory = directory
        self._name = name
        self._postmaster = postmaster
        self._ids = ids
        self._run = run
        self._event_log = event_log
        self._added = added
        self._shared = shared
        self._wall_clock = wall_clock
        self._last = read_last(directory)
        # The end of the period whose failure to be made was told.
        self._told = 0.0

    def look(self) -> "Deferred[float | None]":
        """Make the digest if it is due. The result is the seconds until the next call; never fails."""
        return Deferred.fromCoroutine(self._look())

    async def _look(self) -> float:
        period = due(self._wall_clock(), self._last)
        if period is not None:
            try:
                await self._make(period)
            except (OSError, QueueError) as error:
                if period.until != self._told:
                    self._event_log.trouble(f"the daily digest for POSTMASTER cannot be made yet: {error}")
                self._told = period.until
        return min(LOOK_INTERVAL, until_next(self._wall_clock()) + 1.0)

    async def _make(self, period: Period) -> None:
        failures = await self._run(lambda: self._count(period.since, period.until))
        # A process that was killed may have added it without a note in the file.
        if failures.total and not await self._is_added(period):
            await self._add(failures, period)
        await self._run(lambda: write_last(self._directory, period))
        self._last = period.until

    async def _is_added(self, period: Period) -> bool:
        if self._shared:
            return bool(await self._queue.find(Query(ids=(_id_for_all(period),), finished=True, limit=1)))
        conditions = Conditions(message_id=period.message_id(self._name), since=period.until)
        return bool(await self._queue.find(Query(conditions=conditions, finished=True, limit=1)))

    async def _add(self, failures: Failures, period: Period) -> None:
        now = self._wall_clock()
        # Of relays that add it at the same time, the queue takes the message of one.
        id = _id_for_all(period) if self._shared else self._ids.new(now)
        envelope, message = digest(failures, period, name=self._name, postmaster=self._postmaster, now=now)
        description = Description(message_id=period.message_id(self._name))
        await self._queue.add(NewMail(id, envelope, MemoryBody(message), description=description), now)
        self._event_log.notice(f"{failures.total} recipients failed: the digest for POSTMASTER is message {id}")
        self._added()


def _id_for_all(period: Period) -> QueueId:
    """Return the id of the digest of a period, which is the same in all relays."""
    return to_id(first_number(period.until))
