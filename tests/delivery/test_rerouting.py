"""Mail that an operator sends another way once, through the whole delivery side in memory."""

from mta.delivery.remote.interface import TransactionResult
from mta.queue.interface import Action, NewMail, Status
from mta.routing.choice import Fail
from mta.routing.route import Local
from tests.delivery.test_routed_mail import DOWN, RoutedCase
from tests.drivers.rule_books import router_book

OTHER = "mail.b.test:25"


class RerouteTests(RoutedCase):
    def reroute(self, new: NewMail, to: str = OTHER, recipient: str = "") -> None:
        now = self.clock.seconds()
        done = self.successResultOf(self.queue.apply(Action.REROUTE, [new.id], now, to=to, recipient=recipient))
        self.service.applied(Action.REROUTE, done, "alice", to=to, recipient=recipient)
        self.clock.advance(0)

    def whole_rules_on(self, event: str) -> list[str]:
        return [line.partition(' rule="')[2].partition('"')[0] for line in self.events(event)]

    def test_the_next_attempt_goes_another_way_and_the_log_names_the_order(self) -> None:
        self.partly_dead.dead = {"mx.test"}
        self.start()
        new = self.hand_over("bob@b.test")
        self.reroute(new)
        assert self.statuses(new) == [Status.DELIVERED]
        assert self.destinations() == ["mx.test", OTHER]
        assert self.whole_rules_on("delivered") == [f"reroute to {OTHER}"]
        assert f"change=reroute to={OTHER} by=alice ids={new.id}" in self.events("amended")[0]

    def test_the_attempt_after_it_goes_the_usual_way(self) -> None:
        self.partly_dead.dead = {"mx.test", OTHER}
        self.start()
        new = self.hand_over("bob@b.test")
        self.reroute(new)
        assert self.whole_rules_on("deferred") == ["", f"reroute to {OTHER}"]
        assert DOWN.text in self.events("deferred")[1]
        self.partly_dead.dead = set()
        self.clock.advance(3600)
        assert self.statuses(new) == [Status.DELIVERED]
        assert self.destinations()[-1] == "mx.test"
        assert self.whole_rules_on("delivered") == [""]

    def test_mail_that_waits_for_a_connection_is_sent_the_other_way(self) -> None:
        self.connector.slow = True
        self.start()
        new = self.hand_over("bob@b.test")
        self.connector.slow = False
        self.reroute(new)
        assert self.statuses(new) == [Status.DELIVERED]
        assert self.destinations() == ["mx.test", OTHER]

    def test_an_attempt_that_runs_goes_on_and_the_next_one_is_the_one(self) -> None:
        self.connector.held = True
        self.start()
        new = self.hand_over("bob@b.test")
        self.reroute(new)
        self.connector.held = False
        self.connector.connections[0].answer(TransactionResult({0: DOWN}))
        assert self.whole_rules_on("deferred") == [""]
        self.clock.advance(3600)
        assert self.statuses(new) == [Status.DELIVERED]
        assert self.whole_rules_on("delivered") == [f"reroute to {OTHER}"]

    def test_one_recipient_goes_another_way_and_the_other_the_usual_one(self) -> None:
        self.partly_dead.dead = {"mx.test"}
        self.start()
        new = self.hand_over("bob@b.test", "eve@b.test")
        self.reroute(new, recipient="eve@b.test")
        assert self.statuses(new) == [Status.WAITING, Status.DELIVERED]

    def test_recipients_with_the_same_way_share_a_transaction(self) -> None:
        self.partly_dead.dead = {"mx.test"}
        self.start()
        new = self.hand_over("bob@b.test", "eve@c.test", "joe@b.test")
        self.reroute(new)
        assert [sorted(users) for _, users in self.sent()] == [["bob@b.test", "eve@c.test", "joe@b.test"]]

    def test_an_order_outranks_the_rules(self) -> None:
        self.rules.replace(router_book((Fail("no more"), [])))
        self.start()
        new = self.add("bob@b.test", "eve@b.test")
        self.reroute(new)
        assert self.statuses(new) == [Status.DELIVERED, Status.DELIVERED]
        self.reroute(only := self.add("bob@b.test"))
        assert self.statuses(only) == [Status.DELIVERED]

    def test_a_local_recipient_stays_local_and_the_order_ends(self) -> None:
        self.router.routings = {"here.test": Local()}
        self.start()
        new = self.add("bob@here.test", "eve@b.test")
        self.reroute(new)
        assert self.statuses(new) == [Status.DELIVERED, Status.DELIVERED]
        assert self.mailboxes.delivered == ["bob@here.test"]
        assert sorted(self.whole_rules_on("delivered")) == ["", f"reroute to {OTHER}"]
