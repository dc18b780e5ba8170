"""Rules and facts, made in one line each."""

from mta.inbound.networks import Everyone, HostName, TrustItem, TrustList, network
from mta.rules.acl import Acl, AclRule
from mta.rules.actions import Action
from mta.rules.conditions import (
    ClientCondition,
    Condition,
    HeaderCondition,
    RecipientCondition,
    Rule,
    RulePlace,
    SenderCondition,
)
from mta.rules.facts import Facts
from mta.rules.pattern_lists import AddressPatterns, TextPatterns
from mta.rules.patterns import read_address_pattern, read_text_pattern
from mta.smtp.address import parse_address

BOB, EVE = parse_address("bob@a.test"), parse_address("eve@b.test")


def texts(*written: str) -> TextPatterns:
    return TextPatterns(map(read_text_pattern, written))


def sender(*written: str) -> SenderCondition:
    return SenderCondition(AddressPatterns(map(read_address_pattern, written)))


def recipient(*written: str) -> RecipientCondition:
    return RecipientCondition(AddressPatterns(map(read_address_pattern, written)))


def header(name: str, *written: str) -> HeaderCondition:
    return HeaderCondition(name, texts(*written))


def client(*written: str, trusted: bool = False, stranger: bool = False) -> ClientCondition:
    """Return a condition on the client; an item that is neither `*` nor a network is a host name."""
    return ClientCondition(TrustList(tuple(map(_item, written))), trusted, stranger)


def _item(text: str) -> TrustItem:
    if text == "*":
        return TrustItem(Everyone())
    try:
        return TrustItem(network(text))
    except ValueError:
        return TrustItem(HostName(text))


def rule(*conditions: Condition, unless: tuple[Condition, ...] = (), line: int = 1, name: str = "") -> Rule:
    return Rule(RulePlace("a.toml", line), name, conditions, unless)


def acl(*rules: tuple[Action, *tuple[Condition, ...]]) -> Acl:
    """Return rules, each an action and its conditions, in the lines 1, 2, 3 and so on."""
    return Acl(AclRule(rule(*conditions, line=line), action) for line, (action, *conditions) in enumerate(rules, 1))


def facts(**known) -> Facts:
    """Return facts about a message of Bob from a stranger."""
    return Facts(**{"client": "192.0.2.1", "trusted": False, "sender": BOB, **known})
