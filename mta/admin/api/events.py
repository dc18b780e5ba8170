"""Streams events to one reader, as server-sent events or as lines of JSON, until it leaves."""

import json
from collections.abc import Iterable

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer, IReactorTime
from twisted.internet.task import LoopingCall
from twisted.web.http import Request
from zope.interface import implementer

from mta.admin.api.answers import set_head
from mta.admin.event_filter import MAX_KNOWN, EventFilter
from mta.admin.feed import LOST, SlowFollower
from mta.admin.state import LoggedEvent, RelayState
from mta.admin.wire.relay import event_object
from mta.queue.interface import QueueId
from mta.queue.search.conditions import ANY, Conditions

LINES_TYPE, SSE_TYPE = b"application/x-ndjson", b"text/event-stream"
#: Seconds after which something is written, so that a reader that is gone is noticed.
HEARTBEAT = 15.0


@implementer(IPushProducer)
class FollowedEvents:
    """The events that meet conditions, written to one request."""

    def __init__(self, request: Request, clock: IReactorTime, conditions: Conditions) -> None:
        accept = request.getHeader(b"accept") or b""
        self._sse = SSE_TYPE in accept
        self._request = request
        self._clock = clock
        self._conditions = conditions
        self._filter = EventFilter(conditions)
        self._follower = SlowFollower(self._write)
        # The first events wait until it is known which messages meet the conditions.
        self._follower.pause()
        self._begun = self._stopped = False

    async def run(self, state: RelayState) -> bytes:
        """Write events until the reader leaves, which cancels this. Raises StateError."""
        end = await state.follow(self._follower.receive)
        beats = LoopingCall(self._beat)
        beats.clock = self._clock
        try:
            if self._conditions != ANY:
                self._know((await state.select(self._conditions))[-MAX_KNOWN:])
            self._begin()
            beats.start(HEARTBEAT, now=True)
            await Deferred(_nothing)
        finally:
            if beats.running:
                beats.stop()
            end()
        return b""

    def _know(self, ids: Iterable[QueueId]) -> None:
        self._filter = EventFilter(self._conditions, ids)

    def _begin(self) -> None:
        set_head(self._request, SSE_TYPE if self._sse else LINES_TYPE)
        self._begun = True
        self._request.registerProducer(self, True)
        if not self._stopped:
            self._follower.resume()

    def _write(self, event: LoggedEvent) -> None:
        if event.name == LOST or self._filter.passes(event):
            line = json.dumps(event_object(event))
            self._request.write((f"data: {line}\n\n" if self._sse else f"{line}\n").encode())

    def _beat(self) -> None:
        if not self._stopped:
            self._request.write(b":\n\n" if self._sse else b"\n")

    def pauseProducing(self) -> None:
        """Have events wait, because the reader has no room."""
        self._stopped = True
        self._follower.pause()

    def resumeProducing(self) -> None:
        """Write the events that wait."""
        self._stopped = False
        if self._begun:
            self._follower.resume()

    def stopProducing(self) -> None:
        """Do nothing, because the end of the request follows."""


def _nothing(_: object) -> None:
    """Let a Deferred be cancelled."""
