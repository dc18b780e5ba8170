"""A node: one start of a relay process, as the other relays know it.

The name of a node is for people, and nothing is decided by it: a pod that is started again has the same one. A node is
known by its id, which is never given again, and makes queue ids with its tag.
"""

from collections.abc import Collection
from dataclasses import dataclass

from mta.queue.interface import QueueError
from mta.queue.postgres.membership.statements import SQL
from mta.queue.postgres.opening.migration import refuse_newer
from mta.queue.postgres.session import DatabaseSession

#: Seconds for which a sign of life counts.
LEASE = 30.0
#: Seconds for which a mark is a leave to send. At the mark the last sign of life of a relay that runs is a few seconds
#: old, so that the lease lasts longer.
MARKS_LAST = LEASE / 3
_TAGS = 1024


@dataclass(frozen=True, slots=True)
class Node:
    """A node in the queue: its number, the last bits of the queue ids that it makes, and the number of its lanes."""

    id: int
    tag: int
    lanes: int
    name: str = ""


def join(session: DatabaseSession, name: str, program: str, schema_known: int, lanes: int) -> Node:
    """Add a node with its lanes to the queue, and return it. Its lease runs from now. Blocks.

    `program` is the version of the relay, `schema_known` the newest schema that it knows. Raises QueueError, also if
    that is too old by now; after OutcomeUnknown there may be a node that no relay is, which the others take over.
    """
    with session.transaction():
        session.rows(SQL.lock_starts)
        ((oldest, moves),) = session.rows(SQL.oldest_compatible)
        refuse_newer(oldest, schema_known)
        if moves:
            raise QueueError("the queue in the database is being moved to a QUEUE_DIR: finish `smtprelay queue move`")
        ((newest, taken),) = session.rows(SQL.tags)
        tag = next_tag(newest, taken)
        known = {"name": name, "program": program, "schema_known": schema_known, "tag": tag, "lease": LEASE}
        ((id,),) = session.rows(SQL.add_node, known)
        session.rows(SQL.add_lanes, {"node": id, "lanes": lanes})
    return Node(id, tag, lanes, name)


def next_tag(newest: int, taken: Collection[int]) -> int:
    """Return the first tag after that of the newest node, in a circle, that no living node has. Raises QueueError.

    So a tag comes again as late as possible, because the ids of a node may lie ahead of a clock that was set back.
    """
    tags = (number % _TAGS for number in range(newest + 1, newest + 1 + _TAGS))
    tag = next((tag for tag in tags if tag not in taken), None)
    if tag is None:
        raise QueueError(f"{_TAGS} relays share this queue, which is as many as it can have: start no more")
    return tag
