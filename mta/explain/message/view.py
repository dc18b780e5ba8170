"""Makes the page about one message of the facts about it. Pure."""

from collections.abc import Iterator

from mta.config.schedule import read_schedule
from mta.delivery.replies.meanings import meaning_of
from mta.explain.message.choices import choices_for
from mta.explain.message.facts import MessageFacts, PresentDecisions
from mta.explain.message.next_attempt import next_attempt
from mta.explain.message.page import MessagePage, RecipientPart
from mta.explain.message.timeline import timeline
from mta.explain.values import RetryVerdict
from mta.message.dates import short_timestamp
from mta.queue.interface import Entry, RecipientState, Status

# A hold within so many seconds of the arrival is that of a rule, because an operator cannot be so fast.
_AT_ARRIVAL = 1.0
_NO_DECISIONS = PresentDecisions((), (), (), ())


def page_of(facts: MessageFacts) -> MessagePage:
    """Return the page about a message."""
    entry = facts.entry
    submitted, held = _submitted(entry), _held(facts)
    recipients = tuple(_recipient(state, facts) for state in _in_order(entry))
    return MessagePage(
        entry,
        facts.now,
        _state(entry),
        submitted,
        _allowed(facts),
        held,
        recipients,
        tuple(_reports(facts)),
        choices_for(facts),
        tuple(_notes(facts)),
        timeline(facts, recipients, submitted, held),
    )


def _in_order(entry: Entry) -> list[RecipientState]:
    """Return the recipients, those that wait or have failed first."""
    urgent = {Status.WAITING: 0, Status.FAILED: 1}
    return sorted(entry.recipients, key=lambda each: urgent.get(each.status, 2))


def _state(entry: Entry) -> str:
    waiting = [each for each in entry.recipients if each.status is Status.WAITING]
    if not waiting:
        counts = {status: sum(each.status is status for each in entry.recipients) for status in Status}
        return "finished: " + ", ".join(f"{count} {status.value}" for status, count in counts.items() if count)
    number = len(entry.recipients)
    of_all = "" if len(waiting) == number == 1 else f" for {len(waiting)} of {number} recipients"
    if entry.held:
        return f"held{of_all}"
    return f"in delivery{of_all}" if entry.claimed else f"waits{of_all}"


def _submitted(entry: Entry) -> str:
    if not entry.client:
        return "by this relay" + (f", as a report on message {entry.report_of}" if entry.report_of else "")
    login = f", logged in as {entry.login}" if entry.login else ""
    tls = f", over {entry.tls}" if entry.tls else ""
    return f"by the client {entry.client}{login}{tls}"


def _allowed(facts: MessageFacts) -> str:
    if facts.stages is None or not facts.stages.acl:
        return ""
    refused = next((each for each in facts.stages.acl if each.reply is not None), None)
    if refused is not None:
        by = f", by {refused.rule}" if refused.rule else ""
        return f"they would refuse it: {refused.reply}{by}"
    reasons = dict.fromkeys(filter(None, (each.reason for each in facts.stages.acl)))
    rules = dict.fromkeys(each.rule for each in facts.stages.acl if each.rule and not each.held)
    by_rules = f"; {', '.join(rules)}" if rules else ""
    return f"{'; '.join(reasons) or 'they accept it'}{by_rules}"


def _held(facts: MessageFacts) -> str:
    entry = facts.entry
    if not entry.held:
        return ""
    if entry.held_since is None:
        return "by an operator or a rule"
    since = f"since {short_timestamp(entry.held_since)}"
    if entry.held_since - entry.created > _AT_ARRIVAL:
        return f"{since}, by an operator (the log event amended names the user)"
    acl = () if facts.stages is None else facts.stages.acl
    rule = next((each.rule for each in acl if each.held), "")
    return f"{since}, by {rule}" if rule else f"{since}, by a rule that the present rules do not have any more"


def _recipient(state: RecipientState, facts: MessageFacts) -> RecipientPart:
    stages = facts.stages or _NO_DECISIONS
    retry = tuple(each for each in stages.retry if each.recipient == state.address)
    waits = state.status is Status.WAITING
    return RecipientPart(
        state,
        next((each for each in stages.router if each.recipient == state.address), None),
        next((each for each in stages.transport if each.recipient == state.address), None),
        retry if waits else (),
        None if state.status in (Status.DELIVERED, Status.REMOVED) or not state.reply else meaning_of(state.reply),
        _others(state, facts) if waits else 0,
        _advice(state),
        next_attempt(state, retry, facts) if waits else None,
        _gives_up(retry, facts.entry.created) if waits else None,
    )


def _others(state: RecipientState, facts: MessageFacts) -> int:
    """Return the number of other messages that wait for the domain of a recipient."""
    domain = state.address.rpartition("@")[2].lower()
    return next((each.number for each in facts.neighbours if each.domain == domain), 0)


def _advice(state: RecipientState) -> str:
    """Return advice about a recipient that has its mail."""
    if state.status is not Status.DELIVERED:
        return ""
    if not state.host:
        return "it is in a mailbox or with a program of this host, or was passed on as the reply says"
    return f"{state.host} has taken it and is responsible now: give its operator this time and this reply"


def _gives_up(retry: tuple[RetryVerdict, ...], created: float) -> float | None:
    """Return the end of the schedule, if it is the same for all errors."""
    schedules = {each.schedule for each in retry}
    return read_schedule(schedules.pop()).ends(created) if len(schedules) == 1 else None


def _reports(facts: MessageFacts) -> Iterator[str]:
    """Yield the lines about reports to the sender."""
    entry = facts.entry
    for report in facts.reports:
        states = ", ".join(sorted({each.status.value for each in report.recipients}))
        replies = [each.reply for each in report.recipients if each.status is not Status.DELIVERED and each.reply]
        said = f"; {replies[0]}" if replies else ""
        # A copy for the postmaster is not to the sender.
        yield f"message {report.id} to <{report.recipients[0].address}>: {states}{said}"
    if facts.reports or not any(each.status is Status.FAILED for each in entry.recipients):
        return
    if entry.unreported:
        yield "none, because the message has the null sender: a report is never answered with a report"
    else:
        yield f"the log event reported names the report to <{entry.sender}>, unless the client asked for none"


def _notes(facts: MessageFacts) -> Iterator[str]:
    yield from (f"the settings have a mistake, so routes are not told: {text}" for text in facts.mistakes)
    if any(each.status is Status.WAITING for each in facts.entry.recipients) and not facts.running:
        yield "no relay is running on this queue, so the message is not tried until one starts"
    if facts.stages is not None:
        yield from facts.stages.hints
