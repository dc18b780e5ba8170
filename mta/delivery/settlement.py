"""Turns the results of a job into verdicts and reports, and writes both to the queue in one transaction."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from mta.delivery.context import DeliveryContext
from mta.delivery.job import Job, RecipientResult
from mta.delivery.retry_policy import RetryPolicy
from mta.event_log.stages import Stages
from mta.message.envelope import Notify
from mta.message.outcome import Delivered, Discarded, Failed, TryLater
from mta.queue.interface import AttemptRecord, Claim, NewMail, Pending, Queue, Settlement, Verdict

if TYPE_CHECKING:
    from mta.routing.choice import Reroute
    from mta.rules.conditions import Rule


@dataclass(frozen=True, slots=True)
class Reports:
    """The reports that a settlement adds to the queue, each with its kind for the log."""

    mails: Sequence[NewMail] = ()
    kinds: Sequence[str] = ()
    delay_reported: bool = False


NO_REPORTS = Reports()

#: Seconds after which advice that still applies is logged as trouble again.
ADVICE_AGAIN = 3600.0
# The number of pieces of advice at which they may all be logged again. Few are current, because each names a host.
_MOST_ADVICE = 100


class Reporter(Protocol):
    """Writes the reports that a sender must get, and copies for the postmaster."""

    def reports(self, claim: Claim, verdicts: Sequence[Verdict], now: float) -> Reports:
        """Return the reports due after these verdicts. Raise OSError for a lost body."""


class Settler:
    """Settles jobs."""

    def __init__(
        self,
        queue: Queue,
        reporter: Reporter,
        retry: RetryPolicy,
        context: DeliveryContext,
    ) -> None:
        self._queue = queue
        self._reporter = reporter
        #: When messages are tried again, given up and reported as late.
        self.retry = retry
        self._wall_clock = context.wall_clock
        self._event_log = context.event_log
        # The wall-clock time at which each piece of advice was logged, by host and text.
        self._advised: dict[tuple[str, str], float] = {}

    def settle_delivered(self, job: Job) -> None:
        """Record which recipients are delivered so far, and keep the claim, so that a crash delivers no copy again.

        Recipients that bring a report of success or other mail wait for the end, because it belongs in the same
        transaction. Each result is looked at once, because a message may have a thousand groups.
        """
        done, job.newly_done = job.newly_done, []
        if ready := [pending for pending in done if _may_settle_early(job, pending)]:
            job.tasks.start(self._settle_early(job, ready))

    async def _settle_early(self, job: Job, ready: Sequence[Pending]) -> None:
        now = self._wall_clock()
        indexes = {pending.index for pending in ready}
        verdicts = [self._verdict(job, pending, now) for pending in ready]
        try:
            in_time = await self._queue.settle(Settlement(job.claim, verdicts, now, keep_claim=True))
        except Exception as error:  # noqa: BLE001 (the end of the job tries again)
            self._event_log.trouble(f"a delivery could not be recorded yet: {error}", job.claim.id)
            return
        if in_time:
            # Otherwise the relay itself may have a newer lease, under which the end of the job records them.
            job.settled_early |= indexes
        self._log(in_time, job, ready, verdicts, now)

    async def settle(self, job: Job) -> float | None:
        """Write all results and give the claim back; return the time at which the queue has a message due, if it has.

        Raises QueueError if the queue cannot write, and then nothing is changed.
        """
        now = self._wall_clock()
        results, unsettled = job.results, job.claim.pending
        if job.settled_early:
            unsettled = tuple(pending for pending in unsettled if pending.index not in job.settled_early)
            if not unsettled:
                # The last of the early settlements has finished the message.
                return None
        rest = [pending for pending in unsettled if pending.index in results]
        untried = len(rest) < len(unsettled)
        verdicts = [self._verdict(job, pending, now) for pending in rest]
        reports = self._reports(job.claim, verdicts, now)
        # A mail that recipients share is added once.
        passed_on = {mail.id: mail for pending in rest for mail in results[pending.index].mails}
        mails = [*reports.mails, *passed_on.values()]
        dues = [verdict.due for verdict in verdicts if verdict.due is not None]
        # A claim covers all waiting recipients, so that those tried now would be tried again with each look for room.
        not_before = max(job.next_try, min(dues, default=0.0)) if untried and job.next_try else 0.0
        settlement = Settlement(
            job.claim, verdicts, now, reports=mails, delay_reported=reports.delay_reported, not_before=not_before
        )
        in_time = await self._queue.settle(settlement)
        self._log(in_time, job, rest, verdicts, now)
        if not in_time:
            return None
        self._log_reports(job.claim, reports)
        return now if mails or (untried and not not_before) else not_before or min(dues, default=None)

    def _verdict(self, job: Job, pending: Pending, now: float) -> Verdict:
        result = job.results[pending.index]
        outcome = result.outcome
        way = None if job.orders is None else job.orders.get(pending.index)
        if not isinstance(outcome, TryLater):
            at_once = isinstance(outcome, Discarded) or (isinstance(outcome, Delivered) and not pending.attempts)
            attempt = None if at_once else _attempt(result, now)
            return Verdict(pending.index, outcome, None, result.signed_by, attempt, way)
        if outcome.text_for is not None and not (job.route_rules and pending.index in job.route_rules):
            # Without a rule, the domain whose hosts were tried is that of the recipient.
            outcome = replace(outcome, text=outcome.text_for(pending.recipient.address.domain), text_for=None)
            result = job.results[pending.index] = replace(result, outcome=outcome)
        attempt = _attempt(result, now)
        terms = self.retry.terms(job.claim, pending.recipient, outcome)
        due = terms.schedule.next_due(job.claim.created, pending.attempts + 1, now)
        if due is not None:
            return Verdict(pending.index, outcome, max(due, result.not_before), result.signed_by, attempt, way)
        hours = (now - job.claim.created) / 3600
        text = f"not delivered in {hours:.1f} hours, giving up; the last try said: {outcome.text}"
        failed = Failed(text, outcome.host, "5.4.7")
        return Verdict(pending.index, failed, None, result.signed_by, attempt, way)

    def _reports(self, claim: Claim, verdicts: Sequence[Verdict], now: float) -> Reports:
        try:
            return self._reporter.reports(claim, verdicts, now)
        except OSError as error:
            self._event_log.unreported(claim.id, f"the message body cannot be read: {error}")
            return NO_REPORTS

    def _log_reports(self, claim: Claim, reports: Reports) -> None:
        for mail, kind in zip(reports.mails, reports.kinds, strict=True):
            self._event_log.reported(claim.id, mail.id, kind, mail.envelope.recipients[0].address)

    def _log(self, in_time: bool, job: Job, tried: Iterable[Pending], verdicts: Iterable[Verdict], now: float) -> None:
        """Log the verdicts on the recipients that were tried, which are on disk now, or that the lease was lost."""
        if not in_time:
            self._event_log.lease_lost(job.claim.id)
            return
        recipients, rules = job.claim.envelope.recipients, job.route_rules
        for pending, verdict in zip(tried, verdicts, strict=True):
            address = recipients[verdict.index].address
            outcome = verdict.outcome
            result = job.results[verdict.index]
            earlier = result.earlier
            rule = None if rules is None else _place(rules.get(verdict.index))
            if isinstance(outcome, Delivered):
                stages, signed_by = _stages(job, result, now), result.signed_by
                self._event_log.delivered(
                    job.claim.id,
                    address,
                    outcome,
                    stages,
                    result.security,
                    signed_by=signed_by,
                    earlier=earlier,
                    rule=rule,
                    attempts=pending.attempts + 1,
                )
            elif isinstance(outcome, TryLater):
                self._event_log.deferred(job.claim.id, address, outcome, verdict.due or now, earlier=earlier, rule=rule)
                if outcome.advice:
                    self._advise(outcome, now)
            elif isinstance(outcome, Discarded):
                self._event_log.discarded(job.claim.id, address, rule or outcome.rule)
            else:
                self._event_log.failed(job.claim.id, address, outcome, earlier=earlier, rule=rule)
                if job.claim.envelope.sender is None:
                    self._event_log.unreported(job.claim.id, f"the report to <{address}> failed: {outcome.text}")

    def _advise(self, outcome: TryLater, now: float) -> None:
        """Log advice that concerns all mail for a host, once an hour; each message has it in its own line too."""
        key = outcome.host, outcome.advice
        told = self._advised.get(key)
        if told is not None and 0 <= now - told < ADVICE_AGAIN:
            return
        if len(self._advised) >= _MOST_ADVICE:
            self._advised.clear()
        self._advised[key] = now
        self._event_log.trouble(f"{outcome.host} refuses mail: {outcome.text}")


def _stages(job: Job, result: RecipientResult, now: float) -> Stages:
    created = job.claim.created
    return Stages(now - created, job.taken - created, result.waited, result.transfer)


def _attempt(result: RecipientResult, now: float) -> AttemptRecord | None:
    """Return the attempt that had this result, for the history."""
    outcome = result.outcome
    if isinstance(outcome, Discarded):
        return None
    return AttemptRecord(
        now, outcome.host, outcome.text, outcome.status, result.security, result.waited, result.transfer
    )


def _place(rule: "Rule | Reroute | None") -> str | None:
    return None if rule is None else str(rule.where)


def _may_settle_early(job: Job, pending: Pending) -> bool:
    result = job.results[pending.index]
    return isinstance(result.outcome, Delivered) and not result.mails and not pending.recipient.wants(Notify.SUCCESS)
