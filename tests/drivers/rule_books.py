"""Rule books for tests, of rules that are an action and its conditions, in the lines 1, 2, 3 and so on."""

from collections.abc import Sequence

from mta.inbound.networks import HostName, TrustItem, TrustList, network
from mta.rate import read_rate
from mta.routing.choice import RouteChoice
from mta.rules.acl import Acl, AclRule
from mta.rules.actions import Action
from mta.rules.book import RuleBook
from mta.rules.conditions import (
    ClientCondition,
    Condition,
    HeaderCondition,
    LoginCondition,
    OverCondition,
    Per,
    RecipientCondition,
    Rule,
    RulePlace,
    SenderCondition,
    SizeCondition,
    TlsCondition,
)
from mta.rules.pattern_lists import AddressPatterns, TextPatterns
from mta.rules.patterns import read_address_pattern, read_text_pattern
from mta.rules.routes import RouteRule, Routes

Conditions = Sequence[Condition]


def client(*texts: str) -> ClientCondition:
    """Return the condition for networks and host names, `trusted` and `stranger`."""
    items = [text for text in texts if text not in {"trusted", "stranger"}]
    clients = (network(text) if text[0].isdigit() else HostName(text) for text in items)
    return ClientCondition(TrustList(tuple(map(TrustItem, clients))), "trusted" in texts, "stranger" in texts)


def login(*texts: str) -> LoginCondition:
    return LoginCondition(TextPatterns(map(read_text_pattern, texts)))


def sender(*texts: str) -> SenderCondition:
    return SenderCondition(AddressPatterns(map(read_address_pattern, texts)))


def recipient(*texts: str) -> RecipientCondition:
    return RecipientCondition(AddressPatterns(map(read_address_pattern, texts)))


def header(name: str, *texts: str) -> HeaderCondition:
    return HeaderCondition(name, TextPatterns(map(read_text_pattern, texts)))


def larger(octets: int) -> SizeCondition:
    return SizeCondition(octets)


def tls(wanted: bool) -> TlsCondition:  # noqa: FBT001  it is the value of the condition
    return TlsCondition(wanted)


def over(*rates: str, per: str = "client", rule: str = "") -> OverCondition:
    """Return the condition on rates. Rules with the same `rule` count together."""
    return OverCondition(tuple(map(read_rate, rates)), Per(per), rule)


def book(*rules: tuple[Action, Conditions] | tuple[Action, Conditions, Conditions]) -> RuleBook:
    """Return the rules of `10-acl.toml`: an action, its conditions and, if given, its exceptions."""
    return RuleBook(
        acl=Acl(
            AclRule(Rule(RulePlace("10-acl.toml", line), "", tuple(conditions), tuple(*unless)), action)
            for line, (action, conditions, *unless) in enumerate(rules, 1)
        )
    )


def router_book(*rules: tuple[RouteChoice, Conditions] | tuple[RouteChoice, Conditions, Conditions]) -> RuleBook:
    """Return the rules of `20-routes.toml`: a choice, its conditions and, if given, its exceptions."""
    return RuleBook(
        router=Routes(
            RouteRule(Rule(RulePlace("20-routes.toml", line), "", tuple(conditions), tuple(*unless)), choice)
            for line, (choice, conditions, *unless) in enumerate(rules, 1)
        )
    )
