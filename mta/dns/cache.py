"""A cache of values with a time to live, and one running call for all callers that want the same value."""

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


#: Octets of memory that one cache may take.
MAX_OCTETS = 16 * 1024 * 1024
# Octets that an entry takes besides its value: the longest DNS name, and Python's own overhead.
_ENTRY_OCTETS = 500
# Expired entries are searched for once a quarter of the entries is new, so that the search costs each new entry only a
# few comparisons.
_SWEEP_DIVISOR = 4


class TtlCache(Generic[Key, Value]):
    """Keeps values for their time to live; when full, the entry stored longest ago makes room for a new one.

    The cache is full at `limit` entries, or when the sizes that `memory_size` gives reach MAX_OCTETS. Expired entries
    are discarded as long as new values are stored, even if they are never asked for again.
    """

    def __init__(self, limit: int, seconds: Callable[[], float], memory_size: Callable[[Value], int]) -> None:
        """Prepare an empty cache; `seconds` is a monotonic clock."""
        self._limit = limit
        self._seconds = seconds
        self._memory_size = memory_size
        # The time of expiry, the value, and the octets of the entry.
        self._entries: OrderedDict[Key, tuple[float, Value, int]] = OrderedDict()
        self._octets = 0
        self._new_entries = 0

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: Key) -> Value | None:
        """Return the value of a key, or None if there is none or it has expired."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        if entry[0] > self._seconds():
            return entry[1]
        self._discard(key)
        return None

    def remaining(self, key: Key) -> float:
        """Return the seconds until a value expires; 0 when there is none."""
        entry = self._entries.get(key)
        return 0.0 if entry is None else max(0.0, entry[0] - self._seconds())

    def put(self, key: Key, value: Value, ttl: float) -> None:
        """Store a value for `ttl` seconds."""
        self._discard(key)
        self._new_entries += 1
        if self._new_entries * _SWEEP_DIVISOR > len(self._entries):
            self._new_entries = 0
            self._discard_expired()
        octets = _ENTRY_OCTETS + self._memory_size(value)
        while self._entries and (len(self._entries) >= self._limit or self._octets + octets > MAX_OCTETS):
            self._discard(next(iter(self._entries)))
        self._entries[key] = (self._seconds() + ttl, value, octets)
        self._octets += octets

    def clear(self) -> None:
        """Discard all entries."""
        self._entries.clear()
        self._octets = 0

    def _discard(self, key: Key) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._octets -= entry[2]

    def _discard_expired(self) -> None:
        now = self._seconds()
        for key in [key for key, entry in self._entries.items() if entry[0] <= now]:
            self._discard(key)


class SingleFlight(Generic[Key, Value]):
    """Runs one call per key at a time; callers that come while it runs get its result.

    A caller that is cancelled stops waiting; the call goes on for the others, and for the cache.
    """

    def __init__(self) -> None:
        self._waiting: dict[Key, list[Deferred[Value]]] = {}

    def run(self, key: Key, call: Callable[[], Awaitable[Value]]) -> "Deferred[Value]":
        """Return the result of the call that runs under `key`; start `call` if none does."""
        result: Deferred[Value] = Deferred()
        waiting = self._waiting.get(key)
        if waiting is not None:
            waiting.append(result)
            return result
        self._waiting[key] = [result]
        Deferred.fromCoroutine(_awaited(call)).addBoth(self._finish, key)
        return result

    def _finish(self, result: Value | Failure, key: Key) -> None:
        for waiting in self._waiting.pop(key):
            if not waiting.called:
                waiting.callback(result)


async def _awaited(call: Callable[[], Awaitable[Value]]) -> Value:
    return await call()
