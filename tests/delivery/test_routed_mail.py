"""Mail whose way the operator's router rules decide, through the whole delivery side in memory."""

from collections.abc import Sequence
from dataclasses import replace

from twisted.internet.defer import Deferred, succeed

from harness.mail import envelope
from mta.delivery.destinations.admission import UNTIL_LOOKED_UP
from mta.delivery.limits import DeliveryLimits
from mta.delivery.remote.interface import Connection
from mta.delivery.route_rules import RouteRules
from mta.delivery.service import DeliveryService
from mta.inbound.networks import IPAddress
from mta.message.envelope import Notify, Recipient
from mta.message.outcome import TryLater
from mta.queue.interface import DueMessage, NewMail, Status
from mta.routing.choice import Discard, Fail, MxOf, ViaSmarthost
from mta.routing.route import Credentials, Local, Plan, Smarthost, TlsRule
from mta.rules.book import CurrentRules
from mta.smtp.address import parse_address
from tests.delivery.service_case import LookingQueue, ServiceCase
from tests.drivers.rule_books import client, recipient, router_book, sender
from tests.fakes.connector import FakeConnector

DOWN = TryLater("connection refused", "mx.test[192.0.2.1]:25", "4.4.1")


def via(name: str) -> ViaSmarthost:
    return ViaSmarthost(Smarthost(((f"{name}.test", 25),), TlsRule.OPPORTUNISTIC, name=name))


class PartlyDeadConnector(FakeConnector):
    """Opens no connection to the destinations in `dead`."""

    def __init__(self) -> None:
        super().__init__()
        self.dead: set[str] = set()

    def open(self, plan: Plan, tried: frozenset[str] = frozenset()) -> Deferred[Connection | TryLater]:
        opening = super().open(plan, tried)
        return succeed(DOWN) if plan.destination in self.dead else opening


class RoutedCase(ServiceCase):
    def setUp(self) -> None:
        self.rules = CurrentRules()
        # The addresses of host names in rules.
        self.known: dict[str, frozenset[IPAddress]] = {}
        super().setUp()
        self.connector = self.partly_dead = PartlyDeadConnector()
        self.service = self.new_service()

    def new_service(self) -> DeliveryService:
        rules = RouteRules(self.rules, lambda _: False, self.known.get)
        return self.service_with(rules)

    def destinations(self) -> list[str]:
        return [plan.destination for plan in self.connector.plans]

    def sent(self) -> list[tuple[str, list[str]]]:
        """Return the sender and the recipients of each transaction."""
        return [
            (str(request.envelope.sender), [str(pending.recipient.address) for pending in request.recipients])
            for request in self.connector.requests
        ]

    def rules_on(self, event: str) -> list[str]:
        """Return the value of `rule` in each event of this name, "" without one."""
        return [line.partition(" rule=")[2].partition(" ")[0] for line in self.events(event)]


