"""The contract of `RelayState`: the answers are those of the queue, and an order changes it and notifies the relay."""

from collections.abc import Awaitable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, ensureDeferred

import mta
from mta.admin.doctor_file import keep_run
from mta.admin.state import DoctorRun, NotRunning, Order, OrderResult, RelayState, StateError
from mta.doctor.findings import failure, ok
from mta.message.envelope import Notify, Recipient
from mta.queue.entries import Action, Entry, Query, QueueId, Status
from mta.queue.interface import Claim, NewMail, Queue, Settlement, Verdict
from mta.queue.search.conditions import Conditions, State
from mta.smtp.address import parse_address
from tests.queue.messages import LATER, LEASE, NOW, TOOK, mail

T = TypeVar("T")
NAME = "relay.example.org"
BY = "alice"
NEVER_ID = QueueId("0000000000000")


class RelayStateContract:
    """Tests of a RelayState over a queue that the test fills. The settings have MAILNAME=NAME and one rule."""

    state: RelayState
    queue: Queue
    #: Whether there is a relay.
    running = True

    def make(self) -> None:
        """Set `state` and `queue`."""
        raise NotImplementedError

    def applied(self) -> Sequence[tuple[Action, list[QueueId], str]]:
        """Return the actions of which the relay was notified, each with its messages and the operator."""
        raise NotImplementedError

    def logged(self) -> Sequence[str]:
        """Return the lines of the event log, without those of actions."""
        raise NotImplementedError

    def setUp(self) -> None:
        self.make()

    def now(self, asked: "Deferred[T] | Awaitable[T]") -> T:
        """Return an answer that is there at once."""
        waiting: Any = asked if isinstance(asked, Deferred) else ensureDeferred(asked)  # type: ignore[arg-type]
        return self.successResultOf(waiting)  # type: ignore[attr-defined, no-any-return]

    def refused(self, asked: "Awaitable[Any]", kind: type[Exception] = StateError) -> str:
        """Return the text of an error."""
        failure = self.failureResultOf(ensureDeferred(asked), kind)  # type: ignore[attr-defined]
        return str(failure.value)

    def added(self, *recipients: str | Recipient, **parts: Any) -> NewMail:
        new = mail(*recipients, **parts)
        self.now(self.queue.add(new, NOW, due=NOW + 60))
        return new

    def claimed(self, *recipients: str | Recipient, **parts: Any) -> Claim:
        claim = self.now(self.queue.add(mail(*recipients, **parts), NOW, lease=LEASE))
        assert claim is not None
        return claim

    def entry(self, id: QueueId) -> Entry:
        (found,) = self.now(self.queue.find(Query([id], finished=True, details=True)))
        return found

    def delivered(self) -> QueueId:
        claim = self.claimed()
        self.now(self.queue.settle(Settlement(claim, [Verdict(0, TOOK)], NOW + 1)))
        return claim.id

    def ordered(self, action: Action, ids: Sequence[QueueId] | None) -> OrderResult:
        return self.now(self.state.order(Order(action, None if ids is None else tuple(ids), BY)))

    # Questions

    def test_about_tells_the_version_and_the_name(self) -> None:
        about = self.now(self.state.about())
        self.assertEqual((about.version, about.name), (mta.__version__, NAME))
        self.assertEqual(about.started is not None, self.running)
        self.assertEqual(about.queue_dir, str(self.queue_dir()))

    def queue_dir(self) -> object:
        """Return QUEUE_DIR."""
        raise NotImplementedError

    def test_a_query_finds_the_messages_of_the_queue(self) -> None:
        done, first, second = self.delivered(), self.added("a@b.test"), self.added("c@d.test", "e@f.test")
        claim = self.claimed("g@b.test")
        self.now(self.queue.settle(Settlement(claim, [Verdict(0, LATER, NOW + 900)], NOW + 1)))
        for query in (
            Query(),
            Query(finished=True, newest_first=True),
            Query(limit=1),
            Query([first.id, done]),
            Query(after=first.id),
            Query(before=second.id, newest_first=True),
            Query(conditions=Conditions(domain="b.test")),
            Query(finished=True, conditions=Conditions(states=(State.DELIVERED,)), details=True),
        ):
            self.assertEqual(self.now(self.state.find(query)), self.now(self.queue.find(query)), query)

    def test_counts_and_ids_are_those_of_the_conditions(self) -> None:
        self.delivered()
        ids = [self.added("a@b.test").id for _ in range(3)]
        self.added("c@d.test")
        wanted = Conditions(domain="b.test")
        self.assertEqual(self.now(self.state.count(wanted)), 3)
        self.assertEqual(self.now(self.state.count(Conditions(), finished=True)), 5)
        self.assertEqual(self.now(self.state.select(wanted)), ids)

    def test_domains_and_the_summary_are_those_of_the_queue(self) -> None:
        self.delivered()
        self.added("a@b.test", "c@b.test")
        self.added("c@d.test")
        self.assertEqual(self.now(self.state.summary()), self.now(self.queue.summary()))
        shapes = self.now(self.state.domains())
        self.assertEqual([(shape.domain, shape.waiting) for shape in shapes], [("b.test", 2), ("d.test", 1)])

    def test_only_a_waiting_message_has_content(self) -> None:
        new, done = self.added(body=b"Subject: x\r\n\r\n\xff\x00\r\n"), self.delivered()
        self.assertEqual(self.now(self.state.content(new.id)), b"Subject: x\r\n\r\n\xff\x00\r\n")
        self.assertIsNone(self.now(self.state.content(done)))
        self.assertIsNone(self.now(self.state.content(NEVER_ID)))

    def test_a_message_that_waits_for_its_time_has_no_other_reason(self) -> None:
        self.assertEqual(self.now(self.state.waits_for(self.added().id)), "")

    def test_settings_and_rules_are_those_of_the_relay(self) -> None:
        if not self.running:
            self.refused(self.state.settings(), NotRunning)
            self.refused(self.state.rules(), NotRunning)
            return
        settings = self.now(self.state.settings())
        self.assertIn(
            ("MAILNAME", NAME, "the environment"), [(each.name, each.value, each.origin) for each in settings]
        )
        origins = [bool(each.origin) for each in settings]
        self.assertEqual(origins, sorted(origins, reverse=True))
        (rule,) = self.now(self.state.rules())
        self.assertEqual((rule.place, rule.stage), ("ALLOWED_SENDERS", "acl"))

    def test_destinations_alarms_and_traffic_may_be_empty(self) -> None:
        self.assertEqual(list(self.now(self.state.destinations())), [])
        self.assertEqual(list(self.now(self.state.alarms())), [])
        self.assertEqual(list(self.now(self.state.traffic(NOW))), [])

    def test_the_findings_of_the_last_doctor_are_those_in_the_queue_directory(self) -> None:
        self.assertIsNone(self.now(self.state.findings()))
        run = DoctorRun(NOW, (ok("host/clock", "the clock is right"), failure("a/b", "seen", "mend it", "x TXT y")))
        self.assertTrue(keep_run(Path(str(self.queue_dir())), run))
        self.assertEqual(self.now(self.state.findings()), run)

    # Orders

    def test_an_order_is_for_the_messages_it_names(self) -> None:
        first, second, done = self.added(), self.added(), self.delivered()
        self.assertEqual(self.ordered(Action.HOLD, [first.id, done, NEVER_ID]), OrderResult((first.id,)))
        self.assertEqual([self.entry(each.id).held for each in (first, second)], [True, False])
        self.assertEqual(self.ordered(Action.RELEASE, [first.id]).ids, (first.id,))
        self.assertEqual(self.ordered(Action.REMOVE, [second.id]).ids, (second.id,))
        self.assertEqual(self.entry(second.id).recipients[0].status, Status.REMOVED)
        self.assertEqual(
            self.applied(),
            [
                (Action.HOLD, [first.id], BY),
                (Action.RELEASE, [first.id], BY),
                (Action.REMOVE, [second.id], BY),
            ],
        )

    def test_an_order_that_changes_nothing_is_not_told(self) -> None:
        self.assertEqual(self.ordered(Action.HOLD, [NEVER_ID]), OrderResult(()))
        self.assertEqual(self.applied(), [])

    def test_a_retry_of_all_leaves_held_messages_alone_and_counts_them(self) -> None:
        first, second = self.added(), self.added()
        self.ordered(Action.HOLD, [first.id])
        self.assertEqual(self.ordered(Action.RETRY, None), OrderResult((second.id,), held=1))
        self.assertTrue(self.entry(first.id).held)
        self.assertEqual(self.ordered(Action.RETRY, [first.id]), OrderResult((first.id,)))
        self.assertFalse(self.entry(first.id).held)
        self.assertEqual(self.ordered(Action.HOLD, None).ids, (first.id, second.id))
        self.assertEqual(self.ordered(Action.RELEASE, None).ids, (first.id, second.id))

    def test_an_order_may_be_for_one_recipient(self) -> None:
        new, other = self.added("a@b.test", "c@d.test"), self.added("c@d.test")
        order = Order(Action.REMOVE, (new.id, other.id), BY, recipient="A@b.test")
        self.assertEqual(self.now(self.state.order(order)).ids, (new.id,))
        statuses = [each.status for each in self.entry(new.id).recipients]
        self.assertEqual(statuses, [Status.REMOVED, Status.WAITING])
        order = Order(Action.BOUNCE, (new.id, other.id), BY, recipient="c@d.test")
        self.assertEqual(self.now(self.state.order(order)).ids, (new.id, other.id))

    def test_a_removal_or_a_return_of_all_messages_is_refused(self) -> None:
        self.added()
        for action in (Action.REMOVE, Action.BOUNCE):
            self.assertEqual(
                self.refused(self.state.order(Order(action, None, BY))), f"{action.value} needs the ids of messages"
            )
        self.assertEqual(self.now(self.state.count(Conditions())), 1)

    def test_a_returned_message_is_reported_and_logged_as_a_failure(self) -> None:
        new = self.added("a@b.test", "c@d.test")
        silent = self.added(Recipient(parse_address("e@f.test"), Notify.NEVER))
        null = self.added("g@h.test", sender=None)
        result = self.ordered(Action.BOUNCE, [new.id, silent.id, null.id])
        self.assertEqual(result, OrderResult((new.id, silent.id, null.id), unreported=2))
        (report,) = self.entry(new.id).reports
        self.assertEqual(self.entry(report).recipients[0].address, "alice@example.org")
        self.assertEqual([each.status for each in self.entry(new.id).recipients], [Status.FAILED] * 2)
        self.assertEqual([each[0] for each in self.applied()], [Action.BOUNCE] * len(self.applied()))
        if self.running:
            names = [line.split()[1] for line in self.logged()]
            self.assertEqual(names, ["failed", "failed", "reported", "failed", "failed", "unreported"])
            self.assertIn(f"reported id={new.id} report={report} kind=failure to=<alice@example.org>", self.logged()[2])
