"""The events of workers for the feed of their parent, by lines of the channel.

A worker sends its errors always, because they are rare, and other events only while the parent wants them. It has one
line of events on its way at a time, so that its events never fill the channel: those beyond a bound are lost and
counted.
"""

import json
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from mta.admin.feed import LOST, Attach, shortened
from mta.event_log.emitting import Receive
from mta.event_log.repeats import Field

#: The verbs: of the parent, whether it wants events, and that it has those that it got; of a worker, its events with
#: the number of those lost before them, and an error.
FOLLOW, TAKEN = "follow", "events-taken"
EVENTS, ERROR = "events", "error"
#: Seconds for which a worker gathers events, the events that wait for the parent, and the octets of a line with them.
GATHER_SECONDS = 0.05
MAX_WAITING = 5000
MAX_OCTETS = 48 * 1024

#: Sends a verb with arguments.
Send = Callable[..., object]
Handlers = Mapping[str, Callable[..., object]]


class EventSender:
    """The end of a worker."""

    def __init__(self, attach: Attach, send: Send, clock: IReactorTime) -> None:
        self._attach = attach
        self._send = send
        self._clock = clock
        self._detach: Callable[[], object] | None = None
        self._timer: IDelayedCall | None = None
        self._on_its_way = False
        self._waiting: deque[str] = deque()
        self._lost = 0

    def handlers(self) -> Handlers:
        """Return the handlers of the parent's verbs."""
        return {FOLLOW: self._follow, TAKEN: self._taken}

    def receive_error(self, now: float, name: str, fields: Mapping[str, Field]) -> None:
        """Send an error."""
        self._send(ERROR, now, name, shortened(fields))

    def close(self) -> None:
        """Send no more events."""
        self._follow(False)

    def _follow(self, wanted: bool) -> None:  # noqa: FBT001  a line of the channel has no keywords
        if wanted and self._detach is None:
            self._detach = self._attach(self._receive)
        elif not wanted and self._detach is not None:
            self._detach()
            self._detach = None
            self._waiting.clear()
            self._lost = 0
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None

    def _receive(self, now: float, name: str, fields: Mapping[str, Field]) -> None:
        if len(self._waiting) >= MAX_WAITING:
            self._lost += 1
            return
        # As text at once, because its octets count, and because another event may change the fields.
        self._waiting.append(json.dumps((now, name, shortened(fields))))
        if self._timer is None and not self._on_its_way:
            self._timer = self._clock.callLater(GATHER_SECONDS, self._send_gathered)

    def _send_gathered(self) -> None:
        self._timer = None
        batch: list[str] = []
        octets = 0
        while self._waiting and octets + len(self._waiting[0]) <= MAX_OCTETS:
            batch.append(self._waiting.popleft())
            octets += len(batch[-1]) + 2
        if not batch and self._waiting:
            # An event with more text than a line has room for.
            self._waiting.popleft()
            self._lost += 1
        lost, self._lost = self._lost, 0
        self._on_its_way = True
        self._send(EVENTS, lost, [json.loads(event) for event in batch])

    def _taken(self) -> None:
        self._on_its_way = False
        if self._waiting and self._timer is None:
            self._timer = self._clock.callLater(GATHER_SECONDS, self._send_gathered)


class EventReceiver:
    """The end of the parent."""

    def __init__(
        self, attach: Attach, send: Callable[..., object], receive_error: Receive, wall_clock: Callable[[], float]
    ) -> None:
        """`attach` is that of the parent's own log; `send` sends a worker, by its number, a verb with arguments."""
        self._attach_own = attach
        self._send = send
        self._receive_error = receive_error
        self._wall_clock = wall_clock
        self._receive: Receive | None = None
        self._workers: set[int] = set()

    def handlers(self, worker: int) -> dict[str, Callable[..., object]]:
        """Return the handlers of the verbs of a worker."""
        return {EVENTS: partial(self._take, worker), ERROR: self._receive_error}

    def started(self, worker: int) -> None:
        """Tell a worker that listens now whether its events are wanted."""
        self._workers.add(worker)
        if self._receive is not None:
            self._send(worker, FOLLOW, True)

    def ended(self, worker: int) -> None:
        """Forget a worker that has ended."""
        self._workers.discard(worker)

    def attach(self, receive: Receive) -> Callable[[], None]:
        """Give the events of this process and of all workers to a receiver, until the result is called."""
        self._receive = receive
        detach = self._attach_own(receive)
        self._tell_all(wanted=True)

        def end() -> None:
            self._receive = None
            detach()
            self._tell_all(wanted=False)

        return end

    def _tell_all(self, *, wanted: bool) -> None:
        for worker in sorted(self._workers):
            self._send(worker, FOLLOW, wanted)

    def _take(self, worker: int, lost: int, events: Sequence[Sequence[Any]]) -> None:
        self._send(worker, TAKEN)
        for now, name, fields in events:
            if self._receive is not None:
                self._receive(now, name, fields)
        if lost and self._receive is not None:
            self._receive(self._wall_clock(), LOST, {"events": lost})
