"""The explanation of one message as an object for JSON. Times are ISO 8601 in UTC."""

from mta.admin.wire.fields import time_text
from mta.delivery.replies.common_replies import KnownReply
from mta.explain.message.page import MessagePage, RecipientPart, Step
from mta.explain.objects import JsonObject, retry_object, route_object, transport_object
from mta.queue.ids import arrival_of, release_of
from mta.queue.interface import AttemptRecord


def page_object(page: MessagePage) -> JsonObject:
    """Return the page as an object for JSON."""
    entry = page.entry
    return {
        "id": entry.id,
        "sender": entry.sender,
        "subject": entry.subject,
        "from": entry.author,
        "message_id": entry.message_id,
        "size": entry.size,
        "created": time_text(arrival_of(entry.id, entry.created)),
        "release": time_text(release_of(entry.id, entry.created)),
        "submitted": page.submitted,
        "client": entry.client or None,
        "login": entry.login or None,
        "tls": entry.tls or None,
        "tls_demand": entry.tls_demand or None,
        "report_of": entry.report_of,
        "allowed": page.allowed or None,
        "state": page.state,
        "held": page.held or None,
        "recipients": [_recipient_object(part) for part in page.recipients],
        "reports": list(page.reports),
        "choices": [{"command": each.command, "effect": each.effect} for each in page.choices],
        "notes": list(page.notes),
        "timeline": [_step_object(each) for each in page.timeline],
    }


def _recipient_object(part: RecipientPart) -> JsonObject:
    state, found, coming = part.state, part.meaning, part.next
    return {
        "address": state.address,
        "status": state.status.value,
        "attempts": state.attempts,
        "finished": time_text(state.finished),
        "route": None if part.route is None else route_object(part.route),
        "transport": None if part.transport is None else transport_object(part.transport),
        "attempts_made": [_attempt_object(each) for each in state.attempts_made],
        "host": state.host or None,
        "reply": state.reply or None,
        "meaning": meaning_object(found),
        "others": part.others,
        "advice": part.advice or None,
        "dkim": state.signed_by or None,
        "next": None if coming is None else {"time": time_text(coming.time), "reason": coming.words},
        "retry": [retry_object(each) for each in part.retry],
        "gives_up": time_text(part.gives_up),
    }


def _attempt_object(each: AttemptRecord) -> JsonObject:
    return {
        "time": time_text(each.time),
        "host": each.host,
        "reply": each.reply,
        "status": each.status,
        "tls": each.tls,
        "waited": each.waited,
        "transfer": each.transfer,
    }


def _step_object(step: Step) -> JsonObject:
    return {
        "step": step.kind.value,
        "time": time_text(step.time),
        "text": step.text,
        "recipients": list(step.recipients),
        "host": step.host or None,
        "reply": step.reply or None,
        "meaning": meaning_object(step.meaning),
        "tls": step.tls or None,
        "waited": step.waited,
        "transfer": step.transfer,
        "message": step.message,
    }


def meaning_object(found: KnownReply | None) -> JsonObject | None:
    """Return the meaning of a reply as an object for JSON, or None."""
    return None if found is None else {"meaning": found.meaning, "remedy": found.remedy, "source": found.source}
