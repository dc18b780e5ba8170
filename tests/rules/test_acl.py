"""The rules about what is taken: the first that applies decides, on each recipient or on the whole message."""

from mta.rules.acl import Acl, AclRule, Ruling
from mta.rules.actions import Accept, Action, Hold, read_defer, read_deny
from mta.rules.conditions import (
    Condition,
    HeaderCondition,
    RecipientCondition,
    Rule,
    RulePlace,
    SenderCondition,
    SizeCondition,
)
from mta.rules.facts import Facts
from mta.rules.pattern_lists import AddressPatterns, TextPatterns
from mta.rules.patterns import read_address_pattern, read_text_pattern
from mta.smtp.address import Address, parse_address

BOB, EVE = parse_address("bob@a.test"), parse_address("eve@b.test")
DENY, DEFER, HOLD = read_deny("no"), read_defer("later"), Hold()


def addresses(*texts: str) -> AddressPatterns:
    return AddressPatterns(map(read_address_pattern, texts))


def sender(*texts: str) -> SenderCondition:
    return SenderCondition(addresses(*texts))


def recipient(*texts: str) -> RecipientCondition:
    return RecipientCondition(addresses(*texts))


def header(name: str, *texts: str) -> HeaderCondition:
    return HeaderCondition(name, TextPatterns(map(read_text_pattern, texts)))


def acl(*rules: tuple[Action, tuple[Condition, ...]]) -> Acl:
    """Return the rules, in the lines 1, 2, 3 and so on."""
    return Acl(
        AclRule(Rule(RulePlace("a.toml", line), conditions=conditions), action)
        for line, (action, conditions) in enumerate(rules, 1)
    )


def facts(**known) -> Facts:
    return Facts(**{"client": "192.0.2.1", "trusted": False, "sender": BOB, **known})


def line(ruling: Ruling | None) -> int:
    return 0 if ruling is None else ruling.rule.where.line


def at_recipient(rules: Acl, address: Address, **known) -> int:
    return line(rules.at_recipient(facts(recipient=address, **known)))


def test_the_first_rule_that_applies_decides():
    rules = acl((Accept(), (recipient("bob@*"),)), (DENY, (recipient("a.test", "b.test"),)), (HOLD, ()))
    assert at_recipient(rules, BOB) == 1
    assert at_recipient(rules, EVE) == 2
    assert at_recipient(rules, parse_address("eve@c.test")) == 3


def test_only_an_announced_size_is_answered_at_mail():
    rules = Acl([AclRule(Rule(RulePlace("a.toml", 1), unless=(SizeCondition(500),)), DENY)])
    assert [line(rules.at_mail(facts(size=size))) for size in (0, 500, 501)] == [0, 1, 0]
