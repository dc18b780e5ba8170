"""The part that this relay has among those that share the queue, from its start to its end.

It shows signs of life, takes part in the chores, wakes the other relays and is woken. A relay that finds its node
fenced off, because it was frozen or cut off from the database, drops its claims and goes on as a new node.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IReactorFDSet, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from mta.blocking import RunBlocking
from mta.queue.interface import QueueError
from mta.queue.postgres.membership.chores import take_chore
from mta.queue.postgres.membership.common_tasks import LOOK_INTERVAL, Chore, CommonTasks
from mta.queue.postgres.membership.heartbeat import INTERVAL, RETRY, Beat, Beats, DatabaseClock, beat
from mta.queue.postgres.membership.node import LEASE, Node, join
from mta.queue.postgres.membership.takeover import Takeover, give_up
from mta.queue.postgres.membership.timers import Timers
from mta.queue.postgres.membership.wakeups import Wakeups
from mta.queue.postgres.serial_session import SerialSession
from mta.queue.postgres.session import DatabaseSession

#: Seconds for which a relay that leaves waits for the database.
LEAVE_PATIENCE = 5.0
_log = Logger()

_FENCED = (
    "this relay has shown no sign of life for so long that another one took over its mail: it sends none of that, and"
    " goes on as a new node. Look why this machine, or its way to the database, stood still"
)


@dataclass(frozen=True, slots=True)
class NodeIdentity:
    """The facts by which a relay joins, each time that it does: see `join`."""

    name: str
    program: str
    schema_known: int
    lanes: int


@dataclass(frozen=True, slots=True)
class MembershipListeners:
    """Callables that a Membership calls in the reactor's thread."""

    #: The node is fenced off. All claims are lost, and the next node is not there yet.
    fenced: Callable[[], object]
    #: Mail may have become due. True: another relay says so, and it may have been due for long.
    woken: Callable[[bool], object]
    #: Lines for the operator.
    notice: Callable[[str], object]
    trouble: Callable[[str], object]
    #: Whether the database gives no answer, as far as is known; called with each change.
    away: Callable[[bool], object] = lambda _: None


