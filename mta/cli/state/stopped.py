"""The queue of a relay that is not asked itself, as a RelayState for commands: the queue files of a stopped one."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from mta import __version__
from mta.admin.doctor_file import last_run
from mta.admin.orders import Orders
from mta.admin.returning import Returned
from mta.admin.state import (
    About,
    DestinationState,
    DoctorRun,
    LoggedEvent,
    NotRunning,
    Order,
    OrderResult,
    RuleState,
    SettingState,
    StateError,
    TrafficMinute,
)
from mta.admin.traffic import Traffic
from mta.blocking import run_inline
from mta.cli.results import result
from mta.queue.interface import Action, DomainShape, Entry, Query, QueueError, QueueId, Summary
from mta.queue.search.conditions import Conditions
from mta.queue.worker_queues.combined import OperatorQueue, open_queues


class QueueState:
    """A RelayState over a queue alone, whose methods never wait.

    Questions about the life of a relay have no answer, or raise NotRunning.
    """

    #: Follows an order.
    told: str

    def __init__(
        self, queue: OperatorQueue, place: str, mailname: Callable[[], str], wall_clock: Callable[[], float]
    ) -> None:
        """`place` tells where the queue is, `mailname` returns the name of the relay in reports."""
        self._queue = queue
        self._place = place
        self._mailname = mailname
        self._now = wall_clock

    def close(self) -> None:
        """Close the queue."""
        result(self._queue.close())

    async def about(self) -> About:
        """Return the name and the version of a relay that is not started."""
        return About(__version__, self._mailname(), None, 0, self._place)

    async def find(self, query: Query) -> list[Entry]:
        """Return messages in the order that the query asks for."""
        with _errors():
            return await self._queue.find(query)

    async def count(self, conditions: Conditions, *, finished: bool = False) -> int:
        """Return the number of waiting messages that meet conditions; `finished` adds the history."""
        with _errors():
            return await self._queue.count(conditions, finished=finished)

    async def select(self, conditions: Conditions) -> list[QueueId]:
        """Return the ids of the waiting messages that meet conditions, in the order of their arrival."""
        with _errors():
            return await self._queue.select(conditions)

    async def domains(self) -> list[DomainShape]:
        """Return the waiting recipients by domain, most first."""
        with _errors():
            return await self._queue.domains(self._now())

    async def summary(self) -> Summary:
        """Return the counts of messages and recipients."""
        with _errors():
            return await self._queue.summary()

    async def content(self, id: QueueId) -> bytes | None:
        """Return the octets of a waiting message, or None if the message does not wait."""
        with _errors():
            return await self._queue.content(id)

    async def waits_for(self, id: QueueId) -> str:  # noqa: ARG002  the interface
        """Return "", because a stopped relay has no reason but this."""
        return ""

    async def order(self, order: Order) -> OrderResult:
        """Apply an order to waiting messages."""
        return await self._carry_out(order)

    async def _carry_out(self, order: Order) -> OrderResult:
        orders = Orders(self._mailname() if order.action is Action.BOUNCE else "", self._now)
        return await orders.carry_out(order, self._queue, self._done)

    def _done(self, order: Order, ids: Sequence[QueueId], returned: Sequence[Returned]) -> None:
        """Do nothing, because no relay is there that would be notified."""

    async def destinations(self) -> list[DestinationState]:
        """Return none."""
        return []

    async def settings(self) -> Sequence[SettingState]:
        """Raise NotRunning."""
        _not_running("the settings in force")

    async def rules(self) -> Sequence[RuleState]:
        """Raise NotRunning."""
        _not_running("the rules in force")

    async def traffic(self, since: float) -> Sequence[TrafficMinute]:  # noqa: ARG002  the interface
        """Return none, because a relay keeps them."""
        return ()

    async def alarms(self) -> Sequence[LoggedEvent]:
        """Return none."""
        return ()

    async def findings(self) -> DoctorRun | None:
        """Return None, because a relay keeps them."""
        return None

    async def follow(self, receive: Callable[[LoggedEvent], object]) -> Callable[[], None]:  # noqa: ARG002  the interface
        """Raise NotRunning."""
        _not_running("events")


class StoppedState(QueueState):
    """The queues of all workers in QUEUE_DIR."""

    told = "smtprelay: no relay is running: the order is done in its queue, and no log has it"

    def __init__(self, queue_dir: Path, mailname: Callable[[], str], wall_clock: Callable[[], float] = time.time):
        """`mailname` returns the name of the relay in reports. Raises QueueError if no queue can be opened."""
        self._queue_dir = queue_dir
        #: The messages that the running order has changed.
        self._changed: set[QueueId] = set()
        queues = open_queues(queue_dir, run=run_inline, now=wall_clock(), applied=self._applied)
        super().__init__(queues, str(queue_dir), mailname, wall_clock)

    async def order(self, order: Order) -> OrderResult:
        """Apply an order to waiting messages. If one queue fails, the changes of the others are in the result."""
        self._changed = set()
        try:
            return await self._carry_out(order)
        except StateError as error:
            if not self._changed:
                raise
            return OrderResult(tuple(sorted(self._changed)), failure=str(error))

    def _applied(self, _home: Path, _action: Action, ids: Sequence[QueueId]) -> None:
        self._changed.update(ids)

    async def traffic(self, since: float) -> Sequence[TrafficMinute]:
        """Return the minutes with mail of the last day."""
        return Traffic(self._queue_dir, self._now).since(since)

    async def findings(self) -> DoctorRun | None:
        """Return the findings of the last `smtprelay doctor`."""
        return last_run(self._queue_dir)


def _not_running(wanted: str) -> NoReturn:
    raise NotRunning(f"no relay is running, which would tell {wanted}")


@contextmanager
def _errors() -> Iterator[None]:
    """Turn a QueueError into a StateError."""
    try:
        yield
    except QueueError as error:
        raise StateError(str(error)) from error.__cause__
