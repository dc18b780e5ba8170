"""An operator's conditions as SQL, with the meaning that `mta.queue.search.matching` gives them.

The statement is put together from constant parts; texts of the operator are values of `?` and never a part of it.
"""

import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from mta.queue.entries import Query
from mta.queue.ids import first_number, known_numbers, prefix_range, to_number
from mta.queue.search.conditions import Conditions, State
from mta.queue.search.matching import LOWER, NULL_SENDER
from mta.queue.sqlite.rows import ids_json

_ESCAPED = str.maketrans({"\\": r"\\", "%": r"\%", "_": r"\_", "*": "%"})
_LIKE = r"LIKE ? ESCAPE '\'"
_SENDER = "(coalesce(m.sender_local, '') || iif(coalesce(m.sender_domain, '') = '', '', '@' || m.sender_domain))"
_ADDRESS = "(r.local || iif(r.domain = '', '', '@' || r.domain))"
_ONE_RECIPIENT = "EXISTS (SELECT 1 FROM recipient AS r WHERE r.message_id = m.id"
_WAITING = "m.id IN (SELECT id FROM message INDEXED BY waiting WHERE due IS NOT NULL)"
# For the further parts of a list: all parts together read the rows once, but each would read the whole index.
_STILL_WAITING = "m.due IS NOT NULL"
_MESSAGES = "message AS m NOT INDEXED"
# The messages of the index of failures, which keeps a search for these from reading the whole history.
_FAILED = "recipient AS f INDEXED BY failed CROSS JOIN message AS m NOT INDEXED ON m.id = f.message_id"
_OF_STATE = {
    State.WAITING: "(r.due IS NOT NULL AND m.held = 0)",
    State.HELD: "(r.due IS NOT NULL AND m.held = 1)",
    State.DELIVERED: "r.status = 'delivered'",
    State.FAILED: "r.status = 'failed'",
    State.REMOVED: "r.status = 'removed'",
}
_UNFINISHED = frozenset({State.WAITING, State.HELD})

Value = str | int | float
Part = tuple[str, tuple[Value, ...]]


@dataclass(slots=True)
class _Where:
    """The terms of a WHERE clause, and the values for their `?` in the same order."""

    #: The tables, and the number of the message in the one that is read first.
    tables: str = _MESSAGES
    id: str = "m.id"
    terms: list[str] = field(default_factory=list)
    values: list[Value] = field(default_factory=list)

    def add(self, term: str, *values: Value) -> None:
        self.terms.append(term)
        self.values += values

    @property
    def text(self) -> str:
        return " AND ".join(self.terms) or "TRUE"


def search(connection: sqlite3.Connection, query: Query) -> Iterator[int]:
    """Yield the row numbers of the messages that a query selects, in its order. Raises sqlite3.Error."""
    in_parts = query.before is not None or query.after is not None
    where = _where(query.conditions, finished=query.finished, waiting=_STILL_WAITING if in_parts else _WAITING)
    if query.ids:
        where.add("m.id IN (SELECT value FROM json_each(?))", ids_json(known_numbers(query.ids)))
    if query.before is not None:
        where.add(f"{where.id} < ?", to_number(query.before))
    if query.after is not None:
        where.add(f"{where.id} > ?", to_number(query.after))
    order = f"ORDER BY {where.id} {'DESC' if query.newest_first else 'ASC'}"
    # A message comes once, even if several of its recipients have failed.
    statement = f"SELECT {where.id} FROM {where.tables} WHERE {where.text} GROUP BY {where.id} {order} LIMIT ?"  # noqa: S608 (constant parts)
    for (number,) in connection.execute(statement, (*where.values, query.limit)):
        yield number


