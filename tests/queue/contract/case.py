"""The base of the contract tests: a queue, and the calls that many tests make."""

from typing import Any

from twisted.internet.defer import Deferred

from mta.message.envelope import Recipient
from mta.queue.interface import (
    Action,
    Claim,
    NewMail,
    Query,
    Queue,
    Settlement,
    Verdict,
)
from tests.queue.messages import LEASE, NOW, mail


class QueueCase:
    """A queue under test. `self.now(deferred)` returns the result of a Deferred that has fired."""

    queue: Queue

    def make_queue(self) -> Queue:
        raise NotImplementedError

    def fill_disk(self) -> None:
        """Make the queue refuse the next message for want of room."""
        raise NotImplementedError

    def setUp(self) -> None:
        self.queue = self.make_queue()
        self.addCleanup(lambda: self.now(self.queue.close()))

    def now(self, deferred: "Deferred[Any]") -> Any:
        return self.successResultOf(deferred)

    def failure(self, deferred: "Deferred[Any]", kind: type[Exception]) -> Exception:
        return self.failureResultOf(deferred, kind).value

    def added(self, *recipients: str | Recipient, due: float | None = None, **parts: Any) -> NewMail:
        """Add a message unclaimed."""
        new = mail(*recipients, **parts)
        assert self.now(self.queue.add(new, NOW, due=due)) is None
        return new

    def claimed(self, *recipients: str | Recipient, **parts: Any) -> Claim:
        """Add a message born claimed."""
        claim = self.now(self.queue.add(mail(*recipients, **parts), NOW, lease=LEASE))
        assert isinstance(claim, Claim)
        return claim

    def claims(self, now: float = NOW, limit: int = 10) -> list[Claim]:
        return self.now(self.queue.claim(now, limit, LEASE))

    def settled(self, claim: Claim, *verdicts: Verdict, now: float = NOW, **options: Any) -> bool:
        return self.now(self.queue.settle(Settlement(claim, verdicts, now, **options)))

    def released(self, claim):
        return self.now(self.queue.release(claim, NOW))

    def applied(self, action: Action, *ids: Any, now: float = NOW, **limits: Any) -> list[Any]:
        return self.now(self.queue.apply(action, ids or None, now, **limits))

    def entry(self, id: Any) -> Any:
        (entry,) = self.now(self.queue.find(Query([id], finished=True)))
        return entry

    def ledger(self):
        return self.now(self.queue.summary()).ledger
