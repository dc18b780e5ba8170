"""The whole delivery side, with a queue, hosts and mailboxes in memory."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed

from harness.mail import mail
from mta.delivery.destinations.window import window_limits
from mta.delivery.dispatch import PATIENCE
from mta.delivery.limits import DeliveryLimits
from mta.delivery.local.interface import Outcomes
from mta.message.envelope import Notify, Recipient, TlsDemand
from mta.message.outcome import Failed, TryLater
from mta.queue.interface import (
    Action,
    Claim,
    DeferralFilter,
    NewMail,
    QueueError,
    Settlement,
    Status,
)
from mta.queue.memory import MemoryQueue
from mta.routing.route import Local, Plan
from mta.smtp.address import parse_address
from tests.delivery.service_case import LATER, NO, NOW, SCHEDULE, LookingQueue, ServiceCase
from tests.fakes.connector import delivers


class SlowQueue(MemoryQueue):
    """Answers a claim when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.claiming: Deferred[list[Claim]] = Deferred()

    def claim(
        self, now: float, limit: int, lease: float, deferral_filter: DeferralFilter | None = None
    ) -> Deferred[list[Claim]]:  # noqa: ARG002
        return self.claiming

    def answer(self, claims: Deferred[list[Claim]]) -> None:
        claims.chainDeferred(self.claiming)


class FailingQueue(MemoryQueue):
    """Records nothing while its disk fails."""

    failing = True

    def settle(self, settlement: Settlement) -> Deferred[bool]:
        return fail(QueueError("disk on fire")) if self.failing else super().settle(settlement)

    def claim(self, *arguments: Any) -> Deferred[list[Claim]]:
        return fail(QueueError("disk on fire")) if self.failing else super().claim(*arguments)


