"""The claims that this relay has, with the facts that only their holder needs."""

from collections.abc import Collection, Iterator

from mta.queue.interface import QueueId

_NONE: frozenset[int] = frozenset()


class _Held:
    __slots__ = ("doubtful", "marked", "partly_settled", "token")

    def __init__(self, token: int, doubtful: frozenset[int]) -> None:
        self.token = token
        self.doubtful = doubtful
        self.marked = _NONE
        self.partly_settled = False


class InWork:
    """The messages in work by id: the token of each claim, and its recipients of which a copy may have been sent."""

    def __init__(self) -> None:
        self._held: dict[QueueId, _Held] = {}

    def __iter__(self) -> Iterator[QueueId]:
        """Iterate over the ids."""
        return iter(self._held)

    def take(self, id: QueueId, token: int, doubtful: frozenset[int] = _NONE) -> None:
        """Note a claim. `doubtful` has the recipients of which a relay that died may have sent a copy.

        The marks of an earlier claim of this relay that did not end before its lease was over are doubtful too.
        """
        earlier = self._held.get(id)
        if earlier is not None:
            doubtful |= earlier.doubtful | earlier.marked
        self._held[id] = _Held(token, doubtful)

    def token(self, id: QueueId) -> int | None:
        """Return the token of the claim of a message; None if this relay has no claim of it."""
        held = self._held.get(id)
        return None if held is None else held.token

    def mark(self, id: QueueId, indexes: Collection[int]) -> frozenset[int]:
        """Mark recipients of a message in work; return those of which a host may have a copy already."""
        held = self._held[id]
        if not held.marked and not held.doubtful:
            held.marked = frozenset(indexes)
            return _NONE
        before = (held.marked | held.doubtful).intersection(indexes)
        held.marked = held.marked.union(indexes)
        return before

    def marked(self, id: QueueId, token: int) -> frozenset[int]:
        """Return the recipients that were marked under this claim."""
        held = self._held.get(id)
        return _NONE if held is None or held.token != token else held.marked

    def settle(self, id: QueueId, token: int, indexes: Collection[int]) -> None:
        """Note that these recipients have a verdict under this claim, which goes on."""
        held = self._held.get(id)
        if held is not None and held.token == token:
            held.partly_settled = True
            # A recipient stays doubtful until a mark has told of it.
            held.doubtful = held.doubtful.difference(held.marked.intersection(indexes))
            held.marked = held.marked.difference(indexes)

    def is_unsettled(self, id: QueueId, token: int) -> bool:
        """Whether this relay has this claim, and no recipient has a verdict under it."""
        held = self._held.get(id)
        return held is not None and held.token == token and not held.partly_settled

    def end(self, id: QueueId, token: int) -> bool:
        """Note that this claim is over; return whether it was the last one of its message."""
        held = self._held.get(id)
        if held is None or held.token != token:
            return False
        del self._held[id]
        return True

    def clear(self) -> None:
        """Forget all claims, because the other relays have them."""
        self._held.clear()
