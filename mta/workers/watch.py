"""Signs of life: a worker that hangs is killed, so that it starts again."""

from collections.abc import Callable, Iterable

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from mta.workers.process import WorkerProcess

# How often signs are looked for, in parts of the patience.
_LOOKS = 4


class Watch:
    """Looks at workers that listen. One that does not yet may be upgrading a large queue."""

    def __init__(
        self,
        patience: float,
        listening: Callable[[], Iterable[WorkerProcess]],
        *,
        clock: IReactorTime,
        trouble: Callable[[str], object],
    ) -> None:
        """`patience` is for how many seconds a worker may be silent; `trouble` is told of one that is killed."""
        self._patience = patience
        self._listening = listening
        self._clock = clock
        self._trouble = trouble
        self._timer: IDelayedCall | None = None

    def start(self) -> None:
        """Begin to look."""
        self._timer = self._clock.callLater(self._patience / _LOOKS, self._look)

    def stop(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def well(self) -> bool:
        """Whether no worker has been silent for so long that it should have ended by now."""
        return all(self._silence(worker) < 2 * self._patience for worker in self._listening())

    def _look(self) -> None:
        self.start()
        for worker in self._listening():
            if self._silence(worker) > self._patience:
                self._trouble(f"worker {worker.number} gave no sign of life for {self._patience:.0f} s: it is killed")
                worker.kill()

    def _silence(self, worker: WorkerProcess) -> float:
        return float(self._clock.seconds()) - worker.last_sign
