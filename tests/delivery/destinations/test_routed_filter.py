"""Whatever the router rules, the filter defers the messages of which no recipient can be tried, and no others."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock

from harness.mail import claim, envelope
from mta.delivery.context import DeliveryContext
from mta.delivery.destinations.destination import Destination
from mta.delivery.destinations.destinations import Destinations
from mta.delivery.destinations.window import WindowLimits, own_windows
from mta.delivery.job import Job
from mta.delivery.limits import DeliveryLimits
from mta.delivery.remote.interface import Connection
from mta.delivery.route_rules import RouteRules
from mta.event_log.log import EventLog
from mta.message.outcome import TryLater
from mta.queue.interface import DueMessage
from mta.routing.choice import Discard, Fail, MxOf, RouteChoice, ViaSmarthost
from mta.routing.route import Local, Plan, Smarthost, TlsRule
from mta.rules.book import CurrentRules
from tests.drivers.rule_books import client, recipient, router_book, sender
from tests.fakes.connector import FakeConnector
from tests.fakes.router import FakeRouter
from tests.fakes.sending import SentJobs

NOW = 1_000_000.0
DESTINATIONS = ("office", "branch", "mx.b.test", "mx.c.test")
ADDRESSES = ("bob@b.test", "eve@b.test", "bob@c.test", "joe@local.test")
LIMITS = DeliveryLimits(jobs=100, waiting_unconnected=3)


def via(name: str) -> ViaSmarthost:
    return ViaSmarthost(Smarthost(((f"{name}.test", 25),), TlsRule.OPPORTUNISTIC, name=name))


CHOICES: list[RouteChoice] = [via("office"), via("branch"), MxOf(), Discard(), Fail("no")]
CONDITIONS = [
    sender("a.test"),
    sender("<>"),
    recipient("bob@*"),
    recipient("b.test"),
    recipient("eve@b.test"),
    client("trusted"),
    client("192.0.2.0/24"),
    client("unknown.test"),
]
RULES = st.lists(
    st.tuples(st.sampled_from(CHOICES), st.lists(st.sampled_from(CONDITIONS), max_size=2)), min_size=1, max_size=4
)


class PartlyDeadConnector(FakeConnector):
    def open(self, plan: Plan, tried: frozenset[str] = frozenset()) -> Deferred[Connection | TryLater]:  # noqa: ARG002
        return succeed(TryLater("connection refused", "mx.test[192.0.2.1]:25", "4.4.1"))


def destinations_of(rules: RouteRules, dead: set[str]) -> Destinations:
    """Return destinations of which those in `dead` are known to be down."""
    clock = Clock()
    clock.advance(NOW)
    context = DeliveryContext(clock, clock.seconds, EventLog(lambda _: None, clock.seconds))
    router, sent = FakeRouter(), SentJobs()
    router.routings = {"b.test": Plan("mx.b.test", ()), "c.test": Plan("mx.c.test", ()), "local.test": Local()}
    windows = own_windows(WindowLimits(start=1, most=1))
    made = Destinations(
        router,
        new=lambda plan: Destination(plan.destination, windows, PartlyDeadConnector(), context),
        room=lambda: 100,
        owed=lambda _: NOW * 2,
        owed_by_envelope=lambda: False,
        release=lambda *_: succeed(0),
        wake=lambda: None,
        context=context,
        limits=LIMITS,
        rules=rules,
    )
    for name in dead:
        sent.send(made.send, Job(claim("x@y.test"), NOW), Plan(name, ()), clock.seconds())
    for job in sent.ended:
        made.unproven.remove(job)
    return made


@given(
    RULES,
    st.sets(st.sampled_from(DESTINATIONS), min_size=1),
    st.lists(st.sampled_from(ADDRESSES), min_size=1, max_size=4, unique=True),
    st.sampled_from(["ann@a.test", "tom@d.test", None]),
)
def test_a_message_is_deferred_if_and_only_if_none_of_its_recipients_can_be_tried(rules, dead, to, by):
    asked = RouteRules(CurrentRules(router_book(*rules)), lambda _: False)
    deferral_filter = destinations_of(asked, dead).deferral_filter()
    assert deferral_filter is not None
    whole = envelope(*to, sender=by)
    addresses = [one.address for one in whole.recipients]
    message = DueMessage(
        NOW,
        by is None,
        tuple(dict.fromkeys(address.domain for address in addresses)),
        whole if deferral_filter.with_envelopes else None,
    )
    can_be_tried = []
    for address in addresses:
        way = asked.way(whole, address)
        if address.domain == "local.test":
            can_be_tried.append(True)
        elif way.open:
            can_be_tried.append(False)
        elif isinstance(way.choice, ViaSmarthost):
            can_be_tried.append(way.choice.smarthost.name not in dead)
        else:
            can_be_tried.append(isinstance(way.choice, Discard | Fail) or f"mx.{address.domain}" not in dead)
    assert (deferral_filter.until(message) is None) == any(can_be_tried)
