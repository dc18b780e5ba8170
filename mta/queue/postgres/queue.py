"""The queue that several relays share in a PostgreSQL database."""

from collections.abc import Callable, Collection, Sequence
from functools import partial
from pathlib import Path
from typing import Protocol

from twisted.internet.defer import Deferred, execute, fail
from twisted.internet.interfaces import IReactorFDSet
from twisted.python.failure import Failure

from mta.blocking import RunBlocking
from mta.message.body import MAX_MEMORY_BODY, Body, FileBody
from mta.queue.disk.files import remove
from mta.queue.disk.space import assess_space, free_octets_or_refuse, no_room
from mta.queue.disk.writer import Writer
from mta.queue.ids import to_number
from mta.queue.interface import (
    BodyLost,
    Claim,
    DeferralFilter,
    LeaseLost,
    NewMail,
    QueueError,
    QueueId,
    Settlement,
    Space,
)
from mta.queue.postgres.change import QueueChange
from mta.queue.postgres.in_work import InWork
from mta.queue.postgres.lanes.batch import is_plain_end
from mta.queue.postgres.lanes.gathering import PATIENCE, Lanes
from mta.queue.postgres.lanes.lane import Lane
from mta.queue.postgres.lanes.operations import AddOperation, EndOperation, MarkOperation
from mta.queue.postgres.mail import claims
from mta.queue.postgres.mail.claim_start import ClaimStart
from mta.queue.postgres.mail.claims import DoubtfulClaim
from mta.queue.postgres.mail.dead_space import DeadSpace
from mta.queue.postgres.mail.large_bodies import LargeBodies
from mta.queue.postgres.mail.settlements import settle
from mta.queue.postgres.membership.node import Node
from mta.queue.postgres.operators_queue import OperatorsQueue
from mta.queue.postgres.serial_session import SerialSession
from mta.queue.postgres.session import DatabaseSession
from mta.queue.postgres.url import Server
from mta.queue.sql.commit_delay import CallLater
from mta.queue.sql.due import Candidate, Selection, select_due

#: The lanes of a node: those of batches, and one for claims.
BATCH_LANES = 2
LANES = BATCH_LANES + 1
#: Seconds between two searches for messages that this node has claimed without knowing it, and the age from which they
#: are no longer on their way. It searches after an outcome was unknown.
STRAYS_INTERVAL = 30.0
STRAY_AGE = PATIENCE + 15.0


class Nodes(Protocol):
    """The nodes as which a relay works, one after another: `mta.queue.postgres.membership.membership.Membership`."""

    @property
    def node(self) -> Node:
        """The present one."""

    def next_node(self, fenced: int, /) -> "Deferred[None]":
        """Fire once the relay works as another node than `fenced`. Fails with QueueError if it leaves before."""

    def wake_peers(self) -> None:
        """Tell the other relays that mail is due. Never fails."""


