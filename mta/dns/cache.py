"""Remembering for a while, and asking once what many want to know at once."""

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


#: Octets of memory that one cache may take.
MAX_OCTETS = 16 * 1024 * 1024
# Of an entry beside its value: the longest name there is, and Python's own.
_ENTRY = 500
# A look for what is out of date comes when a quarter of the entries is new, so that each costs a few comparisons.
_LOOKS = 4


class TtlCache(Generic[Key, Value]):
    """Keeps values for their time to live; when full, the one stored longest ago makes room for a new one.

    It is full at `limit` entries or MAX_OCTETS as counted by `memory_size`. Entries out of date are discarded
    before long, asked for or not, as long as new values come.
    """

    def __init__(self, limit: int, seconds: Callable[[], float], memory_size: Callable[[Value], int]) -> None:
        self._limit = limit
        self._seconds = seconds
        self._memory_size = memory_size
        # When each ends, the value, and its octets.
        self._entries: OrderedDict[Key, tuple[float, Value, int]] = OrderedDict()
        self._held = 0
        self._new = 0

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: Key) -> Value | None:
        """Return the value if it is still good."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        if entry[0] > self._seconds():
            return entry[1]
        self._discard(key)
        return None

    def remaining(self, key: Key) -> float:
        """Return for how many more seconds a value is good; 0 when there is none."""
        entry = self._entries.get(key)
        return 0.0 if entry is None else max(0.0, entry[0] - self._seconds())

    def put(self, key: Key, value: Value, ttl: float) -> None:
        """Store a value for `ttl` seconds."""
        self._discard(key)
        self._new += 1
        if self._new * _LOOKS > len(self._entries):
            self._new = 0
            self._discard_old()
        octets = _ENTRY + self._memory_size(value)
        while self._entries and (len(self._entries) >= self._limit or self._held + octets > MAX_OCTETS):
            self._discard(next(iter(self._entries)))
        self._entries[key] = (self._seconds() + ttl, value, octets)
        self._held += octets

    def clear(self) -> None:
        """Forget everything."""
        self._entries.clear()
        self._held = 0

    def _discard(self, key: Key) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._held -= entry[2]

    def _discard_old(self) -> None:
        now = self._seconds()
        for key in [key for key, entry in self._entries.items() if entry[0] <= now]:
            self._discard(key)


class Shared(Generic[Key, Value]):
    """Lets all who ask the same question while it is being asked wait for the one answer.

    A caller that is cancelled stops waiting; the asking goes on for the others, and for the cache.
    """

    def __init__(self) -> None:
        self._waiting: dict[Key, list[Deferred[Value]]] = {}

    def ask(self, key: Key, question: Callable[[], Awaitable[Value]]) -> "Deferred[Value]":
        """Return the answer to the question that runs under `key`, starting it if none does."""
        answer: Deferred[Value] = Deferred()
        waiting = self._waiting.get(key)
        if waiting is not None:
            waiting.append(answer)
            return answer
        self._waiting[key] = [answer]
        Deferred.fromCoroutine(_awaited(question)).addBoth(self._tell, key)
        return answer

    def _tell(self, result: Value | Failure, key: Key) -> None:
        for answer in self._waiting.pop(key):
            if not answer.called:
                answer.callback(result)


async def _awaited(question: Callable[[], Awaitable[Value]]) -> Value:
    return await question()
