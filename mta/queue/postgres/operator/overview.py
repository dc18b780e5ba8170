"""The relays that share a queue, and counts of all their mail. The functions block, and raise QueueError."""

from dataclasses import dataclass
from importlib.resources import files

from mta.queue.failures import FailedRecipient, Failures
from mta.queue.ids import to_id
from mta.queue.postgres.membership.node import LEASE
from mta.queue.postgres.session import DatabaseSession
from mta.queue.sql.statements import read_statements
from mta.smtp.address import Address


@dataclass(frozen=True, slots=True)
class _OverviewStatements:
    nodes: str
    failures: str


_SQL = read_statements(_OverviewStatements, (files("queue_schema") / "postgres" / "overview.sql").read_text("utf-8"))


@dataclass(frozen=True, slots=True)
class NodeState:
    """One of the relays that share a queue. Times are by the clock of the database."""

    id: int
    name: str
    #: The version of the relay.
    program: str
    #: When it started, in seconds since 1970, and how long ago that is.
    started: float
    age: float
    #: Seconds since its last sign of life, and whether the others do not take over its mail yet.
    silent: float
    alive: bool
    #: Messages that it has in work.
    claims: int


def nodes(session: DatabaseSession) -> list[NodeState]:
    """Return the relays, the oldest first."""
    return [
        NodeState(id, name, program, started, age, max(0.0, LEASE - lease), lease > 0, claims)
        for id, name, program, started, age, lease, claims in session.rows(_SQL.nodes)
    ]


def count_failures(session: DatabaseSession, since: float, until: float) -> Failures:
    """Return the recipients that failed from one time to another, whether or not their message waits for others."""
    failures = Failures()
    rows = session.rows(_SQL.failures, {"since": since, "until": until})
    for number, created, sender, sender_domain, local, domain, host, reply, finished in rows:
        failures.add(reply, created)
        if failures.wants(finished):
            sent_by = "" if sender is None else str(Address(sender, sender_domain))
            to = str(Address(local, domain))
            failures.keep(FailedRecipient(to_id(number), created, sent_by, to, host, reply, finished))
    return failures