def count_messages(connection: sqlite3.Connection, conditions: Conditions, *, finished: bool) -> int:
    """Return the number of messages that meet conditions. Raises sqlite3.Error."""
    where = _where(conditions, finished=finished)
    each = "*" if where.tables == _MESSAGES else "DISTINCT m.id"
    statement = f"SELECT count({each}) FROM {where.tables} WHERE {where.text}"  # noqa: S608 (constant parts)
    number: int = connection.execute(statement, where.values).fetchone()[0]
    return number


def _where(wanted: Conditions, *, finished: bool, waiting: str = _WAITING) -> _Where:
    where = _Where()
    if wanted.states == (State.FAILED,):
        where = _Where(_FAILED, "f.message_id", ["f.status = 'failed'"])
    # The index of waiting messages keeps a search for them from reading the history.
    if not finished or (wanted.states and _UNFINISHED.issuperset(wanted.states)):
        where.add(waiting)
    if wanted.since is not None:
        where.add(f"{where.id} >= ?", first_number(wanted.since))
    if wanted.until is not None:
        where.add(f"{where.id} < ?", first_number(wanted.until))
    if wanted.larger is not None:
        where.add("m.size > ?", wanted.larger)
    if wanted.ids:
        _add_any(where, (_id(each) for each in wanted.ids))
    if wanted.sender:
        _add_sender(where, wanted.sender)
    texts = {"m.message_id": wanted.message_id, "m.client": wanted.client, "m.login": wanted.login}
    for column, pattern in texts.items():
        if pattern:
            where.add(f"{column} {_LIKE}", like(pattern))
    if wanted.subject:
        where.add(f"m.subject {_LIKE}", like(wanted.subject, part=True))
    _add_recipient(where, wanted)
    for word in wanted.words:
        _add_any(where, _word(word))
    return where


def _add_any(where: _Where, parts: Iterable[Part]) -> None:
    terms, values = zip(*parts, strict=True)
    where.add(f"({' OR '.join(terms)})", *(value for some in values for value in some))


def _id(prefix: str) -> Part:
    numbers = prefix_range(prefix.lower())
    return ("FALSE", ()) if numbers is None else ("m.id BETWEEN ? AND ?", numbers)


def _add_sender(where: _Where, pattern: str) -> None:
    if pattern == NULL_SENDER:
        where.add("m.sender_local IS NULL")
        return
    whole, bracketed = like(pattern), like(f"<{pattern}>", part=True)
    where.add(f"({_SENDER} {_LIKE} OR m.author {_LIKE} OR m.author {_LIKE})", whole, whole, bracketed)


def _add_recipient(where: _Where, wanted: Conditions) -> None:
    """Add the conditions that one recipient must meet."""
    one = _Where()
    if wanted.states:
        one.add(f"({' OR '.join(_OF_STATE[state] for state in wanted.states)})")
    if wanted.recipient:
        domain = wanted.recipient.rpartition("@")[2]
        if "@" in wanted.recipient and "*" not in domain:
            # Half the time of the comparison of whole addresses.
            one.add("r.domain = ?", domain.translate(LOWER))
        one.add(f"{_ADDRESS} {_LIKE}", like(wanted.recipient))
    if wanted.domain:
        one.add(f"r.domain {_LIKE}", like(wanted.domain))
    if wanted.host:
        one.add(f"r.host {_LIKE}", like(wanted.host, part=True))
    if wanted.reply:
        one.add(f"r.reply {_LIKE}", like(wanted.reply, part=True))
    if one.terms:
        where.add(f"{_ONE_RECIPIENT} AND {one.text})", *one.values)


def _word(word: str) -> Iterator[Part]:
    yield _id(word)
    part = (like(word, part=True),)
    for text in (_SENDER, "m.author", "m.message_id"):
        yield f"{text} {_LIKE}", part
    yield f"{_ONE_RECIPIENT} AND {_ADDRESS} {_LIKE})", part


def like(pattern: str, *, part: bool = False) -> str:
    """Return the pattern of LIKE for a pattern with `*`, or for texts of which it is a `part`."""
    text = pattern.translate(_ESCAPED)
    return f"%{text}%" if part else text
