"""Runs coroutines that await Deferreds, for the work that is done once a message.

`Deferred.fromCoroutine` makes a Deferred that can be cancelled, copies the context, and checks the type of each result
(measured: 36 of 985 calls that Python makes for a relayed message). A coroutine that is cancelled, or whose result is
awaited, needs it.

A `PromptDeferred` that such a coroutine awaits resumes it directly.
"""

from collections.abc import Callable, Coroutine
from operator import attrgetter
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

T = TypeVar("T")


class PromptDeferred(Deferred[T]):
    """A Deferred that resumes the coroutine of `start` that awaits it without the loop over a chain of callbacks.

    That loop is for callbacks that return Deferreds, and is most of the cost of a wait. The waits of a message were 6 %
    of it (measured).
    """

    #: Resumes the coroutine that awaits this Deferred; None if it is used in any other way.
    resume: Callable[[Any], None] | None = None

    if not hasattr(Deferred(), "_callbacks"):
        # Twisted before 25.5, as Debian 13 has it, has a public name for the chain.
        _callbacks = property(attrgetter("callbacks"))

    def callback(self, result: T | Failure) -> None:
        """Fire with a result. Raises AlreadyCalledError."""
        resume = self.resume
        if resume is None:
            Deferred.callback(self, result)
            return
        if isinstance(result, Failure):
            self.errback(result)
            return
        self.resume = None
        self.called, self.result = True, result
        try:
            resume(result)
        except Exception:  # noqa: BLE001  as that of a callback it is the next result, and not one for the caller
            self.result = Failure()
            self._runCallbacks()
            return
        self.result = None
        if self._callbacks:
            self._runCallbacks()

    def errback(self, fail: Failure | BaseException | None = None) -> None:
        """Fire with an exception. Raises AlreadyCalledError."""
        resume, self.resume = self.resume, None
        if resume is not None:
            self.addBoth(resume)
        super().errback(fail)


def start(coroutine: Coroutine[Any, Any, None], ended: Callable[[Failure | None], object]) -> None:
    """Run a coroutine up to its first wait now, and on as the Deferreds that it awaits fire.

    `ended` is called once, with None or with the Failure of the exception that ended the coroutine.
    """
    _Run(coroutine, ended).resume()


class _Run:
    __slots__ = ("_coroutine", "_ended")

    def __init__(self, coroutine: Coroutine[Any, Any, None], ended: Callable[[Failure | None], object]) -> None:
        self._coroutine = coroutine
        self._ended = ended

    def resume(self, result: Any = None) -> None:
        """Go on with the result of the Deferred that was awaited, or with its exception."""
        try:
            if isinstance(result, Failure):
                awaited: Deferred[Any] = result.throwExceptionIntoGenerator(self._coroutine)
            else:
                awaited = self._coroutine.send(None)
        except StopIteration:
            self._ended(None)
        except Exception:  # noqa: BLE001  `ended` gets it
            self._ended(Failure())
        else:
            # One that has fired waits for the Deferred of a callback.
            if type(awaited) is PromptDeferred and not (awaited.called or awaited._callbacks or awaited.resume):
                awaited.resume = self.resume
            else:
                awaited.addBoth(self.resume)
