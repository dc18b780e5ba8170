"""Conversion between stored values and the values of the queue, which the engines that store them share.

An address is stored in its two parts, so that it need not be parsed again.
"""

import json
from collections.abc import Iterable, Sequence
from typing import Any

from mta.message.body import Body
from mta.message.envelope import BodyType, Envelope, Notify, Origin, Recipient, Ret, TlsDemand
from mta.message.outcome import Failed
from mta.queue.ids import to_id
from mta.queue.interface import Claim, Pending
from mta.smtp.address import Address

Row = tuple[Any, ...]

_BODY_TYPES = {kind.value: kind for kind in BodyType}
_DEMANDS: dict[str | None, TlsDemand | None] = {kind.value: kind for kind in TlsDemand} | {None: None}
_RETS: dict[str | None, Ret | None] = {kind.value: kind for kind in Ret} | {None: None}


def storable(text: str) -> str:
    """Return text for a column of text: lone surrogates, which cannot be encoded as UTF-8, become `?`."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def storable_without_nul(text: str) -> str:
    """Return text for a column of PostgreSQL, which has no NUL either."""
    if text.isascii() and "\0" not in text:
        return text
    return storable(text).replace("\0", "")


def recipient_row(number: int, index: int, recipient: Recipient, due: float) -> Row:
    """Return the values of a recipient to add: message, place, the two parts of the address, parameters, due time."""
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
    login, demand = row[16:]
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
        sender,
        tuple(all_recipients),
        origin,
        _BODY_TYPES[body_type],
        bool(smtputf8),
        _RETS[ret],
        envid,
        _DEMANDS[demand],
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


#: Stands between an operator's text and the last answer of the host, if there was one.
LAST_REPLY = "; the last try said: "


def returned(text: str, reply: str, host: str) -> Failed:
    """Return the failure of a recipient whose message an operator returns, with the last answer of its host."""
    return Failed(f"{text}{LAST_REPLY}{reply}" if reply else text, host)
