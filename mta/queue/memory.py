"""The queue in memory, for tests: it gives the same results as the queue on disk but does not survive the process."""

import sys
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from twisted.internet.defer import Deferred, fail, succeed

from mta.message.body import Body, MemoryBody
from mta.queue.ids import to_number
from mta.queue.interface import (
    Action,
    Audit,
    Claim,
    DeferralFilter,
    DomainShape,
    Entry,
    Ledger,
    MakeReports,
    NewMail,
    Pending,
    Query,
    QueueError,
    QueueFull,
    QueueId,
    Settlement,
    Space,
    Status,
    Summary,
    Verdict,
)
from mta.queue.memory_rows import ACTIONS, MemoryMessage, MemoryRecipient, domain_shape
from mta.queue.search.conditions import Conditions
from mta.queue.search.matching import matches

T = TypeVar("T")

# An action on all messages skips those with this value of `held`.
_SKIPPED = {Action.RETRY: True, Action.RELEASE: False}


class _Store:
    """The methods of the queue without Deferreds. Raises QueueError."""

    def __init__(self) -> None:
        self.room = 1 << 62
        self._messages: dict[int, MemoryMessage] = {}
        # The ledger: recipients that were added, and the final ones of messages that the history dropped.
        self._accepted = 0
        self._finished: Counter[Status] = Counter()
        # The recipients of each message that are marked as in flight.
        self._marked: dict[QueueId, set[int]] = {}

    def add(self, mail: NewMail, now: float, lease: float | None = None, due: float | None = None) -> Claim | None:
        self._require_place(mail)
        due = now if due is None else due
        recipients = [MemoryRecipient(Pending(i, one), due) for i, one in enumerate(mail.envelope.recipients)]
        body = MemoryBody(b"".join(mail.body.chunks()))
        message = MemoryMessage(replace(mail, body=body), body.size, now, due, recipients)
        if mail.held:
            message.held, message.held_since, lease = True, now, None
        self._messages[to_number(mail.id)] = message
        self._accepted += len(recipients)
        return None if lease is None else message.lease(now, now + lease)

    def _require_place(self, mail: NewMail) -> None:
        if to_number(mail.id) in self._messages:
            raise QueueError(f"message {mail.id} is there already")
        if mail.body.size > self.room:
            raise QueueFull("no room for the message")

    def claim(self, now: float, limit: int, lease: float, deferral_filter: DeferralFilter | None = None) -> list[Claim]:
        ready = sorted(
            (message.due, message.leased, number)
            for number, message in self._messages.items()
            if message.due is not None and message.due <= now and not message.held
        )
        claims: list[Claim] = []
        for *_, number in ready:
            message = self._messages[number]
            asked = deferral_filter is not None and not (message.leased or message.goes_another_way)
            until = message.deferred_until(deferral_filter) if asked and deferral_filter is not None else None
            if until is not None:
                message.due = until
            elif len(claims) < limit:
                claims.append(message.lease(now, now + lease))
            else:
                break
        return claims

    def note_in_flight(self, id: QueueId, indexes: Collection[int]) -> frozenset[int]:
        before = self._marked.setdefault(id, set())
        again = frozenset(before.intersection(indexes))
        before.update(indexes)
        return again

    def settle(self, settlement: Settlement) -> bool:
        claim, verdicts = settlement.claim, settlement.verdicts
        message = self._leased_to(claim)
        if message is None:
            return False
        for report in settlement.reports:
            self._require_place(report)
        for report in settlement.reports:
            self.add(report, settlement.now)
        message.delay_reported |= settlement.delay_reported
        message.take(verdicts, settlement.now, None if settlement.keep_claim else settlement.not_before)
        if settlement.keep_claim:
            self._marked.get(claim.id, set()).difference_update(verdict.index for verdict in verdicts)
        else:
            self._marked.pop(claim.id, None)
        return True

    def _leased_to(self, claim: Claim) -> MemoryMessage | None:
        message = self._messages.get(to_number(claim.id))
        if message is not None and message.leased and message.token == claim.token:
            return message
        if message is None or not message.leased:
            self._marked.pop(claim.id, None)
        return None

    def release(self, claim: Claim, due: float) -> bool:
        message = self._leased_to(claim)
        if message is None:
            return False
        self._marked.pop(claim.id, None)
        message.leased, message.due = False, due
        return True

    def release_deferred(self, due: float, now: float, limit: int) -> int:
        found = [one for _, one in sorted(self._messages.items()) if one.due == due and not (one.held or one.leased)]
        for message in found[:limit]:
            message.due = now
        return len(found[:limit])

    def next_due(self) -> float | None:
        waiting = (one.due for one in self._messages.values() if one.due is not None and not one.held)
        return min(waiting, default=None)

    def apply(
        self, action: Action, ids: Sequence[QueueId] | None, now: float, recipient: str, to: str
    ) -> list[QueueId]:
        named = [
            message
            for _, message in sorted(self._messages.items())
            if (message.held is not _SKIPPED.get(action) if ids is None else message.mail.id in ids)
            and message.waiting(recipient)
        ]
        if action in {Action.HOLD, Action.RELEASE}:
            for message in named:
                message.require_alone(recipient)
        for message in named:
            ACTIONS[action](message, now, recipient, to)
        return [message.mail.id for message in named]

    def find(self, query: Query) -> list[Entry]:
        entries = [
            message.entry(self._reports(message.mail.id) if query.details else (), details=query.details)
            for _, message in sorted(self._messages.items(), reverse=query.newest_first)
            if (query.finished or message.due is not None)
            and (not query.ids or message.mail.id in query.ids)
            and (query.before is None or message.mail.id < query.before)
            and (query.after is None or message.mail.id > query.after)
            and matches(query.conditions, message.entry())
        ]
        return entries[: query.limit]

    def _reports(self, id: QueueId) -> list[QueueId]:
        mails = [message.mail for _, message in sorted(self._messages.items())]
        return [mail.id for mail in mails if mail.description.report_of == id]

    def bounce(
        self, ids: Sequence[QueueId], now: float, text: str, make_reports: MakeReports, recipient: str
    ) -> list[QueueId]:
        named = [one for _, one in sorted(self._messages.items()) if one.mail.id in ids and one.waiting(recipient)]
        returned: list[tuple[MemoryMessage, list[Verdict]]] = []
        reports: list[NewMail] = []
        for message in named:
            verdicts = message.returned(text, recipient)
            returned.append((message, verdicts))
            try:
                reports += make_reports(message.claim(), verdicts)
            except OSError as error:
                raise QueueError(str(error)) from error
        for message, verdicts in returned:
            message.fail(verdicts, now)
        for report in reports:
            self.add(report, now)
        return [message.mail.id for message in named]

    def domains(self, now: float) -> list[DomainShape]:
        found: dict[str, list[tuple[MemoryMessage, MemoryRecipient]]] = {}
        for _, message in sorted(self._messages.items()):
            for one in message.recipients:
                if one.status is Status.WAITING:
                    found.setdefault(one.pending.recipient.address.domain, []).append((message, one))
        shapes = [domain_shape(domain, both, now) for domain, both in found.items()]
        return sorted(shapes, key=lambda shape: (-shape.waiting - shape.held, shape.domain))

    def summary(self) -> Summary:
        waiting = [message for message in self._messages.values() if message.due is not None]
        recipients = Counter(one.status for message in self._messages.values() for one in message.recipients)
        return Summary(
            len(waiting),
            sum(message.held for message in waiting),
            sum(message.leased for message in waiting),
            min((message.created for message in waiting), default=None),
            {status: recipients[status] for status in Status},
            Ledger(
                self._accepted,
                self._finished[Status.DELIVERED] + recipients[Status.DELIVERED],
                self._finished[Status.FAILED] + recipients[Status.FAILED],
                self._finished[Status.REMOVED] + recipients[Status.REMOVED],
                recipients[Status.WAITING],
            ),
            sum(message.due is None for message in self._messages.values()),
            sum(message.due is None and message.has_failed for message in self._messages.values()),
            sum(message.mail.envelope.sender is None and message.has_failed for message in self._messages.values()),
        )

    def audit(self) -> Audit:
        waiting = [(one.due, one.leased, one.mail.id) for one in self._messages.values() if one.due and not one.held]
        first = min(waiting, default=None)
        return Audit(self.summary().ledger, None if first is None else (first[2], first[0]))

    def forget(self, before: float, limit: int) -> int:
        finished = ((message.finished, number) for number, message in self._messages.items())
        old = sorted((when, number) for when, number in finished if when is not None and when < before)[:limit]
        for _, number in old:
            self._finished.update(one.status for one in self._messages.pop(number).recipients)
        return len(old)