class DeliveryTests(ServiceCase):
    def test_what_is_in_the_queue_at_start_is_delivered(self) -> None:
        new = self.add("bob@b.test")
        self.start()
        assert self.statuses(new) == [Status.DELIVERED]
        assert len(self.events("delivered")) == 1

    def test_a_message_handed_over_is_delivered_without_being_claimed(self) -> None:
        self.start()
        new = self.hand_over("bob@b.test")
        assert self.statuses(new) == [Status.DELIVERED]

    def test_recipients_with_one_destination_go_in_one_transaction(self) -> None:
        self.start()
        self.hand_over("bob@b.test", "eve@c.test", "joe@b.test")
        assert [len(request.recipients) for request in self.connector.requests] == [3]

    def test_a_transaction_has_a_bounded_number_of_recipients(self) -> None:
        self.start()
        self.hand_over(*[f"u{number}@b.test" for number in range(250)])
        assert [len(request.recipients) for request in self.connector.requests] == [100, 100, 50]

    def test_each_recipient_gets_its_own_verdict_and_only_the_rest_is_tried_again(self) -> None:
        self.start()
        self.refuse(eve=LATER, joe=NO)
        new = self.hand_over("bob@b.test", "eve@b.test", "joe@b.test")
        assert self.statuses(new) == [Status.DELIVERED, Status.WAITING, Status.FAILED]
        self.connector.answer = delivers
        self.clock.advance(900)
        assert self.statuses(new) == [Status.DELIVERED, Status.DELIVERED, Status.FAILED]
        # The report about joe went out in between.
        assert [len(request.recipients) for request in self.connector.requests] == [3, 1, 1]

    def test_a_failure_is_reported_to_the_sender_at_once(self) -> None:
        self.start()
        self.refuse(bob=NO)
        self.hand_over("bob@b.test")
        report = self.connector.requests[-1]
        assert report.envelope.sender is None
        assert str(report.envelope.recipients[0].address) == "alice@a.test"
        assert len(self.events("reported")) == 1

    def test_a_report_that_fails_is_never_reported(self) -> None:
        self.start()
        self.refuse(bob=NO, alice=NO)
        self.hand_over("bob@b.test")
        assert len(self.connector.requests) == 2
        assert len(self.entries()) == 2

    def test_out_of_time_is_a_failure_that_quotes_the_last_reply(self) -> None:
        self.start()
        self.refuse(bob=LATER)
        new = self.hand_over("bob@b.test")
        for _ in range(9):
            self.clock.advance(900)
        assert self.statuses(new) == [Status.FAILED]
        assert "451 4.3.0 later" in self.events("failed")[0]
        assert "status=5.4.7" in self.events("failed")[0]

    def test_a_success_that_was_to_be_reported_is(self) -> None:
        self.start()
        self.add(Recipient(parse_address("bob@b.test"), Notify.SUCCESS))
        self.service.wake()
        assert "kind=success" in self.events("reported")[0]

    def test_local_recipients_go_to_their_mailboxes(self) -> None:
        self.router.routings["here.test"] = Local()
        self.start()
        new = self.hand_over("bob@here.test", "eve@b.test")
        assert self.mailboxes.delivered == ["bob@here.test"]
        assert self.statuses(new) == [Status.DELIVERED, Status.DELIVERED]

    def test_what_routing_decides_needs_no_connection(self) -> None:
        self.router.routings["gone.test"] = Failed("no such domain gone.test", status="5.1.2")
        self.router.routings["slow.test"] = TryLater("no DNS server answers", status="4.4.3")
        self.start()
        new = self.hand_over("bob@gone.test", "bob@slow.test")
        assert self.statuses(new) == [Status.FAILED, Status.WAITING]
        assert [str(request.envelope.recipients[0].address) for request in self.connector.requests] == ["alice@a.test"]

    def test_the_demand_of_a_message_on_tls_decides_on_its_routing(self) -> None:
        self.look_up("c.test").callback(Plan("mx.test", ()))
        for demand in (None, *TlsDemand):
            for domain in ("b.test", "c.test"):
                self.router.demands.clear()
                new = mail(f"bob@{domain}")
                new = replace(new, envelope=replace(new.envelope, tls_demand=demand))
                self.successResultOf(self.queue.add(new, self.clock.seconds()))
                self.start() if not self.service.running else self.service.wake()
                self.clock.advance(0)
                assert self.statuses(new) == [Status.DELIVERED]
                assert demand in self.router.demands
                # The look of the filter at dead destinations is by domain alone.
                assert self.router.demands <= {demand, None}

    def test_recipients_whose_routing_is_known_do_not_wait_for_the_others(self) -> None:
        finding = self.look_up("slow.test")
        self.start()
        new = self.hand_over("bob@b.test", "eve@slow.test")
        assert self.statuses(new) == [Status.DELIVERED, Status.WAITING]
        finding.callback(Plan("mx.test", ()))
        assert self.statuses(new) == [Status.DELIVERED, Status.DELIVERED]
        assert len(self.events("delivered")) == 2

    def test_recipients_whose_look_ups_take_a_moment_share_a_transaction(self) -> None:
        first, second = self.look_up("one.test"), self.look_up("two.test")
        self.start()
        self.hand_over("bob@one.test", "eve@two.test")
        first.callback(Plan("mx.test", ()))
        self.clock.advance(PATIENCE / 2)
        assert self.connector.requests == []
        second.callback(Plan("mx.test", ()))
        assert [len(request.recipients) for request in self.connector.requests] == [2]

    def test_a_look_up_that_takes_long_delays_its_own_recipients_only(self) -> None:
        fast, slow, slower = (self.look_up(name) for name in ("fast.test", "slow.test", "slower.test"))
        self.start()
        new = self.hand_over("bob@fast.test", "eve@slow.test", "pat@slower.test")
        fast.callback(Plan("mx.test", ()))
        self.clock.advance(PATIENCE)
        assert self.statuses(new) == [Status.DELIVERED, Status.WAITING, Status.WAITING]
        slower.errback(RuntimeError("oops"))
        slow.callback(Plan("mx.test", ()))
        assert self.statuses(new) == [Status.DELIVERED, Status.DELIVERED, Status.WAITING]
        assert len(self.events("delivered")) == 2
        assert len(self.events("deferred")) == 1

    def test_a_fault_in_routing_puts_the_mail_off(self) -> None:
        finding = self.look_up("slow.test")
        self.start()
        new = self.hand_over("eve@slow.test")
        finding.errback(RuntimeError("oops"))
        assert self.statuses(new) == [Status.WAITING]
        assert "internal error in routing: oops" in self.events("deferred")[0]

    def test_a_delivery_line_tells_where_the_time_went(self) -> None:
        self.start()
        self.connector.held = True
        self.hand_over("bob@b.test")
        self.clock.advance(2)
        self.connector.connections[0].answer()
        assert "total=2.0 queued=0.0 waited=0.0 transfer=2.0" in self.events("delivered")[0]


