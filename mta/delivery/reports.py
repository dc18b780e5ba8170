"""Decides which reports a settlement owes the sender, and writes them (RFC 3461 section 5.2, RFC 3464)."""

import secrets
from collections.abc import Callable, Sequence

from mta.delivery.settlement import NO_REPORTS, Reports
from mta.message import dsn
from mta.message.body import MemoryBody
from mta.message.envelope import Notify
from mta.message.outcome import Delivered, Discarded, Failed, TryLater
from mta.queue.ids import IdSource
from mta.queue.interface import Claim, NewMail, Verdict
from mta.retry_schedule import RetrySchedule

#: Seconds after which the sender is told, once, that a message is late.
DELAY_SECONDS = 24 * 3600.0

_EVENTS: dict[type, Notify] = {Failed: Notify.FAILURE, Delivered: Notify.SUCCESS, TryLater: Notify.DELAY}
_KINDS = {Notify.FAILURE: "failure", Notify.DELAY: "delay", Notify.SUCCESS: "success"}


class DsnReporter:
    """Writes the reports as messages of the relay."""

    delay_seconds = DELAY_SECONDS

    def __init__(
        self,
        name: str,
        ids: IdSource,
        schedule: RetrySchedule,
        token: Callable[[], str] = lambda: secrets.token_hex(12),
    ) -> None:
        self._name = name
        self._ids = ids
        self._schedule = schedule
        self._token = token

    def reports(self, claim: Claim, verdicts: Sequence[Verdict], now: float) -> Reports:
        """Return the reports due after these verdicts: one for all failures, one for all successes, one of delay."""
        if claim.envelope.sender is None:
            return NO_REPORTS
        late = now - claim.created >= DELAY_SECONDS and not claim.delay_reported
        told: dict[Notify, list[dsn.ReportedRecipient]] = {}
        for verdict in verdicts:
            if isinstance(verdict.outcome, Discarded):
                continue
            event = _EVENTS[type(verdict.outcome)]
            recipient = claim.envelope.recipients[verdict.index]
            if (event is not Notify.DELAY or late) and recipient.wants(event):
                told.setdefault(event, []).append(dsn.ReportedRecipient(recipient, verdict.outcome))
        if not told:
            return NO_REPORTS
        mails: list[NewMail] = []
        kinds: list[str] = []
        for event, wanted in told.items():
            mail = self._mail(event, claim, wanted, now)
            if mail is not None:
                mails.append(mail)
                kinds.append(_KINDS[event])
        return Reports(mails, kinds, delay_reported=Notify.DELAY in told)

    def _mail(
        self, event: Notify, claim: Claim, results: Sequence[dsn.ReportedRecipient], now: float
    ) -> NewMail | None:
        id = self._ids.new(now)
        original = dsn.OriginalMessage(claim.id, claim.envelope, claim.body, claim.created)
        identity = dsn.ReportIdentity(self._name, id, self._token(), now)
        report = dsn.make_report(event, original, results, identity, self._schedule.ends(claim.created))
        if report is None:
            return None
        envelope, message = report
        return NewMail(id, envelope, MemoryBody(message))
