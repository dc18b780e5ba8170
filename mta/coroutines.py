"""Runs coroutines that await Deferreds, for the work that is done once a message.

`Deferred.fromCoroutine` costs each message more: a Deferred that can be cancelled, a copy of the context, and several
checks a wait (measured: 5 % of a relayed message). A coroutine that is cancelled, or whose result is awaited, needs it.
"""

from collections.abc import Callable, Coroutine
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure


def start(coroutine: Coroutine[Any, Any, None], ended: Callable[[Failure | None], object]) -> None:
    """Run a coroutine up to its first wait now, and on as the Deferreds that it awaits fire.

    `ended` is called once, with None or with the Failure of the exception that ended the coroutine.
    """
    _Run(coroutine, ended).resume(None)


class _Run:
    __slots__ = ("_coroutine", "_ended")

    def __init__(self, coroutine: Coroutine[Any, Any, None], ended: Callable[[Failure | None], object]) -> None:
        self._coroutine = coroutine
        self._ended = ended

    def resume(self, result: Any) -> None:
        """Go on with the result of the Deferred that was awaited."""
        try:
            awaited: Deferred[Any] = self._coroutine.send(result)
        except StopIteration:
            self._ended(None)
        except Exception:  # noqa: BLE001  `ended` gets it
            self._ended(Failure())
        else:
            awaited.addCallbacks(self.resume, self._throw)

    def _throw(self, failure: Failure) -> None:
        """Go on with the exception of the Deferred that was awaited."""
        try:
            awaited: Deferred[Any] = failure.throwExceptionIntoGenerator(self._coroutine)
        except StopIteration:
            self._ended(None)
        except Exception:  # noqa: BLE001  `ended` gets it
            self._ended(Failure())
        else:
            awaited.addCallbacks(self.resume, self._throw)
