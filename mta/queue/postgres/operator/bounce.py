"""Returns messages to their senders, as an operator orders it, in one transaction."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter

from mta.message.body import Body, DamagedError, MemoryBody
from mta.queue.entries import QueueId, Status
from mta.queue.ids import known_numbers, to_id, to_number
from mta.queue.interface import Claim, MakeReports, NewMail, Verdict
from mta.queue.postgres.change import QueueChange
from mta.queue.postgres.operator.order_statements import SQL
from mta.queue.postgres.operator.orders import finish_or_alter
from mta.queue.postgres.operator.search import are_storable
from mta.queue.search.matching import plain
from mta.queue.sql.values import LAST_REPLY, Row, read_claim, returned, storable_without_nul

#: Messages whose bodies are in memory at a time.
_AT_ONCE = 50
_REPLY, _HOST, _CHOSEN = 9, 10, 11

#: Adds messages that are due at once, as a part of the transaction.
AddAll = Callable[[QueueChange, Sequence[NewMail], float], object]


def bounce(
    change: QueueChange,
    ids: Sequence[QueueId],
    now: float,
    text: str,
    make_reports: MakeReports,
    *,
    recipient: str = "",
    add_all: AddAll,
) -> list[QueueId]:
    """Return messages to their senders as `Queue.bounce` describes; give the ids of those that were returned, in order.

    `make_reports` may read the bodies of claims only while it is called. Raises QueueError as `QueueChange.rows` does,
    and the errors of `make_reports`.
    """
    text = storable_without_nul(text)
    recipient = plain(recipient)
    if not are_storable(recipient):
        return []
    ((numbers,),) = change.rows(SQL.lock, {"ids": sorted(set(known_numbers(ids))), "held": None, "released": None})
    done: list[int] = []
    for start in range(0, len(numbers), _AT_ONCE):
        reports: list[NewMail] = []
        part: list[int] = []
        for claim, verdicts in _claims(change, numbers[start : start + _AT_ONCE], text, recipient):
            reports += make_reports(claim, verdicts)
            part.append(to_number(claim.id))
        add_all(change, reports, now)
        _return(change, part, now, text, recipient)
        done += part
    return [to_id(number) for number in done]


def _claims(
    change: QueueChange, numbers: Sequence[int], text: str, recipient: str
) -> Iterator[tuple[Claim, list[Verdict]]]:
    """Yield messages in which recipients are to be returned, each with the verdicts of these."""
    rows = change.rows(SQL.returnable_recipients, {"ids": numbers, "recipient": recipient})
    recipients = {number: list(group) for number, group in groupby(rows, key=itemgetter(0))}
    chosen = [number for number, each in recipients.items() if any(row[_CHOSEN] for row in each)]
    if not chosen:
        return
    for message in change.rows(SQL.returnable, {"ids": chosen}):
        number, size, chunks, data = message[0], message[3], message[4], message[15]
        body: Body = _ChunkedBody(change, number, size, chunks) if chunks else MemoryBody(data)
        claim = read_claim(message, (row[:_REPLY] for row in recipients[number]), body)
        yield claim, [_verdict(row, text) for row in recipients[number] if row[_CHOSEN]]


def _verdict(row: Row, text: str) -> Verdict:
    return Verdict(row[1], returned(text, row[_REPLY], row[_HOST]))


def _return(change: QueueChange, numbers: Sequence[int], now: float, text: str, recipient: str) -> None:
    """Make the recipients final, with the words that their verdicts have."""
    values = {"ids": numbers, "now": now, "text": text, "said": LAST_REPLY, "recipient": recipient}
    ((count,),) = change.rows(SQL.return_recipients, values)
    change.counts.count(Status.FAILED, count)
    finish_or_alter(change, numbers, now)


@dataclass(frozen=True, slots=True)
class _ChunkedBody:
    """A large body, of which a report reads the beginning."""

    change: QueueChange
    number: int
    size: int
    count: int

    def chunks(self) -> Iterator[bytes]:
        for n in range(self.count):
            rows = self.change.rows(SQL.chunk, {"id": self.number, "n": n})
            if not rows:
                raise DamagedError(f"chunk {n} of the stored message is missing")
            yield rows[0][0]
