"""A reactor of its own in a thread, in which a part of the relay runs as in a process of its own.

A test may have several, and block between them.
"""

from collections.abc import Awaitable, Callable
from threading import Thread
from typing import Any, Self

from twisted.internet.defer import Deferred
from twisted.internet.epollreactor import EPollReactor
from twisted.internet.threads import blockingCallFromThread

from harness.waiting import PATIENCE


class ReactorThread:
    """The reactor and its thread. A context manager; everything in it must have been closed before it is left."""

    def __enter__(self) -> Self:
        self.reactor = EPollReactor()
        self._thread = Thread(target=self.reactor.run, kwargs={"installSignalHandlers": False}, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.reactor.callFromThread(self.reactor.stop)
        self._thread.join(PATIENCE)

    def call(self, function: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        """Call a function in the reactor's thread and return its result, or that of its Deferred."""
        return blockingCallFromThread(self.reactor, function, *arguments, **named)

    def start(self, begin: Callable[[], Awaitable[Any]]) -> "Deferred[Any]":
        """Begin a coroutine in the reactor's thread and return its Deferred, for `wait`."""
        return self.call(lambda: [Deferred.fromCoroutine(begin())])[0]

    def wait(self, deferred: "Deferred[Any]") -> Any:
        """Wait for a Deferred of the reactor's thread and return its result."""
        return self.call(lambda: deferred)