class DeadDestinationTests(ServiceCase):
    def test_a_dead_destination_costs_one_probe_a_step_and_all_is_delivered_when_it_is_back(self) -> None:
        self.connector.down = TryLater("connection refused", "mx.test[192.0.2.1]:25", "4.4.1")
        new = [self.add("bob@b.test") for _ in range(50)]
        self.start()
        probes = len(self.connector.plans)
        assert probes <= window_limits(SCHEDULE).start
        assert all(self.statuses(each) == [Status.WAITING] for each in new)
        self.clock.advance(900)
        assert len(self.connector.plans) == probes + 1
        self.connector.down = None
        self.clock.advance(900)
        assert all(self.statuses(each) == [Status.DELIVERED] for each in new)

    def test_a_step_costs_the_same_however_much_waits(self) -> None:
        self.connector.down = TryLater("connection refused", "mx.test[192.0.2.1]:25", "4.4.1")
        new = [self.add("bob@b.test") for _ in range(1000)]
        self.start()
        self.clock.pump([0.0] * 30)
        begun, limits = len(self.connector.plans), DeliveryLimits()
        assert len(self.events("deferred")) <= limits.claims + limits.waiting_unconnected
        self.lines.clear()
        self.clock.advance(30)
        self.clock.pump([1.0] * 29)
        assert len(self.connector.plans) == begun + 1
        assert len(self.events("deferred")) <= limits.claims + limits.waiting_unconnected
        self.connector.down = None
        self.clock.pump([1.0] * 300)
        assert {status for each in new for status in self.statuses(each)} >= {Status.DELIVERED}
        self.clock.pump([10.0] * 90)
        assert all(self.statuses(each) == [Status.DELIVERED] for each in new)

    def test_what_waits_for_it_is_returned_in_time(self) -> None:
        self.connector.down = TryLater("connection refused", "mx.test[192.0.2.1]:25", "4.4.1")
        self.router.routings["a.test"] = Local()
        new = [self.add("bob@b.test") for _ in range(300)]
        self.start()
        self.clock.pump([60.0] * 119)
        assert all(self.statuses(each) == [Status.WAITING] for each in new)
        # An attempt shortly before the end of the schedule is followed by one more.
        self.clock.pump([60.0] * 17)
        assert all(self.statuses(each) == [Status.FAILED] for each in new)

    def test_an_operator_who_retries_has_it_tried_now(self) -> None:
        self.connector.down = TryLater("connection refused", "mx.test[192.0.2.1]:25", "4.4.1")
        self.start()
        new = self.hand_over("bob@b.test")
        self.connector.down = None
        changed = self.successResultOf(self.queue.apply(Action.RETRY, [new.id], self.clock.seconds()))
        self.service.applied(Action.RETRY, changed)
        self.clock.advance(0)
        assert self.statuses(new) == [Status.DELIVERED]


