"""The destinations' side of the rates: each asks the broker for leave for one transaction after the other.

`mta.delivery.rates.broker` is the other side, in this process or in the parent of the workers.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol
from weakref import WeakValueDictionary

from mta.delivery.rates.terms import messages_a_second, most_messages, most_recipients

#: The messages in the queue that are remembered to wait.
MAX_NOTED = 100_000
_MINUTE = 60.0


class Send(Protocol):
    """Sends a line to the broker, or another part of the parent."""

    def __call__(self, verb: str, /, *arguments: object) -> None:
        """Send the verb and its arguments."""


class Leave:
    """The leave of one destination. Times are wall-clock seconds."""

    def __init__(
        self,
        name: str,
        places: Mapping[str, str],
        send: Send,
        changed: Callable[[], object],
        wall_clock: Callable[[], float],
    ) -> None:
        """`places` has the keys of the rates, each with the place of its rule.

        `changed` is called when leave has come, or when it is known that it comes late.
        """
        self._name = name
        #: The keys of its rates.
        self.keys = keys = tuple(places)
        self._places = places
        self._send = send
        self._changed = changed
        self._wall_clock = wall_clock
        self._rate = messages_a_second(keys)
        #: The recipients that a message may have at most; None without a limit.
        self.most_recipients = most_recipients(keys)
        # The recipients for which leave was requested, and those for which it has come; 0 without.
        self._asked = 0
        self._leave = 0
        # The recipients of the transaction that begins.
        self._begins = 0
        # The messages that may begin at once, as far as is known.
        self._room = most_messages(keys)
        # The rate that the last request waited for.
        self._waits_for = keys[0]
        # The numbers of messages that went back to the queue, for operators: the last ones, without a value.
        self._in_queue: dict[int, None] = {}
        # The time from which on a message may begin, as far as is known, and the wait that was told then.
        self._not_before = self._wait = 0.0

    @property
    def pending(self) -> bool:
        """Whether a request has no answer yet."""
        return self._asked > 0

    @property
    def not_before(self) -> float:
        """The time from which on a message may begin, as far as is known; in the past if there is no reason to wait."""
        # If the wall clock was set back, mail must not wait for longer than it was told.
        return self._not_before if self._not_before - self._wall_clock() <= self._wait else 0.0

    @property
    def rate(self) -> float:
        """Return the messages a second that may be sent in the next minute, if no other destination has any."""
        return self._rate + self._room / _MINUTE

    @property
    def place(self) -> str:
        """The place of the rule whose rate is waited for."""
        return self._places[self._waits_for]

    def may_start(self, recipients: int) -> bool:
        """Whether there is leave for a transaction with so many recipients; if not, request it."""
        if 0 < self._leave < recipients or 0 < self._asked < recipients:
            self.give_back()
        if not self._leave and not self._asked:
            self._asked = recipients
            self._send("rate_ask", self._name, self.keys, recipients)
        return self._leave > 0

    def started(self) -> None:
        """Use the leave for a transaction that begins now; `begin` follows."""
        self._begins, self._leave = self._leave, 0

    def give_back(self) -> None:
        """Give up leave and the request for it, because no transaction waits for it."""
        if self._asked:
            self._asked = 0
            self._send("rate_withdraw", self._name)
        if self._leave:
            leave, self._leave = self._leave, 0
            self._send("rate_unused", self._name, self.keys, leave)

    def note_wait(self, number: int) -> None:
        """Remember that the message with this number waits in the queue."""
        self._in_queue[number] = None
        if len(self._in_queue) > MAX_NOTED:
            del self._in_queue[next(iter(self._in_queue))]

    def forget_wait(self, number: int) -> None:
        """Forget that a message waits in the queue."""
        self._in_queue.pop(number, None)

    def notes_wait(self, number: int) -> bool:
        """Whether a message is remembered to wait in the queue."""
        return number in self._in_queue

    def begin(self, recipients: int) -> int:
        """Count a transaction that begins; on the way to another host it has no leave. Return a value for `end`."""
        begins, self._begins = self._begins, 0
        if not begins:
            begins = recipients
            self._send("rate_begun", self._name, self.keys, begins)
        return begins

    def end(self, begun: int) -> None:
        """Count a transaction that has ended."""
        self._send("rate_ended", self._name, self.keys, begun)

    def on_leave(self, recipients: int, room: int) -> None:
        """Handle leave for a transaction with so many recipients; `room` is the number that could follow at once."""
        if not self._asked:
            self._send("rate_unused", self._name, self.keys, recipients)
            return
        self._asked, self._leave = 0, recipients
        self._not_before, self._room = 0.0, room
        self._changed()

    def on_wait(self, key: str, seconds: float) -> None:
        """Handle that the request waits for a rate, so long."""
        if self._asked and key in self._places:
            self._waits_for = key
            self._room = 0
            self._not_before, self._wait = self._wall_clock() + seconds, seconds
            self._changed()


#: Makes the leave of a destination, by its name and keys; the callable is called when the leave has changed.
NewLeave = Callable[[str, Mapping[str, str], Callable[[], object]], Leave]


class Leaves:
    """The leave of a process's destinations by their name, and the handlers of lines of the broker."""

    def __init__(self, send: Send, wall_clock: Callable[[], float]) -> None:
        self._send = send
        self._wall_clock = wall_clock
        # The destinations own their leave, so a deleted destination has no entry.
        self._leaves: WeakValueDictionary[str, Leave] = WeakValueDictionary()

    def new(self, name: str, places: Mapping[str, str], changed: Callable[[], object]) -> Leave:
        """Create the leave of a destination."""
        leave = self._leaves[name] = Leave(name, places, self._send, changed, self._wall_clock)
        return leave

    def handlers(self) -> dict[str, Callable[..., object]]:
        """Return the handlers for the channel, by verb."""
        return {"rate_leave": self._on_leave, "rate_wait": self._on_wait}

    def _on_leave(self, name: str, keys: Sequence[str], recipients: int, room: int) -> None:
        leave = self._leaves.get(name)
        if leave is None or leave.keys != tuple(keys):
            # It is for a destination that was forgotten, or whose rates are others now.
            self._send("rate_unused", name, keys, recipients)
        else:
            leave.on_leave(recipients, room)

    def _on_wait(self, name: str, key: str, seconds: float) -> None:
        leave = self._leaves.get(name)
        if leave is not None:
            leave.on_wait(key, seconds)