class PostgresQueue(OperatorsQueue):
    """The Queue in a PostgreSQL database; `mta.queue.interface` has its contract. Times are those of the database."""

    def __init__(
        self,
        server: Server,
        nodes: Nodes,
        *,
        run: RunBlocking,
        seconds: Callable[[], float],
        wall_clock: Callable[[], float],
        directory: Path,
        call_later: CallLater | None = None,
        reactor: IReactorFDSet | None = None,
    ) -> None:
        """Bodies that arrive are kept in a directory. `run` must be able to run six callables at once.

        `seconds` is a clock for deadlines, and `wall_clock` that of the database. A `reactor` reads the answers to
        batches; without it threads do.
        """
        super().__init__(server, run, seconds)
        self._nodes = nodes
        gather = partial(
            Lanes, run=run, node=self._node, rejoin=nodes.next_node, seconds=seconds, call_later=call_later
        )
        parameters = server.connection_parameters()
        lanes = [Lane(DatabaseSession(parameters), number, reactor) for number in range(LANES)]
        self._lanes = gather(lanes[:BATCH_LANES])
        self._claiming = gather(lanes[BATCH_LANES:])
        self._start = ClaimStart()
        self._in_work = InWork()
        self._large = LargeBodies(
            directory,
            SerialSession(DatabaseSession(parameters), run),
            SerialSession(DatabaseSession(parameters), run),
            seconds=seconds,
            call_later=call_later,
        )
        self._dead_space = DeadSpace(SerialSession(DatabaseSession(parameters, changes=False), run), seconds)
        self._directory = directory
        self._seconds = seconds
        self._wall_clock = wall_clock
        self._unknown_outcomes = 0
        self._strays_looked_for = self._strays_until = seconds()

    def _node(self) -> int:
        return self._nodes.node.id

    def writer(self, id: QueueId) -> Writer:
        """Return a writer for a body."""
        return self._large.writer(id)

    def require_room(self, octets: int) -> None:
        """Raise QueueError while the database does not answer, and QueueFull if a body of this size has no room."""
        if self._lanes.trouble is not None:
            raise QueueError(f"the queue's database does not answer: {self._lanes.trouble}")
        if octets > MAX_MEMORY_BODY and (space := self._space(octets)).no_files:
            raise no_room(space)

    def discard(self, body: Body) -> None:
        """Delete a finished body."""
        if isinstance(body, FileBody):
            remove(body.path)

    def add(
        self, mail: NewMail, now: float, lease: float | None = None, due: float | None = None
    ) -> "Deferred[Claim | None]":
        """Store a message."""
        until = None if lease is None or mail.held else now + lease
        if due is None:
            due = now
        if isinstance(mail.body, FileBody):
            return Deferred.fromCoroutine(self._add_large(mail, partial(self._add, mail, now, until, due)))
        return self._add(mail, now, until, due)

    def _add(self, mail: NewMail, now: float, until: float | None, due: float) -> "Deferred[Claim | None]":
        return self._lanes.submit(AddOperation(mail, now, until, due, self._lanes.deadline, added=self._added))

    async def _add_large(self, mail: NewMail, add: "Callable[[], Deferred[Claim | None]]") -> Claim | None:
        claim = None
        try:
            await self._large.store([mail], self._node)
            claim = await add()
        finally:
            if claim is None:
                self._large.remove(mail.id)
        return claim

    def _added(self, claim: Claim | None) -> None:
        if claim is None:
            self._nodes.wake_peers()
        else:
            self._in_work.take(claim.id, claim.token)

    def claim(
        self, now: float, limit: int, lease: float, deferral_filter: DeferralFilter | None = None
    ) -> "Deferred[list[Claim]]":
        """Claim due messages."""
        claim = partial(claims.claim, start=self._start, now=now, lease=lease, large_body=self._large.body)
        if deferral_filter is None:
            return self._claiming.work(partial(claim, limit=limit)).addCallback(self._claimed)

        def select_and_claim(due: list[Candidate]) -> "list[Claim] | Deferred[list[Claim]]":
            if not due:
                return []
            selection = select_due(due, limit, deferral_filter)
            work = partial(_claim_selection, selection=selection, now=now, claim=claim)
            return self._claiming.work(work).addCallback(self._claimed)

        envelopes = deferral_filter.with_envelopes
        look = partial(claims.due_messages, start=self._start, now=now, with_envelopes=envelopes)
        return self._claiming.read(look).addCallback(select_and_claim)

    def _claimed(self, claimed: list[DoubtfulClaim]) -> "list[Claim] | Deferred[list[Claim]]":
        for claim, doubtful in claimed:
            self._in_work.take(claim.id, claim.token, doubtful)
        found = [claim for claim, _ in claimed]
        if not any(isinstance(claim.body, FileBody) for claim in found):
            return found
        return Deferred.fromCoroutine(self._large.fetch(found)).addCallback(lambda _: found)

    def note_in_flight(self, id: QueueId, indexes: Collection[int]) -> "Deferred[frozenset[int]]":
        """Mark recipients whose copy is about to be sent."""
        token = self._in_work.token(id)
        if token is None:
            return fail(LeaseLost(f"this relay has no claim of message {id} any more, so it is not sent"))
        before = self._in_work.mark(id, indexes)
        return self._lanes.submit(MarkOperation(id, token, indexes, self._lanes.deadline, before))

    def settle(self, settlement: Settlement) -> "Deferred[bool]":
        """Record outcomes, add reports, give the claim back."""
        claim = settlement.claim
        if is_plain_end(settlement) and self._in_work.is_unsettled(claim.id, claim.token):
            return self._lanes.submit(EndOperation(settlement, self._ended, self._settle_rows))
        return self._settle_rows(settlement)

    def _ended(self, settlement: Settlement) -> None:
        if settlement.keep_claim:
            self._settled(True, settlement)  # noqa: FBT003  the result of a settlement
        else:
            self._end(settlement.claim)

    def _settle_rows(self, settlement: Settlement) -> "Deferred[bool]":
        return self._settling_rows(settlement).addCallback(self._settled, settlement)

    def _settling_rows(self, settlement: Settlement) -> "Deferred[bool]":
        marked = self._in_work.marked(settlement.claim.id, settlement.claim.token)
        work = partial(settle, settlement=settlement, marked=marked)
        settling = partial(self._lanes.work, work, urgent=False)
        if not any(isinstance(report.body, FileBody) for report in settlement.reports):
            return settling()
        return Deferred.fromCoroutine(self._settle_with_large(settlement.reports, settling))

    async def _settle_with_large(self, reports: Sequence[NewMail], settling: "Callable[[], Deferred[bool]]") -> bool:
        """Store the large bodies of reports, then settle. After a failure their files are kept, unless one is lost."""
        try:
            await self._large.store(reports, self._node)
            held = await settling()
        except BodyLost:
            self._remove_files(reports)
            raise
        self._remove_files(reports)
        return held

    def _remove_files(self, mails: Sequence[NewMail]) -> None:
        for mail in mails:
            if isinstance(mail.body, FileBody):
                self._large.remove(mail.id)

    def _settled(self, held: bool, settlement: Settlement) -> bool:
        claim = settlement.claim
        if settlement.keep_claim and held:
            indexes = [verdict.index for verdict in settlement.verdicts]
            self._in_work.settle(claim.id, claim.token, indexes)
            self._lanes.unmark(to_number(claim.id), indexes)
        else:
            self._end(claim)
            if held and len(settlement.verdicts) < len(claim.pending):
                # A recipient without a verdict may have been due for long.
                self._start.look_from_the_beginning()
        return held

    def release(self, claim: Claim, due: float) -> "Deferred[bool]":
        """Give a claim back without results."""
        releasing = self._lanes.work(partial(claims.release, claim=claim, due=due))
        return releasing.addCallback(self._released, claim)

    def _released(self, held: bool, claim: Claim) -> bool:
        self._end(claim)
        return held

    def _end(self, claim: Claim) -> None:
        self._dead_space.claim_ended()
        if self._in_work.end(claim.id, claim.token):
            self._lanes.unmark(to_number(claim.id))
        # A newer claim of the message uses the same file.
        if isinstance(claim.body, FileBody) and self._in_work.token(claim.id) is None:
            self._large.remove(claim.id)

    def release_deferred(self, due: float, now: float, limit: int) -> "Deferred[int]":
        """Make messages due now that have exactly this due time."""
        return self._claiming.work(partial(claims.release_deferred, due=due, now=now, limit=limit))

    def next_due(self) -> "Deferred[float | None]":
        """Return when the next unheld message is due."""
        return self._claiming.read(partial(claims.next_due, start=self._start, now=self._wall_clock()))

    def space(self) -> "Deferred[Space]":
        """Return the room for bodies that arrive; the database has its own."""
        return execute(self._space)

    def _space(self, octets: int = 0) -> Space:
        space = assess_space(free_octets_or_refuse(self._directory) - octets, 0)
        return Space(space.free, no_files=space.full or space.no_files)

    def woken(self, long_due: bool) -> None:
        """Have the next claim look for messages that have been due for long, if another relay says so."""
        if long_due:
            self._start.look_from_the_beginning()

    def lose_claims(self) -> None:
        """Forget all claims and marks, because the node of this relay was fenced off and the others have its mail."""
        self._in_work.clear()
        for lanes in (self._lanes, self._claiming):
            lanes.forget_marks()

    def look(self) -> None:
        """Give up clients that have waited too long, and search for claims that got lost. Call it every second."""
        self._lanes.give_up_late()
        seconds = self._seconds()
        unknown = self._lanes.unknown_outcomes + self._claiming.unknown_outcomes
        if unknown != self._unknown_outcomes:
            self._unknown_outcomes = unknown
            self._strays_until = seconds + STRAY_AGE + 2 * STRAYS_INTERVAL
        # The search reads the table of all waiting mail, so that it must not be done without a reason.
        if self._strays_looked_for + STRAYS_INTERVAL <= seconds < self._strays_until:
            self._strays_looked_for = seconds
            Deferred.fromCoroutine(self._release_strays(self._wall_clock())).addErrback(_ignore)

    async def _release_strays(self, now: float) -> None:
        before = now - STRAY_AGE
        strays = await self._claiming.read(partial(claims.strays, kept=self._kept(), before=before))
        # The answers to earlier claims have come by now, for which the search may have waited.
        if found := set(strays).difference(self._kept()):
            await self._claiming.work(partial(claims.release_strays, numbers=found, now=now, before=before))

    def _kept(self) -> set[int]:
        """Return the row numbers of messages that must not go to another relay.

        They are those in work, and those that a client may yet hear refused.
        """
        return {*map(to_number, self._in_work), *self._lanes.unanswered_adds}

    def hurry(self) -> None:
        """Do not wait long for a database that does not answer, because the relay stops."""
        for lanes in (self._lanes, self._claiming):
            lanes.hurry()

    async def _close(self) -> None:
        await self._dead_space.close()
        await self._large.close()
        await self._claiming.close()
        await self._lanes.close()
        await super()._close()


def _claim_selection(
    change: QueueChange, selection: Selection, now: float, claim: Callable[..., list[DoubtfulClaim]]
) -> list[DoubtfulClaim]:
    claims.defer(change, selection.deferred, now)
    among = selection.claim
    return claim(change, limit=len(among), among=among) if among else []


def _ignore(failure: Failure) -> None:
    """Leave a failed search to the next one."""
    failure.trap(QueueError)
