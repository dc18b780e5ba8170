"""A transaction that changes mail, in the name of a node whose lane it has locked, and the counts of its changes."""

from dataclasses import dataclass, field

from mta.queue.interface import Status
from mta.queue.postgres.session import DatabaseSession, Row, Values


@dataclass(slots=True)
class LaneCounts:
    """The recipients that a transaction adds, and those that it makes final, by result. They go into its lane."""

    accepted: int = 0
    delivered: int = 0
    failed: int = 0
    removed: int = 0

    def count(self, status: Status, number: int = 1) -> None:
        """Count recipients that became final with this status; WAITING is none."""
        if status is not Status.WAITING:
            setattr(self, status.value, getattr(self, status.value) + number)


@dataclass(frozen=True, slots=True)
class LaneFence:
    """The lane that a statement must lock, and the number of the session that may write in it."""

    node: int
    lane: int
    session: int = 0


@dataclass(frozen=True, slots=True)
class QueueChange:
    """The transaction as its work sees it. The work adds to `counts`, which are written at the end."""

    session: DatabaseSession
    #: The node in whose name it is done: the only one whose claims it may settle. 0 stands for the operators.
    node: int
    #: Whether the work may have been done and committed before, because an earlier outcome is not known.
    again: bool = False
    counts: LaneCounts = field(default_factory=LaneCounts)
    #: The lane of the node that the transaction has locked; None: its first one.
    fence: LaneFence | None = None

    def rows(self, statement: str, values: Values | None = None) -> list[Row]:
        """Execute a statement, as `DatabaseSession.rows` does."""
        return self.session.rows(statement, values)
