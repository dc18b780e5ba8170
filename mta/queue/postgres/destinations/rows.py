"""The rows of destinations in trouble, and the statements that change them. All functions block."""

from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.resources import files

from mta.message.outcome import TryLater
from mta.queue.postgres.session import DatabaseSession, Row
from mta.queue.sql.statements import read_statements
from mta.queue.sql.values import storable_without_nul

#: Before the first row.
NEVER = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class _Statements:
    changed: str
    failed: str
    one: str
    probe: str
    answered: str
    retry: str


_SQL = read_statements(_Statements, (files("queue_schema") / "postgres" / "destinations.sql").read_text("utf-8"))


@dataclass(frozen=True, slots=True)
class DestinationRow:
    """The state of one destination, as one relay has told it to the others."""

    name: str
    #: When it may be probed, by the database's clock.
    until: float
    #: Seconds of the present step of the back-off; 0 if the destination answers again.
    penalty: float
    trouble: TryLater
    #: When it failed last, and when the row was changed.
    failed: datetime
    changed: datetime

    @property
    def down(self) -> bool:
        """Whether it has not answered since it failed."""
        return self.penalty > 0


def _read(row: Row) -> DestinationRow:
    name, until, penalty, reply, host, status, kind, failed, changed = row
    return DestinationRow(name, until, penalty, TryLater.of_words(reply, host, status, kind), failed, changed)


def changed_rows(session: DatabaseSession, since: datetime) -> list[DestinationRow]:
    """Return the rows that were changed since then, and some that were changed shortly before. Raises QueueError."""
    return [_read(row) for row in session.rows(_SQL.changed, {"since": since})]


def _row(session: DatabaseSession, name: str) -> DestinationRow | None:
    rows = session.rows(_SQL.one, {"name": name})
    return _read(rows[0]) if rows else None


def note_failure(
    session: DatabaseSession, name: str, trouble: TryLater, *, first: float, longest: float
) -> DestinationRow | None:
    """Begin the next step of the back-off, unless one runs; return the row. Raises QueueError.

    `first` and `longest` are the seconds of the first and of the longest step.
    """
    reply, host, status, kind = map(storable_without_nul, trouble.words)
    words = {"reply": reply, "host": host, "status": status, "kind": kind}
    session.rows(_SQL.failed, {"name": name, "first": first, "longest": longest, **words})
    return _row(session, name)


def take_probe(session: DatabaseSession, name: str, node: int, seconds: float) -> tuple[bool, DestinationRow | None]:
    """Return whether the node is to try the destination, as the only one for so many seconds, and the row.

    Without a row the destination is not in trouble. Raises QueueError.
    """
    taken = session.rows(_SQL.probe, {"name": name, "node": node, "seconds": seconds})
    return bool(taken), _row(session, name)


def note_answer(session: DatabaseSession, name: str, failed: datetime) -> None:
    """Have the destination answer again, unless it failed later than that. Raises QueueError."""
    session.rows(_SQL.answered, {"name": name, "failed": failed})


def allow_probe(session: DatabaseSession, name: str) -> None:
    """Let the destination be probed at once. Raises QueueError."""
    session.rows(_SQL.retry, {"name": name})
