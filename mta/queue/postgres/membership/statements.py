"""The SQL statements about the relays that share a queue, read from `membership.sql` at import."""

from dataclasses import dataclass
from importlib.resources import files

from mta.queue.sql.statements import read_statements


@dataclass(frozen=True, slots=True)
class MembershipStatements:
    """The statements, a field for each in membership.sql. A name that only one of the two has is an error at import."""

    lock_starts: str
    oldest_compatible: str
    tags: str
    add_node: str
    add_lanes: str
    lock_lanes: str
    dead_nodes: str
    dead_node: str
    own_node: str
    give_back: str
    fence_lanes: str
    fence_node: str
    beat: str
    take_chore: str
    sweep_chunks: str
    fold_nodes: str
    sweep_destinations: str
    oldest_transaction: str
    listen: str
    notify: str


SQL = read_statements(MembershipStatements, (files("queue_schema") / "postgres" / "membership.sql").read_text("utf-8"))
