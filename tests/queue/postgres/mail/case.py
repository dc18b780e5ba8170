"""The base of the tests of claims and settlements: a database, and two nodes that share it."""

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from mta.message.body import FileBody
from mta.queue.ids import to_number
from mta.queue.interface import Claim
from mta.queue.postgres.change import QueueChange
from mta.queue.postgres.mail import claims
from mta.queue.postgres.mail.claim_start import ClaimStart
from tests.queue.messages import LEASE, NOW, scratch
from tests.queue.postgres.tables import Tables

ME, PEER = 3, 4


def cut_connections(tables: Tables) -> None:
    """Have the database end each connection that stores the third chunk of a body, until the trigger `cut` is gone."""
    tables.look.execute(
        "CREATE FUNCTION smtprelay.cut() RETURNS trigger LANGUAGE plpgsql AS "
        "'BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NEW; END'"
    )
    tables.look.execute(
        "CREATE TRIGGER cut BEFORE INSERT ON chunk FOR EACH ROW WHEN (NEW.n = 2) EXECUTE FUNCTION smtprelay.cut()"
    )


class MailCase(SynchronousTestCase):
    #: Whether a test changes the tables themselves.
    altered = False

    def setUp(self):
        self.tables = Tables(self, altered=self.altered)
        self.tables.insert("lane", node=ME, n=0)
        self.change = QueueChange(self.tables.session, ME)
        self.start = ClaimStart()
        self.files = scratch(self)

    def claim(self, now: float = NOW, limit: int = 10, change: QueueChange | None = None, **options: Any):
        return claims.claim(change or self.change, self.start, now, limit, LEASE, large_body=self.large_body, **options)

    def large_body(self, id, size):
        return FileBody(self.files / id, size)

    def claimed(self, *arguments: Any, **options: Any) -> list[int]:
        return [to_number(one.id) for one, _ in self.claim(*arguments, **options)]

    def one(self, **options: Any) -> Claim:
        ((claim, _),) = self.claim(**options)
        return claim

    def peer(self) -> QueueChange:
        return QueueChange(self.tables.new_session(), PEER)

    def again(self) -> QueueChange:
        return QueueChange(self.tables.session, ME, again=True)

    def message(self, number: int) -> dict[str, Any]:
        (row,) = (row for row in self.tables.rows("message") if row["id"] == number)
        return row
