"""Waits for work that goes on whether or not its callers still wait."""

from typing import TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.defer import TimeoutError as TimedOut
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

T = TypeVar("T")


def follow(running: "Deferred[T]") -> "Deferred[T]":
    """Return a Deferred with the result of another, which is not cancelled with it."""
    follower: Deferred[T] = Deferred()

    def pass_on(result: "T | Failure") -> "T | Failure":
        if not follower.called:
            follower.callback(result)
        return result

    running.addBoth(pass_on)
    return follower


async def by_the_time(waiting: "Deferred[T]", end: float, clock: IReactorTime) -> T | None:
    """Return the result of a Deferred, or None if it comes later than a time of the clock; then it is cancelled."""
    waiting.addTimeout(max(0.0, end - clock.seconds()), clock)
    try:
        return await waiting
    except TimedOut:
        return None
