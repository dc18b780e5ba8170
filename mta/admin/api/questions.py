"""Bounds the questions that a relay works on at the same time, and the time for which their askers wait."""

from collections.abc import Coroutine
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from mta.admin.api.errors import TOO_MANY, TOO_SLOW, ApiError

T = TypeVar("T")

#: Questions at the same time, and seconds to wait for an answer.
MAX_QUESTIONS = 20
PATIENCE = 60.0


class Questions:
    """Runs questions to their end, even if an asker is gone, because a read of the queue cannot be ended before."""

    def __init__(self, clock: IReactorTime, *, most: int = MAX_QUESTIONS, patience: float = PATIENCE) -> None:
        self._clock = clock
        self._most = most
        self._patience = patience
        self._running = 0

    def ask(self, question: Coroutine[Any, Any, T], *, limited: bool = True) -> "Deferred[T]":
        """Return the answer to a question. Fails with ApiError if there are too many, or if this one takes too long.

        With `limited` false it may take as long as it needs. Cancelling the result does not cancel the question.
        """
        if self._running >= self._most:
            question.close()
            raise ApiError(TOO_MANY, f"the relay works on {self._most} questions already: try again")
        self._running += 1
        answer: Deferred[T] = Deferred(lambda _: None)
        late = self._clock.callLater(self._patience, _too_slow, answer) if limited else None

        def ended(result: Any) -> None:
            self._running -= 1
            if late is not None and late.active():
                late.cancel()
            if not answer.called:
                answer.callback(result)

        Deferred.fromCoroutine(question).addBoth(ended)
        return answer


def _too_slow(answer: "Deferred[Any]") -> None:
    if not answer.called:
        answer.errback(ApiError(TOO_SLOW, "the question takes too long: ask for less, or in a narrower time"))
