"""Waiting inside a test while the real reactor turns."""

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred


def until(reactor: Any, condition: Callable[[], object]) -> "Deferred[None]":
    """Fire when the condition holds; fail with TimeoutError after ten seconds."""
    done: Deferred[None] = Deferred()

    def look() -> None:
        if condition():
            done.callback(None)
        else:
            reactor.callLater(0.001, look)

    look()
    return done.addTimeout(10, reactor)
