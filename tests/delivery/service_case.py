"""The delivery side with a queue, hosts and mailboxes in memory, for tests of it as a whole."""

from collections.abc import Sequence
from dataclasses import replace

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from harness.mail import mail
from mta.delivery.context import DeliveryContext
from mta.delivery.destinations.window import own_windows, window_limits
from mta.delivery.limits import DeliveryLimits
from mta.delivery.local.interface import Expanded, LocalPart, Outcomes
from mta.delivery.remote.interface import DeliveryRequest
from mta.delivery.reports import DsnReporter
from mta.delivery.retry_policy import RetryPolicy
from mta.delivery.route_rules import RouteRules
from mta.delivery.service import DeliveryService
from mta.delivery.settlement import Settler
from mta.event_log.log import EventLog
from mta.message.envelope import Recipient
from mta.message.outcome import Delivered, Failed, Outcome, TryLater
from mta.queue.ids import IdSource
from mta.queue.interface import (
    Claim,
    DeferralFilter,
    DueMessage,
    Entry,
    NewMail,
    Pending,
    Query,
    QueueError,
    Status,
)
from mta.queue.memory import MemoryQueue
from mta.retry_schedule import RetrySchedule, RetryStep, RetryTerms, Shape
from mta.routing.route import Plan, Routing
from mta.rules.book import CurrentRules
from tests.fakes.connector import FakeConnector, delivers
from tests.fakes.router import FakeRouter

NOW = 1_000_000.0
SCHEDULE = RetrySchedule((RetryStep(Shape.FIXED, 7200.0, 900.0),))
RETRY = RetryPolicy(RetryTerms(SCHEDULE), CurrentRules())
LATER = TryLater("451 4.3.0 later", "mx.test[192.0.2.1]:25", "4.3.0")
NO = Failed("550 5.1.1 no such user", "mx.test[192.0.2.1]:25", "5.1.1")


class LookingQueue(MemoryQueue):
    """Counts the looks of a deferral filter, the claims, and the messages that were made due before their time."""

    looks = 0
    claimed = 0
    released = 0
    failing = False

    def claim(
        self, now: float, limit: int, lease: float, deferral_filter: DeferralFilter | None = None
    ) -> Deferred[list[Claim]]:
        wanted = deferral_filter or DeferralFilter(lambda _: None)

        def look(message: DueMessage) -> float | None:
            self.looks += 1
            return wanted.until(message)

        claiming = super().claim(now, limit, lease, replace(wanted, until=look))
        return claiming.addCallback(self.count_claims)

    def count_claims(self, claims: list[Claim]) -> list[Claim]:
        self.claimed += len(claims)
        return claims

    def release_deferred(self, due: float, now: float, limit: int) -> Deferred[int]:
        if self.failing:
            return fail(QueueError("disk on fire"))
        return super().release_deferred(due, now, limit).addCallback(self.count)

    def count(self, released: int) -> int:
        self.released += released
        return released


class Mailboxes:
    """Takes everything, but what `others` says is to become another message, or to go another way."""

    def __init__(self) -> None:
        self.delivered: list[str] = []
        self.others: dict[str, NewMail | Plan] = {}

    def deliver(self, claim: Claim, recipients: Sequence[Pending]) -> list[LocalPart]:
        return [LocalPart((pending,), self.way(pending)) for pending in recipients]

    def way(self, pending: Pending) -> Deferred[Outcomes] | Plan:
        other = self.others.get(pending.recipient.address.local)
        if isinstance(other, Plan):
            return other
        if other is not None:
            return succeed({pending.index: Expanded(Delivered("passed on", ""), (other,))})
        self.delivered.append(str(pending.recipient.address))
        return succeed({pending.index: Delivered("delivered to the mailbox", "")})


class ServiceCase(SynchronousTestCase):
    limits = DeliveryLimits()
    retry = RETRY

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(NOW)
        self.lines: list[str] = []
        self.event_log = EventLog(self.lines.append, self.clock.seconds)
        self.queue: MemoryQueue = MemoryQueue()
        self.connector = FakeConnector()
        self.router = FakeRouter()
        self.mailboxes = Mailboxes()
        self.service = self.new_service()

    def new_service(self) -> DeliveryService:
        return self.service_with()

    def service_with(self, rules: RouteRules | None = None) -> DeliveryService:
        reporter = DsnReporter("relay.test", IdSource(tag=3), self.retry)
        context = DeliveryContext(self.clock, self.clock.seconds, self.event_log)
        return DeliveryService(
            self.queue,
            self.router,
            self.connector,
            self.mailboxes,
            Settler(self.queue, reporter, self.retry, context),
            context=context,
            windows=own_windows(window_limits(SCHEDULE)),
            limits=self.limits,
            rules=rules,
        )

    def start(self) -> None:
        self.service.startService()
        self.clock.advance(0)

    def add(self, *recipients: str | Recipient, sender: str | None = "alice@a.test") -> NewMail:
        new = mail(*recipients, sender=sender)
        self.successResultOf(self.queue.add(new, self.clock.seconds()))
        return new

    def hand_over(self, *recipients: str) -> NewMail:
        """Take a message the way the intake does."""
        new = mail(*recipients)
        lease = self.service.lease(new.body.size)
        claim = self.successResultOf(self.queue.add(new, self.clock.seconds(), lease))
        if claim is None:
            self.service.wake()
        else:
            self.service.take(claim)
        self.clock.advance(0)
        return new

    def look_up(self, domain: str) -> Deferred[Routing]:
        """Have a domain's routing come from the DNS, when the test says so."""
        finding: Deferred[Routing] = Deferred()
        self.router.slow[domain] = finding
        return finding

    def entries(self) -> list[Entry]:
        return self.successResultOf(self.queue.find(Query(finished=True)))

    def statuses(self, new: NewMail) -> list[Status]:
        (entry,) = self.successResultOf(self.queue.find(Query(ids=[new.id], finished=True)))
        return [recipient.status for recipient in entry.recipients]

    def events(self, name: str) -> list[str]:
        return [line for line in self.lines if line.split(" ")[1] == name]

    def refuse(self, **by_user: Outcome) -> None:
        """Let the remote give these outcomes, and take everyone else."""

        def answer(request: DeliveryRequest) -> dict[int, Outcome]:
            outcomes = delivers(request)
            for pending in request.recipients:
                outcomes[pending.index] = by_user.get(pending.recipient.address.local, outcomes[pending.index])
            return outcomes

        self.connector.answer = answer
