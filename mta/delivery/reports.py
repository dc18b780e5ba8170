"""Decides which reports a settlement owes the sender, and writes them (RFC 3461 section 5.2, RFC 3464)."""

import secrets
from collections.abc import Callable, Sequence

from mta.delivery.retry_policy import RetryPolicy
from mta.delivery.settlement import NO_REPORTS, Reports
from mta.message import dsn
from mta.message.body import MemoryBody
from mta.message.envelope import Notify
from mta.message.outcome import Delivered, Discarded, Failed, TryLater
from mta.queue.ids import IdSource
from mta.queue.interface import Claim, Description, NewMail, Verdict
from mta.retry_schedule import RetryTerms
from mta.smtp.address import Address

_EVENTS: dict[type, Notify | None] = {
    Failed: Notify.FAILURE,
    Delivered: Notify.SUCCESS,
    TryLater: Notify.DELAY,
    Discarded: None,
}
#: The kind of a copy for the postmaster, for the log.
POSTMASTER = "postmaster"
_KINDS = {Notify.FAILURE: "failure", Notify.DELAY: "delay", Notify.SUCCESS: "success"}


class DsnReporter:
    """Writes the reports as messages of the relay."""

    def __init__(
        self,
        name: str,
        ids: IdSource,
        retry: RetryPolicy,
        token: Callable[[], str] = lambda: secrets.token_hex(12),
        *,
        postmaster: Address | None = None,
    ) -> None:
        """`postmaster` gets a copy of each message with the null sender that fails."""
        self._postmaster = postmaster
        self._name = name
        self._ids = ids
        self._retry = retry
        self._token = token

    def reports(self, claim: Claim, verdicts: Sequence[Verdict], now: float) -> Reports:
        """Return the reports due after these verdicts: one for all failures, one for all successes, one of delay.

        The report of delay comes once. It names all recipients that wait, except those whose terms have none. A message
        with the null sender brings at most a copy for the postmaster.
        """
        if claim.envelope.sender is None:
            return NO_REPORTS if self._postmaster is None else self._copy(claim, verdicts, self._postmaster, now)
        told: dict[Notify, list[dsn.ReportedRecipient]] = {}
        for verdict in verdicts:
            event = _EVENTS[type(verdict.outcome)]
            recipient = claim.envelope.recipients[verdict.index]
            if event is not None and recipient.wants(event):
                assert not isinstance(verdict.outcome, Discarded), "nobody is told of a discarded recipient"
                told.setdefault(event, []).append(dsn.ReportedRecipient(recipient, verdict.outcome))
        # Most settlements end here: to hash a member of an Enum is a call.
        if not told:
            return NO_REPORTS
        if Notify.DELAY in told:
            told[Notify.DELAY] = self._late(claim, told[Notify.DELAY], now)
        if not any(told.values()):
            return NO_REPORTS
        mails: list[NewMail] = []
        kinds: list[str] = []
        for event, wanted in told.items():
            mail = self._mail(event, claim, wanted, now) if wanted else None
            if mail is not None:
                mails.append(mail)
                kinds.append(_KINDS[event])
        return Reports(mails, kinds, delay_reported=bool(told.get(Notify.DELAY)))

    def _late(self, claim: Claim, waiting: Sequence[dsn.ReportedRecipient], now: float) -> list[dsn.ReportedRecipient]:
        """Return the recipients that a report of delay names; none if it is not time for one."""
        if claim.delay_reported:
            return []
        warnings = [self._terms(claim, each).warn_after for each in waiting]
        if not any(after is not None and now - claim.created >= after for after in warnings):
            return []
        return [each for each, after in zip(waiting, warnings, strict=True) if after is not None]

    def _terms(self, claim: Claim, waiting: dsn.ReportedRecipient) -> RetryTerms:
        assert isinstance(waiting.outcome, TryLater), "the recipient is tried again"
        return self._retry.terms(claim, waiting.recipient, waiting.outcome)

    def _copy(self, claim: Claim, verdicts: Sequence[Verdict], postmaster: Address, now: float) -> Reports:
        """Return the copy for the postmaster; none of a copy, and none of mail that the postmaster did not get."""
        recipients = claim.envelope.recipients
        failed = [
            dsn.ReportedRecipient(recipients[verdict.index], verdict.outcome)
            for verdict in verdicts
            if isinstance(verdict.outcome, Failed) and recipients[verdict.index].address != postmaster
        ]
        if not failed or dsn.is_copy(claim.body):
            return NO_REPORTS
        mail = self._mail(Notify.FAILURE, claim, failed, now, postmaster=postmaster)
        return NO_REPORTS if mail is None else Reports([mail], [POSTMASTER])

    def _mail(
        self,
        event: Notify,
        claim: Claim,
        results: Sequence[dsn.ReportedRecipient],
        now: float,
        *,
        postmaster: Address | None = None,
    ) -> NewMail | None:
        id = self._ids.new(now)
        original = dsn.OriginalMessage(claim.id, claim.envelope, claim.body, claim.created)
        identity = dsn.ReportIdentity(self._name, id, self._token(), now)
        retry_until = None
        if event is Notify.DELAY:
            # The time at which the first of these recipients is given up.
            retry_until = min(self._terms(claim, each).schedule.ends(claim.created) for each in results)
        report = dsn.make_report(event, original, results, identity, retry_until, postmaster=postmaster)
        if report is None:
            return None
        envelope, message = report
        return NewMail(id, envelope, MemoryBody(message), description=Description(report_of=claim.id))
