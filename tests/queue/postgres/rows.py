"""The rows of a queue on PostgreSQL, read without the code of the relay."""

from collections import Counter
from dataclasses import dataclass

from harness.databases import Databases

_COUNTS = "accepted", "delivered", "failed", "removed"


@dataclass
class Rows:
    """How often each message is there, by its number, and the counts of the ledger."""

    waiting: Counter[int]
    finished: Counter[int]
    recipients_waiting: int
    ledger: dict[str, int]

    @property
    def missing(self) -> int:
        """Recipients that the ledger has accepted and that are neither finished nor waiting."""
        counts = self.ledger
        return counts["accepted"] - counts["delivered"] - counts["failed"] - counts["removed"] - self.recipients_waiting


def read_rows(server: Databases, database: str) -> Rows:
    """Read them, in one snapshot."""
    sums = ", ".join(f"'{name}', sum({name})" for name in _COUNTS)
    ((waiting, finished, recipients, ledger),) = server.execute(
        f"""SELECT (SELECT array_agg(id) FROM smtprelay.message), (SELECT array_agg(id) FROM smtprelay.history),
        (SELECT count(*) FROM smtprelay.recipient WHERE status = 'waiting'),
        (SELECT json_build_object({sums}) FROM smtprelay.lane)""",
        database=database,
    )
    return Rows(Counter(waiting or ()), Counter(finished or ()), recipients, ledger)


def parts_without_a_message(server: Databases, database: str) -> dict[str, int]:
    """Return the number of rows whose message neither waits nor has claimed them, by table; 0 in each is right."""
    found = {}
    for table in ("recipient", "body", "attempt"):
        ((found[table],),) = server.execute(
            f"""SELECT count(*) FROM smtprelay.{table} AS part
            WHERE NOT EXISTS (SELECT FROM smtprelay.message WHERE id = part.message_id)""",
            database=database,
        )
    return found


def end_lives(server: Databases, database: str, *nodes: int) -> None:
    """Have these nodes look dead to the others until their next sign of life; all nodes without an argument."""
    which = f"id IN ({', '.join(map(str, nodes))})" if nodes else "id <> 0"
    server.execute(
        f"UPDATE smtprelay.node SET alive_until = clock_timestamp() - interval '1 hour' WHERE {which}",
        database=database,
    )
