"""The queue that several relays share, opened as one of them, with the facts that the relays tell each other."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from twisted.application.service import Service
from twisted.internet.defer import Deferred, succeed

import mta
from mta.blocking import result_of, run_inline
from mta.config.readers.shared_queue import SharedQueue
from mta.daemon.parts.context import RelayContext
from mta.daemon.periodic import PeriodicService
from mta.daemon.queues.relay_queue import OpenedQueue
from mta.delivery.destinations.window import window_limits
from mta.delivery.relays.window import RelayWindows
from mta.queue.disk.queue_dir import prepare
from mta.queue.disk.threads import Threads
from mta.queue.failures import Failures
from mta.queue.ids import ChangingIdSource
from mta.queue.interface import Ledger, QueueError
from mta.queue.postgres.destinations.board import DestinationBoard
from mta.queue.postgres.membership.common_tasks import Chore
from mta.queue.postgres.membership.membership import Membership, MembershipListeners, NodeIdentity
from mta.queue.postgres.membership.node import MARKS_LAST, Node, join
from mta.queue.postgres.opening.migration import contract
from mta.queue.postgres.operators_queue import OperatorsQueue
from mta.queue.postgres.queue import LANES, PostgresQueue
from mta.queue.postgres.schema import SCHEMA_KNOWN, check_server, open_schema
from mta.queue.postgres.session import DatabaseSession
from mta.queue.postgres.url import Server

T = TypeVar("T")

#: The folder in a home for bodies that arrive or leave. None of them was promised to anybody.
ARRIVING = "arriving"
#: Seconds between two looks whether all relays are new enough for a change of the tables that old ones do not know.
CONTRACT_INTERVAL = 60.0
#: Seconds between two looks for clients that have waited too long.
LOOK = 1.0
# Seconds from the begin of a stop until the other relays are told of the mail that was given back meanwhile.
_GIVEN_BACK = 0.2


class RelaysQueue(PostgresQueue):
    """A PostgresQueue as a RelayQueue, which takes leave of the other relays when it is closed."""

    membership: Membership

    def make_all_due(self, now: float) -> "Deferred[None]":  # noqa: ARG002  the interface
        """Do nothing, because the clock of the database counts, and not the one that was set."""
        return succeed(None)

    def when_short(self, call: Callable[[], object]) -> None:
        """Do nothing, because the room for the history is the database's."""

    async def _close(self) -> None:
        await super()._close()
        await self.membership.leave()


class RelaysService(Service):
    """Shows the others that this relay lives, learns which destinations are down, and wakes the delivery."""

    def __init__(self, queue: RelaysQueue, board: DestinationBoard, reactor: Any) -> None:
        self._queue = queue
        self._membership = queue.membership
        self._board = board
        self._reactor = reactor
        self._wake: Callable[[], object] = _do_nothing
        self._tell_away: Callable[[bool], object] = _ignore
        self._drop: Callable[[], object] = _do_nothing

    def when_due(self, wake: Callable[[], object]) -> None:
        """Set the callable that has the delivery look for mail that another relay made due."""
        self._wake = wake

    def when_away(self, tell: Callable[[bool], object]) -> None:
        """Set the callable that is told when the database gives no answer, and when it does again."""
        self._tell_away = tell

    def when_fenced(self, drop: Callable[[], object]) -> None:
        """Set the callable that has the delivery drop all claims, because other relays have them."""
        self._drop = drop

    def fenced(self) -> None:
        """Forget all claims, because other relays have them."""
        self._queue.lose_claims()
        self._drop()

    def away(self, away: bool) -> None:  # noqa: FBT001  the only argument of a listener
        """Tell whether the database gives no answer."""
        self._tell_away(away)

    def woken(self, long_due: bool) -> None:  # noqa: FBT001  the only argument of a listener
        """Have the delivery look for due mail, which may have been due for long."""
        self._queue.woken(long_due)
        self._wake()

    def startService(self) -> None:
        """Begin."""
        super().startService()
        self._membership.start()
        self._board.start()

    def stopService(self) -> None:
        """Tell the others soon that mail was given back. The relay stays one of them until its queue is closed."""
        super().stopService()
        self._wake = _do_nothing
        self._board.stop()
        self._queue.hurry()
        self._membership.hurry()
        self._reactor.callLater(_GIVEN_BACK, self._membership.wake_peers)


