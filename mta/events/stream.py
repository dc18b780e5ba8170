"""Takes the events of a relay, has them written to the spool in batches, and sends them in their order.

Neither waits for the other, and mail waits for neither.
"""

from collections.abc import Awaitable, Callable, Mapping
from functools import partial

from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from mta.blocking import RunBlocking
from mta.event_log.lines import Render, render_both
from mta.event_log.repeats import Field
from mta.events.fresh import MAX_EVENTS
from mta.events.records import SENT
from mta.events.spool import Batch, Spool

#: Seconds for which events are gathered before they are written: the first ones, and at most those that follow soon,
#: because each write has a sync and each batch a request. As many as a batch has are written at once.
GATHER_SECONDS, BUSY_GATHER_SECONDS = 0.1, 1.0
#: Events that wait in memory for a disk that hangs; more are dropped.
MAX_WAITING = 20_000
#: Seconds until a batch that was not received is sent again: at first, and at most.
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0
#: Seconds after which trouble that goes on is told again.
TROUBLE_AGAIN = 3600.0

#: Sends a batch; returns why it was not received, or None if it was.
Send = Callable[[Batch], Awaitable[str | None]]
_log = Logger()


class EventStream(Service):
    """The events of one relay or worker, on their way to the receiver."""

    def __init__(
        self,
        spool: Spool,
        send: Send,
        *,
        run: RunBlocking,
        clock: IReactorTime,
        flush: Callable[[], object],
        trouble: Callable[[str], object],
        notice: Callable[[str], object],
    ) -> None:
        """`flush` has the event log make the lines of all events so far, with which their records come."""
        self._flush = flush
        self._spool = spool
        self._send = send
        self._run = run
        self._clock = clock
        self._trouble = trouble
        self._notice = notice
        # The records that wait to be written.
        self._waiting: list[str] = []
        # The number of them at which something is to be done.
        self._next_look = 1
        self._dropped = 0
        # The timer or the work that writes the events that wait; None if there are none.
        self._gather: IDelayedCall | None = None
        self._writing: Deferred[None] | None = None
        # When the last write began.
        self._wrote = -BUSY_GATHER_SECONDS
        self._pause = FIRST_PAUSE
        self._retry: IDelayedCall | None = None
        self._sending: Deferred[None] | None = None
        # When each kind of trouble was told.
        self._told: dict[str, float] = {}

    def startService(self) -> None:
        """Send the events that an earlier process left."""
        super().startService()
        self._send_soon()

    def stopService(self) -> None:
        """Stop sending. Events are still taken, because deliveries end at the same time; see `close`."""
        super().stopService()
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
        if self._sending is not None:
            self._sending.cancel()

    def recording(self, render: Render) -> Render:
        """Return a renderer of lines, as `render` does, that takes those of the events that are sent."""
        both_of = {event: render_both(render, event) for event in SENT}
        waiting = self._waiting

        # A record is made with the line, because later the values have left the caches of the processor.
        def render_and_take(now: float, event: str, fields: Mapping[str, Field]) -> str:
            both = both_of.get(event)
            if both is None:
                return render(now, event, fields)
            line, record = both(now, fields)
            waiting.append(record)
            if len(waiting) >= self._next_look:
                self._look()
            return line

        return render_and_take

    async def close(self) -> None:
        """Write the events that are left, and return when they are on disk. No event may come after it."""
        self._flush()
        while self._gather is not None or self._writing is not None:
            if self._gather is not None:
                self._gather.cancel()
                self._write_gathered()
            if self._writing is not None:
                await self._writing
        try:
            await self._run(self._spool.close)
        except OSError as error:
            self._tell("lost", f"the spool of events cannot be closed: {error.strerror or error}")

    def _look(self) -> None:
        """Act on the number of events that wait."""
        if len(self._waiting) > MAX_WAITING:
            self._waiting.pop()
            self._dropped += 1
        elif self._gather is not None:
            self._gather.reset(0)
            self._next_look = MAX_WAITING + 1
        elif self._writing is None:
            self._gather_more()

    def _gather_more(self) -> None:
        pause = self._wrote + BUSY_GATHER_SECONDS - self._clock.seconds()
        enough = len(self._waiting) >= MAX_EVENTS
        self._gather = self._clock.callLater(0 if enough else max(GATHER_SECONDS, pause), self._write_gathered)
        self._next_look = MAX_WAITING + 1 if enough else MAX_EVENTS

    def _write_gathered(self) -> None:
        self._gather = None
        self._next_look = MAX_WAITING + 1
        self._wrote = self._clock.seconds()
        writing = Deferred.fromCoroutine(self._write()).addErrback(_log_bug)
        self._writing = writing
        writing.addBoth(lambda _: self._written())

    def _written(self) -> None:
        self._writing = None
        if self._waiting:
            self._gather_more()
        else:
            self._next_look = 1
        self._send_soon()

    async def _write(self) -> None:
        # As many as a batch has, so that batches are as large as they may be. The list itself stays, because the
        # renderer has it too.
        records = self._waiting[:MAX_EVENTS]
        del self._waiting[:MAX_EVENTS]
        lost, self._dropped = self._dropped, 0
        await self._write_batch(records, lost)

    async def _write_batch(self, records: list[str], lost: int) -> None:
        spool, why = self._spool, "the disk was too slow for them"
        try:
            oldest = (await self._run(lambda: spool.append(records))) if records else 0
        except OSError as error:
            oldest, lost, why = 0, lost + len(records), str(error.strerror or error)
        if lost:
            spool.lose(lost)
            self._tell("lost", f"{lost} events for EVENTS_URL were dropped: {why}; {spool.dropped} were in all")
        if oldest:
            text = f"the {oldest} oldest events for EVENTS_URL were dropped, because the spool is full"
            self._tell("full", f"{text}; {spool.dropped} were in all")

    def _send_soon(self) -> None:
        if self.running and self._sending is None and self._retry is None:
            self._sending = Deferred.fromCoroutine(self._send_all())
            sending = self._sending
            sending.addErrback(_log_bug)
            if sending.called:
                self._sending = None
            else:
                sending.addBoth(lambda _: self._sent())

    def _sent(self) -> None:
        self._sending = None
        # An event may have been written after the last look.
        if self.running and self._retry is None and self._spool.waiting > 0:
            self._send_soon()

    async def _send_all(self) -> None:
        """Send until the spool is empty, or until a batch is not received."""
        batch: Batch | None = None
        while self.running:
            try:
                batch = await self._run(partial(self._next_after, batch))
                if batch is None:
                    return
                why = await self._send(batch)
            except OSError as error:
                why = f"the spool cannot be used: {error.strerror or error}"
            if why is not None:
                self._try_again(why)
                return
            self._works_again()

    def _next_after(self, received: Batch | None) -> Batch | None:
        if received is not None:
            self._spool.received(received)
        return self._spool.next_batch()

    def _try_again(self, why: str) -> None:
        if not self.running:
            return
        waiting = self._spool.waiting
        text = f"events cannot be sent to EVENTS_URL: {why}; {waiting} wait, and mail does not"
        self._tell("sending", text)
        self._retry = self._clock.callLater(self._pause, self._run_retry)
        self._pause = min(self._pause * 2, LONGEST_PAUSE)

    def _run_retry(self) -> None:
        self._retry = None
        self._send_soon()

    def _works_again(self) -> None:
        self._pause = FIRST_PAUSE
        if self._told.pop("sending", None) is not None:
            self._notice("events are sent to EVENTS_URL again")

    def _tell(self, kind: str, text: str) -> None:
        """Tell of trouble, and again an hour later if it goes on."""
        now = self._clock.seconds()
        told = self._told.get(kind)
        if told is None or now - told >= TROUBLE_AGAIN:
            self._told[kind] = now
            self._trouble(text)


def _log_bug(failure: Failure) -> None:
    if failure.check(CancelledError) is None:
        _log.failure("events cannot be sent", failure)
