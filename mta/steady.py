"""A reactor whose timers go by the monotonic clock.

Twisted's go by the wall clock, so that setting it would stop them all for as long as it was set back, and end them all
at once when it was set forward: no deadline would be kept, or every session would be cut short.
"""

import time
from typing import Any


def steady(reactor: Any) -> None:
    """Have all timers of a reactor that has not begun to run go by the monotonic clock, those set already included."""
    difference = time.monotonic() - reactor.seconds()
    for call in reactor.getDelayedCalls():
        call.time += difference
        call.seconds = time.monotonic
    reactor.seconds = time.monotonic
