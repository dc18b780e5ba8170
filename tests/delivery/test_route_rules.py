"""The questions of the delivery side to the router rules."""

from dataclasses import replace

import pytest

from mta.delivery.route_rules import RouteRules, Way
from mta.inbound.networks import IPAddress
from mta.message.envelope import Envelope, Origin, Recipient
from mta.queue.interface import DueMessage
from mta.routing.choice import Discard, MxOf
from mta.rules.book import CurrentRules, RuleBook
from mta.smtp.address import Address, parse_address
from tests.drivers.rule_books import book, client, login, recipient, router_book, sender

OTHER, GONE = MxOf("other.test"), Discard()
BOB, EVE = parse_address("bob@b.test"), parse_address("eve@c.test")
ORIGIN = Origin("192.0.2.1", "app.test", "ESMTP")
MAIL = Envelope(parse_address("alice@a.test"), (Recipient(BOB), Recipient(EVE)), ORIGIN)


def line(rules: RouteRules, envelope: Envelope = MAIL, address: Address = BOB) -> int | None:
    """Return the line of the rule that applies, 0 without one, None while that is not known."""
    way = rules.way(envelope, address)
    assert way.domain == address.domain
    if way.open:
        assert (way.choice, way.rule) == (None, None)
        return None
    return 0 if way.rule is None else way.rule.where.line


def rules_of(rules: RuleBook, trusted: bool | None = False) -> RouteRules:
    return RouteRules(CurrentRules(rules), lambda _: trusted)


def test_without_router_rules_the_way_is_that_of_the_domain() -> None:
    for rules in (RouteRules(), rules_of(book())):
        assert rules.way(MAIL, BOB) == Way("b.test")
        assert rules.ways(DueMessage(0.0, delay_reported=False, domains=("b.test", "c.test"))) == [
            Way("b.test"),
            Way("c.test"),
        ]
        assert not rules.asks_for_envelopes


def test_the_choice_of_the_first_rule_that_applies_decides() -> None:
    rules = rules_of(router_book((GONE, [recipient("c.test")]), (OTHER, [sender("a.test")])))
    assert (rules.way(MAIL, BOB).choice, line(rules), line(rules, address=EVE)) == (OTHER, 2, 1)
    assert line(rules, replace(MAIL, sender=None)) == 0


@pytest.mark.parametrize(
    ("origin", "chosen"),
    [
        (ORIGIN, 0),
        (Origin("192.0.2.9", "h", "ESMTP"), 1),
        (Origin("192.0.2.1", "h", "ESMTPSA", "alice"), 2),
        (Origin("192.0.2.1", "h", "ESMTPSA", "bob"), 3),
        (Origin("192.0.2.1", "h", "alias-A"), 3),
        (Origin.of_relay("relay.test"), 3),
    ],
)
def test_rules_ask_for_client_login_and_trust(origin: Origin, chosen: int) -> None:
    rules = rules_of(
        router_book((OTHER, [client("192.0.2.9")]), (OTHER, [login("alice")]), (OTHER, [client("trusted")]))
    )
    assert line(rules, replace(MAIL, origin=origin)) == chosen


def test_a_client_is_trusted_by_the_present_networks() -> None:
    trusted: list[bool | None] = [True]
    rules = RouteRules(CurrentRules(router_book((OTHER, [client("trusted")]))), lambda _: trusted[0])
    assert line(rules) == 1
    trusted[0] = False
    assert line(rules) == 0


def test_the_way_is_open_while_the_trust_in_a_client_decides_and_is_not_known() -> None:
    trusted_only = router_book((GONE, [recipient("c.test")]), (OTHER, [client("trusted")]))
    rules = rules_of(trusted_only, trusted=None)
    assert (line(rules), line(rules, address=EVE)) == (None, 1)
    assert line(rules, replace(MAIL, origin=Origin.of_relay("relay.test"))) == 2


def test_the_way_is_open_while_the_addresses_of_a_host_name_decide_and_are_not_known() -> None:
    known: dict[str, frozenset[IPAddress]] = {}
    rules = RouteRules(CurrentRules(router_book((OTHER, [client("app.test")]))), host_addresses=known.get)
    assert line(rules) is None
    assert rules.ways(DueMessage(0.0, delay_reported=False, domains=("b.test",), envelope=MAIL)) == [
        Way("b.test", open=True),
        Way("c.test", open=True),
    ]
    known["app.test"] = frozenset()
    assert line(rules) == 0


def test_each_question_is_answered_by_the_rules_then_in_force() -> None:
    current = CurrentRules()
    rules = RouteRules(current)
    assert line(rules) == 0
    current.replace(router_book((OTHER, [recipient("b.test")])))
    assert line(rules) == 1
    current.replace(None)
    assert line(rules) == 0


def test_rules_that_ask_only_for_domains_decide_on_due_messages_without_their_envelopes() -> None:
    rules = rules_of(router_book((OTHER, [recipient("b.test")]), (GONE, [], [recipient("d.test")])))
    assert not rules.asks_for_envelopes
    ways = rules.ways(DueMessage(0.0, delay_reported=False, domains=("b.test", "c.test", "d.test")))
    assert [way.choice for way in ways] == [OTHER, GONE, None]


def test_rules_that_ask_for_more_decide_on_due_messages_by_their_envelopes() -> None:
    rules = rules_of(router_book((OTHER, [recipient("bob@*")]), (GONE, [sender("a.test")])))
    assert rules.asks_for_envelopes
    ways = rules.ways(DueMessage(0.0, delay_reported=False, domains=("b.test", "c.test"), envelope=MAIL))
    assert [way.choice for way in ways] == [OTHER, GONE]
    # A message whose envelope did not come with it can be tried.
    assert list(rules.ways(DueMessage(0.0, delay_reported=False, domains=("b.test",)))) == []