class CrowdTests(ServiceCase):
    limits = DeliveryLimits(jobs=4, claims=2, waiting_unconnected=2)

    def test_what_does_not_fit_in_memory_waits_in_the_queue_and_is_claimed_when_there_is_room(self) -> None:
        self.start()
        self.hand_over("first@b.test")
        self.connector.held = True
        new = [self.hand_over(f"u{number}@b.test") for number in range(10)]
        assert self.service.lease(1) is None
        self.connector.held = False
        for connection in list(self.connector.connections):
            if connection.pending is not None:
                connection.answer()
        # No message waits for the due time of a destination's overflow.
        self.clock.pump([0.0] * 50)
        assert all(self.statuses(each) == [Status.DELIVERED] for each in new)

    def test_a_crowd_at_one_destination_leaves_room_for_the_others(self) -> None:
        self.router.routings["other.test"] = Plan("mx.other.test", ())
        self.start()
        self.connector.slow = True
        for number in range(8):
            self.add(f"u{number}@b.test")
        self.service.wake()
        self.clock.pump([0.1] * 5)
        other = self.add("bob@other.test")
        self.service.wake()
        self.clock.advance(0)
        assert "mx.other.test" in {plan.destination for plan in self.connector.plans}
        assert self.statuses(other) == [Status.WAITING]

    def crowd(self, count: int) -> None:
        """Have silent hosts take part of the room."""
        for number in range(count):
            self.router.routings[f"silent{number}.test"] = Plan(f"mx.silent{number}.test", ())
        self.connector.slow = True
        for number in range(count):
            self.hand_over(f"eve@silent{number}.test")
        self.connector.slow = False

    def attempts(self, *recipients: str) -> int:
        """Return how often a host is asked in a second that puts mail off, while others of a message find no room."""
        self.refuse(grey=LATER)
        before = len(self.connector.requests)
        self.hand_over(*recipients)
        self.clock.pump([0.01] * 100)
        return len(self.connector.requests) - before

    def test_a_host_that_puts_mail_off_is_not_asked_again_with_each_look_for_room_elsewhere(self) -> None:
        self.start()
        self.hand_over("bob@b.test")
        self.crowd(3)
        assert self.attempts("grey@b.test", "pat@new.test") == 1
        self.router.routings["new.test"] = Plan("mx.silent0.test", ())
        assert self.attempts("grey@b.test", "pat@new.test") == 1

    def test_who_holds_a_place_of_the_unproven_may_use_it(self) -> None:
        self.start()
        self.crowd(2)
        finding = self.look_up("new.test")
        self.router.routings["other.test"] = Plan("mx.other.test", ())
        self.hand_over("pat@new.test", "sue@other.test")
        assert self.connector.plans[-1].destination == "mx.other.test"
        finding.callback(Plan("mx.new.test", ()))
        assert self.connector.plans[-1].destination == "mx.new.test"

    def test_the_dead_that_were_met_since_do_not_push_out_who_takes_mail(self) -> None:
        self.start()
        self.hand_over("bob@b.test")
        self.connector.down = TryLater("no route", status="4.4.1")
        for number in range(20):
            self.router.routings[f"dead{number}.test"] = Plan(f"mx.dead{number}.test", ())
            self.hand_over(f"eve@dead{number}.test")
        self.connector.down = None
        self.clock.pump([1.0] * 10)
        self.crowd(3)
        assert self.statuses(self.hand_over("bob@b.test")) == [Status.DELIVERED]

    def test_a_crowd_of_silent_hosts_leaves_room_for_those_that_take_mail(self) -> None:
        for number in range(8):
            self.router.routings[f"silent{number}.test"] = Plan(f"mx.silent{number}.test", ())
        self.start()
        self.hand_over("bob@b.test")
        self.connector.slow = True
        crowd = [self.hand_over(f"eve@silent{number}.test") for number in range(8)]
        assert len(self.connector.connecting) == 3
        self.connector.slow = False
        assert self.statuses(self.hand_over("bob@b.test")) == [Status.DELIVERED]
        # What is left in the queue takes no part of the room either.
        self.service.wake()
        self.clock.advance(0)
        assert self.statuses(self.add("pat@b.test")) == [Status.WAITING]
        self.service.wake()
        self.clock.advance(0)
        assert len(self.connector.connecting) == 3
        for number, opening in enumerate(self.connector.connecting):
            opening.callback(TryLater(f"silent{number}: timed out", status="4.4.1"))
        self.clock.pump([1.0] * 120)
        assert all(self.statuses(each) == [Status.DELIVERED] for each in crowd[3:])

    def test_a_crowd_of_silent_dns_servers_leaves_room_for_what_is_known(self) -> None:
        for number in range(8):
            self.look_up(f"silent{number}.test")
        self.start()
        self.hand_over("bob@b.test")
        crowd = [self.hand_over(f"eve@silent{number}.test") for number in range(8)]
        assert [entry.claimed for entry in self.entries() if entry.id in {each.id for each in crowd}].count(True) == 3
        assert self.statuses(self.hand_over("bob@b.test")) == [Status.DELIVERED]
        self.router.slow.clear()
        self.clock.pump([1.0] * 120)
        assert all(self.statuses(each) == [Status.DELIVERED] for each in crowd[3:])


