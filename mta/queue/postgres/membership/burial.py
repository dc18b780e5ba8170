"""Burial: a node whose lease is over loses its mail to the other relays, and every right to change the queue.

All of it is one transaction, which locks the lanes of the node first. So a batch of that node is either committed
before, or finds its lane buried and changes nothing.
"""

from dataclasses import dataclass

from mta.queue.postgres.membership.statements import SQL
from mta.queue.postgres.session import DatabaseSession


@dataclass(frozen=True, slots=True)
class Burial:
    """A node that was buried, and its messages, which are now due for any relay."""

    node: int
    name: str
    messages: int
    #: Seconds for which its lease was over; 0 if it has left by itself.
    overdue: float


def dead_nodes(session: DatabaseSession) -> list[int]:
    """Return the nodes that are to be buried, the oldest first. Blocks; raises QueueError."""
    return [id for (id,) in session.rows(SQL.dead_nodes)]


def bury(session: DatabaseSession, node: int, *, by: int) -> Burial | None:
    """Bury a node whose lease is over; `by` is the node that does it. Blocks; raises QueueError.

    The result is None, and nothing is changed, if the node has shown a sign of life meanwhile or is buried already, or
    if the lease of `by` is over.
    """
    return _bury(session, node, SQL.dead_node, {"node": node, "by": by})


def bury_own(session: DatabaseSession, node: int) -> Burial | None:
    """Give back everything that a node of this process has, and bury it. None if it was buried. Blocks.

    Raises QueueError.
    """
    return _bury(session, node, SQL.own_node, {"node": node})


def _bury(session: DatabaseSession, node: int, condition: str, values: dict[str, int]) -> Burial | None:
    """Bury a node if the statement `condition` finds it, which also locks its row."""
    with session.transaction():
        session.rows(SQL.lock_lanes, {"node": node})
        found = session.rows(condition, values)
        if not found:
            return None
        ((name, overdue),) = found
        ((messages,),) = session.rows(SQL.give_back, {"node": node})
        session.rows(SQL.bury_lanes, {"node": node})
        session.rows(SQL.bury_node, {"node": node})
    return Burial(node, name, messages, overdue)
