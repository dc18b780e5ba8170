"""A queue for DNS look-ups: a bounded number runs at a time, shared fairly between requesters and zones.

A silent name server holds up a look-up for seconds. Without fair shares, a thousand domains of one such server, or
untrusted clients that invent recipients, would delay the mail for all other domains. The module has no I/O: it only
fires Deferreds.
"""

import enum
from collections import OrderedDict, deque

from twisted.internet.defer import Deferred

# Second-level labels under which others register domains, as in example.co.uk, have at most so many letters.
_SHORT_LABEL = 3
_COUNTRY = 2
#: Seconds for which the status of a zone is remembered, and the number of zones.
HISTORY_TTL = 300.0
MAX_ZONES = 10_000


class Requester(enum.Enum):
    """The part of the relay on whose behalf a look-up is made."""

    #: Delivery of accepted mail, and host names in the settings.
    DELIVERY = "delivery"
    #: Untrusted clients, for the domains of the recipients that they name.
    UNTRUSTED_CLIENT = "untrusted client"


class LookupQueue:
    """Lets `limit` look-ups run at a time. Look-ups that wait take turns by requester, then by priority, then by zone.

    Of one requester's look-ups the lowest priority number runs first. Untrusted clients get at most three quarters of
    the places.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._limits = {Requester.DELIVERY: limit, Requester.UNTRUSTED_CLIENT: max(1, limit * 3 // 4)}
        self._running = dict.fromkeys(Requester, 0)
        # By requester, priority and zone; the next turn is at the beginning of each. Empty containers are removed.
        self._waiting: OrderedDict[Requester, dict[int, OrderedDict[str, deque[Deferred[None]]]]] = OrderedDict()
        self._starting = False

    def acquire(self, requester: Requester, zone: str, priority: int = 0) -> "Deferred[None]":
        """Return a Deferred that fires when the look-up may begin, after which `release` must be called.

        It may be cancelled before it fires.
        """
        waiter: Deferred[None] = Deferred()
        if self._has_room(requester):
            self._running[requester] += 1
            waiter.callback(None)
        else:
            priorities = self._waiting.setdefault(requester, {})
            priorities.setdefault(priority, OrderedDict()).setdefault(zone, deque()).append(waiter)
        return waiter

    def release(self, requester: Requester) -> None:
        """End a look-up that was running, and start the next one."""
        self._running[requester] -= 1
        # A look-up that ends at once, as without a network, calls `release` inside of `callback`: without this guard
        # many of them would overflow the stack.
        if not self._starting:
            self._starting = True
            try:
                self._start_waiting()
            finally:
                self._starting = False

    def _start_waiting(self) -> None:
        while (requester := next(filter(self._has_room, self._waiting), None)) is not None:
            waiter = self._next(requester)
            # A cancelled waiter has been called already.
            if not waiter.called:
                self._running[requester] += 1
                waiter.callback(None)

    def _has_room(self, requester: Requester) -> bool:
        return sum(self._running.values()) < self._limit and self._running[requester] < self._limits[requester]

    def _next(self, requester: Requester) -> "Deferred[None]":
        priorities = self._waiting.pop(requester)
        priority = min(priorities)
        zones = priorities[priority]
        zone, waiters = zones.popitem(last=False)
        waiter = waiters.popleft()
        if waiters:
            zones[zone] = waiters
        if not zones:
            del priorities[priority]
        if priorities:
            self._waiting[requester] = priorities
        return waiter


class ZoneStatus(enum.IntEnum):
    """How a zone's name servers behaved lately; a zone with a lower number is looked up sooner."""

    ANSWERING = 0
    UNKNOWN = 1
    SILENT = 2


class ZoneHistory:
    """Remembers for some minutes which zones answered and which did not, for the latest MAX_ZONES zones."""

    def __init__(self) -> None:
        self._zones: OrderedDict[str, tuple[float, ZoneStatus]] = OrderedDict()

    def note(self, zone: str, status: ZoneStatus, now: float) -> None:
        """Note that a zone has answered, or that all its name servers were silent."""
        self._zones.pop(zone, None)
        if len(self._zones) >= MAX_ZONES:
            self._zones.popitem(last=False)
        self._zones[zone] = now + HISTORY_TTL, status

    def status(self, zone: str, now: float) -> ZoneStatus:
        """Return how a zone behaved lately, as far as that is known."""
        until, status = self._zones.get(zone, (now, ZoneStatus.UNKNOWN))
        return status if until > now else ZoneStatus.UNKNOWN


def zone_of(name: str) -> str:
    """Return the domain under which a name was probably registered: its last two labels, three as in example.co.uk.

    The result is a guess, which is good enough for fair shares and time limits: a wrong one never loses a look-up.
    """
    labels = name.lower().rstrip(".").rsplit(".", 3)
    if len(labels) > 2 and len(labels[-1]) == _COUNTRY and len(labels[-2]) <= _SHORT_LABEL:  # noqa: PLR2004
        return ".".join(labels[-3:])
    return ".".join(labels[-2:])
