"""Takeover: a node whose lease is over loses its mail to the other relays, and every right to change the queue.

All of it is one transaction, which locks the lanes of the node first. So a batch of that node is either committed
before, or finds its lane fenced off and changes nothing.
"""

from dataclasses import dataclass

from mta.queue.postgres.membership.statements import SQL
from mta.queue.postgres.session import DatabaseSession


@dataclass(frozen=True, slots=True)
class Takeover:
    """A node that was taken over, and its messages, which are now due for any relay."""

    node: int
    name: str
    messages: int
    #: Seconds for which its lease was over; 0 if it has left by itself.
    overdue: float


def dead_nodes(session: DatabaseSession) -> list[int]:
    """Return the nodes that are to be taken over, the oldest first. Blocks; raises QueueError."""
    return [id for (id,) in session.rows(SQL.dead_nodes)]


def take_over(session: DatabaseSession, node: int, *, by: int) -> Takeover | None:
    """Take over a node whose lease is over; `by` is the node that does it. Blocks; raises QueueError.

    The result is None, and nothing is changed, if the node has shown a sign of life meanwhile or is fenced off already,
    or if the lease of `by` is over.
    """
    return _take_over(session, node, SQL.dead_node, {"node": node, "by": by})


def give_up(session: DatabaseSession, node: int) -> Takeover | None:
    """Give back everything that a node of this process has, and fence it off. None if it was before. Blocks.

    Raises QueueError.
    """
    return _take_over(session, node, SQL.own_node, {"node": node})


def _take_over(session: DatabaseSession, node: int, condition: str, values: dict[str, int]) -> Takeover | None:
    """Take over a node if the statement `condition` finds it, which also locks its row."""
    with session.transaction():
        session.rows(SQL.lock_lanes, {"node": node})
        found = session.rows(condition, values)
        if not found:
            return None
        ((name, overdue),) = found
        ((messages,),) = session.rows(SQL.give_back, {"node": node})
        session.rows(SQL.fence_lanes, {"node": node})
        session.rows(SQL.fence_node, {"node": node})
    return Takeover(node, name, messages, overdue)
