"""Formats the queue as lines for operators; `mta.admin.wire` has the JSON objects. Times are ISO 8601 in UTC."""

from collections.abc import Iterator

from mta.admin.wire.fields import time_text
from mta.admin.wire.messages import next_attempt
from mta.config.sources.exim import write_size
from mta.queue.ids import arrival_of, release_of
from mta.queue.interface import AttemptRecord, Entry, Ledger, RecipientState, Status, Summary


def _since(name: str, when: float | None) -> str:
    """Return `held since 2026-11-22T12:00:00Z`. Older versions did not store the time of a hold."""
    return name if when is None else f"{name} since {time_text(when)}"


def _state(entry: Entry) -> str:
    states = [_since("held", entry.held_since)] if entry.held else []
    if entry.claimed:
        states.append(_since("in delivery", entry.claimed_since))
    if entry.unreported:
        states.append("its failure was not reported")
    release = release_of(entry.id, entry.created)
    if release is not None and not any(each.attempts for each in entry.recipients):
        states.append(f"release at {time_text(release)}")
    return ", ".join(states)


def list_lines(entry: Entry, finished: bool) -> Iterator[str]:
    """Yield a line for a message, and an indented line for each waiting recipient or, with `finished`, for each one."""
    arrival = time_text(arrival_of(entry.id, entry.created))
    yield f"{entry.id}  {arrival}  {_about(entry.size):>6}  <{entry.sender}> {_state(entry)}".rstrip()
    for recipient in entry.recipients:
        if finished or recipient.status is Status.WAITING:
            yield f"    {_recipient_line(recipient, entry)}"


def found_lines(entry: Entry) -> Iterator[str]:
    """Yield a line for a message that was found, with its subject, and an indented line for each recipient."""
    yield one_line(entry)
    for recipient in entry.recipients:
        yield f"    {_recipient_line(recipient, entry)}"


def one_line(entry: Entry) -> str:
    """Return the line about a message in a list of messages that were found."""
    arrival = time_text(arrival_of(entry.id, entry.created))
    words = [entry.id, arrival, f"{_about(entry.size):>6}", f"<{entry.sender}>", _state(entry)]
    return "  ".join(filter(None, (*words, entry.subject and f'"{entry.subject}"')))


def closing_lines(summary: Summary, days: float, *, listed: bool, all: bool) -> Iterator[str]:
    """Yield the lines below a list: an empty queue, the messages finished in `days`, and failed reports."""
    if not (listed and all) and not summary.messages:
        yield f"Nothing is waiting. {_history_line(summary, days)}"
    if summary.unreported:
        reports = count(summary.unreported, "report")
        yield f"{reports} could not be delivered, so the sender of a failed message was not told" + (
            "" if all else ": smtprelay queue list --all"
        )


def _history_line(summary: Summary, days: float) -> str:
    if not days and not summary.finished:
        return "Finished messages are not kept (HISTORY_DAYS=0)."
    finished = f"{count(summary.finished, 'message')} finished in the last {count(days, 'day')}"
    return f"{finished} ({summary.failed} failed): smtprelay queue list --all" if summary.finished else f"{finished}."


def count(number: float, noun: str) -> str:
    """Return `1 message` or `2 messages`."""
    return f"{number:.12g} {noun}{'s' * (number != 1)}"


def _recipient_line(state: RecipientState, entry: Entry) -> str:
    parts = [f"<{state.address}> {state.status.value}"]
    if state.attempts:
        parts.append(count(state.attempts, "attempt"))
    if (due := next_attempt(state, entry)) is not None:
        parts.append(f"next {time_text(due)}")
    if state.finished is not None:
        parts.append(f"on {time_text(state.finished)}")
    if state.signed_by:
        parts.append(f"dkim={state.signed_by}")
    if state.way:
        parts.append(f"reroute to {state.way}")
    said = ": ".join(filter(None, (state.host, state.reply)))
    return ", ".join(parts) + (f"; {said}" if said else "")


def show_lines(entry: Entry, waits_for: str = "") -> Iterator[str]:
    """Yield the lines about one message. `waits_for` are the words of a running relay."""
    yield f"id: {entry.id}"
    yield f"sender: <{entry.sender}>"
    yield f"client: {entry.client or 'this relay'}"
    for name, text in (
        ("login", entry.login),
        ("tls", entry.tls),
        ("tls demand", entry.tls_demand),
        ("message-id", entry.message_id),
        ("subject", entry.subject),
        ("from", entry.author),
        ("report of", entry.report_of or ""),
        ("reports", " ".join(entry.reports)),
    ):
        if text:
            yield f"{name}: {text}"
    yield f"size: {entry.size}"
    yield f"created: {time_text(arrival_of(entry.id, entry.created))}"
    if (release := release_of(entry.id, entry.created)) is not None:
        yield f"release: {time_text(release)}"
    yield f"held: {_since('yes,', entry.held_since) if entry.held else 'no'}"
    yield f"in delivery: {_since('yes,', entry.claimed_since) if entry.claimed else 'no'}"
    if waits_for:
        yield f"state: waits for {waits_for}"
    if entry.unreported:
        yield "report: its failure was not reported"
    for recipient in entry.recipients:
        yield f"recipient: {_recipient_line(recipient, entry)}"
        for attempt in recipient.attempts_made:
            yield f"    {_attempt_line(attempt)}"


def _attempt_line(attempt: AttemptRecord) -> str:
    took = f"{attempt.waited + attempt.transfer:.1f} s"
    how = ", ".join(filter(None, (took, attempt.tls)))
    said = ": ".join(filter(None, (attempt.host, attempt.reply)))
    return f"{time_text(attempt.time)}  {said} ({how})"


def summary_lines(summary: Summary) -> Iterator[str]:
    """Yield the lines of a summary."""
    yield f"messages: {summary.messages} ({summary.held} held, {summary.claimed} in delivery)"
    yield f"oldest: {time_text(summary.oldest) or 'none'}"
    for status in Status:
        yield f"recipients {status.value}: {summary.recipients.get(status, 0)}"
    ledger = summary.ledger
    yield (
        f"ledger: {ledger.accepted} accepted = {ledger.delivered} delivered + {ledger.failed} failed"
        f" + {ledger.removed} removed + {ledger.waiting} waiting{_amiss(ledger)}"
    )


def _amiss(ledger: Ledger) -> str:
    return f", but {ledger.missing:+} are not accounted for" if ledger.missing else ""


def _about(octets: int) -> str:
    """Return a size, rounded to fit a column."""
    for bits in (30, 20, 10):
        if octets >= 10 << bits:
            return write_size(octets >> bits << bits)
    return str(octets)
