"""Past mail written into a queue file by the queue's own calls, thousands of messages in seconds."""

from collections.abc import Callable, Sequence
from email.header import Header
from itertools import zip_longest
from pathlib import Path
from typing import TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from harness.history import words
from harness.history.days import DAY, Sent, To, minutes
from mta.admin.traffic import Traffic
from mta.message.body import MemoryBody
from mta.message.dates import mail_date
from mta.message.envelope import Envelope, Origin, Recipient
from mta.message.outcome import Delivered, TryLater
from mta.queue.ids import IdSource
from mta.queue.interface import Action, AttemptRecord, Claim, Description, Ledger, NewMail, QueueId, Settlement, Verdict
from mta.queue.sqlite.queue import SqliteQueue, open_queue
from mta.smtp.address import parse_address

T = TypeVar("T")

_BATCH = 250
_LEASE = 600.0


class _Later:
    """Runs blocking work when it is told to, so that the queue gathers operations for one transaction meanwhile."""

    def __init__(self) -> None:
        self._waiting: list[Callable[[], None]] = []

    def __call__(self, work: Callable[[], T], /) -> "Deferred[T]":
        done: Deferred[T] = Deferred()

        def run() -> None:
            try:
                done.callback(work())
            except Exception:  # noqa: BLE001 (its caller gets it)
                done.errback(Failure())

        self._waiting.append(run)
        return done

    def result(self, waiting: "Sequence[Deferred[T]]") -> list[T]:
        """Do all work and return the results of these operations."""
        while self._waiting:
            self._waiting.pop(0)()
        results: list[T] = []
        for one in waiting:
            one.addCallback(results.append)
        return results


def write(directory: Path, mails: Sequence[Sent], now: float, *, name: str = "relay.harbour.example") -> None:
    """Make a queue in a directory with these messages, which are in the order of their arrival."""
    later = _Later()
    queue = open_queue(directory, run=later, now=now)
    try:
        _Writing(queue, later, name).write(mails)
    finally:
        later.result([queue.close()])


def write_traffic(directory: Path, mails: Sequence[Sent], now: float) -> None:
    """Write the minutes of the last day into the queue's directory, as the relay itself would have counted them."""
    clock = 0.0
    traffic = Traffic(directory, lambda: clock)
    first = now - DAY
    totals = [0, 0, 0, 0]
    for minute, counts in minutes(mails, 0.0).items():
        totals = [total + count for total, count in zip(totals, counts, strict=True)]
        if first < minute < now - 60:
            # As the reading just after the end of the minute.
            clock = minute + 60.5
            traffic.note(Ledger(*totals))


class _Writing:
    def __init__(self, queue: SqliteQueue, later: _Later, name: str) -> None:
        self._queue = queue
        self._later = later
        self._name = name
        self._ids = IdSource(7)
        self._by_mail: dict[int, QueueId] = {}

    def write(self, mails: Sequence[Sent]) -> None:
        for mail in mails:
            self._by_mail[id(mail)] = self._ids.new(mail.created)
        for start in range(0, len(mails), _BATCH):
            batch = mails[start : start + _BATCH]
            # With a lease at once, as if each were delivered from memory; one without attempts never had it.
            claims = self._later.result(
                [
                    self._queue.add(self._new(mail), mail.created, _LEASE if _tried(mail) else None, _due(mail))
                    for mail in batch
                ]
            )
            claimed = [(mail, claim) for mail, claim in zip(batch, claims, strict=True) if claim is not None]
            rounds = [settlement for mail, claim in claimed for settlement in _settlements(mail, claim)]
            settled: list[bool] = self._later.result([self._queue.settle(settlement) for settlement in rounds])
            assert all(settled)
        self._order(Action.REMOVE, [(mail, mail.removed) for mail in mails])
        self._order(Action.HOLD, [(mail, mail.held_since) for mail in mails])

    def _order(self, action: Action, mails: Sequence[tuple[Sent, float | None]]) -> None:
        self._later.result(
            [
                self._queue.apply(action, [self._by_mail[id(mail)]], when)
                for mail, when in mails
                if when is not None and any(to.due for to in mail.to)
            ]
        )

    def _new(self, mail: Sent) -> NewMail:
        login = "A" if mail.login else ""
        origin = (
            Origin(mail.client, f"app-{mail.client.rpartition('.')[2]}.harbour.example", f"ESMTPS{login}", mail.login)
            if mail.client
            else Origin.of_relay(self._name)
        )
        sender = parse_address(mail.sender) if mail.sender else None
        recipients = tuple(Recipient(parse_address(to.address)) for to in mail.to)
        own = self._by_mail[id(mail)]
        reported = self._by_mail[id(mail.report_of)] if mail.report_of is not None else None
        description = Description(f"{own}@{self._name}", mail.subject, mail.author, mail.tls, reported)
        return NewMail(own, Envelope(sender, recipients, origin), _body(mail, own, self._name), description=description)


def _tried(mail: Sent) -> bool:
    return any(to.attempts for to in mail.to)


def _due(mail: Sent) -> float:
    return min((to.due for to in mail.to if to.due is not None), default=mail.created)


def _settlements(mail: Sent, claim: Claim) -> list[Settlement]:
    """Return the settlements of all rounds of attempts; the last one gives the claim back."""
    rounds = list(zip_longest(*(to.attempts for to in mail.to)))
    settlements = []
    for number, attempts in enumerate(rounds):
        last = number == len(rounds) - 1
        verdicts = [
            _verdict(index, to, number)
            for index, (to, attempt) in enumerate(zip(mail.to, attempts, strict=True))
            if attempt
        ]
        now = max(attempt.time for attempt in attempts if attempt)
        settlements.append(Settlement(claim, verdicts, now, keep_claim=not last))
    return settlements


def _verdict(index: int, to: To, number: int) -> Verdict:
    attempt = to.attempts[number]
    outcome = attempt.outcome
    due = None
    if isinstance(outcome, TryLater):
        due = to.attempts[number + 1].time if number + 1 < len(to.attempts) else to.due
    record = AttemptRecord(attempt.time, outcome.host, outcome.text, outcome.status, attempt.tls, 0.2, attempt.transfer)
    at_once = isinstance(outcome, Delivered) and number == 0
    return Verdict(index, outcome, due, f"{words.HOME}/mail2026" if attempt.tls else "", None if at_once else record)


def _body(mail: Sent, own: QueueId, name: str) -> MemoryBody:
    received = f"Received: from app ([{mail.client}]) by {name} with ESMTPSA id {own}; {mail_date(mail.created)}\r\n"
    return MemoryBody(received.encode() + content(mail, f"{own}@{name}"))


def content(mail: Sent, message_id: str) -> bytes:
    """Return a message as a client would send it: its header, and lines of text up to its size."""
    subject = Header(mail.subject, "utf-8", 60).encode(linesep="\r\n")
    fields = (
        f"From: {mail.author}",
        f"To: {', '.join(to.address for to in mail.to)}",
        f"Subject: {subject}",
        f"Date: {mail_date(mail.created)}",
        f"Message-ID: <{message_id}>",
        "MIME-Version: 1.0",
        "Content-Type: text/plain; charset=utf-8",
        "Content-Transfer-Encoding: 8bit",
    )
    head = "".join(f"{field}\r\n" for field in fields).encode()
    line = b"The quick brown fox jumps over the lazy dog at the harbour.\r\n"
    return head + b"\r\n" + line * (max(0, mail.octets - len(head)) // len(line) + 1)