class Membership:
    """The relay's membership. Its sessions are its own; `run` must have a thread for two works of it at any time."""

    def __init__(
        self,
        node: Node,
        identity: NodeIdentity,
        new_session: Callable[[], DatabaseSession],
        *,
        clock: IReactorTime,
        reactor: IReactorFDSet,
        wall_clock: Callable[[], float],
        run: RunBlocking,
        listeners: MembershipListeners,
        chores: tuple[Chore, ...] = (),
    ) -> None:
        """`node` has just joined. `clock` is monotonic. `new_session` makes a session that does not change mail."""
        #: The node as which the relay works now.
        self.node = node
        #: The nodes of the relays that live, this one among them; none before the first sign of life.
        self.living: tuple[int, ...] = ()
        self._identity = identity
        self._clock = clock
        self._wall_clock = wall_clock
        self._listeners = listeners
        #: For short statements.
        self.session = SerialSession(new_session(), run)
        self._tasks = CommonTasks(
            SerialSession(new_session(), run), chores, taken_over=self._took_over, trouble=listeners.trouble
        )
        self._wakeups = Wakeups(
            clock,
            reactor,
            listening=SerialSession(new_session(), run),
            sending=self.session,
            woken=listeners.woken,
        )
        self._timers = Timers(clock)
        self._beats = Beats()
        self._database_clock = DatabaseClock()
        self._away = False
        self._left = self._hurried = False
        # The last line about a failure to join.
        self._told = ""
        # Callers that wait for the next node; None while the relay has one.
        self._waiting: list[Deferred[None]] | None = None

    @property
    def node_id(self) -> int:
        """The number of the node as which the relay works now."""
        return self.node.id

    @property
    def hears(self) -> bool:
        """Whether the notifications of other relays arrive, as far as is known."""
        return self._wakeups.works

    def start(self) -> None:
        """Show the first sign of life, and go on doing so."""
        self._wakeups.start()
        self._timers.later(LOOK_INTERVAL, self._look)
        self._beat()

    @property
    def offset(self) -> float:
        """Seconds by which the clock of the database is ahead of the wall clock here; 0 until it was measured."""
        ahead = self._database_clock.ahead
        return 0.0 if ahead is None else ahead + self._clock.seconds() - self._wall_clock()

    def wake_peers(self) -> None:
        """Tell the other relays that mail is due, at most once a second. Never fails."""
        self._wakeups.wake_peers()

    def has_turn(self, chore: str, interval: float) -> "Deferred[bool]":
        """Return whether this relay is to do a chore now, for all others too. Fails with QueueError."""
        return self.session.do(partial(take_chore, name=chore, interval=interval))

    def next_node(self, fenced: int) -> "Deferred[None]":
        """Fire once the relay works as another node than `fenced`: at once, or when the database gives one.

        Fails with QueueError if the relay leaves before.
        """
        if self._left:
            return fail(QueueError("the relay is stopping"))
        if fenced != self.node.id:
            return succeed(None)
        waiter: Deferred[None] = Deferred()
        if self._waiting is None:
            self._waiting = []
            self._beats.failed()
            self._listeners.trouble(_FENCED)
            self._listeners.fenced()
            self._try_to_join()
        # The new node may be there already.
        if self._waiting is None:
            return succeed(None)
        self._waiting.append(waiter)
        return waiter

    def hurry(self) -> None:
        """Do not wait for another node, because the relay stops."""
        self._hurried = True

    def leave(self) -> "Deferred[None]":
        """Give everything back that the node has, tell the other relays, and stop. Never fails."""
        return Deferred.fromCoroutine(self._leave())

    async def _leave(self) -> None:
        self._left = True
        self._timers.stop()
        self._let_waiting_go()
        cutting = self._clock.callLater(LEAVE_PATIENCE, self._cut)
        try:
            await self.session.do(self._give_back)
        except QueueError as error:
            self._listeners.trouble(
                f"the relay cannot take leave of the shared queue ({error}): another one takes over its mail in half a"
                " minute"
            )
        await self._wakeups.stop()
        await self._tasks.stop()
        await self.session.close()
        if cutting.active():
            cutting.cancel()

    def _cut(self) -> None:
        """End the connections, because the database does not answer."""
        self._tasks.cut()
        self.session.cut()

    def _let_waiting_go(self) -> None:
        waiting, self._waiting = self._waiting, None
        for waiter in waiting or ():
            waiter.errback(QueueError("the relay is stopping"))

    def _give_back(self, session: DatabaseSession) -> None:
        give_up(session, self.node.id)
        self._wakeups.notify(session)

    # --- Signs of life

    def _beat(self) -> None:
        if self._waiting is None and not self._left:
            node = self.node
            beating = self.session.do(partial(self._timed_beat, node))
            beating.addCallbacks(self._answered, self._unanswered, (node,)).addErrback(_log_bug)

    def _timed_beat(self, node: Node, session: DatabaseSession) -> tuple[float, float, Beat]:
        """Return the answer to a sign of life, after the times at which it was sent and answered."""
        sent = self._clock.seconds()
        answer = beat(session, node.id)
        return sent, self._clock.seconds(), answer

    def _answered(self, timed: tuple[float, float, Beat], node: Node) -> None:
        sent, answered, answer = timed
        self._database_clock.measure(sent, answered, answer.time)
        self.living = answer.living
        if self._away:
            self._away = False
            self._listeners.away(False)
            self._listeners.notice("the queue's database answers again")
        if not answer.accepted:
            self.next_node(node.id).addErrback(_ignore)
            return
        self._beats.succeeded(sent, answered)
        self._timers.later(max(RETRY, sent + INTERVAL - self._clock.seconds()), self._beat)
        if answer.dead and self._beats.may_take_over(self._clock.seconds()):
            self._tasks.take_over_the_dead(node.id)

    def _unanswered(self, failure: Failure) -> None:
        failure.trap(QueueError)
        self._beats.failed()
        if not self._away:
            self._away = True
            self._listeners.away(True)
            self._listeners.trouble(f"the queue's database gives no answer: {failure.getErrorMessage()}; trying again")
        self._timers.later(RETRY, self._beat)

    # --- Another node

    def _try_to_join(self) -> None:
        self.session.do(self._begin_anew).addCallbacks(self._joined, self._not_joined).addErrback(_log_bug)

    def _begin_anew(self, session: DatabaseSession) -> Node:
        # The lanes may also have refused the node for another reason. Then its mail would wait for a takeover.
        give_up(session, self.node.id)
        identity = self._identity
        return join(session, identity.name, identity.program, identity.schema_known, identity.lanes)

    def _joined(self, node: Node) -> None:
        self.node = node
        self._told = ""
        waiting, self._waiting = self._waiting, None
        self._listeners.notice(f"this relay goes on as node {node.id} of the shared queue")
        for waiter in waiting or ():
            waiter.callback(None)
        self._beat()

    def _not_joined(self, failure: Failure) -> None:
        failure.trap(QueueError)
        text = f"this relay cannot go on as a new node yet: {failure.getErrorMessage()}; trying again"
        if text != self._told:
            self._told = text
            self._listeners.trouble(text)
        if self._hurried:
            self._let_waiting_go()
        else:
            self._timers.later(RETRY, self._try_to_join)

    # --- Chores

    def _look(self) -> None:
        self._timers.later(LOOK_INTERVAL, self._look)
        self._tasks.look()

    def _took_over(self, takeover: Takeover) -> None:
        self._listeners.notice(
            f"the relay {takeover.name} (node {takeover.node}) has shown no sign of life for"
            f" {takeover.overdue + LEASE:.0f} s: messages of it that the others take over: {takeover.messages}"
        )
        self.wake_peers()
        self._listeners.woken(True)


def _ignore(failure: Failure) -> None:
    failure.trap(QueueError)


def _log_bug(failure: Failure) -> None:
    _log.failure("the membership of this relay failed", failure)
