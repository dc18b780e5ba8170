"""Both sides of a shared window: destinations in two workers, the parent's shares, and the lines in between."""

from collections import deque

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from harness.mail import claim
from mta.delivery.context import DeliveryContext
from mta.delivery.destinations.destination import Destination
from mta.delivery.destinations.window import WindowLimits
from mta.delivery.job import Job, RecipientResult
from mta.delivery.remote.commands import outcome
from mta.delivery.remote.interface import TransactionResult
from mta.event_log.log import EventLog
from mta.message.outcome import Delivered, ErrorKind, TryLater
from mta.routing.carriage import Carriage
from mta.routing.route import Plan
from mta.smtp.replies import Reply, reply
from mta.workers.window_broker import WindowBroker
from mta.workers.window_client import FEW_TRANSACTIONS, REPORT_SECONDS, SharedWindows
from tests.fakes.connector import FakeConnection, FakeConnector
from tests.fakes.sending import SentJobs
from tests.length import choose

MX = "mx.test"
PLAN = Plan(MX, ())
BUSY = reply(421, "4.7.0", "Too many concurrent SMTP connections")
THROTTLED = reply(454, "", "Throttling failure")
QUOTA = reply(450, "4.7.0", "Daily SMTP relay limit exceeded")
ENOUGH = reply(421, "4.7.0", "Too many messages on this connection")
DOWN = TryLater("connection refused", "mx.test[192.0.2.1]:25", "4.4.1", kind=ErrorKind.CONNECT)
LIMITS = WindowLimits(start=2, most=4, first_penalty=30.0, longest_penalty=900.0)


class Worker:
    """One worker's destination, and the owner of its groups."""

    def __init__(self, relay: "Relay", number: int, carriage: Carriage | None) -> None:
        self.connector = FakeConnector()
        self.connector.held = True
        self.lines: list[str] = []
        self.sent = SentJobs()
        self.entered = 0
        self.windows = SharedWindows(LIMITS, lambda verb, *words: relay.to_parent.append((number, verb, words)))
        self.handlers = self.windows.handlers()
        self.clock = relay.clock
        self.destination = Destination(
            MX,
            self.windows.new,
            self.connector,
            DeliveryContext(relay.clock, relay.clock.seconds, EventLog(self.lines.append, relay.clock.seconds)),
            carriage=carriage,
        )

    @property
    def results(self) -> list[RecipientResult]:
        return self.sent.results

    def enter(self) -> None:
        self.entered += 1
        self._send(Job(claim("bob@b.test"), 0.0))

    def enter_again(self) -> None:
        """Send the jobs that were given back, before or after their time."""
        again = self.sent.given_back
        self.sent.ended = [job for job in self.sent.ended if job.results]
        for job in again:
            # By the pace: it comes again.
            assert job.next_try > 0
            self._send(job)

    def _send(self, job: Job) -> None:
        self.sent.send(self.destination.send, job, PLAN, self.clock.seconds())

    def busy(self) -> list[FakeConnection]:
        return [each for each in self.connector.connections if each.pending is not None]

    def open(self) -> int:
        return len([each for each in self.connector.connections if not each.ended and (each.usable or each.pending)])

    def outcomes(self) -> list[type]:
        return [type(result.outcome) for result in self.results]


class Relay:
    """A parent and two workers; lines arrive in order, when `settle` or `deliver` says so."""

    def __init__(self, carriage: Carriage | None = None) -> None:
        self.clock = Clock()
        self.to_parent: deque[tuple[int, str, tuple[object, ...]]] = deque()
        self.to_worker: deque[tuple[int, str, tuple[object, ...]]] = deque()
        #: The lines with successes alone that arrived.
        self.reports = 0
        self.shares = WindowBroker(LIMITS, lambda worker, verb, *words: self.to_worker.append((worker, verb, words)))
        self.workers = {number: Worker(self, number, carriage) for number in (1, 2)}

    def deliver(self) -> bool:
        """Let one line arrive on each side; False when there is none."""
        moved = bool(self.to_parent or self.to_worker)
        if self.to_parent:
            number, verb, words = self.to_parent.popleft()
            self.reports += verb == "worked"
            self.shares.handlers(number, self.clock.seconds)[verb](*words)
        if self.to_worker:
            number, verb, words = self.to_worker.popleft()
            self.workers[number].handlers[verb](*words)
        return moved

    def settle(self) -> None:
        while self.deliver():
            pass

    def open(self) -> int:
        return sum(worker.open() for worker in self.workers.values())


class SharedWindowTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.relay = Relay()
        self.one, self.two = self.relay.workers[1], self.relay.workers[2]

    def enter(self, worker: Worker, count: int = 1) -> None:
        for _ in range(count):
            worker.enter()
        self.relay.settle()

    def answer(self, worker: Worker, number: int = 0) -> None:
        worker.busy()[number].answer()
        self.relay.settle()

    def test_a_message_goes_out_once_the_parent_gave_leave(self) -> None:
        self.one.enter()
        assert not self.one.connector.connections
        self.relay.settle()
        self.answer(self.one)
        assert self.one.outcomes() == [Delivered]

    def test_the_window_bounds_the_connections_of_both_together(self) -> None:
        self.enter(self.one, 5)
        self.enter(self.two, 5)
        assert self.relay.open() == 2

    def test_the_window_grows_with_the_successes_of_either_to_its_most(self) -> None:
        self.enter(self.one, 40)
        for _ in range(30):
            self.relay.clock.advance(REPORT_SECONDS)
            self.answer(self.one)
        assert self.relay.open() == LIMITS.most

    def test_a_window_grows_by_all_successes_since_the_last_report(self) -> None:
        self.enter(self.one, 80)
        for _ in range(40):
            self.answer(self.one)
        self.relay.clock.advance(REPORT_SECONDS)
        self.answer(self.one)
        assert self.relay.open() == LIMITS.most

    def test_a_window_at_its_most_is_told_of_successes_from_time_to_time_only(self) -> None:
        self.enter(self.one, 80)
        for _ in range(30):
            self.relay.clock.advance(REPORT_SECONDS)
            self.answer(self.one)
        for _ in range(2):
            self.relay.clock.advance(2 * REPORT_SECONDS)
            reports = self.relay.reports
            for _ in range(4 * LIMITS.most):
                self.answer(self.one)
            assert self.relay.reports == reports + 1

    def test_a_report_follows_when_the_wall_clock_was_set_back(self) -> None:
        window = self.one.windows.new(MX, lambda: None)
        window.may_open(1000.0, 0, 1)
        window.on_grant(False)
        window.may_open(1000.0, 1, 1)
        for now in (1000.0, 1000.0, 10.0):
            window.succeeded(now)
        assert [words for _, verb, words in self.relay.to_parent if verb == "worked"] == [(MX, 1), (MX, 2)]

    def test_a_worker_without_connections_gets_one_of_anothers(self) -> None:
        self.enter(self.one, 9)
        self.enter(self.two)
        assert (self.one.open(), self.two.open()) == (2, 0)
        self.answer(self.one)
        assert (self.one.open(), self.two.open()) == (1, 1)

    def test_a_connection_that_only_idles_is_given_up_at_once(self) -> None:
        self.enter(self.one, 2)
        for _ in range(2):
            self.answer(self.one)
        self.enter(self.two)
        self.answer(self.two)
        assert self.two.outcomes() == [Delivered]

    def test_idle_connections_that_end_give_their_leave_back(self) -> None:
        self.enter(self.one)
        self.answer(self.one)
        self.relay.clock.advance(5)
        self.relay.settle()
        assert self.one.destination.idle
        self.enter(self.two, 5)
        assert self.two.open() == LIMITS.start

    def test_a_dead_destination_is_tried_by_one_worker_a_step(self) -> None:
        for worker in (self.one, self.two):
            worker.connector.down = DOWN
        self.enter(self.one, 3)
        self.enter(self.two, 3)
        first = len(self.one.connector.plans) + len(self.two.connector.plans)
        self.relay.clock.advance(31)
        self.enter(self.one, 3)
        self.enter(self.two, 3)
        assert len(self.one.connector.plans) + len(self.two.connector.plans) == first + 1
        assert set(self.one.outcomes() + self.two.outcomes()) == {TryLater}
        assert len(self.one.results + self.two.results) == 12

    def test_a_worker_that_did_not_see_the_failure_repeats_its_reason_and_logs_nothing(self) -> None:
        self.one.connector.down = DOWN
        self.enter(self.one)
        self.enter(self.two)
        assert [result.outcome for result in self.two.results] == [DOWN]
        assert len(self.one.lines) == 1
        assert not self.two.lines

    def test_a_destination_that_came_back_is_open_to_both_again(self) -> None:
        self.one.connector.down = DOWN
        self.enter(self.one)
        self.enter(self.two)
        self.relay.clock.advance(31)
        self.enter(self.two)
        self.answer(self.two)
        self.one.connector.down = None
        self.enter(self.one)
        self.answer(self.one)
        assert self.one.outcomes() == [TryLater, Delivered]

    def test_a_worker_that_ends_leaves_its_share_to_the_other(self) -> None:
        self.enter(self.one, 2)
        self.enter(self.two)
        self.relay.shares.left(1, self.relay.clock.seconds())
        self.relay.settle()
        assert self.two.open() == 1

    def test_leave_that_comes_for_a_forgotten_destination_is_given_back(self) -> None:
        self.one.windows.handlers()["grant"]("elsewhere.test", False)
        assert self.relay.to_parent.pop() == (1, "gone", ("elsewhere.test", 1))

    def test_an_operators_retry_reaches_the_parent(self) -> None:
        self.one.connector.down = DOWN
        self.enter(self.one)
        self.one.connector.down = None
        self.one.destination.unblock()
        self.enter(self.one)
        self.answer(self.one)
        assert self.one.outcomes() == [TryLater, Delivered]


