"""All destinations together: the mail that may wait for each, and the mail that is deferred."""

from dataclasses import replace

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from harness.mail import claim
from mta.delivery.context import DeliveryContext
from mta.delivery.destinations.destination import Destination
from mta.delivery.destinations.destinations import Destinations
from mta.delivery.destinations.window import WindowLimits, own_windows
from mta.delivery.job import Job
from mta.delivery.limits import DeliveryLimits
from mta.delivery.remote.interface import TransactionResult
from mta.delivery.route_rules import RouteRules
from mta.event_log.log import EventLog
from mta.message.outcome import TryLater
from mta.queue.interface import DueMessage
from mta.routing.route import Credentials, Local, Plan, Smarthost, TlsRule
from tests.fakes.connector import FakeConnector
from tests.fakes.router import FakeRouter
from tests.fakes.sending import SentJobs

NOW = 1_000_000.0
DOWN = TryLater("connection refused", "mx.test[192.0.2.1]:25", "4.4.1")
LIMITS = DeliveryLimits(jobs=100, waiting_unconnected=3, longest_requeue=60.0, claims=5)
NEVER_OWED = NOW + 1e9
OFFICE = Smarthost((("smtp.test", 587),), TlsRule.VERIFY, Credentials("user", "old"), name="office")


class DestinationsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(NOW)
        self.router, self.connector, self.sent = FakeRouter(), FakeConnector(), SentJobs()
        event_log = EventLog(lambda _: None, self.clock.seconds)
        self.context = DeliveryContext(self.clock, self.clock.seconds, event_log)
        self.room = 100
        self.owed = NEVER_OWED
        # The due times and numbers of the messages that the queue was asked to make due.
        self.releases: list[tuple[float, int]] = []
        self.destinations = Destinations(
            self.router,
            new=self.new,
            room=lambda: self.room,
            owed=lambda _: self.owed,
            owed_by_envelope=lambda: False,
            release=self.release,
            wake=lambda: None,
            context=self.context,
            limits=LIMITS,
            rules=RouteRules(),
        )

    def new(self, plan: Plan) -> Destination:
        windows = own_windows(WindowLimits(start=1, most=1))
        return Destination(plan.destination, windows, self.connector, self.context, smarthost=plan.smarthost)

    def release(self, due: float, _: float, limit: int) -> "Deferred[int]":
        self.releases.append((due, limit))
        return succeed(limit)

    def enter(self, count: int = 1, host: str = "mx.test", smarthost: Smarthost | None = None) -> None:
        for _ in range(count):
            job = Job(claim("bob@b.test"), NOW)
            plan = Plan(host, (), smarthost=smarthost)
            self.sent.send(self.destinations.send, job, plan, self.clock.seconds())
            if job in self.sent.ended:
                self.destinations.unproven.remove(job)

    def until(self, *domains: str) -> float | None:
        """Return until when a message for these domains would be left alone."""
        put_off = self.destinations.deferral_filter()
        return None if put_off is None else put_off.until(DueMessage(NOW, delay_reported=False, domains=domains))

    def fall_silent(self) -> None:
        """Have what was sent so far leave a connection that answers nothing more."""
        self.connector.held = True
        self.enter()

    def test_a_smarthost_that_stays_as_it_was_keeps_its_connection(self) -> None:
        for _ in range(3):
            self.enter(host="office", smarthost=replace(OFFICE, place="another place of the same"))
        assert len(self.connector.connections) == 1
        assert len(self.destinations.all()) == 1

    def test_a_smarthost_with_another_login_gets_no_mail_over_connections_of_before(self) -> None:
        other = replace(OFFICE, credentials=Credentials("user", "new"))
        self.enter(host="office", smarthost=OFFICE)
        self.enter(host="office", smarthost=other)
        idle, second = self.connector.connections
        assert (idle.ended, second.ended) == ("quit", "")
        assert [plan.smarthost for plan in self.connector.plans] == [OFFICE, other]
        assert self.destinations.all()[0].smarthost is other

    def test_a_transaction_that_runs_while_the_login_changes_ends_with_its_connection(self) -> None:
        self.connector.held = True
        self.enter(host="office", smarthost=OFFICE)
        self.enter(host="office", smarthost=replace(OFFICE, hosts=(("other.test", 587),)))
        busy, second = self.connector.connections
        assert busy.ended == ""
        busy.answer()
        assert (busy.ended, second.ended) == ("quit", "")
        second.answer()
        assert len(self.connector.requests) == 2

    def test_smarthosts_with_the_same_hosts_share_no_connection(self) -> None:
        other = replace(OFFICE, name="sales", credentials=Credentials("sales", "secret"))
        for _ in range(3):
            self.enter(host="office", smarthost=OFFICE)
            self.enter(host="sales", smarthost=other)
        assert [plan.smarthost for plan in self.connector.plans] == [OFFICE, other]

    def test_few_groups_may_wait_while_no_connection_is_open(self) -> None:
        self.connector.slow = True
        self.enter(5)
        assert len(self.sent.given_back) == 2
        assert all(NOW < job.next_try <= NOW + 60 for job in self.sent.given_back)

    def test_with_a_connection_as_many_groups_may_wait_as_there_is_room_left(self) -> None:
        self.fall_silent()
        self.enter(10)
        assert self.sent.given_back == []
        self.room = 10
        self.enter()
        assert len(self.sent.given_back) == 1

    def test_while_all_destinations_take_mail_there_is_no_filter(self) -> None:
        self.enter()
        assert self.destinations.deferral_filter() is None

    def test_mail_for_a_dead_destination_is_deferred_until_its_probe(self) -> None:
        self.connector.down = DOWN
        self.enter()
        assert self.until("b.test") == NOW + 30
        assert self.until("b.test", "c.test") == NOW + 30

    def test_mail_that_can_also_go_to_another_destination_is_not_deferred(self) -> None:
        self.router.routings = {"live.test": Plan("mx.live.test", ()), "here.test": Local()}
        self.connector.down = DOWN
        self.enter()
        assert self.until("live.test") is None
        assert self.until("b.test", "live.test") is None
        assert self.until("here.test") is None

    def test_mail_with_unknown_routing_is_not_deferred(self) -> None:
        self.router.slow["slow.test"] = Deferred()
        self.connector.down = DOWN
        self.enter()
        assert self.until("slow.test") is None

    def test_mail_for_a_destination_with_a_full_backlog_gets_a_time(self) -> None:
        self.connector.slow = True
        self.enter(3)
        until = self.until("b.test")
        assert until is not None
        assert NOW < until <= NOW + 60

    def test_all_mail_for_a_full_destination_gets_the_same_time(self) -> None:
        self.connector.slow = True
        self.enter(6)
        times = {job.next_try for job in self.sent.given_back}
        self.clock.advance(1)
        assert times == {self.until("b.test")}

    def fill_up(self, room: int, waiting: int) -> float:
        """Have a destination with a connection get mail until it is full; return the due time of the mail beyond."""
        self.fall_silent()
        self.room = room
        self.enter(waiting + 2)
        assert len(self.sent.given_back) == 1
        return self.sent.given_back[0].next_try

    def answer(self, count: int) -> None:
        for _ in range(count):
            self.connector.connections[-1].answer()

    def test_mail_is_made_due_when_half_of_the_backlog_is_gone(self) -> None:
        due = self.fill_up(room=20, waiting=19)
        self.answer(9)
        assert self.releases == []
        # One transaction runs, and ten groups wait.
        self.answer(1)
        assert self.releases == [(due, 5)]

    def test_as_much_mail_is_made_due_as_there_is_room_for_in_half_of_the_rest(self) -> None:
        due = self.fill_up(room=20, waiting=19)
        self.room = 80
        self.answer(1)
        assert self.releases == [(due, (80 - 19) // 2)]

    def test_a_host_that_takes_one_message_a_connection_gets_its_mail_too(self) -> None:
        self.enter()
        self.connector.held = True
        self.enter()
        self.connector.connections[-1].answer(usable=False)
        self.connector.slow = True
        self.enter(4)
        assert len(self.sent.given_back) == 1
        while self.connector.connecting:
            self.connector.connect()
            self.connector.connections[-1].answer(usable=False)
        assert self.releases[0] == (self.sent.given_back[0].next_try, 5)

    def test_mail_of_a_destination_that_is_down_is_not_made_due(self) -> None:
        self.connector.slow = True
        self.enter(4)
        assert len(self.sent.given_back) == 1
        self.connector.down = DOWN
        self.connector.connect()
        assert len(self.sent.ended) == 4
        assert self.releases == []
        self.clock.advance(31)
        self.connector.slow, self.connector.down = False, None
        self.enter()
        assert self.releases == [(self.sent.given_back[0].next_try, 50)]

    def test_an_overflow_is_forgotten_when_its_mail_is_due(self) -> None:
        due = self.fill_up(room=20, waiting=19)
        assert self.until("b.test") == due
        assert self.destinations._overflow_of
        self.clock.advance(LIMITS.longest_requeue)
        self.room = 100
        self.destinations.deferral_filter()
        assert not self.destinations._overflow_of

    def test_after_the_close_no_mail_is_made_due(self) -> None:
        self.fill_up(room=20, waiting=19)
        self.destinations.close()
        self.answer(1)
        assert self.releases == []

    def test_a_message_without_waiting_recipients_is_not_deferred(self) -> None:
        self.connector.down = DOWN
        self.enter()
        assert self.until() is None

    def test_mail_is_deferred_only_until_its_sender_must_be_told(self) -> None:
        self.connector.down = DOWN
        self.enter()
        self.owed = NOW + 10
        assert self.until("b.test") == NOW + 10
        self.owed = NOW
        assert self.until("b.test") is None

    def test_after_the_penalty_mail_is_not_deferred(self) -> None:
        self.connector.down = DOWN
        self.enter()
        self.clock.advance(30)
        assert self.destinations.deferral_filter() is None

    def test_mail_beyond_the_budget_of_unproven_destinations_gets_a_time_and_is_deferred(self) -> None:
        self.enter(host="mx.test")
        self.connector.slow = True
        for number in range(75):
            self.enter(host=f"mx{number}.test")
        assert self.sent.given_back == []
        self.enter(host="mx.new.test")
        (given_back,) = self.sent.given_back
        assert NOW < given_back.next_try <= NOW + 60
        self.router.routings["new.test"] = Plan("mx.new.test", ())
        self.router.slow["unknown.test"] = Deferred()
        self.router.routings["here.test"] = Local()
        for domain in ("new.test", "unknown.test"):
            until = self.until(domain)
            assert until is not None
            assert NOW < until <= NOW + 60
        assert self.until("here.test") is None
        # This one has taken mail before.
        assert self.until("b.test") is None
        assert self.until("unknown.test", "b.test") is None

    def test_a_destination_that_failed_since_is_unproven_again(self) -> None:
        self.enter(host="mx.test")
        self.fall_silent()
        self.connector.connections[-1].answer(TransactionResult({0: DOWN}), usable=False)
        self.connector.slow = True
        for number in range(75):
            self.enter(host=f"mx{number}.test")
        # Its penalty is over, so that nothing else holds its mail.
        self.clock.advance(31)
        assert self.until("b.test") is not None

    def test_after_the_close_all_groups_are_given_back(self) -> None:
        self.connector.slow = True
        self.enter(2)
        self.destinations.close()
        self.enter()
        assert len(self.sent.given_back) == 3
        assert self.clock.getDelayedCalls() == []
