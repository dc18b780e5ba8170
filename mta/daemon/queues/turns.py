"""Periodic tasks on a queue that relays share: one relay does each of them for all."""

from collections.abc import Callable

from twisted.internet.defer import Deferred

from mta.daemon.queues.relay_queue import HasTurn
from mta.queue.interface import QueueError

Look = Callable[[], "Deferred[float | None]"]


def in_turn(look: Look, chore: str, interval: float, has_turn: HasTurn | None) -> Look:
    """Return the task as a periodic service calls it, which does nothing unless this relay has the turn.

    With `has_turn` None the relay is alone, and does it always. `interval` is the time between two turns, in seconds.
    """
    return look if has_turn is None else _InTurn(look, chore, interval, has_turn)


class _InTurn:
    def __init__(self, look: Look, chore: str, interval: float, has_turn: HasTurn) -> None:
        self._look = look
        self._chore = chore
        self._interval = interval
        self._has_turn = has_turn
        # Whether the task has asked to be called again soon, which is the same turn.
        self._goes_on = False

    def __call__(self) -> "Deferred[float | None]":
        return Deferred.fromCoroutine(self._take_turn())

    async def _take_turn(self) -> float | None:
        if not self._goes_on:
            try:
                if not await self._has_turn(self._chore, self._interval):
                    return None
            except QueueError:
                # That the database is away is told already.
                return None
        wait = await self._look()
        self._goes_on = wait is not None
        return wait
