"""The queue on disk: one SQLite file with group commit, and large bodies in files beside it."""

import sqlite3
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from twisted.internet.defer import Deferred, fail, succeed

from mta.blocking import RunBlocking, fsync_path
from mta.message.body import MAX_MEMORY_BODY, Body, FileBody
from mta.queue.disk.files import BODIES
from mta.queue.disk.queue_dir import FILE_NAME, Lock, check_contents, prepare
from mta.queue.disk.space import RESERVE
from mta.queue.disk.writer import Writer
from mta.queue.errors import as_queue_error
from mta.queue.interface import (
    Action,
    Audit,
    Claim,
    DeferralFilter,
    DomainShape,
    Entry,
    Load,
    MakeReports,
    NewMail,
    Query,
    QueueError,
    QueueId,
    Settlement,
    Space,
    Summary,
)
from mta.queue.search.conditions import Conditions
from mta.queue.sql.commit_delay import BACKGROUND, DELIVERY, CallLater
from mta.queue.sql.due import Candidate, Selection, select_due
from mta.queue.sqlite.bodies import Bodies
from mta.queue.sqlite.body_files import BodyFiles
from mta.queue.sqlite.group_commit import GroupCommit, Step, no_step
from mta.queue.sqlite.ledger import LedgerDelta
from mta.queue.sqlite.operator.orders import apply_action, bounce
from mta.queue.sqlite.reader import Reader, reusable
from mta.queue.sqlite.recovery import Recovery, make_all_due, take_over
from mta.queue.sqlite.schema import open_file
from mta.queue.sqlite.tables import (
    Tables,
    defer,
    due_messages,
    forget,
    release_deferred,
)
from mta.queue.sqlite.wal import preallocate

__all__ = ["FILE_NAME", "RESERVE", "SqliteQueue", "open_queue"]


def open_queue(
    directory: Path,
    *,
    run: RunBlocking,
    now: float,
    create: bool = True,
    recover: bool = True,
    retry_all: bool = False,
    reserve: int = RESERVE,
    small: int = MAX_MEMORY_BODY,
    step: Step = no_step,
    call_later: CallLater | None = None,
    wal_octets: int = 0,
) -> "SqliteQueue":
    """Open the queue in a directory. Raises QueueError with one line that tells the operator how to fix it.

    With `recover`, as the daemon opens it, the directory is locked, the file upgraded, the leases of the earlier
    process are ended and its stray files removed. Without it, the queue is opened beside a daemon that may be running.
    `retry_all` makes all waiting messages due that are not held. `now` is wall-clock seconds; `reserve` is the number
    of octets to keep free on the disk, `small` that of the largest body in a row, and `wal_octets` that of the WAL that
    is preallocated.
    """
    if create:
        prepare(directory)
    elif not directory.is_dir():
        raise QueueError(f"there is no queue directory {directory}: check QUEUE_DIR")
    else:
        check_contents(directory)
    lock = Lock(directory) if recover else None
    try:
        connection = open_file(directory / FILE_NAME, create, upgrade=recover)
        bodies = Bodies(directory / BODIES, reserve, step, small)
        recovery = _take_over(connection, directory, bodies, now) if recover else Recovery()
    except BaseException:
        if lock is not None:
            lock.release()
        raise
    if wal_octets:
        preallocate(connection, directory / FILE_NAME, wal_octets, reserve)
    bodies.reusable = reusable(connection)
    ledger = LedgerDelta(connection, recovery.marks)
    commit = GroupCommit(connection, run, step, call_later=call_later, ledger=ledger)
    queue = SqliteQueue(
        connection,
        bodies=bodies,
        tables=Tables(connection, bodies.body, ledger, step),
        ledger=ledger,
        commit=commit,
        reader=Reader(directory / FILE_NAME, run),
        run=run,
        lock=lock,
        recovery=recovery,
    )
    if retry_all:
        make_all_due(commit, connection, now)
    return queue