def open_shared_queue(context: RelayContext, shared: SharedQueue, threads: Threads) -> OpenedQueue:
    """Join the relays that share a queue, and make the queue if it is not there. Raises QueueError."""
    directory = _arriving(context.home)
    parameters = shared.server.connection_parameters()
    identity = NodeIdentity(_name(context, shared), mta.__version__, SCHEMA_KNOWN, LANES)
    node = _joined(context, parameters, identity)
    clock, event_log = context.reactor, context.event_log

    def wall_clock() -> float:
        return time.time() + membership.offset

    listeners = MembershipListeners(
        fenced=lambda: service.fenced(),  # noqa: PLW0108  the service is made of the membership
        woken=lambda long_due: service.woken(long_due),  # noqa: PLW0108
        notice=event_log.notice,
        trouble=event_log.trouble,
        away=lambda away: service.away(away),  # noqa: PLW0108
    )
    membership = Membership(
        node,
        identity,
        lambda: DatabaseSession(parameters, changes=False),
        clock=clock,
        reactor=clock,
        wall_clock=time.time,
        run=threads,
        listeners=listeners,
        chores=(Chore("contract", CONTRACT_INTERVAL, contract),),
    )
    queue = RelaysQueue(
        shared.server,
        membership,
        run=threads,
        seconds=clock.seconds,
        wall_clock=wall_clock,
        directory=directory,
        call_later=clock.callLater,
        reactor=clock,
    )
    queue.membership = membership
    windows, board = _windows(context, membership, wall_clock)
    service = RelaysService(queue, board, clock)
    return OpenedQueue(
        queue,
        ChangingIdSource(lambda: membership.node.tag),
        [service, PeriodicService(queue.look, LOOK, clock)],
        wall_clock=wall_clock,
        marks_last=MARKS_LAST,
        windows=windows.new,
        has_turn=membership.has_turn,
        when_due=service.when_due,
        when_away=service.when_away,
        when_fenced=service.when_fenced,
    )


def _joined(context: RelayContext, parameters: dict[str, str], identity: NodeIdentity) -> Node:
    session = DatabaseSession(parameters, changes=False)
    try:
        for notice in check_server(session):
            context.event_log.notice(notice)
        open_schema(session)
        return join(session, identity.name, identity.program, identity.schema_known, identity.lanes)
    finally:
        session.close()


def _name(context: RelayContext, shared: SharedQueue) -> str:
    """Return the name of the node; each worker is one of its own."""
    if context.settings.workers == 1:
        return shared.node_name
    number = 1 if context.home == context.settings.queue_dir else int(context.home.name.rpartition("-")[2])
    return f"{shared.node_name}/{number}"


def _arriving(home: Path) -> Path:
    """Make the folder for bodies, without those of an earlier process. Raises QueueError."""
    directory = home / ARRIVING
    prepare(home)
    try:
        directory.mkdir(0o700, exist_ok=True)
        for path in directory.iterdir():
            path.unlink()
    except OSError as error:
        raise QueueError(f"the folder {directory} cannot be used: {error.strerror}") from error
    return directory


def _windows(
    context: RelayContext, membership: Membership, wall_clock: Callable[[], float]
) -> tuple[RelayWindows, DestinationBoard]:
    limits = window_limits(context.settings.retry_schedule)
    windows = RelayWindows(
        limits, wall_clock=wall_clock, living=lambda: membership.living, relay=lambda: membership.node.id
    )
    windows.board = board = DestinationBoard(
        membership.session,
        windows,
        clock=context.reactor,
        wall_clock=wall_clock,
        # The wall clock is that of the database already.
        offset=lambda: 0.0,
        node=lambda: membership.node.id,
        steps=(limits.first_penalty, limits.longest_penalty),
    )
    return windows, board


def shared_totals(server: Server) -> Ledger:
    """Return the counts of the mail of all relays so far. Blocks; raises QueueError."""
    return _ask(server, OperatorsQueue.totals)


def shared_failures(server: Server, since: float, until: float) -> Failures:
    """Return the failures of all relays from one time to another. Blocks; raises QueueError."""
    return _ask(server, lambda queue: queue.failures(since, until))


def _ask(server: Server, question: "Callable[[OperatorsQueue], Deferred[T]]") -> T:
    queue = OperatorsQueue(server, run_inline)
    try:
        return result_of(question(queue))
    finally:
        queue.close()


def _do_nothing() -> None:
    pass


def _ignore(_: object) -> None:
    pass