class WayTests(RoutedCase):
    def test_mail_that_waits_for_a_connection_goes_by_the_new_login(self) -> None:
        old, new = via("office"), ViaSmarthost(replace(via("office").smarthost, credentials=Credentials("u", "p")))
        self.rules.book = router_book((old, []))
        self.connector.slow = True
        self.start()
        mail = self.hand_over("bob@b.test")
        self.rules.replace(router_book((new, [])))
        self.service.rules_changed()
        self.clock.pump([0.1] * 20)
        assert [plan.smarthost for plan in self.connector.plans] == [old.smarthost, new.smarthost]
        before, after = self.connector.connecting
        before.callback(self.connector._result())
        assert self.connector.requests == []
        after.callback(self.connector._result())
        assert self.statuses(mail) == [Status.DELIVERED]

    def test_mail_goes_the_way_of_the_rule_for_its_sender_and_the_log_names_the_rule(self) -> None:
        self.rules.replace(router_book((via("office"), [sender("a.test")])))
        self.start()
        self.add("bob@b.test")
        self.add("bob@b.test", sender="carol@c.test")
        self.add("bob@b.test", sender=None)
        self.service.wake()
        self.clock.advance(0)
        assert self.destinations() == ["office", "mx.test"]
        assert self.sent() == [
            ("alice@a.test", ["bob@b.test"]),
            ("carol@c.test", ["bob@b.test"]),
            ("None", ["bob@b.test"]),
        ]
        assert self.rules_on("delivered") == ["20-routes.toml:1", "", ""]

    def test_the_recipients_of_a_message_go_different_ways_and_share_those_they_can(self) -> None:
        self.rules.replace(
            router_book(
                (via("office"), [recipient("bob@b.test", "eve@c.test")]), (via("office"), [recipient("d.test")])
            )
        )
        self.start()
        new = self.hand_over("bob@b.test", "joe@b.test", "eve@c.test", "ann@d.test", "tom@e.test")
        assert [users for _, users in self.sent()] == [
            ["bob@b.test", "eve@c.test", "ann@d.test"],
            ["joe@b.test", "tom@e.test"],
        ]
        assert self.statuses(new) == [Status.DELIVERED] * 5
        assert sorted(self.rules_on("delivered")) == ["", "", *["20-routes.toml:1"] * 2, "20-routes.toml:2"]

    def test_a_local_domain_stays_local_whatever_the_rules(self) -> None:
        self.rules.replace(router_book((via("office"), [])))
        self.router.routings = {"here.test": Local()}
        self.start()
        self.hand_over("bob@here.test")
        self.hand_over("eve@here.test", "joe@b.test")
        assert self.mailboxes.delivered == ["bob@here.test", "eve@here.test"]
        assert sorted(self.rules_on("delivered")) == ["", "", "20-routes.toml:1"]

    def test_new_rules_count_for_mail_that_waits(self) -> None:
        self.rules.replace(router_book((via("office"), [])))
        self.partly_dead.dead = {"office"}
        self.start()
        new = self.hand_over("bob@b.test")
        assert self.rules_on("deferred") == ["20-routes.toml:1"]
        self.rules.replace(router_book((via("branch"), [])))
        self.clock.advance(900)
        assert self.statuses(new) == [Status.DELIVERED]
        assert self.destinations() == ["office", "branch"]

    def test_a_way_that_is_not_known_yet_is_looked_up_as_the_rule_chooses(self) -> None:
        self.rules.replace(router_book((MxOf("other.test"), [recipient("b.test")])))
        finding = self.look_up("b.test")
        self.start()
        new = self.hand_over("bob@b.test")
        assert self.statuses(new) == [Status.WAITING]
        finding.callback(Plan("mx.other.test", ()))
        assert self.router.asked == [("b.test", MxOf("other.test"))]
        assert self.destinations() == ["mx.other.test"]
        assert self.rules_on("delivered") == ["20-routes.toml:1"]


class NoHostTests(RoutedCase):
    def test_discarded_mail_is_sent_nowhere_and_no_sender_hears_of_it(self) -> None:
        self.rules.replace(router_book((Discard(), [recipient("b.test")])))
        self.start()
        wanted = Notify.SUCCESS | Notify.FAILURE
        new = self.add(*(Recipient(parse_address(one), wanted) for one in ("bob@b.test", "eve@b.test")))
        self.service.wake()
        self.clock.advance(0)
        assert self.statuses(new) == [Status.REMOVED] * 2
        assert [entry.id for entry in self.entries()] == [new.id]
        assert self.connector.plans == []
        assert self.rules_on("discarded") == ["20-routes.toml:1\n"] * 2
        ledger = self.successResultOf(self.queue.summary()).ledger
        assert (ledger.accepted, ledger.removed, ledger.missing) == (2, 2, 0)
        assert self.entries()[0].recipients[0].reply == "discarded by the rule 20-routes.toml:1"

    def test_of_one_message_some_recipients_are_discarded_and_the_others_have_it(self) -> None:
        self.rules.replace(router_book((Discard(), [recipient("bob@b.test")])))
        self.start()
        new = self.hand_over("bob@b.test", "eve@b.test")
        assert self.statuses(new) == [Status.REMOVED, Status.DELIVERED]
        assert self.sent() == [("alice@a.test", ["eve@b.test"])]

    def test_mail_that_a_rule_fails_is_returned_with_the_words(self) -> None:
        self.rules.replace(router_book((Fail("no mail to rivals", "5.7.9"), [recipient("b.test")])))
        self.start()
        new = self.hand_over("bob@b.test")
        assert self.statuses(new) == [Status.FAILED]
        (failed,) = self.events("failed")
        assert ' status=5.7.9 rule=20-routes.toml:1 reply="no mail to rivals"' in failed
        (report,) = self.connector.requests
        assert report.envelope.sender is None
        assert b"no mail to rivals" in b"".join(report.body.chunks())

    def test_rules_without_a_host_are_asked_again_at_each_attempt(self) -> None:
        self.partly_dead.dead = {"mx.test"}
        self.start()
        new = self.hand_over("bob@b.test")
        self.rules.replace(router_book((Discard(), [sender("a.test")])))
        self.clock.advance(900)
        assert self.statuses(new) == [Status.REMOVED]


