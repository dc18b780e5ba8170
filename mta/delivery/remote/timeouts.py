"""How long the remote side may take: RFC 5321 section 4.5.3.2, in seconds, and the clock's side of it."""

from collections.abc import Callable
from dataclasses import dataclass

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from mta.smtp.client.dialogue import Awaited

# Reading a member off its Enum costs as much as a call in Python 3.11.
_DATA, _END = Awaited.DATA, Awaited.END


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds that each step may take, with the section of RFC 5321 that says so."""

    connect: float = 30.0
    #: The handshake; no RFC says.
    tls: float = 60.0
    #: 4.5.3.2.1 to 3, and what the RFC does not name: EHLO, STARTTLS, AUTH, RSET.
    command: float = 300.0
    #: 4.5.3.2.4
    data: float = 120.0
    #: 4.5.3.2.5: each piece of a body that is sent.
    block: float = 180.0
    #: 4.5.3.2.6
    end: float = 600.0
    #: For the connection to go down once we have said QUIT.
    close: float = 10.0

    def of(self, step: Awaited) -> float:
        """Return how long the reply to a step may take."""
        if step is _END:
            return self.end
        return self.data if step is _DATA else self.command


class Deadline:
    """A time-out that is set several times a message and almost never expires.

    Setting it later costs an assignment: the delayed call looks again when it fires. One call is left behind by
    `clear`, for the next `set`; `cancel` takes it back.
    """

    __slots__ = ("_call", "_clock", "_due", "_expired")

    def __init__(self, clock: IReactorTime, expired: Callable[[], None]) -> None:
        self._clock = clock
        self._expired = expired
        self._due: float | None = None
        self._call: IDelayedCall | None = None

    def set(self, seconds: float) -> None:
        """Expire that many seconds from now, unless set anew or cleared before."""
        self._due = self._clock.seconds() + seconds
        if self._call is None:
            self._call = self._clock.callLater(seconds, self._look)
        elif self._due < self._call.getTime():
            self._call.reset(seconds)

    def clear(self) -> None:
        """Expire no more."""
        self._due = None

    def cancel(self) -> None:
        """Expire no more and leave nothing behind in the reactor."""
        self._due = None
        if self._call is not None:
            call, self._call = self._call, None
            call.cancel()

    def _look(self) -> None:
        self._call = None
        if self._due is None:
            return
        left = self._due - self._clock.seconds()
        if left > 0:
            self._call = self._clock.callLater(left, self._look)
        else:
            self._due = None
            self._expired()
