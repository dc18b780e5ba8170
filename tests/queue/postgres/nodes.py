"""Nodes of a queue on PostgreSQL, each in a thread with a reactor of its own, as each relay process has one."""

import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any

import psycopg
from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall

from harness.waiting import until
from mta.queue.disk.threads import Threads
from mta.queue.interface import QueueError, QueueId
from mta.queue.postgres.membership.membership import Membership, MembershipListeners, NodeIdentity
from mta.queue.postgres.membership.node import join
from mta.queue.postgres.queue import LANES, STRAY_AGE, STRAYS_INTERVAL, PostgresQueue
from mta.queue.postgres.session import DatabaseSession
from mta.queue.postgres.url import read_server
from tests.drivers.reactor_thread import ReactorThread
from tests.queue.messages import mail
from tests.queue.postgres.busy_node import BusyNode

_SCHEMA = (files("queue_schema") / "postgres" / "schema.sql").read_text("utf-8")


def create_schema(url: str) -> None:
    """Create the tables of the queue in an empty database."""
    with psycopg.connect(url) as connection:
        connection.execute(_SCHEMA)


class Blocking:
    """Calls the methods of a queue in its reactor's thread, and returns the results of their Deferreds."""

    def __init__(self, loop: ReactorThread, queue: Any) -> None:
        self._loop = loop
        self._queue = queue

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._queue, name)
        return lambda *arguments, **named: self._loop.call(method, *arguments, **named)


class NodeThread:
    """A node with its signs of life and its queue, to be used from the test's thread."""

    def __init__(self, loop: ReactorThread, url: str, name: str, directory: Path) -> None:
        self.loop = loop
        #: Seconds by which its clocks are ahead, for a test that does not wait.
        self.ahead = 0.0
        #: Lines for the operator.
        self.troubles: list[str] = []
        self.notices: list[str] = []
        self._server = read_server(url)
        loop.call(self._open, name, directory)
        self.queue = Blocking(loop, self.postgres)

    def _open(self, name: str, directory: Path) -> None:
        reactor = self.loop.reactor
        self._threads = [Threads(reactor), Threads(reactor, 6)]
        identity = NodeIdentity(name, "1.0", 1, LANES)
        session = self._new_session()
        node = join(session, identity.name, identity.program, identity.schema_known, identity.lanes)
        session.close()
        self.membership = Membership(
            node,
            identity,
            self._new_session,
            clock=reactor,
            reactor=reactor,
            wall_clock=time.time,
            run=self._threads[0],
            listeners=MembershipListeners(
                fenced=self._fenced,
                woken=self._woken,
                notice=self.notices.append,
                trouble=self.troubles.append,
            ),
        )
        self.postgres = PostgresQueue(
            self._server,
            self.membership,
            run=self._threads[1],
            seconds=lambda: reactor.seconds() + self.ahead,
            wall_clock=self.now,
            directory=directory,
            call_later=reactor.callLater,
            reactor=reactor,
        )
        self.busy = BusyNode(self.postgres, reactor, mail, self.now)
        self._look = LoopingCall(self.postgres.look)
        self._look.clock = reactor
        self._look.start(1.0, now=False)
        self.membership.start()

    def _fenced(self) -> None:
        self.postgres.lose_claims()

    def _woken(self, long_due: bool) -> None:
        self.postgres.woken(long_due)

    def _new_session(self) -> DatabaseSession:
        return DatabaseSession(self._server.connection_parameters(), changes=False)

    @property
    def id(self) -> int:
        """The id as which it works now."""
        return self.membership.node.id

    def now(self) -> float:
        """Return the time for calls of the queue."""
        return time.time() + self.ahead

    def close(self) -> None:
        """Leave the queue, and end all threads."""
        self.loop.call(self._look.stop)
        self.loop.call(self.postgres.close)
        self.loop.call(self.membership.leave)
        for threads in self._threads:
            self.loop.call(threads.stop)

    def start(self, begin: Callable[[], Awaitable[Any]]) -> "Deferred[Any]":
        """Begin a coroutine in the reactor's thread and return its Deferred, for `wait`."""
        return self.loop.start(begin)

    def wait(self, deferred: "Deferred[Any]") -> Any:
        """Wait for a Deferred of the reactor's thread and return its result."""
        return self.loop.wait(deferred)

    def begin_add(self, **parts: Any) -> "tuple[QueueId, Deferred[Any]]":
        """Begin to add a message, without waiting for the result."""
        new = mail(**parts)

        async def add() -> object:
            return await self.postgres.add(new, self.now(), 600.0)

        return new.id, self.start(add)

    def add_waiting(self) -> QueueId:
        """Add a message that nobody has claimed, and return its id."""
        new = mail()
        self.queue.add(new, self.now())
        return new.id

    def deliver_all(self) -> None:
        """Deliver all that waits, and all that this node has claimed without knowing it."""
        self.ahead += STRAY_AGE + STRAYS_INTERVAL
        until(lambda: self._deliver() or not self.queue.summary().messages, what="an empty queue")

    def _deliver(self) -> bool:
        claims = self.queue.claim(self.now(), 100, 600.0)
        for begun in [self.start(lambda claim=claim: self.busy.deliver(claim)) for claim in claims]:
            self.wait(begun)
        return False

    def patiently(self, ask: Callable[[], Any], enough: Callable[[Any], object] = bool) -> Any:
        """Ask the queue again after each QueueError until the answer is enough; return it."""

        def answer() -> Any:
            try:
                found = ask()
            except QueueError:
                return None
            return (found,) if enough(found) else None

        return until(answer)[0]


@contextmanager
def running_node(url: str, name: str = "node") -> Iterator[NodeThread]:
    """Run a node on a database that has the schema."""
    with tempfile.TemporaryDirectory(prefix="smtprelay-node-") as directory, ReactorThread() as loop:
        node = NodeThread(loop, url, name, Path(directory))
        try:
            yield node
        finally:
            node.close()