class OneConnectionTests(SynchronousTestCase):
    """A rule allows all workers together one connection, which each gets in turn."""

    def setUp(self) -> None:
        self.relay = Relay(Carriage(connections=1))
        self.one, self.two = self.relay.workers[1], self.relay.workers[2]

    def settle(self) -> None:
        """Let all lines arrive and all connections that were ended be down, without time passing."""
        self.relay.settle()
        for worker in (self.one, self.two):
            for connection in worker.connector.connections:
                downs, connection.downs = connection.downs, []
                for down in downs:
                    down()
        self.relay.settle()

    def test_a_connection_is_given_up_as_soon_as_it_idles_if_another_worker_waits(self) -> None:
        self.one.enter()
        self.settle()
        self.two.enter()
        self.settle()
        assert (self.one.open(), self.two.open()) == (1, 0)
        self.one.busy()[0].answer()
        self.settle()
        assert (self.one.open(), self.two.open()) == (0, 1)

    def test_a_worker_that_asked_while_its_own_connection_ended_has_the_next_turn(self) -> None:
        for _ in range(FEW_TRANSACTIONS + 1):
            self.one.enter()
        self.settle()
        for _ in range(FEW_TRANSACTIONS + 1):
            self.two.enter()
        self.settle()
        for _ in range(FEW_TRANSACTIONS):
            self.one.busy()[0].answer()
        self.settle()
        assert (self.one.open(), self.two.open()) == (0, 1)
        for _ in range(FEW_TRANSACTIONS):
            self.two.busy()[0].answer()
        self.settle()
        assert (self.one.open(), self.two.open()) == (1, 0)


class AnyOrder(RuleBasedStateMachine):
    """Whatever happens in whatever order, the bound holds, no leave gets lost, and no message is stuck."""

    def __init__(self) -> None:
        super().__init__()
        self.relay = Relay()

    numbers = st.sampled_from((1, 2))

    @rule(number=numbers, count=st.integers(1, 4))
    def enter(self, number: int, count: int) -> None:
        for _ in range(count):
            self.relay.workers[number].enter()

    @rule(number=numbers, well=st.booleans())
    def answer(self, number: int, well: bool) -> None:
        for connection in self.relay.workers[number].busy()[:1]:
            connection.answer(usable=well)

    @rule(number=numbers, limit=st.sampled_from((BUSY, THROTTLED, QUOTA, ENOUGH)), well=st.booleans())
    def refuse(self, number: int, limit: Reply, well: bool) -> None:
        for connection in self.relay.workers[number].busy()[:1]:
            connection.answer(TransactionResult({0: outcome(limit, connection.peer)}), usable=well)

    @rule(number=numbers)
    def come_again(self, number: int) -> None:
        self.relay.workers[number].enter_again()

    @rule(number=numbers, down=st.booleans())
    def turn(self, number: int, down: bool) -> None:
        self.relay.workers[number].connector.down = DOWN if down else None

    @rule(count=st.integers(1, 5))
    def let_lines_arrive(self, count: int) -> None:
        for _ in range(count):
            self.relay.deliver()

    @rule(seconds=st.sampled_from((0.1, 5.0, 31.0)))
    def wait(self, seconds: float) -> None:
        self.relay.clock.advance(seconds)

    @precondition(lambda self: self.relay.to_parent or self.relay.to_worker)
    @rule()
    def settle(self) -> None:
        self.relay.settle()

    @invariant()
    def the_bound_holds(self) -> None:
        assert self.relay.open() <= LIMITS.most

    def teardown(self) -> None:
        relay = self.relay
        for worker in relay.workers.values():
            worker.connector.down = None
        for round in range(600):
            relay.settle()
            busy = [each for worker in relay.workers.values() for each in worker.busy()]
            if not busy and all(len(worker.results) == worker.entered for worker in relay.workers.values()):
                break
            for worker in relay.workers.values():
                worker.enter_again()
            for connection in busy:
                if connection.pending is not None:
                    connection.answer()
            # A daily limit lets one message an hour through at first.
            relay.clock.advance(1 if round < 100 else 60 if round < 400 else 600)
        for worker in relay.workers.values():
            assert len(worker.results) == worker.entered
        for _ in range(10):
            relay.clock.advance(1)
            relay.settle()
        shares = relay.shares._shared.values()
        assert not any(shared.held.total() or shared.asking or shared.turns for shared in shares)


TestAnyOrder = AnyOrder.TestCase
TestAnyOrder.settings = settings(max_examples=choose(30, 150), stateful_step_count=40, deadline=None)
