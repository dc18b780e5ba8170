"""The figures of workers: each answers its parent, which makes them those of one relay."""

from collections.abc import Awaitable, Callable, Mapping
from functools import partial

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from mta.metrics.metric import Samples, from_words, merged, to_words
from mta.metrics.table import METRICS
from mta.workers.channel import Handler

#: The verb of a question of the parent and of a worker's answer, each with the number of the question.
FIGURES = "figures"
#: Seconds to wait for the answers; figures of workers that take longer are missing from the sum.
PATIENCE = 4.0


class WorkersFigures:
    """Asks all workers at once. A worker that is gone or hangs is left out, so that the metric `processes` shows it."""

    def __init__(self, clock: IReactorTime, ask: Callable[..., object], count: Callable[[], int]) -> None:
        """`ask` sends a verb with arguments to all workers; `count` returns their number."""
        self._clock = clock
        self._ask = ask
        self._count = count
        self._number = 0
        self._answers: dict[int, Samples] = {}
        self._expected = 0
        self._waiting: list[Deferred[None]] = []

    def handlers(self, worker: int) -> Mapping[str, Handler]:
        """Return the handler of the answers of a worker."""
        return {FIGURES: partial(self._answered, worker)}

    async def samples(self) -> Samples:
        """Return the sum of the figures of all workers. Questions that come meanwhile share the answers."""
        ready: Deferred[None] = Deferred()
        self._waiting.append(ready)
        if len(self._waiting) == 1:
            self._number += 1
            self._answers, self._expected = {}, self._count()
            patience = self._clock.callLater(PATIENCE, self._finish)
            ready.addCallback(lambda _: patience.cancel() if patience.active() else None)
            self._ask(FIGURES, self._number)
            if not self._expected:
                self._finish()
        await ready
        return merged(self._answers.values(), METRICS)

    def _answered(self, worker: int, number: int, words: list[list[object]]) -> None:
        """Take the answer of a worker, unless it comes too late."""
        if number != self._number or not self._waiting:
            return
        self._answers[worker] = from_words(words, METRICS)
        if len(self._answers) >= self._expected:
            self._finish()

    def _finish(self) -> None:
        waiting, self._waiting = self._waiting, []
        for ready in waiting:
            ready.callback(None)


def answer_figures(
    samples: Callable[[], Awaitable[Samples]], send: Callable[..., object], number: int
) -> "Deferred[None]":
    """Send the parent the figures of this worker, as the answer to a question with this number."""

    async def answer() -> None:
        send(FIGURES, number, to_words(await samples()))

    return Deferred.fromCoroutine(answer())