class OverflowTests(ServiceCase):
    limits = DeliveryLimits(jobs=100, claims=10, waiting_unconnected=5)

    def setUp(self) -> None:
        super().setUp()
        self.queue = self.looking = LookingQueue()
        self.service = self.new_service()

    def fill(self, count: int) -> list[NewMail]:
        """Have so many messages wait for one host that has taken mail before, and answers none now."""
        self.start()
        self.hand_over("first@b.test")
        self.connector.held = True
        new = [self.add(f"u{number}@b.test") for number in range(count)]
        self.service.wake()
        self.clock.pump([0.0] * 200)
        return new

    def answer(self) -> None:
        """Have the host answer what it was sent, and take note of what follows without any time passing."""
        for connection in list(self.connector.connections):
            if connection.pending is not None:
                connection.answer()
        self.clock.pump([0.0] * 5)

    def test_a_backlog_is_delivered_without_a_pause_and_each_message_looked_at_a_few_times(self) -> None:
        new = self.fill(2000)
        assert self.looking.looks <= 2 * len(new)
        for _ in range(len(new)):
            self.answer()
            if all(connection.pending is None for connection in self.connector.connections):
                break
        assert all(self.statuses(each) == [Status.DELIVERED] for each in new)
        assert self.looking.looks <= 4 * len(new)
        assert self.looking.released >= len(new) - 100

    def test_mail_that_is_not_made_due_comes_after_a_minute_at_the_latest(self) -> None:
        self.looking.failing = True
        new = self.fill(200)
        self.connector.held = False
        self.answer()
        assert Status.WAITING in {status for each in new for status in self.statuses(each)}
        assert any("disk on fire" in line for line in self.events("trouble"))
        self.clock.pump([1.0] * 60)
        assert all(self.statuses(each) == [Status.DELIVERED] for each in new)


