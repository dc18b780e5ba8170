"""The messages and recipients of the queue in memory, and the changes to them: the twin of the tables on disk."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from mta.message.body import MemoryBody
from mta.message.envelope import Envelope, Recipient
from mta.message.outcome import Failed
from mta.queue.entries import AGE_BOUNDS, FIRST_ATTEMPTS, LAST_ATTEMPTS
from mta.queue.errors import hold_of_one_recipient
from mta.queue.ids import to_number
from mta.queue.interface import (
    MAX_DUE_RECIPIENTS,
    Action,
    AttemptRecord,
    Claim,
    DeferralFilter,
    DomainShape,
    DueMessage,
    Entry,
    NewMail,
    Pending,
    QueueId,
    RecipientState,
    Status,
    Verdict,
)
from mta.queue.search.matching import plain


@dataclass(slots=True)
class MemoryRecipient:
    """A row of `recipient`."""

    pending: Pending
    due: float | None
    status: Status = Status.WAITING
    reply: str = ""
    host: str = ""
    finished: float | None = None
    signed_by: str = ""
    #: The attempts that are kept.
    made: list[AttemptRecord] = field(default_factory=list)

    def take(self, verdict: Verdict, now: float) -> None:
        """Record a verdict, unless this recipient is final already."""
        if self.status is not Status.WAITING:
            return
        self.status, self.due = verdict.status, verdict.due
        if self.status is not Status.REMOVED:
            self.pending = replace(self.pending, attempts=self.pending.attempts + 1)
        self.reply, self.host = verdict.outcome.text, verdict.outcome.host
        self.finished = now if self.due is None else None
        self.signed_by = verdict.signed_by
        if verdict.way is not None and self.pending.way == verdict.way:
            self.pending = replace(self.pending, way=None)
        if verdict.attempt is not None:
            self.made.append(verdict.attempt)
            if len(self.made) > FIRST_ATTEMPTS + LAST_ATTEMPTS:
                del self.made[FIRST_ATTEMPTS]


@dataclass(slots=True)
class MemoryMessage:
    """A row of `message`, with its body and its recipients."""

    mail: NewMail
    size: int
    created: float
    due: float | None
    recipients: list[MemoryRecipient]
    token: int = 0
    leased: bool = False
    held: bool = False
    delay_reported: bool = False
    finished: float | None = None
    held_since: float | None = None
    leased_since: float | None = None

    def claim(self) -> Claim:
        """Return the running claim."""
        pending = tuple(one.pending for one in self.recipients if one.status is Status.WAITING)
        mail = self.mail
        return Claim(mail.id, self.token, mail.envelope, mail.body, self.created, pending, self.delay_reported)

    def deferred_until(self, deferral_filter: DeferralFilter) -> float | None:
        """Return the answer of a filter about the message."""
        waiting = [one.pending.recipient.address for one in self.recipients if one.due is not None]
        whole = self.mail.envelope
        envelope = None
        if deferral_filter.with_envelopes and len(waiting) <= MAX_DUE_RECIPIENTS:
            envelope = Envelope(whole.sender, tuple(map(Recipient, waiting)), whole.origin)
        domains = tuple(dict.fromkeys(address.domain for address in waiting))
        delay_reported = self.delay_reported or whole.sender is None
        number = to_number(self.mail.id)
        return deferral_filter.until(DueMessage(self.created, delay_reported, domains, envelope, number))

    def lease(self, now: float, end: float) -> Claim:
        """Begin a lease that ends at `end`, and return its claim."""
        self.token += 1
        self.leased, self.leased_since, self.due = True, now, end
        return self.claim()

    def take(self, verdicts: Sequence[Verdict], now: float, not_before: float | None) -> None:
        """Record verdicts, then finish the message or give it back, due at `not_before` or later (None: keep it)."""
        for verdict in verdicts:
            self.recipients[verdict.index].take(verdict, now)
        due = min((one.due for one in self.recipients if one.due is not None), default=None)
        if due is None:
            self.finish(now)
        elif not_before is not None:
            self.leased, self.due = False, max(due, not_before)

    def waiting(self, recipient: str = "") -> list[MemoryRecipient]:
        """Return the recipients that wait and have this address; "" is every address."""
        waiting = [one for one in self.recipients if one.status is Status.WAITING]
        wanted = plain(recipient)
        return [one for one in waiting if not wanted or plain(str(one.pending.recipient.address)) == wanted]

    @property
    def goes_another_way(self) -> bool:
        """Whether the next attempt for a recipient that waits is to go another way."""
        return any(one.pending.way is not None for one in self.waiting())

    def require_alone(self, recipient: str) -> None:
        """Raise QueueError if other recipients than this one wait."""
        if len(self.waiting()) != len(self.waiting(recipient)):
            raise hold_of_one_recipient(self.mail.id)

    def returned(self, text: str, recipient: str) -> list[Verdict]:
        """Return the verdicts on the recipients for which an operator returns the message."""
        return [
            Verdict(
                one.pending.index, Failed(f"{text}; the last try said: {one.reply}" if one.reply else text, one.host)
            )
            for one in self.waiting(recipient)
        ]

    def fail(self, verdicts: Sequence[Verdict], now: float) -> None:
        """Make these recipients final as FAILED without an attempt."""
        for verdict in verdicts:
            one = self.recipients[verdict.index]
            one.status, one.due, one.finished = Status.FAILED, None, now
            one.reply, one.host = verdict.outcome.text, verdict.outcome.host
        self.finish_if_over(now)

    def finish_if_over(self, now: float) -> None:
        """Finish the message if no recipient waits."""
        if not self.waiting():
            self.finish(now)

    def try_now(self, now: float) -> None:
        """Make the message due now, unless an attempt is running."""
        if not self.leased and self.due is not None:
            self.due = min(self.due, now)

    def finish(self, now: float) -> None:
        """Move the message from the queue to the history, without its body."""
        self.leased = self.held = False
        self.due, self.finished = None, now
        self.mail = replace(self.mail, body=MemoryBody(b""))

    @property
    def has_failed(self) -> bool:
        """Whether a recipient failed."""
        return any(one.status is Status.FAILED for one in self.recipients)

    def entry(self, reports: Sequence[QueueId] = (), *, details: bool = False) -> Entry:
        """Return the message for an operator; with `details`, with the attempts and with `reports`."""
        envelope, description = self.mail.envelope, self.mail.description
        return Entry(
            self.mail.id,
            "" if envelope.sender is None else str(envelope.sender),
            self.size,
            self.created,
            envelope.origin.client,
            self.held,
            self.leased,
            tuple(self._state(one, details=details) for one in self.recipients),
            self.held_since if self.held else None,
            self.leased_since if self.leased else None,
            description.message_id,
            description.subject,
            description.author,
            envelope.origin.login,
            description.tls,
            "" if envelope.tls_demand is None else envelope.tls_demand.value,
            description.report_of,
            tuple(reports),
        )

    def _state(self, one: MemoryRecipient, *, details: bool) -> RecipientState:
        due = self.due if one.status is Status.WAITING else None
        address = str(one.pending.recipient.address)
        return RecipientState(
            address,
            one.status,
            one.pending.attempts,
            due,
            one.reply,
            one.host,
            one.finished,
            one.signed_by,
            tuple(one.made) if details else (),
            one.pending.way or "" if one.status is Status.WAITING else "",
        )


def domain_shape(domain: str, waiting: Sequence[tuple[MemoryMessage, MemoryRecipient]], now: float) -> DomainShape:
    """Return the shape of a domain with these waiting recipients, in the order of their messages."""
    ages = [0] * (len(AGE_BOUNDS) + 1)
    for message, _ in waiting:
        ages[sum(now - message.created >= bound for bound in AGE_BOUNDS)] += 1
    tried = [(one.reply, one.host) for _, one in waiting if one.pending.attempts]
    held = sum(message.held for message, _ in waiting)
    return DomainShape(
        domain,
        len(waiting) - held,
        held,
        sum(message.leased for message, _ in waiting),
        min(message.created for message, _ in waiting),
        tuple(ages),
        *(tried[-1] if tried else ("", "")),
    )


def _retry(message: MemoryMessage, now: float, *_: str) -> None:
    message.held = False
    message.try_now(now)


def _remove(message: MemoryMessage, now: float, recipient: str, _to: str) -> None:
    for one in message.waiting(recipient):
        one.status, one.due, one.finished = Status.REMOVED, None, now
    message.finish_if_over(now)


def _hold(message: MemoryMessage, now: float, *_: str) -> None:
    if not message.held:
        message.held, message.held_since = True, now


def _release(message: MemoryMessage, _now: float, *_: str) -> None:
    message.held = False


def _reroute(message: MemoryMessage, now: float, recipient: str, to: str) -> None:
    for one in message.waiting(recipient):
        one.pending = replace(one.pending, way=to)
    message.try_now(now)


ACTIONS: dict[Action, Callable[[MemoryMessage, float, str, str], None]] = {
    Action.RETRY: _retry,
    Action.REMOVE: _remove,
    Action.HOLD: _hold,
    Action.RELEASE: _release,
    Action.REROUTE: _reroute,
}
