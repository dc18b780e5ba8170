"""A node of a shared queue with lanes, whose operations are done at once or at the command of a Clock."""

from psycopg import sql
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from mta.blocking import run_inline
from mta.queue.ids import to_number
from mta.queue.interface import Claim, NewMail, Pending, Settlement, Verdict
from mta.queue.postgres.lanes.gathering import Lanes
from mta.queue.postgres.lanes.lane import Lane
from mta.queue.postgres.lanes.operations import AddOperation
from mta.queue.postgres.membership.node import join
from tests.queue.messages import LEASE, NOW, TOOK, mail
from tests.queue.postgres.cluster import shared_cluster
from tests.queue.postgres.tables import Tables


class LaneCase(SynchronousTestCase):
    """Tests of lanes. `node` is the present node's number, and `lane` its first lane."""

    def setUp(self) -> None:
        self.tables = Tables(self)
        self.clock = Clock()
        self.node = self.joined()
        self.fenced: list[int] = []
        self.lane = Lane(self.tables.new_session(), 0)
        self.lanes = self.lanes_of(self.lane)

    def joined(self) -> int:
        return join(self.tables.session, "one", "0.2.0", 1, 2).id

    def lanes_of(self, *lanes: Lane) -> Lanes:
        return Lanes(
            lanes,
            run_inline,
            node=lambda: self.node,
            rejoin=self.rejoin,
            seconds=self.clock.seconds,
            call_later=self.clock.callLater,
        )

    async def rejoin(self, fenced: int) -> None:
        self.fenced.append(fenced)
        self.node = self.joined()

    def add_operation(self, new: NewMail, *, leased: bool = True) -> AddOperation:
        return AddOperation(new, NOW, NOW + LEASE if leased else None, NOW, self.lanes.deadline)

    def claim_of(self, new: NewMail) -> Claim:
        """Add a message born claimed."""
        claim = self.successResultOf(self.lanes.submit(self.add_operation(new)))
        assert isinstance(claim, Claim)
        return claim

    def claimed(self, *recipients: str) -> Claim:
        return self.claim_of(mail(*recipients))

    def cut(self, lane: Lane | None = None) -> None:
        """End the connection of a lane, which it learns with its next statement."""
        assert (lane or self.lane).session.connected
        process = (lane or self.lane).session.connection.info.backend_pid
        self.tables.look.execute("SELECT pg_terminate_backend(%s, 10000)", [process])

    def shut(self, connectable: bool = False) -> None:
        """Have the database refuse connections, and end those of the lane; or have it take them again."""
        name = sql.Identifier(self.tables.look.info.dbname)
        allowed = sql.SQL("true" if connectable else "false")
        shared_cluster().execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS {}").format(name, allowed))
        if not connectable and self.lane.session.connected:
            self.cut()

    def lane_row(self) -> dict[str, int]:
        (row,) = (row for row in self.tables.rows("lane") if (row["node"], row["n"]) == (self.node, 0))
        return row

    def waiting(self) -> list[int]:
        return [row["id"] for row in self.tables.rows("message")]


def plain_end(claim: Claim) -> Settlement:
    """Return the settlement by which all recipients are delivered at once."""
    return Settlement(claim, [Verdict(pending.index, TOOK) for pending in claim.pending], NOW + 1)


def claim_like(new: NewMail, token: int = 1) -> Claim:
    pending = tuple(Pending(index, recipient) for index, recipient in enumerate(new.envelope.recipients))
    return Claim(new.id, token, new.envelope, new.body, NOW, pending)


def number_of(message: Claim | NewMail) -> int:
    return to_number(message.id)
