"""The chores of this relay: it takes dead nodes over, sweeps, and does other common tasks when it has their turn."""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from mta.queue.interface import QueueError
from mta.queue.postgres.membership.chores import longest_transaction, sweep, take_chore
from mta.queue.postgres.membership.takeover import Takeover, dead_nodes, take_over
from mta.queue.postgres.opening.migration import CONTRACT_INTERVAL, contract
from mta.queue.postgres.serial_session import SerialSession
from mta.queue.postgres.session import DatabaseSession

#: Seconds between two rounds of takeovers by any relay, and between two sweeps.
TAKEOVER_INTERVAL = 5.0
SWEEP_INTERVAL = 600.0
#: Seconds between two looks of a relay for a turn. For takeovers it looks when a sign of life tells of a dead node.
LOOK_INTERVAL = 60.0
_log = Logger()


@dataclass(frozen=True, slots=True)
class Chore:
    """A task that one relay does for all, every so many seconds. `work` blocks, and may raise QueueError."""

    name: str
    interval: float
    work: Callable[[DatabaseSession], object]


class CommonTasks:
    """Does chores when this relay has their turn. They may take long, so they have a session of their own."""

    def __init__(
        self,
        session: SerialSession,
        chores: tuple[Chore, ...] = (),
        *,
        taken_over: Callable[[Takeover], object],
        trouble: Callable[[str], object],
    ) -> None:
        """`chores` are done beside takeovers, sweeps and upgrades.

        `taken_over` gets each takeover, `trouble` lines for the operator.
        """
        self._session = session
        self._chores = (Chore("contract", CONTRACT_INTERVAL, contract), *chores)
        self._taken_over = taken_over
        self._trouble = trouble
        # Tasks that run now, and those whose failure was told and that have not succeeded since.
        self._running: set[str] = set()
        self._failing: set[str] = set()
        # The transaction that was told.
        self._told: tuple[str, float] | None = None

    def take_over_the_dead(self, by: int) -> None:
        """Take over all nodes whose leases are over if this relay, as the node `by`, has the turn. Never fails."""
        self._start("takeover of a relay that is gone", self._take_over_all(by))

    def look(self) -> None:
        """Do all other chores that this relay has the turn for. Never fails."""
        self._start("sweep of the shared queue", self._sweep())
        for chore in self._chores:
            self._start(f"{chore.name} of the shared queue", self._do(chore))

    def cut(self) -> None:
        """Have the tasks that run fail, because the relay stops."""
        self._session.cut()

    def stop(self) -> "Deferred[None]":
        """Close the connection after the tasks that run."""
        return self._session.close()

    async def _take_over_all(self, by: int) -> None:
        if await self._has_turn("takeover", TAKEOVER_INTERVAL):
            for node in await self._session.do(dead_nodes):
                takeover = await self._session.do(partial(take_over, node=node, by=by))
                if takeover is not None:
                    self._taken_over(takeover)

    async def _sweep(self) -> None:
        if not await self._has_turn("sweep", SWEEP_INTERVAL):
            return
        await self._session.do(sweep)
        found = await self._session.do(longest_transaction)
        known = None if found is None else (found.name, found.begun)
        if found is not None and known != self._told:
            self._trouble(str(found))
        self._told = known

    async def _do(self, chore: Chore) -> None:
        if await self._has_turn(chore.name, chore.interval):
            await self._session.do(chore.work)

    def _has_turn(self, name: str, interval: float) -> "Deferred[bool]":
        return self._session.do(partial(take_chore, name=name, interval=interval))

    def _start(self, task: str, coroutine: Coroutine[Any, Any, None]) -> None:
        if task in self._running:
            coroutine.close()
            return
        self._running.add(task)
        Deferred.fromCoroutine(self._run(task, coroutine))

    async def _run(self, task: str, coroutine: Coroutine[Any, Any, None]) -> None:
        try:
            await coroutine
        except QueueError as error:
            if task not in self._failing:
                self._failing.add(task)
                self._trouble(f"{task}: {error}; trying again")
        except Exception:  # noqa: BLE001 (a bug in a task must not end the relay's part in the others)
            _log.failure("a common task of the relays failed")
        else:
            self._failing.discard(task)
        finally:
            self._running.discard(task)
            if not self._running:
                self._session.close()