def _take_over(connection: sqlite3.Connection, home: Path, bodies: Bodies, now: float) -> Recovery:
    try:
        recovery = take_over(connection, bodies, now)
        # SQLite syncs the name of its WAL too, but ignores a failure.
        fsync_path(home)
    except (sqlite3.Error, OSError, QueueError) as error:
        connection.close()
        raise as_queue_error(error) from error
    return recovery


class SqliteQueue:
    """The Queue in one SQLite file; `mta.queue.interface` has its contract. `open_queue` makes it."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        *,
        bodies: Bodies,
        tables: Tables,
        ledger: LedgerDelta,
        commit: GroupCommit,
        reader: Reader,
        run: RunBlocking,
        lock: Lock | None,
        recovery: Recovery,
    ) -> None:
        """`run` must be able to run three callables at once, or run each in the calling thread."""
        self._connection = connection
        self._bodies = bodies
        self._tables = tables
        self._ledger = ledger
        self._commit = commit
        self._reader = reader
        self._run = run
        self._lock = lock
        self._body_files = BodyFiles(bodies, commit, run)
        self._closed = False
        #: The results of the recovery at start, for the operator.
        self.recovery = recovery

    def make_all_due(self, now: float) -> "Deferred[None]":
        """Make all waiting messages due now that are not held, because the clock was set back. Never fails."""
        return make_all_due(self._commit, self._connection, now)

    def writer(self, id: QueueId) -> Writer:
        """Return a writer for a body."""
        return self._bodies.writer(id)

    def require_room(self, octets: int) -> None:
        """Raise QueueFull if there is no room for a body of this size. May be called from any thread."""
        self._bodies.require_room_for(octets)

    def discard(self, body: Body) -> None:
        """Delete a finished body."""
        self._body_files.discard(body)

    def add(
        self, mail: NewMail, now: float, lease: float | None = None, due: float | None = None
    ) -> "Deferred[Claim | None]":
        """Store a message."""
        try:
            self._bodies.require_room(mail.body.size, filed=isinstance(mail.body, FileBody))
        except QueueError as error:
            self.discard(mail.body)
            return fail(error)
        if isinstance(mail.body, FileBody):
            return self._body_files.submit([mail], lambda mails: (self._tables.add(mails[0], now, lease, due), ()))
        return self._commit.submit(partial(self._tables.add, mail, now, lease, due))

    def claim(
        self, now: float, limit: int, lease: float, deferral_filter: DeferralFilter | None = None
    ) -> "Deferred[list[Claim]]":
        """Claim due messages."""
        if deferral_filter is None:
            return self._commit.submit(partial(self._tables.claim, now, limit, lease), True)

        def select_and_claim(due: list[Candidate]) -> "Deferred[list[Claim]]":
            if not due:
                return succeed([])
            selection = select_due(due, limit, deferral_filter)
            return self._commit.submit(partial(self._claim_selection, now, lease, selection), True)

        look = partial(due_messages, self._connection, now, with_envelopes=deferral_filter.with_envelopes)
        return self._commit.submit(look, True).addCallback(select_and_claim)

    def _claim_selection(self, now: float, lease: float, selection: Selection) -> list[Claim]:
        defer(self._connection, selection.deferred, now)
        return self._tables.claim(now, len(selection.claim), lease, selection.claim) if selection.claim else []

    def note_in_flight(self, id: QueueId, indexes: Collection[int]) -> "Deferred[frozenset[int]]":
        """Mark recipients whose copy is about to be sent."""
        return self._commit.submit(partial(self._tables.note_in_flight, id, indexes), max_delay=DELIVERY)

    def settle(self, settlement: Settlement) -> "Deferred[bool]":
        """Record outcomes, add reports, give the claim back."""
        reports = settlement.reports
        if not isinstance(settlement.claim.body, FileBody) and not (reports and _any_file(reports)):
            return self._commit.submit(partial(self._tables.settle, settlement), max_delay=BACKGROUND)
        return self._body_files.submit(reports, partial(self._settle_filed, settlement), again=True)

    def _settle_filed(self, settlement: Settlement, reports: Sequence[NewMail]) -> tuple[bool, Sequence[QueueId]]:
        if not self._tables.settle(replace(settlement, reports=reports)):
            return False, [report.id for report in reports]
        id = settlement.claim.id
        return True, [id] if self._tables.finished(id) else []

    def clear_reported_marks(self) -> "Deferred[None]":
        """Remove the marks of possible duplicates, so that the next start does not log them again."""
        return self._commit.submit(self._ledger.marks.clear_reported)

    def release(self, claim: Claim, due: float) -> "Deferred[bool]":
        """Give a claim back without results."""
        return self._commit.submit(partial(self._tables.release, claim, due))

    def release_deferred(self, due: float, now: float, limit: int) -> "Deferred[int]":
        """Make messages due now that have exactly this due time."""
        return self._commit.submit(partial(release_deferred, self._connection, due, now, limit), True)

    def next_due(self) -> "Deferred[float | None]":
        """Return when the next unheld message is due."""
        return self._commit.submit(self._tables.next_due)

    def apply(
        self, action: Action, ids: Sequence[QueueId] | None, now: float, *, recipient: str = "", to: str = ""
    ) -> "Deferred[list[QueueId]]":
        """Apply an operator's action."""
        apply_it = partial(apply_action, recipient=recipient, to=to, ledger=self._ledger)
        return self._body_files.submit((), lambda _: apply_it(self._connection, action, ids, now), True)

    def bounce(
        self, ids: Sequence[QueueId], now: float, text: str, make_reports: MakeReports, *, recipient: str = ""
    ) -> "Deferred[list[QueueId]]":
        """Return messages to their senders."""
        return_all = partial(bounce, text=text, make_reports=make_reports, recipient=recipient, ledger=self._ledger)
        return self._body_files.submit((), lambda _: return_all(self._connection, self._tables, ids, now), True)

    def find(self, query: Query) -> "Deferred[list[Entry]]":
        """Return messages in the order that the query asks for."""
        return self._reader.find(query)

    def count(self, conditions: Conditions, *, finished: bool = False) -> "Deferred[int]":
        """Return the number of messages that meet conditions."""
        return self._reader.count(conditions, finished=finished)

    def select(self, conditions: Conditions) -> "Deferred[list[QueueId]]":
        """Return the ids of the waiting messages that meet conditions."""
        return self._reader.select(conditions)

    def domains(self, now: float) -> "Deferred[list[DomainShape]]":
        """Return the waiting recipients by domain."""
        return self._reader.domains(now)

    def content(self, id: QueueId) -> "Deferred[bytes | None]":
        """Return the octets of a waiting message, or None if no message with this id is waiting."""
        return self._reader.content(id)

    def summary(self) -> "Deferred[Summary]":
        """Return the counts of messages and recipients."""
        return self._reader.summary()

    def load(self, now: float) -> "Deferred[Load]":
        """Return the messages that are due now, and the octets of all that wait."""
        return self._reader.load(now)

    def audit(self) -> "Deferred[Audit]":
        """Return the facts for an audit."""
        return self._reader.audit()

    def space(self) -> "Deferred[Space]":
        """Return the room for mail, and use it for the next messages."""
        return self._reader.reusable().addCallback(self._bodies.space)

    def when_short(self, call: Callable[[], object]) -> None:
        """Set the callable that `add` calls when it finds that room is short."""
        self._bodies.short = call

    def forget(self, before: float, limit: int = 10_000) -> "Deferred[int]":
        """Drop messages from the history."""
        return self._commit.submit(partial(forget, self._connection, before, limit), True)

    def close(self) -> "Deferred[None]":
        """Finish all earlier requests, then close."""
        if self._closed:
            return succeed(None)
        self._closed = True
        self._commit.refuse_new()
        return Deferred.fromCoroutine(self._close())

    async def _close(self) -> None:
        await self._body_files.idle()
        await self._commit.close()
        await self._body_files.idle()
        await self._reader.close()
        await self._run(self._connection.close)
        if self._lock is not None:
            self._lock.release()


def _any_file(mails: Sequence[NewMail]) -> bool:
    return any(isinstance(mail.body, FileBody) for mail in mails)
