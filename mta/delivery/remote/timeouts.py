"""The time that a remote host has for each step (RFC 5321 section 4.5.3.2), and the timer that enforces it."""

from collections.abc import Callable
from dataclasses import dataclass

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from mta.smtp.client.dialogue import Awaited

# Reading a member off its Enum costs as much as a call in Python 3.11.
_DATA, _END = Awaited.DATA, Awaited.END


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds that each step may take, with the section of RFC 5321 that recommends the value."""

    connect: float = 30.0
    #: The TLS handshake, for which no RFC gives a value.
    tls: float = 60.0
    #: 4.5.3.2.1 to 3, and the commands that the RFC does not name: EHLO, STARTTLS, AUTH, RSET.
    command: float = 300.0
    #: 4.5.3.2.4
    data: float = 120.0
    #: 4.5.3.2.5: each piece of a body.
    block: float = 180.0
    #: 4.5.3.2.6
    end: float = 600.0
    #: From QUIT until the connection is down.
    close: float = 10.0

    def of(self, step: Awaited) -> float:
        """Return the seconds that the reply to a step may take."""
        if step is _END:
            return self.end
        return self.data if step is _DATA else self.command


class Deadline:
    """A time-out that is set several times for each message and almost never expires.

    Moving it to a later time costs one assignment, because the delayed call checks the due time again when it fires.
    `clear` leaves the delayed call in the reactor for the next `set`; `cancel` removes it.
    """

    __slots__ = ("_call", "_clock", "_due", "_expired", "_fires")

    def __init__(self, clock: IReactorTime, expired: Callable[[], None]) -> None:
        self._clock = clock
        self._expired = expired
        self._due: float | None = None
        # The delayed call, and the time at which it fires.
        self._call: IDelayedCall | None = None
        self._fires = 0.0

    def set(self, seconds: float) -> None:
        """Call `expired` after this many seconds, unless the deadline is set again or cleared before."""
        due = self._due = self._clock.seconds() + seconds
        if self._call is None:
            self._call_later(seconds)
        elif due < self._fires:
            self._call.reset(seconds)
            self._fires = due

    def clear(self) -> None:
        """Remove the deadline."""
        self._due = None

    def cancel(self) -> None:
        """Remove the deadline, its delayed call in the reactor and, for good, `expired`."""
        self._due = None
        self._expired = _nothing
        if self._call is not None:
            call, self._call = self._call, None
            call.cancel()

    def _check(self) -> None:
        self._call = None
        if self._due is None:
            return
        left = self._due - self._clock.seconds()
        if left > 0:
            self._call_later(left)
        else:
            self._due = None
            self._expired()

    def _call_later(self, seconds: float) -> None:
        self._call = self._clock.callLater(seconds, self._check)
        self._fires = self._call.getTime()


def _nothing() -> None:
    """Do nothing."""
