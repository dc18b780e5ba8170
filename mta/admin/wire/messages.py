"""Messages, summaries and domains of the queue as JSON objects, and back.

The objects have whole seconds, and no due time of a recipient that is held or in delivery.
"""

from dataclasses import asdict
from typing import Any

from mta.admin.wire.fields import Fields, JsonObject, time_text
from mta.queue.entries import (
    AGE_BOUNDS,
    AttemptRecord,
    DomainShape,
    Entry,
    Ledger,
    QueueId,
    RecipientState,
    Status,
    Summary,
)
from mta.queue.ids import arrival_of, release_of

#: The names of `DomainShape.ages`.
AGE_NAMES = ("5m", "1h", "6h", "1d", "older")
assert len(AGE_NAMES) == len(AGE_BOUNDS) + 1


def entry_object(entry: Entry, waits_for: str | None = None) -> JsonObject:
    """Return the JSON object of a message. `waits_for` are the words of a running relay, None if it was not asked."""
    asked: JsonObject = {} if waits_for is None else {"waits_for": waits_for or None}
    return {
        "id": entry.id,
        "sender": entry.sender,
        "size": entry.size,
        "created": time_text(arrival_of(entry.id, entry.created)),
        "release": time_text(release_of(entry.id, entry.created)),
        "client": entry.client,
        "login": entry.login or None,
        "tls": entry.tls or None,
        "tls_demand": entry.tls_demand or None,
        "message_id": entry.message_id or None,
        "subject": entry.subject or None,
        "from": entry.author or None,
        "report_of": entry.report_of,
        "reports": list(entry.reports),
        "held": entry.held,
        "held_since": time_text(entry.held_since),
        "in_delivery": entry.claimed,
        "in_delivery_since": time_text(entry.claimed_since),
        "unreported": entry.unreported,
        **asked,
        "recipients": [_recipient_object(state, entry) for state in entry.recipients],
    }


def read_entry(value: object) -> Entry:
    """Return the message of a JSON object. Raises WireError."""
    fields = Fields(value, "a message")
    report_of = fields.text("report_of")
    created = fields.time("created")
    return Entry(
        id=QueueId(fields.word("id")),
        sender=fields.text("sender"),
        size=fields.whole("size"),
        created=fields.optional("release", fields.time) or created,
        client=fields.text("client"),
        held=fields.flag("held"),
        claimed=fields.flag("in_delivery"),
        recipients=fields.items("recipients", _read_recipient),
        held_since=fields.optional("held_since", fields.time),
        claimed_since=fields.optional("in_delivery_since", fields.time),
        message_id=fields.text("message_id"),
        subject=fields.text("subject"),
        author=fields.text("from"),
        login=fields.text("login"),
        tls=fields.text("tls"),
        tls_demand=fields.text("tls_demand"),
        report_of=QueueId(report_of) if report_of else None,
        reports=fields.items("reports", read_id),
    )


def read_id(value: object) -> QueueId:
    """Return a queue id of a list. Raises WireError."""
    return QueueId(Fields({"id": value}, "a message").word("id"))


def next_attempt(state: RecipientState, entry: Entry) -> float | None:
    """Return the time of the next attempt, or None for a message that is held or in delivery."""
    return None if entry.held or entry.claimed else state.due


def _recipient_object(state: RecipientState, entry: Entry) -> JsonObject:
    return {
        "address": state.address,
        "status": state.status.value,
        "attempts": state.attempts,
        "next_attempt": time_text(next_attempt(state, entry)),
        "last_reply": state.reply,
        "host": state.host,
        "dkim": state.signed_by or None,
        "finished": time_text(state.finished),
        "attempts_made": [_attempt_object(attempt) for attempt in state.attempts_made],
        "reroute": state.way or None,
    }


def _read_recipient(value: Any) -> RecipientState:
    fields = Fields(value, "a recipient")
    return RecipientState(
        address=fields.text("address"),
        status=_read_status(fields.text("status")),
        attempts=fields.whole("attempts"),
        due=fields.optional("next_attempt", fields.time),
        reply=fields.text("last_reply"),
        host=fields.text("host"),
        finished=fields.optional("finished", fields.time),
        signed_by=fields.text("dkim"),
        attempts_made=fields.items("attempts_made", _read_attempt),
        way=fields.text("reroute"),
    )


def _read_status(text: str) -> Status:
    # A status of a later version is shown as one that waits, rather than not at all.
    return Status(text) if text in {status.value for status in Status} else Status.WAITING


def _attempt_object(attempt: AttemptRecord) -> JsonObject:
    return {**asdict(attempt), "time": time_text(attempt.time)}


def _read_attempt(value: Any) -> AttemptRecord:
    fields = Fields(value, "an attempt")
    return AttemptRecord(
        time=fields.time("time"),
        host=fields.text("host"),
        reply=fields.text("reply"),
        status=fields.text("status"),
        tls=fields.text("tls"),
        waited=fields.number("waited"),
        transfer=fields.number("transfer"),
    )


def summary_object(summary: Summary) -> JsonObject:
    """Return the JSON object of a summary."""
    ledger = summary.ledger
    return {
        "messages": summary.messages,
        "held": summary.held,
        "in_delivery": summary.claimed,
        "oldest": time_text(summary.oldest),
        "recipients": {status.value: summary.recipients.get(status, 0) for status in Status},
        "ledger": {**asdict(ledger), "missing": ledger.missing},
        "history": {"messages": summary.finished, "failed": summary.failed},
        "unreported": summary.unreported,
    }


def read_summary(value: object) -> Summary:
    """Return the summary of a JSON object. Raises WireError."""
    fields = Fields(value, "a summary")
    recipients, ledger, history = (fields.inner(name) for name in ("recipients", "ledger", "history"))
    return Summary(
        messages=fields.whole("messages"),
        held=fields.whole("held"),
        claimed=fields.whole("in_delivery"),
        oldest=fields.optional("oldest", fields.time),
        recipients={status: recipients.whole(status.value, 0) for status in Status},
        ledger=Ledger(*(ledger.whole(name) for name in ("accepted", "delivered", "failed", "removed", "waiting"))),
        finished=history.whole("messages"),
        failed=history.whole("failed"),
        unreported=fields.whole("unreported"),
    )


def shape_object(shape: DomainShape) -> JsonObject:
    """Return the JSON object of a domain."""
    ages = dict(zip(AGE_NAMES, shape.ages, strict=True))
    return {**asdict(shape), "oldest": time_text(shape.oldest), "ages": ages}


def read_shape(value: object) -> DomainShape:
    """Return the domain of a JSON object. Raises WireError."""
    fields = Fields(value, "a domain")
    ages = fields.inner("ages")
    return DomainShape(
        domain=fields.text("domain"),
        waiting=fields.whole("waiting"),
        held=fields.whole("held"),
        in_delivery=fields.whole("in_delivery"),
        oldest=fields.time("oldest"),
        ages=tuple(ages.whole(name) for name in AGE_NAMES),
        reply=fields.text("reply"),
        host=fields.text("host"),
    )
