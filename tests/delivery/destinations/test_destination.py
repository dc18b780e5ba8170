"""One destination: its connections, the groups that wait, and its end."""

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from harness.mail import claim
from mta.delivery.context import DeliveryContext
from mta.delivery.destinations.destination import Destination
from mta.delivery.destinations.host_limits import TRANSACTIONS_PER_CONNECTION
from mta.delivery.destinations.pool import IDLE_SECONDS
from mta.delivery.destinations.window import WindowLimits, own_windows
from mta.delivery.job import Job
from mta.delivery.remote.interface import TransactionResult
from mta.event_log.log import EventLog
from mta.message.outcome import Delivered, TryLater
from mta.routing.route import Plan
from tests.fakes.connector import FakeConnector
from tests.fakes.sending import SentJobs

PLAN = Plan("mx.test", ())
DOWN = TryLater("connection refused", "mx.test[192.0.2.1]:25", "4.4.1")
LIMITS = WindowLimits(start=2, most=4, first_penalty=30.0, longest_penalty=900.0)


class DestinationTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.connector = FakeConnector()
        self.sent = SentJobs()
        self.lines: list[str] = []
        self.destination = Destination(
            "mx.test",
            own_windows(LIMITS),
            self.connector,
            DeliveryContext(self.clock, self.clock.seconds, EventLog(self.lines.append, self.clock.seconds)),
        )

    def enter(self, count: int = 1) -> None:
        for _ in range(count):
            job = Job(claim("bob@b.test"), 0.0)
            self.sent.send(self.destination.send, job, PLAN, self.clock.seconds())

    def test_a_group_goes_out_at_once_and_the_connection_is_kept_for_the_next(self) -> None:
        self.enter(2)
        assert self.sent.outcomes() == [Delivered, Delivered]
        assert len(self.connector.connections) == 1

    def test_a_thousand_groups_that_end_at_once_do_not_overflow_the_stack(self) -> None:
        self.connector.held = True
        self.enter(1000)
        self.connector.held = False
        for connection in list(self.connector.connections):
            connection.answer()
        assert len(self.sent.outcomes()) == 1000
        assert self.destination.waiting == 0

    def test_an_idle_connection_is_ended_after_a_short_while(self) -> None:
        self.enter()
        self.clock.advance(IDLE_SECONDS - 1)
        assert self.connector.connections[0].ended == ""
        self.clock.advance(1)
        assert self.connector.connections[0].ended == "quit"
        assert self.destination.idle
        assert not self.clock.getDelayedCalls()

    def test_a_connection_is_not_used_for_ever(self) -> None:
        self.enter(TRANSACTIONS_PER_CONNECTION + 1)
        assert [each.ended for each in self.connector.connections] == ["quit", ""]

    def test_the_window_bounds_the_connections_and_the_other_groups_wait(self) -> None:
        self.connector.held = True
        self.enter(5)
        assert len(self.connector.connections) == 2
        assert (self.destination.running, self.destination.waiting) == (2, 3)
        self.connector.connections[0].answer()
        assert len(self.sent.ended) == 1
        assert self.destination.running >= 2

    def test_one_failed_probe_puts_off_all_waiting_groups_until_the_same_time(self) -> None:
        self.connector.slow = True
        self.connector.down = DOWN
        self.enter(10)
        self.connector.connect()
        assert self.sent.outcomes() == [TryLater] * 10
        assert {result.not_before for result in self.sent.results} == {30.0}
        assert len(self.connector.plans) == 2
        assert sum("destination-down" in line for line in self.lines) == 1

    def test_while_a_destination_is_down_new_groups_are_put_off_without_a_connection(self) -> None:
        self.connector.down = DOWN
        self.enter()
        opened = len(self.connector.plans)
        self.enter(3)
        assert len(self.connector.plans) == opened
        assert self.sent.outcomes() == [TryLater] * 4
        assert sum("destination-down" in line for line in self.lines) == 1

    def test_after_the_penalty_one_connection_probes_and_its_success_opens_the_window(self) -> None:
        self.connector.down = DOWN
        self.enter()
        self.clock.advance(30)
        self.connector.down = None
        self.connector.slow = True
        opened = len(self.connector.plans)
        self.enter(5)
        assert len(self.connector.plans) == opened + 1
        self.connector.slow = False
        self.connector.connect()
        assert self.sent.outcomes() == [TryLater] + [Delivered] * 5
        assert sum("destination-up" in line for line in self.lines) == 1

    def test_an_operator_may_have_a_dead_destination_tried_at_once(self) -> None:
        self.connector.down = DOWN
        self.enter()
        self.connector.down = None
        self.destination.unblock()
        self.enter()
        assert self.sent.outcomes() == [TryLater, Delivered]

    def test_an_idle_connection_that_the_host_closed_is_replaced_at_once(self) -> None:
        self.connector.held = True
        self.enter()
        self.connector.held = False
        self.connector.connections[0].answer(TransactionResult({}, stale=True), usable=False)
        assert self.sent.outcomes() == [Delivered]
        assert len(self.connector.connections) == 2

    def test_a_message_counts_as_unsent_only_if_its_last_connection_did_not_get_all_of_it(self) -> None:
        self.connector.held = True
        self.enter()
        for number, fully_sent in enumerate((False, True, False)):
            self.connector.connections[number].answer(
                TransactionResult({}, stale=True, fully_sent=fully_sent), usable=False
            )
        assert [bool(request.unsent) for request in self.connector.requests] == [False, True, False, True]

    def test_a_lost_connection_with_no_other_left_puts_the_rest_off(self) -> None:
        self.connector.held = True
        self.enter(3)
        for connection in list(self.connector.connections):
            connection.abort()
        assert self.sent.outcomes() == [TryLater] * 3
        assert self.destination.waiting == 0

    def test_closing_gives_back_waiting_groups_and_lets_transactions_finish(self) -> None:
        self.connector.held = True
        self.enter(3)
        self.destination.close()
        assert len(self.sent.given_back) == 1
        for connection in self.connector.connections[:2]:
            connection.answer()
        assert self.sent.outcomes() == [Delivered, Delivered]

    def test_closing_cancels_connections_that_are_being_opened(self) -> None:
        self.connector.slow = True
        self.enter()
        self.destination.close()
        assert len(self.sent.given_back) == 1
        assert not self.sent.results

    def test_a_bug_in_a_transaction_puts_the_mail_off(self) -> None:
        self.connector.held = True
        self.enter()
        connection = self.connector.connections[0]
        assert connection.pending is not None
        _, done = connection.pending
        connection.pending = None
        done.errback(RuntimeError("oops"))
        assert self.sent.outcomes() == [TryLater]
        assert connection.ended == "abort"
        assert len(self.flushLoggedErrors(RuntimeError)) == 1
