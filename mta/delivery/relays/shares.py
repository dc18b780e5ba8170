"""The share that one of several relays has in the connections that a destination takes.

No message is exchanged for it: each relay knows which relays live, and comes to the same result. The shares add up to
the connections that there are. With more relays than connections, some have none.
"""

from collections.abc import Callable, Collection
from zlib import crc32

#: Seconds after which a relay that leaves mail to others looks again.
TURN = 15.0
#: Seconds after its start from which on all others know that a relay lives, by a sign of life of their own.
SETTLE = 6.5
# Seconds until a relay that has just started knows the others.
_SOON = 1.0


def share(destination: str, connections: int, relay: int, living: Collection[int]) -> int:
    """Return how many of so many connections to a destination a relay may have; `living` are all relays, by number.

    What cannot be shared equally goes to the relays with the highest hashes of destination and number, so that it is
    others for each destination.
    """
    if len(living) <= 1:
        return connections
    each, left = divmod(connections, len(living))
    if not left:
        return each
    mine = _hash(destination, relay)
    higher = sum(_hash(destination, other) > mine for other in living if other != relay)
    return each + (higher < left)


def _hash(destination: str, relay: int) -> tuple[int, int]:
    # The number decides if two hashes are equal.
    return crc32(f"{relay} {destination}".encode("utf-8", "replace")), relay


class RelayShares:
    """The shares of this relay. Times are wall-clock seconds."""

    def __init__(
        self, wall_clock: Callable[[], float], living: Callable[[], Collection[int]], relay: Callable[[], int]
    ) -> None:
        """`living` returns the numbers of all relays that live, none while they are not known, and `relay` its own.

        The relay has just started.
        """
        self._wall_clock = wall_clock
        self._living = living
        self._relay = relay
        # The number as which the relay works, and since when.
        self._number: int | None = None
        self._since = wall_clock()

    def of(self, destination: str, connections: int, *, strict: bool = False) -> int:
        """Return how many of so many connections to a destination this relay may have.

        While the others may not know yet that it lives, it is one, or none if the number of connections is `strict`.
        """
        living, relay = self._living(), self._relay()
        if relay != self._number:
            self._since = self._since if self._number is None else self._wall_clock()
            self._number = relay
        if living and (len(living) == 1 or self._settled()):
            return share(destination, connections, relay, living)
        return 0 if strict else 1

    def next_turn(self, now: float) -> float:
        """Return when a relay without a share looks again."""
        if not self._living():
            return now + _SOON
        return now + TURN if self._settled() else self._since + SETTLE

    def _settled(self) -> bool:
        now = self._wall_clock()
        # If the wall clock was set back, the time begins anew.
        self._since = min(self._since, now)
        return now - self._since >= SETTLE
