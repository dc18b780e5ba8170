"""The events of a relay for operators: live to those that follow, and the last errors.

While there is no follower, the event log gives no copies of its events, so that this costs nothing for a message.
"""

from collections import deque
from collections.abc import Callable, Mapping

from mta.admin.state import LoggedEvent, TooMany
from mta.event_log.emitting import Receive
from mta.event_log.repeats import Field

#: Followers at the same time.
MAX_FOLLOWERS = 20
#: Errors that are kept, and the characters of each of their texts.
MAX_ALARMS, MAX_TEXT = 50, 4000
#: Events that wait for a follower that reads slowly.
MAX_WAITING = 1000
#: The name of the event by which a follower is told how many it has missed; `events` is their number.
LOST = "lost"

#: Has the log give its events to a receiver, until the result is called.
Attach = Callable[[Receive], Callable[[], object]]
#: Takes an event as a follower does.
Follow = Callable[[LoggedEvent], object]


def logged_event(now: float, name: str, fields: Mapping[str, Field]) -> LoggedEvent:
    """Return an event with those of its fields that are known."""
    return LoggedEvent(now, name, {key: value for key, value in fields.items() if value is not None})


class Feed:
    """The events of one relay."""

    def __init__(self, attach: Attach, *, followers: int = MAX_FOLLOWERS) -> None:
        """`attach` is called for the first follower, and its result after the last one."""
        self._attach = attach
        self._most = followers
        self._followers: dict[object, Follow] = {}
        self._detach: Callable[[], object] | None = None
        self._alarms: deque[LoggedEvent] = deque(maxlen=MAX_ALARMS)

    def follow(self, receive: Follow) -> Callable[[], None]:
        """Call `receive` for each later event; the result ends this. Raises TooMany."""
        if len(self._followers) >= self._most:
            raise TooMany(f"{self._most} programs follow the events already: end one of them, and try again")
        key = object()
        self._followers[key] = receive
        if self._detach is None:
            self._detach = self._attach(self.receive)

        def end() -> None:
            if self._followers.pop(key, None) is not None and not self._followers and self._detach is not None:
                detach, self._detach = self._detach, None
                detach()

        return end

    def receive(self, now: float, name: str, fields: Mapping[str, Field]) -> None:
        """Give an event to all followers."""
        event = logged_event(now, name, fields)
        for receive in tuple(self._followers.values()):
            receive(event)

    def alarms(self) -> list[LoggedEvent]:
        """Return the last errors, newest first."""
        return list(reversed(self._alarms))

    def receive_error(self, now: float, name: str, fields: Mapping[str, Field]) -> None:
        """Keep an error."""
        self._alarms.append(logged_event(now, name, shortened(fields)))


def shortened(fields: Mapping[str, Field]) -> Mapping[str, Field]:
    """Return fields whose texts have at most MAX_TEXT characters."""
    return {name: value[:MAX_TEXT] if isinstance(value, str) else value for name, value in fields.items()}


class SlowFollower:
    """Gives events to a writer that may have to wait for its reader, which then misses some and is told how many."""

    def __init__(self, write: Follow, *, limit: int = MAX_WAITING) -> None:
        """At most `limit` events wait."""
        self._write = write
        self._limit = limit
        self._waiting: deque[LoggedEvent] = deque()
        self._paused = False
        self._lost = 0

    def receive(self, event: LoggedEvent) -> None:
        """Write an event, or have it wait."""
        if not self._paused:
            self._write(event)
        elif self._lost or len(self._waiting) >= self._limit:
            # Later ones are lost, too, until the reader knows of the gap, so that there are few gaps.
            self._lost += 1
        else:
            self._waiting.append(event)

    def pause(self) -> None:
        """Have later events wait."""
        self._paused = True

    def resume(self) -> None:
        """Write the events that wait, as long as the writer does not call `pause` again."""
        self._paused = False
        while self._waiting and not self._paused:
            last = self._waiting.popleft()
            self._write(last)
            if self._lost and not self._waiting:
                lost, self._lost = self._lost, 0
                self._write(LoggedEvent(last.time, LOST, {"events": lost}))
