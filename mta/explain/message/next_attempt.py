"""When a waiting recipient is tried next, and why then. Pure."""

from mta.explain.message.facts import MessageFacts, Neighbours
from mta.explain.message.page import NextAttempt
from mta.explain.values import RetryVerdict
from mta.message.dates import short_timestamp
from mta.queue.ids import release_of
from mta.queue.interface import RecipientState

# The words of `mta.delivery.destinations.pacer`.
_PACE = "waits for the pace of "
# A due time so soon after the arrival is that of the first attempt.
_AT_ONCE = 1.0


def next_attempt(state: RecipientState, retry: tuple[RetryVerdict, ...], facts: MessageFacts) -> NextAttempt:
    """Return the next attempt for a recipient that waits. `retry` are its terms by the present settings."""
    entry, due = facts.entry, state.due
    if entry.held:
        return NextAttempt(None, "none while the message is held")
    if entry.claimed:
        since = "" if entry.claimed_since is None else f" since {short_timestamp(entry.claimed_since)}"
        waits = f"; it waits for {facts.waits_for}" if facts.waits_for else ""
        return NextAttempt(None, f"an attempt is running{since}{waits}")
    if facts.waits_for:
        return NextAttempt(due, f"waits for {facts.waits_for}")
    if due is None or due <= facts.now:
        return NextAttempt(due, "due now" if facts.running else "as soon as a relay runs")
    return NextAttempt(due, _reason(state, retry, facts))


def _reason(state: RecipientState, retry: tuple[RetryVerdict, ...], facts: MessageFacts) -> str:
    """Return why a recipient is due at a later time."""
    if state.reply.startswith(_PACE):
        return "the destination takes only so much mail, and this message waits for its turn"
    if not state.attempts:
        return _not_tried(state, facts)
    schedules = dict.fromkeys(each.rule if each.has_schedule and each.rule else "RETRY_SCHEDULE" for each in retry)
    by = " or ".join(schedules) or "RETRY_SCHEDULE"
    tries = "1 attempt" if state.attempts == 1 else f"{state.attempts} attempts"
    return f"by {by}, after {tries}"


def _not_tried(state: RecipientState, facts: MessageFacts) -> str:
    """Return why a recipient without an attempt is due later."""
    if state.due is not None and state.due - facts.entry.created <= _AT_ONCE:
        waits = release_of(facts.entry.id, facts.entry.created) is not None
        return "the first attempt; its client wants it to wait until then" if waits else "the first attempt"
    domain = state.address.rpartition("@")[2].lower()
    others = next((each for each in facts.neighbours if each.domain == domain), None)
    if others is None:
        return "not tried yet: its destination is down or takes only so much mail"
    return f"not tried yet: {_about(others)}"


def _about(others: Neighbours) -> str:
    many = "1 other message waits" if others.number == 1 else f"{others.number} other messages wait"
    if not others.reply:
        return f"{many} for {others.domain}, whose hosts are down or take only so much mail"
    said = ": ".join(filter(None, (others.host, others.reply)))
    probe = "" if others.due is None else f"; one of them probes it at {short_timestamp(others.due)}"
    return f"{many} for {others.domain}, where the last attempt got: {said}{probe}"
