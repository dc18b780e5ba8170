"""Live events as a stream for a browser (server-sent events)."""

import json
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer
from twisted.internet.task import LoopingCall
from zope.interface import implementer

from mta.admin.event_filter import EventFilter
from mta.admin.feed import SlowFollower
from mta.admin.state import LoggedEvent
from mta.admin.views.events import event_object

#: Seconds between two comments, which keep proxies from closing a silent stream.
ALIVE_SECONDS = 20.0


@implementer(IPushProducer)
class BrowserStream:
    """Writes the events that pass a filter to a browser, which may read slowly."""

    def __init__(self, request: Any, passes: EventFilter, clock: Any) -> None:
        self._request = request
        self._filter = passes
        self._follower = SlowFollower(self._write)
        self._alive = LoopingCall(lambda: request.write(b": alive\n\n"))
        self._alive.clock = clock
        self._end: Callable[[], None] | None = None
        #: Fires when the browser is gone.
        self.gone: Deferred[None] = Deferred()

    def begin(self, end: Callable[[], None]) -> None:
        """Write the header. `end` is called when the browser is gone."""
        request = self._request
        self._end = end
        write_header(request)
        request.notifyFinish().addBoth(self._gone)
        request.registerProducer(self, True)  # noqa: FBT003  Twisted's interface
        self._alive.start(ALIVE_SECONDS)

    def receive(self, event: LoggedEvent) -> None:
        """Take an event."""
        if self._end is not None and self._filter.passes(event):
            self._follower.receive(event)

    def _write(self, event: LoggedEvent) -> None:
        self._request.write(b"data: " + json.dumps(event_object(event)).encode() + b"\n\n")

    def _gone(self, _: object) -> None:
        if self._end is not None:
            end, self._end = self._end, None
            end()
            self._request.unregisterProducer()
            if not self.gone.called:
                self.gone.callback(None)
        if self._alive.running:
            self._alive.stop()

    def pauseProducing(self) -> None:  # noqa: N802  Twisted names it
        """Have events wait."""
        self._follower.pause()

    def resumeProducing(self) -> None:  # noqa: N802
        """Write the events that wait."""
        self._follower.resume()

    def stopProducing(self) -> None:  # noqa: N802
        """End the stream."""
        self._gone(None)


def write_header(request: Any) -> None:
    """Begin a stream."""
    request.setHeader("Content-Type", "text/event-stream; charset=utf-8")
    request.setHeader("X-Accel-Buffering", "no")
    request.write(b"retry: 3000\n\n")
