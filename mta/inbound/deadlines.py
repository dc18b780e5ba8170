"""How long one client may take: the end of its patience for the next command, for a body, and for a whole session.

Times are seconds on the reactor's clock; the driver says what happened and asks now and then.
"""

from mta.inbound.limits import InboundLimits
from mta.inbound.session import Session


class SessionDeadlines:
    """The times of one session. A deadline is absolute: octets of a command do not move it, only our answer does."""

    __slots__ = ("_accepted", "_limits", "_measured", "_measuring", "_octets", "_taken", "deadline")

    def __init__(self, limits: InboundLimits, now: float) -> None:
        self._limits = limits
        #: When the time for what the client has to do next is up.
        self.deadline = now + limits.command_timeout
        # Since when a body is measured, and its octets then.
        self._measuring = False
        self._measured = now
        self._octets = 0
        # When the last message was taken (at first: when the session began), and how many were.
        self._taken = now
        self._accepted = 0

    def answered(self, session: Session, now: float) -> None:
        """Give the client time for what comes next. The measure of a body goes on over all its chunks."""
        limits = self._limits
        if not session.in_body:
            self._measuring = False
            self.deadline = now + limits.command_timeout
        else:
            self.deadline = now + limits.data_timeout
            if not self._measuring:
                self._measuring = True
                self._measured, self._octets = now, session.octets

    def piece(self, now: float) -> None:
        """Wait for the next piece of a body."""
        self.deadline = now + self._limits.data_timeout

    def wait(self, now: float, seconds: float) -> None:
        """Wait so long for something else."""
        self.deadline = now + seconds

    def is_up(self, session: Session, now: float) -> bool:
        """Whether the client took too long: for the next step, for a body, or without a message all the while."""
        if session.accepted != self._accepted:
            self._accepted, self._taken = session.accepted, now
        if session.in_body:
            return now >= self.deadline or self._too_slow(session, now)
        return now >= self.deadline or now - self._taken >= self._limits.fruitless_timeout

    def _too_slow(self, session: Session, now: float) -> bool:
        limits = self._limits
        elapsed = now - self._measured
        if elapsed < limits.data_rate_window:
            return False
        slow = session.octets - self._octets < limits.data_rate * elapsed
        self._measured, self._octets = now, session.octets
        return slow
