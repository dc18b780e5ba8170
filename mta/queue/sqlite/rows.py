"""The parameters of the statements that store messages, recipients and verdicts."""

import sqlite3
from collections.abc import Callable, Iterable

from mta.queue.ids import to_number
from mta.queue.interface import AttemptRecord, NewMail, Verdict
from mta.queue.sql.values import Row, storable

# For a value that is not exactly an int, a float or a str, sqlite3 looks for an adapter and, unless one is registered,
# raises and catches two exceptions (measured: 2 % of a relayed message, which has twelve such values). These adapters
# return the value, and need no call of Python's: an empty mapping has None for None.
_none: Callable[[None], None] = dict[None, None]().get
sqlite3.register_adapter(type(None), _none)
sqlite3.register_adapter(bool, int)
sqlite3.register_adapter(bytes, bytes)


def message_row(mail: NewMail, number: int, now: float, *, leased: bool, due: float, in_file: bool) -> Row:
    """Return the parameters of add_message."""
    envelope = mail.envelope
    sender, origin, ret, envid = envelope.sender, envelope.origin, envelope.ret, envelope.envid
    demand = envelope.tls_demand
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
        envelope.body_type._value_,
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
        None if demand is None else demand.value,
    )


def verdict_row(verdict: Verdict, number: int, now: float) -> Row:
    """Return the parameters of settle_recipient."""
    outcome, due = verdict.outcome, verdict.due
    finished = now if due is None else None
    # Not `value`, which is two calls in Python 3.11; here and above, each message needs it.
    status = verdict.status._value_
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


def ids_json(numbers: Iterable[int]) -> str:
    """Return row numbers as a JSON array, which a statement takes as one value."""
    return f"[{','.join(map(str, numbers))}]"
