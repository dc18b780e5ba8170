"""Values as parameters of the statements that change mail, and the JSON of a finished recipient."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from mta.message.body import Body, MemoryBody
from mta.message.envelope import BodyType, Recipient
from mta.queue.ids import to_number
from mta.queue.interface import AttemptRecord, Claim, NewMail, Status, Verdict
from mta.queue.postgres.arrays import ToArray, booleans, floats, integers, numbers, octets, texts
from mta.queue.sql.values import storable_without_nul as storable

#: The arrays in which values are sent by name, and the usual value of each. An array with no other value is not sent: a
#: batch with one message has forty arrays, and the server takes a microsecond for each (measured).
Columns = Mapping[str, tuple[ToArray, object]]

# Equals no value.
_NOTHING = object()
_quote = json.encoder.encode_basestring
# The members of an Enum, and their values, that most messages have. To read one off its Enum costs as much as a call.
_SEVEN_BIT, _SEVEN_BIT_TEXT = BodyType.SEVEN_BIT, BodyType.SEVEN_BIT.value
_DELIVERED, _DELIVERED_TEXT = Status.DELIVERED, Status.DELIVERED.value
#: Octets of a chunk of a large body.
CHUNK_OCTETS = 256 * 1024


def message_row(mail: NewMail, number: int, now: float, *, token: int, due: float) -> tuple[Any, ...]:
    """Return the values of a message to add, in the order of `MESSAGE_COLUMNS`; token 1 is a claim, 0 none."""
    envelope, described = mail.envelope, mail.description
    sender, origin, report_of = envelope.sender, envelope.origin, described.report_of
    return (
        number,
        now,
        mail.body.size,
        chunks_of(mail.body),
        None if sender is None else sender.local,
        None if sender is None else sender.domain,
        origin.client,
        origin.helo,
        origin.protocol,
        _SEVEN_BIT_TEXT if envelope.body_type is _SEVEN_BIT else envelope.body_type.value,
        envelope.smtputf8,
        None if envelope.ret is None else envelope.ret.value,
        envelope.envid,
        origin.login,
        described.message_id,
        described.subject,
        described.author,
        described.tls,
        None if report_of is None else to_number(report_of),
        None if envelope.tls_demand is None else envelope.tls_demand.value,
        mail.held,
        token,
        due,
    )


#: The values of a message. The usual ones are those that the statement takes for NULL.
MESSAGE_COLUMNS: Columns = {
    "id": (numbers, _NOTHING),
    "created": (floats, _NOTHING),
    "size": (numbers, _NOTHING),
    "chunks": (integers, 0),
    "sender_local": (texts, None),
    "sender_domain": (texts, None),
    "client": (texts, _NOTHING),
    "helo": (texts, _NOTHING),
    "protocol": (texts, _NOTHING),
    "body_type": (texts, _SEVEN_BIT_TEXT),
    "smtputf8": (booleans, False),
    "ret": (texts, None),
    "envid": (texts, None),
    "login": (texts, ""),
    "message_id": (texts, ""),
    "subject": (texts, ""),
    "author": (texts, ""),
    "tls": (texts, ""),
    "report_of": (numbers, None),
    "tls_demand": (texts, None),
    "held": (booleans, False),
    "token": (integers, 1),
    "due": (floats, _NOTHING),
}


def chunks_of(body: Body) -> int:
    """Return the number of chunks in which a body is stored; 0 if it is a row of `body`."""
    return 0 if isinstance(body, MemoryBody) else -(-body.size // CHUNK_OCTETS)


#: The values of `mta.queue.sql.values.recipient_row`.
RECIPIENT_COLUMNS: Columns = {
    "recipient_of": (numbers, _NOTHING),
    "idx": (integers, 0),
    "local": (texts, _NOTHING),
    "domain": (texts, _NOTHING),
    "notify": (integers, None),
    "original": (texts, None),
    "recipient_due": (floats, _NOTHING),
}
BODY_COLUMNS: Columns = {"body_of": (numbers, _NOTHING), "data": (octets, _NOTHING)}
ENDED_COLUMNS: Columns = {
    "ended": (numbers, _NOTHING),
    "ended_token": (integers, 1),
    "finished": (floats, _NOTHING),
    "delivered": (integers, 1),
    "failed": (integers, 0),
    "removed": (integers, 0),
    "recipients": (texts, _NOTHING),
}
MARKED_COLUMNS: Columns = {"marked": (numbers, _NOTHING), "marked_token": (integers, 1)}
#: The columns that have only usual values in most batches: mail with one recipient, delivered at its first attempt.
PLAIN = (
    *("chunks", "smtputf8", "ret", "envid", "report_of", "tls_demand", "held", "token"),
    *("idx", "notify", "original"),
    *("ended_token", "delivered", "failed", "removed", "marked_token"),
)


def finished_recipients(claim: Claim, verdicts: Sequence[Verdict], now: float) -> str:
    """Return the JSON of recipients that all became final at their first attempt, as `history` keeps them.

    The verdicts must be those of all recipients. A verdict of an attempt that did not deliver has its attempt in it.
    """
    if len(verdicts) == 1:
        (verdict,), (recipient,) = verdicts, claim.envelope.recipients
        return f"[{_finished_recipient(verdict.index, recipient, verdict, claim.token, now)}]"
    by_index = {verdict.index: verdict for verdict in verdicts}
    finished = [
        _finished_recipient(index, recipient, by_index[index], claim.token, now)
        for index, recipient in enumerate(claim.envelope.recipients)
    ]
    return f"[{','.join(finished)}]"


def _finished_recipient(index: int, recipient: Recipient, verdict: Verdict, token: int, now: float) -> str:
    """Return the JSON of a recipient. An encoder for the whole would take four times as long for each message."""
    address, outcome, status = recipient.address, verdict.outcome, verdict.status
    attempts, status_text = 1, _DELIVERED_TEXT
    if status is not _DELIVERED:
        attempts, status_text = int(status is not Status.REMOVED), status.value
    row = (
        f'{{"idx":{index},"local":{_quote(address.local)},"domain":{_quote(address.domain)},"status":"{status_text}",'
        f'"attempts":{attempts},"reply":{_quote(storable(outcome.text))},"host":{_quote(storable(outcome.host))},'
        f'"finished":{now!r},"verdict":{token}'
    )
    if recipient.notify is not None:
        row += f',"notify":{recipient.notify.value}'
    if recipient.original is not None:
        row += f',"original":{_quote(storable(recipient.original))}'
    if verdict.signed_by:
        row += f',"signed_by":{_quote(storable(verdict.signed_by))}'
    if verdict.attempt is not None:
        row += f',"made":{json.dumps([{"number": attempts, **attempt_columns(verdict.attempt)}])}'
    return row + "}"


def attempt_columns(attempt: AttemptRecord) -> dict[str, Any]:
    """Return the values of an attempt by column; its number is left to the caller."""
    return {
        "time": attempt.time,
        "host": storable(attempt.host),
        "reply": storable(attempt.reply),
        "status": attempt.status,
        "tls": storable(attempt.tls),
        "waited": attempt.waited,
        "transfer": attempt.transfer,
    }
