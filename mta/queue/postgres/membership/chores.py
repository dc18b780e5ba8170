"""Chores: tasks that one relay does for all that share the queue, without a leader.

The relay that moves the time of a chore on has it. If it dies over that, another relay has the next turn.
"""

from dataclasses import dataclass

from mta.queue.postgres.membership.statements import SQL
from mta.queue.postgres.session import DatabaseSession

#: Seconds for which a transaction may run; a longer one keeps the rows of delivered mail on the disk.
MAX_TRANSACTION = 600.0
#: Seconds after its takeover for which a node may still have stored chunks for a message that it adds as a new node,
#: and seconds for which its row is kept for an operator.
_CHUNKS_AGE = 600.0
_NODE_AGE = 86400.0
#: Seconds after which chunks go whose message is not in the queue by then, though their node lives. An add whose chunks
#: are stored takes a minute or two at the most.
_MOST_CHUNKS_AGE = 3600.0
# Seconds for which a destination is remembered that nobody has tried again.
_DESTINATION_AGE = 86400.0
#: Chunks of 256 KiB and nodes that one statement removes.
_CHUNKS = 200
_NODES = 200


def take_chore(session: DatabaseSession, name: str, interval: float) -> bool:
    """Return whether this relay is to do a chore now; no relay is asked again for `interval` seconds. Blocks.

    Raises QueueError.
    """
    return bool(session.rows(SQL.take_chore, {"name": name, "interval": interval}))


def sweep(session: DatabaseSession) -> None:
    """Remove old rows: chunks of no message, destinations, and nodes that were fenced off. Blocks.

    The counts of their lanes go to the operators' lane, so that the tables do not grow with each start of a relay and
    the ledger adds up. Raises QueueError.
    """
    _repeat(session, SQL.sweep_chunks, {"age": _CHUNKS_AGE, "most_age": _MOST_CHUNKS_AGE, "limit": _CHUNKS})
    _repeat(session, SQL.fold_nodes, {"age": _NODE_AGE, "limit": _NODES})
    session.rows(SQL.sweep_destinations, {"age": _DESTINATION_AGE})


def _repeat(session: DatabaseSession, statement: str, values: dict[str, float]) -> None:
    """Execute a statement until it removes fewer rows than it may."""
    while session.rows(statement, values)[0][0] >= values["limit"]:
        pass


@dataclass(frozen=True, slots=True)
class LongTransaction:
    """A transaction in the queue's database that runs for too long."""

    #: The program and the process of it, or its name if it is prepared.
    name: str
    #: When it began, by the database's clock.
    begun: float
    #: Seconds since then.
    seconds: float

    def __str__(self) -> str:
        return (
            f"a transaction {self.name} has been open in the queue's database for {self.seconds / 60:.0f} minutes, so "
            "that the space of delivered mail cannot be used again: end it"
        )


def longest_transaction(session: DatabaseSession, age: float = MAX_TRANSACTION) -> LongTransaction | None:
    """Return the oldest transaction if it has run for longer than `age` seconds. Blocks; raises QueueError."""
    rows = session.rows(SQL.oldest_transaction, {"age": age})
    return LongTransaction(*rows[0]) if rows else None