class UnknownHostTests(RoutedCase):
    def setUp(self) -> None:
        super().setUp()
        self.rules.replace(router_book((via("office"), [recipient("b.test"), client("app.test")])))

    def test_a_recipient_whose_rule_asks_for_a_host_that_is_not_looked_up_tries_soon_and_has_no_attempt(self) -> None:
        self.start()
        new = self.hand_over("bob@b.test", "eve@c.test")
        assert self.statuses(new) == [Status.WAITING, Status.DELIVERED]
        assert self.events("deferred") == []
        self.clock.advance(UNTIL_LOOKED_UP)
        assert self.statuses(new) == [Status.WAITING, Status.DELIVERED]
        self.known["app.test"] = frozenset()
        self.clock.advance(UNTIL_LOOKED_UP)
        assert self.statuses(new) == [Status.DELIVERED] * 2
        assert [state.attempts for state in self.entries()[0].recipients] == [1, 1]

    def test_local_mail_does_not_wait_for_it(self) -> None:
        self.router.routings = {"b.test": Local()}
        self.start()
        new = self.hand_over("bob@b.test")
        assert self.statuses(new) == [Status.DELIVERED]

    def test_it_fails_at_the_end_of_the_schedule_as_any_other(self) -> None:
        self.start()
        new = self.hand_over("bob@b.test")
        self.clock.pump([60.0] * 119)
        assert self.events("deferred") == []
        self.clock.pump([60.0] * 20)
        assert len(self.events("deferred")) == 1
        assert self.statuses(new) == [Status.FAILED]
        (failed,) = self.events("failed")
        assert "a host name in the rules of this relay could not be looked up" in failed

    def test_much_mail_that_waits_for_long_is_looked_at_once_a_minute_and_left_in_the_queue(self) -> None:
        self.queue = looking = LookingQueue()
        self.service = self.new_service()
        waiting = [self.add("bob@b.test") for _ in range(300)]
        self.start()
        self.clock.pump([5.0] * 120)
        looks, claimed = looking.looks, looking.claimed
        self.clock.pump([5.0] * 24)
        assert looking.looks - looks <= 2 * len(waiting)
        assert looking.claimed - claimed == 0
        self.known["app.test"] = frozenset()
        self.clock.pump([5.0] * 13)
        assert all(self.statuses(new) == [Status.DELIVERED] for new in waiting)

    def test_the_filter_defers_it_as_long(self) -> None:
        self.partly_dead.dead = {"mx.test"}
        self.start()
        self.hand_over("tom@d.test")
        until = self.until("bob@b.test")
        assert until == self.clock.seconds() + UNTIL_LOOKED_UP
        assert self.until("bob@b.test", "ann@e.test") == until

    def until(self, *recipients: str) -> float | None:
        put_off = self.service._destinations.deferral_filter()
        assert put_off is not None
        assert put_off.with_envelopes
        whole = envelope(*recipients)
        domains = tuple(one.address.domain for one in whole.recipients)
        message = DueMessage(self.clock.seconds(), delay_reported=False, domains=domains, envelope=whole)
        return put_off.until(message)


class DeadSmarthostTests(RoutedCase):
    limits = DeliveryLimits(jobs=100, claims=10, waiting_unconnected=5)

    def setUp(self) -> None:
        super().setUp()
        self.queue = self.looking = LookingQueue()
        self.service = self.new_service()
        self.rules.replace(router_book((via("office"), [sender("a.test")])))
        self.partly_dead.dead = {"office"}

    def backlog(self, count: int) -> list[NewMail]:
        """Add mail of the sender whose smarthost is down, and let it be found out."""
        waiting = [self.add(f"r{number}@b.test") for number in range(count)]
        self.start()
        self.clock.pump([0.0] * 50)
        return waiting

    def test_mail_of_others_to_the_same_recipients_goes_out_at_once(self) -> None:
        self.backlog(300)
        others = [self.add(f"r{number}@b.test", sender="carol@c.test") for number in range(50)]
        self.service.wake()
        self.clock.pump([0.0] * 50)
        assert all(self.statuses(each) == [Status.DELIVERED] for each in others)
        assert len(self.connector.requests) == 50

    def test_mail_behind_the_dead_smarthost_is_left_in_the_queue_unread(self) -> None:
        waiting = self.backlog(300)
        # All but the first ones were deferred unread, each of them looked at once.
        tried = [new for new in waiting if self.attempts(new)]
        assert len(tried) <= 2 * self.limits.claims
        assert self.looking.looks <= 310
        assert all(self.statuses(each) == [Status.WAITING] for each in waiting)

    def test_it_goes_when_the_smarthost_is_back(self) -> None:
        waiting = self.backlog(20)
        self.partly_dead.dead = set()
        self.clock.pump([30.0] * 40)
        assert all(self.statuses(each) == [Status.DELIVERED] for each in waiting)
        assert set(self.rules_on("delivered")) == {"20-routes.toml:1"}

    def attempts(self, new: NewMail) -> Sequence[int]:
        (entry,) = (entry for entry in self.entries() if entry.id == new.id)
        return [state.attempts for state in entry.recipients if state.attempts]
