"""The reports with which an operator returns messages to their senders, and their events."""

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from mta.message import dsn
from mta.message.body import MemoryBody
from mta.message.envelope import Notify
from mta.message.outcome import Discarded, Failed
from mta.queue.ids import IdSource
from mta.queue.interface import Claim, Description, NewMail, QueueId, Verdict
from mta.smtp.address import Address

#: The reason that the sender reads.
REASON = "returned to the sender by the operator of this relay"


@dataclass(frozen=True, slots=True)
class Returned:
    """A message that was returned: its sender, its recipients with their last answers, and the report, if any."""

    id: QueueId
    sender: Address | None
    failures: tuple[tuple[Address, Failed], ...]
    report: QueueId | None


class OperatorReports:
    """Makes reports of failure; `name` is the relay's host name."""

    def __init__(
        self, name: str, wall_clock: Callable[[], float], token: Callable[[], str] = lambda: secrets.token_hex(12)
    ) -> None:
        self._name = name
        self._wall_clock = wall_clock
        self._token = token
        self._ids = IdSource()
        #: The messages for which reports were asked, in the order of the questions.
        self.returned: list[Returned] = []

    @property
    def unreported(self) -> int:
        """How many messages bring no report, because they have the null sender or asked for none."""
        return sum(each.report is None for each in self.returned)

    def __call__(self, claim: Claim, verdicts: Sequence[Verdict]) -> Sequence[NewMail]:
        """Return the report that the sender must get, if any."""
        now = self._wall_clock()
        id = self._ids.new(now)
        results = [
            dsn.ReportedRecipient(claim.envelope.recipients[verdict.index], verdict.outcome)
            for verdict in verdicts
            if not isinstance(verdict.outcome, Discarded)
        ]
        original = dsn.OriginalMessage(claim.id, claim.envelope, claim.body, claim.created)
        identity = dsn.ReportIdentity(self._name, id, self._token(), now)
        report = dsn.make_report(Notify.FAILURE, original, results, identity)
        failures = tuple((each.recipient.address, each.outcome) for each in results if isinstance(each.outcome, Failed))
        self.returned.append(Returned(claim.id, claim.envelope.sender, failures, None if report is None else id))
        if report is None:
            return ()
        envelope, message = report
        return (NewMail(id, envelope, MemoryBody(message), description=Description(report_of=claim.id)),)


class ReturnLog(Protocol):
    """The part of the event log that tells of returned messages; `mta.event_log.log.EventLog` has its contract."""

    def failed(self, id: QueueId, to: Address, outcome: Failed) -> None:
        """A recipient will not get the message."""

    def reported(self, id: QueueId, report: QueueId, kind: str, to: Address) -> None:
        """A report about a message was queued."""

    def unreported(self, id: QueueId, text: str) -> None:
        """The sender gets no report."""


def log_returned(log: ReturnLog, returned: Returned) -> None:
    """Log the events of a message that was returned, as if its recipients had failed for good."""
    for address, outcome in returned.failures:
        log.failed(returned.id, address, outcome)
        if returned.sender is None:
            log.unreported(returned.id, f"the report to <{address}> failed: {outcome.text}")
    if returned.report is not None and returned.sender is not None:
        log.reported(returned.id, returned.report, "failure", returned.sender)
