"""The share that one of several relays has in the connections that a destination takes.

No message is exchanged for it: each relay knows which relays live, and comes to the same result. The shares add up to
the connections that there are. With more relays than connections, some have none.
"""

from collections.abc import Collection
from zlib import crc32


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
