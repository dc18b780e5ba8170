"""The shared queue for a program that is no relay: an operator's command, or the parent of workers.

It needs no node: its changes are in the name of the operators, so any number of such programs may work at once.
"""

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

from twisted.internet.defer import Deferred, fail, succeed
from twisted.python.failure import Failure

from mta.blocking import RunBlocking
from mta.message.body import FileBody
from mta.queue.entries import Action, Audit, DomainShape, Entry, Load, Query, QueueId, Summary
from mta.queue.failures import Failures
from mta.queue.interface import Ledger, MakeReports, NewMail, QueueError
from mta.queue.postgres.change import QueueChange
from mta.queue.postgres.errors import OutcomeUnknown
from mta.queue.postgres.lanes.batch import add_all
from mta.queue.postgres.lanes.gathering import Lanes
from mta.queue.postgres.lanes.lane import OPERATORS, Lane
from mta.queue.postgres.mail import chunks
from mta.queue.postgres.membership.statements import SQL
from mta.queue.postgres.operator import orders, overview, reading
from mta.queue.postgres.operator.bounce import bounce
from mta.queue.postgres.operator.overview import NodeState
from mta.queue.postgres.operator.search import count_messages
from mta.queue.postgres.schema import open_schema
from mta.queue.postgres.serial_session import SerialSession
from mta.queue.postgres.session import DatabaseSession
from mta.queue.postgres.url import Server
from mta.queue.search.conditions import Conditions

T = TypeVar("T")


class OperatorsQueue:
    """An `OperatorQueue`, and questions about the relays. Its connections are made when they are needed."""

    def __init__(self, server: Server, run: RunBlocking, seconds: Callable[[], float] = time.monotonic) -> None:
        """`run` runs the work that blocks: one question and one change at a time."""
        self._parameters = parameters = server.connection_parameters()
        self._run = run
        self._closed = False
        self._reading = SerialSession(DatabaseSession(parameters, changes=False), run)
        self._orders = Lanes([Lane(DatabaseSession(parameters), 0)], run, node=lambda: OPERATORS, seconds=seconds)

    def _ask(self, question: Callable[[DatabaseSession], T]) -> "Deferred[T]":
        return (
            fail(QueueError("the queue is closed"))
            if self._closed
            else self._reading.do(partial(_asked_again, question))
        )

    def check(self) -> "Deferred[None]":
        """Check that the database has a queue that this program knows."""
        return self._ask(partial(open_schema, create=False))

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

    def load(self, now: float) -> "Deferred[Load]":
        """Return the messages that are due now, and the octets of all that wait."""
        return self._ask(partial(reading.load, now=now))

    def audit(self) -> "Deferred[Audit]":
        """Return the facts for an audit."""
        return self._ask(reading.audit)

    def totals(self) -> "Deferred[Ledger]":
        """Return the counts of all mail so far, without the recipients that wait."""
        return self._ask(reading.totals)

    def failures(self, since: float, until: float) -> "Deferred[Failures]":
        """Return the recipients that failed from one time to another."""
        return self._ask(partial(overview.count_failures, since=since, until=until))

    def nodes(self) -> "Deferred[list[NodeState]]":
        """Return the relays that share the queue, the oldest first."""
        return self._ask(overview.nodes)

    def add_due(self, mail: NewMail, now: float) -> "Deferred[None]":
        """Store a message that is due at once. Its body may be a file, which is not needed after that."""
        return Deferred.fromCoroutine(self._add_due(mail, now))

    async def _add_due(self, mail: NewMail, now: float) -> None:
        if isinstance(mail.body, FileBody):
            storing = SerialSession(DatabaseSession(self._parameters), self._run)
            try:
                await storing.do(partial(chunks.store, id=mail.id, body=mail.body, node=OPERATORS))
            finally:
                await storing.close()
        await self._change(lambda change: add_all(change, [mail], now))

    def apply(
        self, action: Action, ids: Sequence[QueueId] | None, now: float, *, recipient: str = "", to: str = ""
    ) -> "Deferred[list[QueueId]]":
        """Apply an action to messages, and return their ids."""
        applying = orders.apply(self._orders.work, action, ids, now, recipient=recipient, to=to)
        return Deferred.fromCoroutine(applying).addErrback(_unknown).addCallback(self._wake_relays)

    def bounce(
        self, ids: Sequence[QueueId], now: float, text: str, make_reports: MakeReports, *, recipient: str = ""
    ) -> "Deferred[list[QueueId]]":
        """Return messages to their senders, and give their ids."""
        work = partial(
            bounce, ids=ids, now=now, text=text, make_reports=make_reports, recipient=recipient, add_all=add_all
        )
        return self._change(work)

    def forget(self, before: float, limit: int = 10_000) -> "Deferred[int]":
        """Drop messages from the history."""
        return self._orders.work(partial(orders.forget, before=before, limit=limit)).addErrback(_unknown)

    def _change(self, work: Callable[[QueueChange], T]) -> "Deferred[T]":
        return self._orders.work(work).addErrback(_unknown).addCallback(self._wake_relays)

    def _wake_relays(self, result: T) -> "Deferred[T]":
        """Tell the relays that mail may be due, which is a hint: without it they look every few seconds."""
        return self._ask(_notify).addBoth(lambda _: result)

    def close(self) -> "Deferred[None]":
        """Finish earlier requests, then close the connections."""
        if self._closed:
            return succeed(None)
        self._closed = True
        return Deferred.fromCoroutine(self._close())

    async def _close(self) -> None:
        await self._orders.close()
        await self._reading.close()


def _asked_again(question: Callable[[DatabaseSession], T], session: DatabaseSession) -> T:
    """Ask once more if the connection is lost: it may be one from before a failover. A question changes nothing."""
    try:
        return question(session)
    except OutcomeUnknown:
        return question(session)


def _notify(session: DatabaseSession) -> None:
    session.rows(SQL.notify, {"text": "order"})


def _unknown(failure: Failure) -> Failure:
    """Tell the operator of an order whose outcome is not known that it is not done by half."""
    failure.trap(QueueError)
    if failure.check(OutcomeUnknown) is None:
        return failure
    raise QueueError(
        f"{failure.getErrorMessage()}: the order was carried out in whole or not at all; see smtprelay queue list"
    ) from failure.value