class FailingDiskTests(ServiceCase):
    def setUp(self) -> None:
        super().setUp()
        self.queue = self.failing = FailingQueue()
        self.failing.failing = False
        self.service = self.new_service()
        self.start()
        self.failing.failing = True
        self.new = self.hand_over("bob@b.test")

    def test_a_delivery_that_the_queue_cannot_record_is_recorded_once_it_can_and_not_made_again(self) -> None:
        self.clock.pump([1.0, 2.0])
        assert self.statuses(self.new) == [Status.WAITING]
        self.failing.failing = False
        self.clock.advance(4.0)
        assert self.statuses(self.new) == [Status.DELIVERED]
        assert len(self.connector.requests) == len(self.events("trouble")) == 1

    def test_an_outage_longer_than_the_lease_delivers_nothing_twice(self) -> None:
        self.clock.pump([10.0] * int(self.limits.lease // 10 + 10))
        self.failing.failing = False
        self.clock.advance(self.limits.queue_retry)
        assert self.statuses(self.new) == [Status.DELIVERED]
        self.clock.pump([1.0] * 70)
        assert len(self.connector.requests) == 1
        assert self.events("lease-lost") == []

    def test_a_stop_offers_it_once_more_and_then_waits_no_longer(self) -> None:
        self.successResultOf(self.service.stopService())
        assert self.clock.getDelayedCalls() == []
        assert "will be tried again" in self.events("trouble")[-1]

    def test_a_stop_records_what_the_queue_takes_again(self) -> None:
        self.failing.failing = False
        self.successResultOf(self.service.stopService())
        assert self.statuses(self.new) == [Status.DELIVERED]


class EarlySettlementTests(ServiceCase):
    """One group of a message is delivered, the other one takes longer, and the disk fails."""

    def setUp(self) -> None:
        super().setUp()
        self.queue = self.failing = FailingQueue()
        self.failing.failing = False
        self.service = self.new_service()
        self.router.routings["other.test"] = Plan("mx.other.test", ())
        self.finding = self.look_up("slow.test")
        self.start()

    def test_a_delivery_is_recorded_while_another_group_takes_longer(self) -> None:
        new = self.hand_over("bob@b.test", "pat@other.test", "eve@slow.test")
        assert self.statuses(new) == [Status.DELIVERED, Status.DELIVERED, Status.WAITING]
        assert self.entries()[0].claimed

    def test_a_delivery_that_cannot_be_recorded_early_is_recorded_at_the_end(self) -> None:
        self.failing.failing = True
        new = self.hand_over("bob@b.test", "eve@slow.test")
        assert len(self.events("trouble")) == 1
        assert "a delivery could not be recorded yet: disk on fire" in self.events("trouble")[0]
        self.failing.failing = False
        self.finding.callback(Plan("mx.test", ()))
        assert self.statuses(new) == [Status.DELIVERED, Status.DELIVERED]
        assert len(self.events("delivered")) == 2


class BugTests(ServiceCase):
    """A bug in the relay loses no message: it is logged, and the mail is tried later."""

    def assert_is_tried_later(self, new: NewMail, statuses: Sequence[Status]) -> None:
        assert len(self.flushLoggedErrors(ZeroDivisionError)) == 1
        assert self.statuses(new) == statuses
        assert "internal error: oops" in self.events("deferred")[0]
        assert not self.entries()[0].claimed
        self.successResultOf(self.service.stopService())

    def test_in_a_transaction(self) -> None:
        self.start()
        self.connector.answer = fault
        self.assert_is_tried_later(self.hand_over("bob@b.test"), [Status.WAITING])

    def test_in_the_routing_of_the_usual_message(self) -> None:
        self.start()
        self.router.cached = fault  # type: ignore[method-assign]
        self.assert_is_tried_later(self.hand_over("bob@b.test"), [Status.WAITING])

    def test_in_a_local_delivery_beside_a_remote_one(self) -> None:
        self.router.routings["here.test"] = Local()
        self.mailboxes.way = fault  # type: ignore[method-assign]
        self.start()
        self.assert_is_tried_later(self.hand_over("bob@here.test", "eve@b.test"), [Status.WAITING, Status.WAITING])

    def test_in_a_local_delivery_that_ends_after_a_remote_one(self) -> None:
        delivering: Deferred[Outcomes] = Deferred()
        self.router.routings["here.test"] = Local()
        self.mailboxes.way = lambda _: delivering  # type: ignore[method-assign]
        self.start()
        new = self.hand_over("bob@here.test", "eve@b.test")
        assert self.statuses(new) == [Status.WAITING, Status.DELIVERED]
        delivering.errback(ZeroDivisionError("oops"))
        self.assert_is_tried_later(new, [Status.WAITING, Status.DELIVERED])


def fault(_: object) -> Any:
    """Do what no part of the relay should."""
    raise ZeroDivisionError("oops")


class StopTests(ServiceCase):
    def test_mail_whose_routing_is_being_looked_up_is_given_back_at_once(self) -> None:
        self.look_up("slow.test")
        self.start()
        new = self.hand_over("eve@slow.test")
        self.successResultOf(self.service.stopService())
        assert self.statuses(new) == [Status.WAITING]
        assert not self.entries()[0].claimed
        assert self.events("deferred") == []

    def test_an_answer_that_waits_for_others_is_given_back_with_them(self) -> None:
        fast, _ = self.look_up("fast.test"), self.look_up("slow.test")
        self.start()
        new = self.hand_over("bob@fast.test", "eve@slow.test")
        fast.callback(Plan("mx.test", ()))
        self.successResultOf(self.service.stopService())
        assert self.statuses(new) == [Status.WAITING, Status.WAITING]
        assert not self.entries()[0].claimed
        assert self.clock.getDelayedCalls() == []

    def test_a_stop_waits_for_a_claim_under_way_and_no_longer_if_that_brings_nothing(self) -> None:
        for brings in (succeed([]), fail(QueueError("disk on fire"))):
            self.queue = queue = SlowQueue()
            self.service = self.new_service()
            self.start()
            stopping = self.service.stopService()
            self.assertNoResult(stopping)
            queue.answer(brings)
            self.successResultOf(stopping)

    def test_nothing_is_opened_for_mail_that_is_routed_after_the_stop(self) -> None:
        self.start()
        self.connector.held = True
        self.hand_over("bob@b.test")
        opened = len(self.connector.plans)
        self.service.stopService()
        claim = self.successResultOf(self.queue.add(mail("eve@other.test"), self.clock.seconds(), 60.0))
        assert claim is not None
        self.service.take(claim)
        assert len(self.connector.plans) == opened

    def test_a_running_transaction_may_finish_and_the_rest_is_given_back(self) -> None:
        self.start()
        self.connector.held = True
        new = [self.hand_over(f"u{number}@b.test") for number in range(8)]
        running = [connection for connection in self.connector.connections if connection.pending]
        stopping = self.service.stopService()
        self.assertNoResult(stopping)
        for connection in running:
            connection.answer()
        self.successResultOf(stopping)
        statuses = [self.statuses(each)[0] for each in new]
        assert statuses.count(Status.DELIVERED) == len(running)
        assert statuses.count(Status.WAITING) == 8 - len(running)
        assert not any(entry.claimed for entry in self.entries())
        assert not self.clock.getDelayedCalls()

    def test_a_transaction_that_outlasts_its_grace_is_cut_short(self) -> None:
        self.start()
        self.connector.held = True
        new = self.hand_over("bob@b.test")
        stopping = self.service.stopService()
        self.clock.advance(DeliveryLimits().grace)
        self.successResultOf(stopping)
        assert self.statuses(new) == [Status.WAITING]

    def test_a_stopped_service_takes_nothing_and_gives_late_claims_back(self) -> None:
        self.start()
        self.successResultOf(self.service.stopService())
        assert self.service.lease(1) is None
        new = mail("bob@b.test")
        claim = self.successResultOf(self.queue.add(new, self.clock.seconds(), 60.0))
        assert claim is not None
        self.service.take(claim)
        assert not self.entries()[0].claimed


class LostClaimsTests(ServiceCase):
    """Another relay took over the mail, because this one had stood still."""

    def lose_claims(self) -> None:
        self.clock.rightNow += DeliveryLimits().lease + 1
        claiming = self.queue.claim(self.clock.seconds(), 100, 3600.0)
        self.taken_over = self.successResultOf(claiming)
        self.service.drop_claims()

    def test_mail_that_waits_for_a_connection_or_its_way_is_not_sent(self) -> None:
        finding = self.look_up("slow.test")
        self.start()
        self.connector.slow = True
        new = [self.hand_over("bob@b.test"), self.hand_over("eve@slow.test")]
        self.lose_claims()
        self.connector.slow = False
        self.connector.connect()
        finding.callback(Plan("mx.test", ()))
        self.clock.advance(1)
        assert self.connector.requests == []
        assert [self.statuses(each) for each in new] == [[Status.WAITING]] * 2
        assert all(entry.claimed for entry in self.entries()), "by the other relay"
        assert self.lines == [], "each message is the other relay's affair"

    def test_a_transaction_that_runs_comes_to_its_end_and_its_result_is_told_as_lost(self) -> None:
        self.start()
        self.connector.held = True
        self.hand_over("bob@b.test")
        self.lose_claims()
        (running,) = [connection for connection in self.connector.connections if connection.pending]
        running.answer()
        assert len(self.events("lease-lost")) == 1
        assert self.events("delivered") == []

    def test_it_takes_mail_again(self) -> None:
        self.start()
        self.connector.held = True
        self.hand_over("bob@b.test")
        self.lose_claims()
        self.connector.held = False
        for claim in self.taken_over:
            self.successResultOf(self.queue.release(claim, self.clock.seconds()))
        self.service.wake()
        (running,) = [connection for connection in self.connector.connections if connection.pending]
        running.answer()
        assert self.statuses(self.hand_over("eve@b.test")) == [Status.DELIVERED]
        self.clock.advance(1)
        assert self.service.running


class OperatorTests(ServiceCase):
    def test_a_removed_message_that_waits_for_a_connection_is_not_sent(self) -> None:
        self.start()
        self.connector.slow = True
        new = self.hand_over("bob@b.test")
        changed = self.successResultOf(self.queue.apply(Action.REMOVE, [new.id], self.clock.seconds()))
        self.service.applied(Action.REMOVE, changed)
        self.connector.connect()
        assert self.connector.requests == []
        assert self.statuses(new) == [Status.REMOVED]

    def test_a_returned_message_that_waits_for_a_connection_is_not_sent(self) -> None:
        self.start()
        self.connector.slow = True
        new = self.hand_over("bob@b.test")
        returning = self.queue.bounce([new.id], self.clock.seconds(), "returned", lambda _claim, _verdicts: ())
        self.service.applied(Action.BOUNCE, self.successResultOf(returning))
        self.connector.connect()
        assert self.connector.requests == []
        assert self.statuses(new) == [Status.FAILED]

    def test_a_message_goes_on_without_a_removed_recipient(self) -> None:
        self.start()
        self.connector.slow = True
        new = self.hand_over("bob@b.test", "eve@b.test")
        now = self.clock.seconds()
        changed = self.successResultOf(self.queue.apply(Action.REMOVE, [new.id], now, recipient="eve@b.test"))
        self.service.applied(Action.REMOVE, changed, recipient="eve@b.test")
        self.connector.slow = False
        self.connector.connect()
        self.clock.advance(1)
        assert self.statuses(new) == [Status.DELIVERED, Status.REMOVED]
        sent = [str(each.recipient.address) for request in self.connector.requests for each in request.recipients]
        assert sent == ["bob@b.test"]

    def test_a_held_message_stays_until_it_is_released(self) -> None:
        new = self.add("bob@b.test")
        self.successResultOf(self.queue.apply(Action.HOLD, [new.id], self.clock.seconds()))
        self.start()
        self.clock.advance(3600)
        assert self.statuses(new) == [Status.WAITING]
        changed = self.successResultOf(self.queue.apply(Action.RELEASE, [new.id], self.clock.seconds()))
        self.service.applied(Action.RELEASE, changed)
        self.clock.advance(0)
        assert self.statuses(new) == [Status.DELIVERED]

    def test_a_message_removed_while_its_way_is_looked_up_is_not_sent(self) -> None:
        finding = self.look_up("slow.test")
        self.start()
        new = self.hand_over("eve@slow.test")
        self.service.applied(
            Action.REMOVE, self.successResultOf(self.queue.apply(Action.REMOVE, [new.id], self.clock.seconds()))
        )
        finding.callback(Plan("mx.test", ()))
        assert self.connector.requests == []
        assert self.statuses(new) == [Status.REMOVED]
        assert self.events("lease-lost") == []

    def test_a_message_removed_in_the_middle_of_its_transaction_is_not_settled(self) -> None:
        self.start()
        self.connector.held = True
        new = self.hand_over("bob@b.test")
        changed = self.successResultOf(self.queue.apply(Action.REMOVE, [new.id], self.clock.seconds()))
        self.service.applied(Action.REMOVE, changed)
        self.connector.connections[0].answer()
        assert self.statuses(new) == [Status.REMOVED]
        assert len(self.events("lease-lost")) == 1


class LocalTests(ServiceCase):
    def setUp(self) -> None:
        super().setUp()
        self.router.routings["here.test"] = Local()

    def test_an_alias_becomes_a_message_that_is_delivered_in_its_turn(self) -> None:
        new = mail("bob@here.test", "eve@corp.test")
        self.mailboxes.others["all"] = new
        self.start()
        first = self.hand_over("all@here.test")
        self.clock.advance(0)
        assert self.statuses(first) == [Status.DELIVERED]
        assert self.statuses(new) == [Status.DELIVERED, Status.DELIVERED]
        assert self.mailboxes.delivered == ["bob@here.test"]
        assert [request.recipients[0].recipient.address.local for request in self.connector.requests] == ["eve"]

    def test_what_an_alias_became_is_added_with_the_settlement_and_not_before(self) -> None:
        new = mail("bob@here.test")
        self.mailboxes.others["all"] = new
        self.connector.held = True
        self.start()
        first = self.hand_over("all@here.test", "eve@b.test")
        assert [entry.id for entry in self.entries()] == [first.id]
        assert self.statuses(first) == [Status.WAITING, Status.WAITING]
        self.connector.connections[0].answer()
        self.clock.advance(0)
        assert self.statuses(first) == [Status.DELIVERED, Status.DELIVERED]
        assert self.statuses(new) == [Status.DELIVERED]

    def test_a_lost_lease_adds_nothing(self) -> None:
        self.mailboxes.others["all"] = mail("bob@here.test")
        self.connector.held = True
        self.start()
        first = self.hand_over("all@here.test", "eve@b.test")
        self.successResultOf(self.queue.apply(Action.REMOVE, [first.id], NOW))
        self.connector.connections[0].answer()
        assert [entry.id for entry in self.entries()] == [first.id]

    def test_recipients_of_one_mail_store_travel_together_whatever_their_domain(self) -> None:
        self.router.routings["also-here.test"] = Local()
        store = Plan("lmtp:store.test:24", ())
        self.mailboxes.others = {"bob": store, "eve": store}
        self.start()
        new = self.hand_over("bob@here.test", "eve@also-here.test", "dan@here.test")
        assert self.statuses(new) == [Status.DELIVERED] * 3
        assert self.connector.plans == [store]
        assert [len(request.recipients) for request in self.connector.requests] == [2]
        assert self.mailboxes.delivered == ["dan@here.test"]
