"""Claims that leave alone what could not be tried now: a look at what is due, then one change for all of it.

Each half is one statement that gives or takes one value: SQLite then works through hundreds of messages without handing
the interpreter's lock back and forth at every row, which beside a busy reactor thread could take seconds.
"""

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from mta.queue.interface import PutOff, Waiting
from mta.queue.statements import SQL

#: Messages looked at for one claim: what bounds how long the two threads are busy with it.
LOOKED_AT = 500

# Row number, and what `put_off` may ask about; None for what has to be claimed.
Candidate = tuple[int, Waiting | None]


@dataclass(frozen=True, slots=True)
class Sifted:
    """Row numbers to claim, and pairs of a row number and its new due time."""

    claim: Sequence[int]
    later: Sequence[tuple[int, float]]


def candidates(connection: sqlite3.Connection, now: float) -> list[Candidate]:
    """Return what is due, longest due first. Raises sqlite3.Error."""
    (found,) = connection.execute(SQL.candidates, (now, LOOKED_AT)).fetchone()
    return [_candidate(*row) for row in json.loads(found)]


def sift(due: Sequence[Candidate], limit: int, put_off: PutOff) -> Sifted:
    """Part what is to be claimed, no more than `limit`, from what is to wait."""
    claim: list[int] = []
    later: list[tuple[int, float]] = []
    for number, waiting in due:
        until = None if waiting is None else put_off(waiting)
        if until is not None:
            later.append((number, until))
        elif len(claim) < limit:
            claim.append(number)
        else:
            break
    return Sifted(claim, later)


def postpone(connection: sqlite3.Connection, later: Sequence[tuple[int, float]], now: float) -> None:
    """Give new due times to those of these messages that are still due, unheld and unleased. Raises sqlite3.Error."""
    if later:
        connection.execute(SQL.postpone, (json.dumps(later), now))


def _candidate(number: int, leased: int, created: float, delay_reported: int, domains: str) -> Candidate:
    return number, None if leased else Waiting(created, bool(delay_reported), _domains(domains))


@lru_cache(maxsize=4096)
def _domains(text: str) -> tuple[str, ...]:
    """Return the domains of a JSON array; most messages have one, and share it with many."""
    return tuple(json.loads(text))
