"""The queue as an operator reads it: lines for people, objects for programs. Times are ISO 8601 in UTC."""

from collections.abc import Iterator
from dataclasses import asdict

from mta.config.exim import write_size
from mta.message.dates import short_timestamp
from mta.queue.interface import Entry, Ledger, RecipientState, Status, Summary

JsonObject = dict[str, object]


def time_text(seconds: float | None) -> str | None:
    """Return `2026-11-22T12:00:00Z`."""
    if seconds is None:
        return None
    return short_timestamp(seconds)


def entry_object(entry: Entry) -> JsonObject:
    """Return a message for JSON."""
    return {
        "id": entry.id,
        "sender": entry.sender,
        "size": entry.size,
        "created": time_text(entry.created),
        "client": entry.client,
        "held": entry.held,
        "in_delivery": entry.claimed,
        "recipients": [_recipient_object(state) for state in entry.recipients],
    }


def _recipient_object(state: RecipientState) -> JsonObject:
    return {
        "address": state.address,
        "status": state.status.value,
        "attempts": state.attempts,
        "next_attempt": time_text(state.due),
        "last_reply": state.reply,
        "host": state.host,
        "finished": time_text(state.finished),
    }


def list_lines(entry: Entry, finished: bool) -> Iterator[str]:
    """Yield a line for a message and an indented one for each recipient that waits, or with `finished` for each."""
    state = " held" * entry.held + " in delivery" * entry.claimed
    yield f"{entry.id}  {time_text(entry.created)}  {_about(entry.size):>6}  <{entry.sender}>{state}"
    for recipient in entry.recipients:
        if finished or recipient.status is Status.WAITING:
            yield f"    {_recipient_line(recipient)}"


def _recipient_line(state: RecipientState) -> str:
    parts = [f"<{state.address}> {state.status.value}"]
    if state.attempts:
        parts.append(f"{state.attempts} attempt{'s' * (state.attempts != 1)}")
    if state.due is not None:
        parts.append(f"next {time_text(state.due)}")
    if state.finished is not None:
        parts.append(f"on {time_text(state.finished)}")
    said = ": ".join(filter(None, (state.host, state.reply)))
    return ", ".join(parts) + (f"; {said}" if said else "")


def show_lines(entry: Entry) -> Iterator[str]:
    """Yield everything about one message."""
    yield f"id: {entry.id}"
    yield f"sender: <{entry.sender}>"
    yield f"client: {entry.client or 'this relay'}"
    yield f"size: {entry.size}"
    yield f"created: {time_text(entry.created)}"
    yield f"held: {'yes' if entry.held else 'no'}"
    yield f"in delivery: {'yes' if entry.claimed else 'no'}"
    for recipient in entry.recipients:
        yield f"recipient: {_recipient_line(recipient)}"


def summary_lines(summary: Summary) -> Iterator[str]:
    """Yield the counts."""
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


def summary_object(summary: Summary) -> JsonObject:
    """Return the counts for JSON."""
    ledger = summary.ledger
    return {
        "messages": summary.messages,
        "held": summary.held,
        "in_delivery": summary.claimed,
        "oldest": time_text(summary.oldest),
        "recipients": {status.value: summary.recipients.get(status, 0) for status in Status},
        "ledger": {**asdict(ledger), "missing": ledger.missing},
    }


def _about(octets: int) -> str:
    """Return a size rounded to what fits a column."""
    for bits in (30, 20, 10):
        if octets >= 10 << bits:
            return write_size(octets >> bits << bits)
    return str(octets)
