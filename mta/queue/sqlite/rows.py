"""Conversion between values and rows. An address is stored in its two parts, so that it need not be parsed again."""

import json
import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

from mta.message.body import Body
from mta.message.envelope import BodyType, Envelope, Notify, Origin, Recipient, Ret
from mta.queue.ids import to_id, to_number
from mta.queue.interface import AttemptRecord, Claim, NewMail, Pending, RecipientState, Status, Verdict
from mta.smtp.address import Address

T = TypeVar("T")
Row = tuple[Any, ...]

_BODY_TYPES = {kind.value: kind for kind in BodyType}
_RETS: dict[str | None, Ret | None] = {kind.value: kind for kind in Ret} | {None: None}
_STATUSES = {status.value: status for status in Status}


def _unchanged(value: T) -> T:
    return value


# For a value that is not exactly an int, a float or a str, sqlite3 looks for an adapter and, unless one is registered,
# raises and catches two exceptions (measured: 2 % of a relayed message, which has nine such values).
for _kind in (type(None), bool, bytes):
    sqlite3.register_adapter(_kind, _unchanged)


def storable(text: str) -> str:
    """Return text for a TEXT column: lone surrogates, which cannot be encoded as UTF-8, become `?`."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def message_row(mail: NewMail, number: int, now: float, *, leased: bool, due: float, in_file: bool) -> Row:
    """Return the parameters of add_message."""
    envelope = mail.envelope
    sender, origin, ret, envid = envelope.sender, envelope.origin, envelope.ret, envelope.envid
    described = mail.description
    report_of = described.report_of
    return (
        number,
        now,
        mail.body.size,
        in_file,
        None if sender is None else sender.local,
        None if sender is None else sender.domain,
        origin.client,
        storable(origin.helo),
        origin.protocol,
        envelope.body_type.value,
        envelope.smtputf8,
        None if ret is None else ret.value,
        None if envid is None else storable(envid),
        int(leased),
        leased,
        due,
        # Not a bool, for which sqlite3 calls an adapter.
        1 if mail.held else 0,
        origin.login and storable(origin.login),
        described.message_id,
        described.subject,
        described.author,
        described.tls,
        None if report_of is None else to_number(report_of),
    )


def recipient_row(number: int, index: int, recipient: Recipient, due: float) -> Row:
    """Return the parameters of add_recipient."""
    address, notify, original = recipient.address, recipient.notify, recipient.original
    return (
        number,
        index,
        address.local,
        address.domain,
        None if notify is None else notify.value,
        None if original is None else storable(original),
        due,
    )


def verdict_row(verdict: Verdict, number: int, now: float) -> Row:
    """Return the parameters of settle_recipient."""
    outcome, due = verdict.outcome, verdict.due
    finished = now if due is None else None
    status = verdict.status.value
    signed_by = verdict.signed_by or None
    return (status, due, storable(outcome.text), storable(outcome.host), finished, signed_by, number, verdict.index)


def attempt_row(attempt: AttemptRecord, number: int, index: int) -> Row:
    """Return the parameters of add_attempt."""
    return (
        attempt.time,
        storable(attempt.host),
        storable(attempt.reply),
        attempt.status,
        storable(attempt.tls),
        attempt.waited,
        attempt.transfer,
        number,
        index,
    )


def pending_of(envelope: Envelope) -> tuple[Pending, ...]:
    """Return the pending recipients of a message that was never tried."""
    return tuple(Pending(index, recipient) for index, recipient in enumerate(envelope.recipients))


def read_recipient(local: str, domain: str, notify: int | None, original: str | None) -> Recipient:
    """Return a stored recipient."""
    return Recipient(Address(local, domain), None if notify is None else Notify(notify), original)


def read_claim(row: Row, recipients: Iterable[Row], body: Body) -> Claim:
    """Return the claim for a row of `claimable` and its rows of `recipients`."""
    number, token, created, _size, _in_file, local, domain, client, helo, protocol = row[:10]
    body_type, smtputf8, ret, envid, delay_reported = row[10:15]
    login: str = row[16]
    all_recipients: list[Recipient] = []
    pending: list[Pending] = []
    for _, index, *parts, status, attempts, way in recipients:
        recipient = read_recipient(*parts)
        all_recipients.append(recipient)
        if status == "waiting":
            pending.append(Pending(index, recipient, attempts, way))
    sender = None if local is None else Address(local, domain)
    origin = Origin(client, helo, protocol, login)
    envelope = Envelope(
        sender, tuple(all_recipients), origin, _BODY_TYPES[body_type], bool(smtputf8), _RETS[ret], envid
    )
    return Claim(to_id(number), token, envelope, body, created, tuple(pending), bool(delay_reported))


def read_due_envelope(row: Sequence[Any]) -> Envelope | None:
    """Return the envelope of a due message, from the last seven columns of `due_envelopes`."""
    local, domain, client, helo, protocol, login, recipients = row
    if recipients is None:
        return None
    sender = None if local is None else Address(local, domain)
    addresses = (Recipient(Address(*parts)) for parts in json.loads(recipients))
    return Envelope(sender, tuple(addresses), Origin(client, helo, protocol, login))


def read_state(due: float | None, row: Sequence[Any], made: tuple[AttemptRecord, ...] = ()) -> RecipientState:
    """Return a recipient for an operator, from the last nine columns of `entries`, and the attempts `made` for it."""
    local, domain, status, attempts, reply, host, finished, signed_by, way = row
    status = _STATUSES[status]
    waits = status is Status.WAITING
    due, way = (due, way or "") if waits else (None, "")
    address = str(Address(local, domain))
    return RecipientState(address, status, attempts, due, reply, host, finished, signed_by or "", made, way)


def ids_json(numbers: Iterable[int]) -> str:
    """Return row numbers as a JSON array, which a statement takes as one value."""
    return f"[{','.join(map(str, numbers))}]"
