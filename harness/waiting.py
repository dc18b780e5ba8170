"""Waiting for a condition: in a thread that may block, or while the reactor runs."""

import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

from twisted.internet.defer import Deferred

T = TypeVar("T")

#: The seconds that a test waits for a condition that must come true. A busy machine may need many of them; the test
#: goes on as soon as the condition is true.
PATIENCE = 120.0

_POLL_SECONDS = 0.02
_REACTOR_POLL_SECONDS = 0.001


def until(condition: Callable[[], T], seconds: float = PATIENCE, *, what: str = "the condition") -> T:
    """Call `condition` until its result is true, and return that. Raises TimeoutError with `what` after `seconds`."""
    deadline = time.monotonic() + seconds
    pause = threading.Event()
    while True:
        answer = condition()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} did not come true within {seconds} s")
        pause.wait(_POLL_SECONDS)


def eventually(reactor: Any, condition: Callable[[], object]) -> "Deferred[None]":
    """Return a Deferred that fires when the condition holds, and fails with TimeoutError after PATIENCE."""
    done: Deferred[None] = Deferred()

    def look() -> None:
        if done.called:
            return
        if condition():
            done.callback(None)
        else:
            reactor.callLater(_REACTOR_POLL_SECONDS, look)

    look()
    return done.addTimeout(PATIENCE, reactor)