@dataclass(slots=True)
class _Writer:
    """A BodyWriter that keeps the body in memory."""

    store: "_Store"
    size: int = 0
    _pieces: list[bytes] = field(default_factory=list)
    _ended: bool = False

    def write(self, data: bytes) -> None:
        """Append octets. Raises QueueFull."""
        if self._ended:
            raise QueueError("the message was given up")
        self.size += len(data)
        if self.size > self.store.room:
            self.abort()
            raise QueueFull("no room for the message")
        self._pieces.append(data)

    @property
    def in_memory(self) -> int:
        """Octets written, until the writer is finished or aborted."""
        return 0 if self._ended else self.size

    def spill(self) -> None:
        """Do nothing: this queue has no files."""

    def finish(self) -> Body:
        """Return the body."""
        if self._ended:
            raise QueueError("the message was given up")
        self._ended = True
        return MemoryBody(b"".join(self._pieces))

    def abort(self) -> None:
        """Delete the body."""
        self._ended = True
        self._pieces.clear()


class MemoryQueue:
    """A Queue that lives as long as this object; `mta.queue.interface` has its contract."""

    def __init__(self) -> None:
        self._store = _Store()
        self._closed = False

    @property
    def room(self) -> int:
        """Octets that the largest body may have; a test sets 0 for a full disk."""
        return self._store.room

    @room.setter
    def room(self, octets: int) -> None:
        self._store.room = octets

    def writer(self, id: QueueId) -> _Writer:  # noqa: ARG002 (other queues name a file by it)
        """Return a writer for a body."""
        return _Writer(self._store)

    def require_room(self, octets: int) -> None:
        """Raise QueueFull if there is no room for a body of this size."""
        if octets > self.room:
            raise QueueFull("no room for the message")

    def discard(self, body: Body) -> None:
        """Do nothing: a body in memory needs no removal."""

    def add(
        self, mail: NewMail, now: float, lease: float | None = None, due: float | None = None
    ) -> "Deferred[Claim | None]":
        """Store a message."""
        return self._do(lambda: self._store.add(mail, now, lease, due))

    def claim(
        self, now: float, limit: int, lease: float, deferral_filter: DeferralFilter | None = None
    ) -> "Deferred[list[Claim]]":
        """Claim due messages."""
        return self._do(lambda: self._store.claim(now, limit, lease, deferral_filter))

    def note_in_flight(self, id: QueueId, indexes: Collection[int]) -> "Deferred[frozenset[int]]":
        """Mark recipients whose copy is about to be sent."""
        return self._do(lambda: self._store.note_in_flight(id, indexes))

    def settle(self, settlement: Settlement) -> "Deferred[bool]":
        """Record outcomes, add reports, give the claim back."""
        return self._do(lambda: self._store.settle(settlement))

    def release(self, claim: Claim, due: float) -> "Deferred[bool]":
        """Give a claim back without results."""
        return self._do(lambda: self._store.release(claim, due))

    def release_deferred(self, due: float, now: float, limit: int) -> "Deferred[int]":
        """Make messages due now that have exactly this due time."""
        return self._do(lambda: self._store.release_deferred(due, now, limit))

    def next_due(self) -> "Deferred[float | None]":
        """Return when the next unheld message is due."""
        return self._do(self._store.next_due)

    def apply(
        self, action: Action, ids: Sequence[QueueId] | None, now: float, *, recipient: str = "", to: str = ""
    ) -> "Deferred[list[QueueId]]":
        """Apply an operator's action."""
        return self._do(lambda: self._store.apply(action, ids, now, recipient, to))

    def bounce(
        self, ids: Sequence[QueueId], now: float, text: str, make_reports: MakeReports, *, recipient: str = ""
    ) -> "Deferred[list[QueueId]]":
        """Return messages to their senders."""
        return self._do(lambda: self._store.bounce(ids, now, text, make_reports, recipient))

    def find(self, query: Query) -> "Deferred[list[Entry]]":
        """Return messages in the order that the query asks for."""
        return self._do(lambda: self._store.find(query))

    def count(self, conditions: Conditions, *, finished: bool = False) -> "Deferred[int]":
        """Return the number of messages that meet conditions."""
        query = Query(finished=finished, conditions=conditions, limit=sys.maxsize)
        return self._do(lambda: len(self._store.find(query)))

    def select(self, conditions: Conditions) -> "Deferred[list[QueueId]]":
        """Return the ids of the waiting messages that meet conditions."""
        query = Query(conditions=conditions, limit=sys.maxsize)
        return self._do(lambda: [entry.id for entry in self._store.find(query)])

    def domains(self, now: float) -> "Deferred[list[DomainShape]]":
        """Return the waiting recipients by domain."""
        return self._do(lambda: self._store.domains(now))

    def summary(self) -> "Deferred[Summary]":
        """Return the counts of messages and recipients."""
        return self._do(self._store.summary)

    def audit(self) -> "Deferred[Audit]":
        """Return the facts for an audit."""
        return self._do(self._store.audit)

    def space(self) -> "Deferred[Space]":
        """Return the room for mail."""
        return self._do(lambda: Space(self.room))

    def forget(self, before: float, limit: int = 10_000) -> "Deferred[int]":
        """Drop messages from the history."""
        return self._do(lambda: self._store.forget(before, limit))

    def close(self) -> "Deferred[None]":
        """Refuse all later calls."""
        self._closed = True
        return succeed(None)

    def _do(self, method: Callable[[], T]) -> "Deferred[T]":
        if self._closed:
            return fail(QueueError("the queue is closed"))
        try:
            return succeed(method())
        except QueueError as error:
            return fail(error)
