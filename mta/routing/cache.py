"""Remembering for a while, and asking once what many want to know at once."""

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class TtlCache(Generic[Key, Value]):
    """Keeps values for their time to live; when full, the one stored longest ago makes room."""

    def __init__(self, limit: int, seconds: Callable[[], float]) -> None:
        self._limit = limit
        self._seconds = seconds
        self._entries: OrderedDict[Key, tuple[float, Value]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: Key) -> Value | None:
        """Return the value if it is still good."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        if entry[0] > self._seconds():
            return entry[1]
        del self._entries[key]
        return None

    def remaining(self, key: Key) -> float:
        """Return for how many more seconds a value is good; 0 when there is none."""
        entry = self._entries.get(key)
        return 0.0 if entry is None else max(0.0, entry[0] - self._seconds())

    def put(self, key: Key, value: Value, ttl: float) -> None:
        """Store a value for `ttl` seconds."""
        self._entries.pop(key, None)
        if len(self._entries) >= self._limit:
            self._entries.popitem(last=False)
        self._entries[key] = (self._seconds() + ttl, value)


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
