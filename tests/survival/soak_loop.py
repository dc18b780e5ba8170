"""A loop over sockets that costs little: readiness, and callbacks at their time. For one process and one thread."""

import heapq
import itertools
import select
import socket
import time
from collections.abc import Callable
from typing import Protocol


class Readable(Protocol):
    """The interface that the loop calls when a socket can be read or has ended."""

    socket: socket.socket

    def readable(self) -> None:
        """Read."""


class Loop:
    """Runs until `over` returns true."""

    def __init__(self) -> None:
        self._poll = select.epoll()
        self._known: dict[int, Readable] = {}
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self.now = time.monotonic()

    def watch(self, one: Readable) -> None:
        """Call `one.readable` from now on."""
        handle = one.socket.fileno()
        self._known[handle] = one
        self._poll.register(handle, select.EPOLLIN)

    def unwatch(self, one: Readable) -> None:
        """Do not any more."""
        handle = one.socket.fileno()
        if self._known.pop(handle, None) is not None:
            self._poll.unregister(handle)

    def forget(self, one: Readable) -> None:
        """Close the socket."""
        self.unwatch(one)
        one.socket.close()

    def later(self, seconds: float, call: Callable[[], None]) -> None:
        """Call once, after so many seconds."""
        heapq.heappush(self._timers, (self.now + seconds, next(self._order), call))

    def run(self, over: Callable[[], bool]) -> None:
        """Serve."""
        while not over():
            self.turn()

    def turn(self, wait: float = 0.1) -> None:
        """Wait for the next event, so many seconds at most, and handle it."""
        if self._timers:
            wait = min(wait, max(0.0, self._timers[0][0] - time.monotonic()))
        ready = self._poll.poll(wait)
        self.now = time.monotonic()
        for handle, _ in ready:
            one = self._known.get(handle)
            if one is not None:
                one.readable()
        while self._timers and self._timers[0][0] <= self.now:
            heapq.heappop(self._timers)[2]()
