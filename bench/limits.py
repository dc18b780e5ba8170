"""The limits of scripted providers. Pure: time is an argument, in seconds."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from bench.scripted import Step


@dataclass(slots=True)
class AtOnce:
    """Lets only so many transactions run at a time, as Microsoft 365 does for one mailbox."""

    most: int
    #: Seconds that storing a message takes.
    pause: float
    _open: set[int] = field(default_factory=set)

    def reply(self, step: Step, session: int, now: float) -> str:  # noqa: ARG002
        """Refuse MAIL while too many transactions are open."""
        if step is not Step.MAIL:
            return ""
        if len(self._open) >= self.most:
            return "432 4.3.2 Concurrent connections limit exceeded."
        self._open.add(session)
        return ""

    def over(self, session: int) -> None:
        """Let another session have the place."""
        self._open.discard(session)

    def least(self, messages: int) -> float:
        """Return the seconds that the limit takes for so many messages."""
        return -(-messages // self.most) * self.pause


@dataclass(slots=True)
class PerPeriod:
    """Lets only so many messages through in any period of this length, and says so at MAIL or after the dot."""

    most: int
    seconds: float
    step: Step
    refusal: str
    pause: float = 0.0
    _taken: deque[float] = field(default_factory=deque)

    def reply(self, step: Step, session: int, now: float) -> str:  # noqa: ARG002
        """Refuse the message if the last period has had its share."""
        if step is not self.step:
            return ""
        while self._taken and now - self._taken[0] >= self.seconds:
            self._taken.popleft()
        if len(self._taken) >= self.most:
            return self.refusal
        self._taken.append(now)
        return ""

    def over(self, session: int) -> None:
        """Ignore the end of a transaction: sessions are not counted."""

    def least(self, messages: int) -> float:
        """Return the seconds that the limit takes for so many messages."""
        return (-(-messages // self.most) - 1) * self.seconds


Limit = AtOnce | PerPeriod


@dataclass(frozen=True, slots=True)
class Provider:
    """One provider's limit, and the settings of the peers that suit it best, each in its server's language."""

    name: str
    postfix: Mapping[str, str]
    exim: Mapping[str, str]
    #: How many times faster than true the relay's clock runs before this provider: its limit takes hours.
    speed: float = 1.0

    def limit(self) -> Limit:
        """Return the limit with empty counters."""
        return _LIMITS[self.name]()


# The sooner a peer tries again, the sooner it is through, at the price of more refusals.
_SOON = {"minimal_backoff_time": "10s", "maximal_backoff_time": "10s", "queue_run_delay": "5s"}

PROVIDERS = (
    Provider(
        "3 at a time",
        postfix={"default_destination_concurrency_limit": "3", "initial_destination_concurrency": "3", **_SOON},
        exim={"queue_only": "true", "queue_run_max": "3", "queue run": "1s", "retry": "F,1h,1s"},
    ),
    Provider(
        "5 a second",
        postfix={"minimal_backoff_time": "1s", "maximal_backoff_time": "1s", "queue_run_delay": "1s"},
        exim={"queue_only": "true", "queue_run_max": "1", "queue run": "1s", "retry": "F,1h,1s"},
    ),
    Provider(
        "20 a minute",
        postfix={"default_destination_rate_delay": "3s", **_SOON},
        exim={"queue_only": "true", "queue_run_max": "1", "queue run": "10s", "retry": "F,1h,10s"},
    ),
    Provider("20 an hour", postfix={}, exim={}, speed=60.0),
)

_TOO_MUCH = "450 4.7.1 Error: too much mail from 127.0.0.1"
_LIMITS = {
    "3 at a time": lambda: AtOnce(3, 0.5),
    "5 a second": lambda: PerPeriod(5, 1.0, Step.END, "454 Throttling failure: Maximum sending rate exceeded."),
    "20 a minute": lambda: PerPeriod(20, 60.0, Step.MAIL, _TOO_MUCH),
    "20 an hour": lambda: PerPeriod(20, 3600.0, Step.MAIL, _TOO_MUCH),
}
