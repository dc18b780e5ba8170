"""Turns for look-ups: a bounded number at a time, shared fairly between those who ask and the zones they ask about.

A name server that is silent holds a look-up for seconds. Without shares a thousand domains of one such server, or
strangers who invent recipients, would make the mail of all others wait. Pure but for the Deferreds it fires.
"""

import enum
from collections import OrderedDict, deque

from twisted.internet.defer import Deferred

# Second-level domains under which others register, as in example.co.uk, are as short as this or shorter.
_SHORT_LABEL = 3
_COUNTRY = 2
#: How long, in seconds, it is remembered whether a zone answers, and of how many zones.
HISTORY_TTL = 300.0
MAX_ZONES = 10_000


class Asker(enum.Enum):
    """On whose behalf a look-up is made."""

    #: Mail that was accepted, and host names of the settings.
    DELIVERY = "delivery"
    #: Clients that are not trusted, about the domains of recipients they name.
    STRANGER = "stranger"


class LookupQueue:
    """Lets `limit` look-ups in at a time. Those that wait come in turn by asker, then by level, then by zone.

    The lowest level of an asker comes first. Strangers have at most three quarters of the places.
    """

    def __init__(self, limit: int) -> None:
        self._places = limit
        self._most = {Asker.DELIVERY: limit, Asker.STRANGER: max(1, limit * 3 // 4)}
        self._inside = dict.fromkeys(Asker, 0)
        # By asker, level and zone, those whose turn is next at the beginning. Nothing in it is empty.
        self._waiting: OrderedDict[Asker, dict[int, OrderedDict[str, deque[Deferred[None]]]]] = OrderedDict()
        self._letting_in = False

    def enter(self, asker: Asker, zone: str, level: int = 0) -> "Deferred[None]":
        """Return a Deferred that fires when the look-up may begin, after which `leave` must follow.

        It may be cancelled before.
        """
        turn: Deferred[None] = Deferred()
        if self._has_place(asker):
            self._inside[asker] += 1
            turn.callback(None)
        else:
            levels = self._waiting.setdefault(asker, {})
            levels.setdefault(level, OrderedDict()).setdefault(zone, deque()).append(turn)
        return turn

    def leave(self, asker: Asker) -> None:
        """End a look-up that was let in, and let the next one in."""
        self._inside[asker] -= 1
        # A look-up that ends at once, as without a network, leaves inside of `callback`: a crowd would fill the stack.
        if not self._letting_in:
            self._letting_in = True
            try:
                self._let_in()
            finally:
                self._letting_in = False

    def _let_in(self) -> None:
        while (following := next(filter(self._has_place, self._waiting), None)) is not None:
            turn = self._next(following)
            # One that was cancelled has been called.
            if not turn.called:
                self._inside[following] += 1
                turn.callback(None)

    def _has_place(self, asker: Asker) -> bool:
        return sum(self._inside.values()) < self._places and self._inside[asker] < self._most[asker]

    def _next(self, asker: Asker) -> "Deferred[None]":
        levels = self._waiting.pop(asker)
        level = min(levels)
        zones = levels[level]
        zone, turns = zones.popitem(last=False)
        turn = turns.popleft()
        if turns:
            zones[zone] = turns
        if not zones:
            del levels[level]
        if levels:
            self._waiting[asker] = levels
        return turn


class Standing(enum.IntEnum):
    """How a zone answered lately; the lower, the sooner it is asked."""

    ANSWERS = 0
    UNKNOWN = 1
    SILENT = 2


class ZoneHistory:
    """Remembers for some minutes which zones answered and which did not, the latest MAX_ZONES of them."""

    def __init__(self) -> None:
        self._zones: OrderedDict[str, tuple[float, Standing]] = OrderedDict()

    def note(self, zone: str, standing: Standing, now: float) -> None:
        """Note that a zone has answered, or that all its name servers were silent."""
        self._zones.pop(zone, None)
        if len(self._zones) >= MAX_ZONES:
            self._zones.popitem(last=False)
        self._zones[zone] = now + HISTORY_TTL, standing

    def standing(self, zone: str, now: float) -> Standing:
        """Return how a zone answered lately, as far as that is known."""
        until, standing = self._zones.get(zone, (now, Standing.UNKNOWN))
        return standing if until > now else Standing.UNKNOWN


def zone_of(name: str) -> str:
    """Return the domain under which a name was probably registered: its last two labels, three as in example.co.uk.

    It is a guess, good enough for shares and for patience: nothing is refused because of it.
    """
    labels = name.lower().rstrip(".").rsplit(".", 3)
    if len(labels) > 2 and len(labels[-1]) == _COUNTRY and len(labels[-2]) <= _SHORT_LABEL:  # noqa: PLR2004
        return ".".join(labels[-3:])
    return ".".join(labels[-2:])
