"""The shared queue for a program that is no relay: an operator's command, or the parent of workers.

It needs no node: its changes are in the name of the operators, so any number of such programs may work at once.
"""

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

from twisted.internet.defer import Deferred, DeferredLock, fail

from mta.blocking import RunBlocking
from mta.queue.entries import Action, DomainShape, Entry, Query, QueueId, Summary
from mta.queue.failures import Failures
from mta.queue.interface import Ledger, MakeReports, NewMail, QueueError
from mta.queue.postgres.lanes.batch import add_all
from mta.queue.postgres.lanes.gathering import Lanes
from mta.queue.postgres.lanes.lane import OPERATORS, Lane
from mta.queue.postgres.membership.statements import SQL
from mta.queue.postgres.operator import orders, overview, reading
from mta.queue.postgres.operator.overview import NodeState
from mta.queue.postgres.operator.search import count_messages
from mta.queue.postgres.session import DatabaseSession
from mta.queue.postgres.url import Server
from mta.queue.search.conditions import Conditions

T = TypeVar("T")


class OperatorsQueue:
    """An `OperatorQueue`, and questions about the relays. Its connections are made when they are needed."""

    def __init__(self, server: Server, run: RunBlocking, seconds: Callable[[], float] = time.monotonic) -> None:
        """`run` runs the work that blocks: one question and one change at a time."""
        parameters = server.connection_parameters()
        self._run = run
        self._reading = DatabaseSession(parameters, changes=False)
        self._turn = DeferredLock()
        self._lanes = Lanes([Lane(DatabaseSession(parameters), 0)], run, node=lambda: OPERATORS, seconds=seconds)

    def _ask(self, question: Callable[[DatabaseSession], T]) -> "Deferred[T]":
        return self._turn.run(self._run, partial(question, self._reading))

    def find(self, query: Query) -> "Deferred[list[Entry]]":
        """Return messages in the order that the query asks for."""
        return self._ask(partial(reading.find, query=query))

    def count(self, conditions: Conditions, *, finished: bool = False) -> "Deferred[int]":
        """Return the number of messages that meet conditions."""
        return self._ask(partial(count_messages, conditions=conditions, finished=finished))

    def select(self, conditions: Conditions) -> "Deferred[list[QueueId]]":
        """Return the ids of the waiting messages that meet conditions."""
        return self._ask(partial(reading.select, conditions=conditions))

    def content(self, id: QueueId) -> "Deferred[bytes | None]":
        """Return the octets of a waiting message, or None."""
        return self._ask(partial(reading.content, id=id))

    def domains(self, now: float) -> "Deferred[list[DomainShape]]":
        """Return the waiting recipients by domain."""
        return self._ask(partial(reading.domains, now=now))

    def summary(self) -> "Deferred[Summary]":
        """Return the counts of messages and recipients."""
        return self._ask(reading.summary)

    def totals(self) -> "Deferred[Ledger]":
        """Return the counts of all mail so far, without the recipients that wait."""
        return self._ask(reading.totals)

    def failures(self, since: float, until: float) -> "Deferred[Failures]":
        """Return the recipients that failed from one time to another."""
        return self._ask(partial(overview.count_failures, since=since, until=until))

    def nodes(self) -> "Deferred[list[NodeState]]":
        """Return the relays that share the queue, the oldest first."""
        return self._ask(overview.nodes)

    def add(self, mail: NewMail, now: float) -> "Deferred[None]":
        """Store a message that is due at once, with its body in memory."""
        return self._change(lambda change: add_all(change, [mail], now))

    def apply(
        self, action: Action, ids: Sequence[QueueId] | None, now: float, *, recipient: str = "", to: str = ""
    ) -> "Deferred[list[QueueId]]":
        """Apply an action to messages, and return their ids."""
        done = Deferred.fromCoroutine(orders.apply(self._lanes.work, action, ids, now, recipient=recipient, to=to))
        return done.addCallback(self._wake_relays)

    def bounce(
        self,
        ids: Sequence[QueueId],  # noqa: ARG002
        now: float,  # noqa: ARG002
        text: str,  # noqa: ARG002
        make_reports: MakeReports,  # noqa: ARG002
        *,
        recipient: str = "",  # noqa: ARG002
    ) -> "Deferred[list[QueueId]]":
        """Return messages to their senders, and give their ids."""
        return fail(QueueError("mail of a shared queue cannot be returned by this command yet"))

    def _change(self, work: Callable[..., T]) -> "Deferred[T]":
        return self._lanes.work(work).addCallback(self._wake_relays)

    def _wake_relays(self, result: T) -> "Deferred[T]":
        """Tell the relays that mail may be due, which is a hint: without it they look every few seconds."""

        def notify(session: DatabaseSession) -> None:
            session.rows(SQL.notify, {"text": ""})

        return self._ask(notify).addBoth(lambda _: result)

    def close(self) -> "Deferred[None]":
        """Finish earlier requests, then close the connections."""
        return self._lanes.close().addCallback(lambda _: self._ask(DatabaseSession.close))
