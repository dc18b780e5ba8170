"""The carriage of mail by rules: conditions, the first rule for each setting, and destinations told apart."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.rate import Rate, RateUnit
from mta.routing.carriage import Carriage, CarriageRate
from mta.routing.route import Smarthost, TlsRule
from mta.rules.conditions import Condition, HostCondition, SmarthostCondition
from mta.rules.transport import SETTINGS, TransportRule, TransportRules
from tests.rules.made_rules import recipient, rule, sender, texts

SLOW, SLOWER = Rate(30, 60), Rate(100, 3600, RateUnit.RECIPIENTS)
# The name that the router gives for the smarthost of the environment.
DEFAULT = Smarthost((("smtp.test", 25),), TlsRule.NONE).name


def rates(line: int, *limits: Rate) -> tuple[CarriageRate, ...]:
    return (CarriageRate(f"a.toml:{line}", limits),)


def host(*written: str) -> HostCondition:
    return HostCondition(texts(*written))


def smarthost(*names: str) -> SmarthostCondition:
    return SmarthostCondition(frozenset(names))


def transport(*rules: tuple[Carriage, *tuple[Condition, ...]]) -> TransportRules:
    """Return rules, each its settings and its conditions, in the lines 1, 2, 3 and so on."""
    return TransportRules(
        TransportRule(rule(*conditions, line=line), settings) for line, (settings, *conditions) in enumerate(rules, 1)
    )


def test_each_setting_comes_from_the_first_rule_that_applies_and_has_it():
    rules = transport(
        (Carriage(connections=2), recipient("a.test")),
        (Carriage(connections=9, helo="mail.test"), recipient("*@*.test", "*@a.test")),
        (Carriage(port=2525, ipv6=False), recipient("b.test")),
        (Carriage(connections=5, tls=TlsRule.VERIFY, rates=rates(4, SLOW)),),
    )
    assert rules.carriage("a.test", "", ("mx.test",)) == Carriage(
        places=("a.toml:1", "a.toml:2", "a.toml:4"),
        apart=("a.toml:1", "a.toml:2"),
        connections=2,
        helo="mail.test",
        tls=TlsRule.VERIFY,
        rates=rates(4, SLOW),
    )
    assert rules.carriage("c.example", "", ()) == Carriage(
        places=("a.toml:4",), connections=5, tls=TlsRule.VERIFY, rates=rates(4, SLOW)
    )


def test_a_setting_that_is_off_is_a_setting():
    rules = transport((Carriage(ipv6=False, tls=TlsRule.NONE), recipient("a.test")), (Carriage(ipv6=True),))
    found = rules.carriage("a.test", "", ())
    assert found
    assert (found.ipv6, found.tls) == (False, TlsRule.NONE)


def test_without_a_rule_that_applies_there_is_no_carriage():
    assert transport((Carriage(port=2525), recipient("a.test"))).carriage("b.test", "", ()) is None


@pytest.mark.parametrize(
    ("condition", "domain", "name", "hosts", "applies"),
    [
        (recipient("a.test"), "a.test", "", (), True),
        (recipient("a.test"), "b.a.test", "", (), False),
        (recipient("*@*.a.test"), "b.a.test", "office", (), True),
        (recipient("*@[192.0.2.1]"), "[192.0.2.1]", "", (), True),
        (host("*.outlook.test"), "a.test", "", ("x.test", "MX.outlook.test"), True),
        (host("*.outlook.test"), "a.test", "", ("outlook.test",), False),
        (host("*.outlook.test"), "a.test", "", (), False),
        (smarthost("office"), "a.test", "office", (), True),
        (smarthost("office"), "a.test", DEFAULT, (), False),
        (smarthost("default"), "a.test", DEFAULT, (), True),
        (smarthost("default"), "a.test", "", (), False),
    ],
)
def test_a_rule_asks_for_domain_host_or_smarthost(
    condition: Condition, domain: str, name: str, hosts: tuple[str, ...], applies: bool
):
    rules = transport((Carriage(port=2525), condition))
    assert (rules.carriage(domain, name, hosts) is not None) == applies


def test_a_rule_cannot_ask_for_facts_of_a_message():
    with pytest.raises(ValueError, match="sender is not known"):
        transport((Carriage(port=2525), sender("a.test")))


def test_rates_for_all_hold_beside_those_of_another_rule():
    first = TransportRule(rule(recipient("a.test")), Carriage(rates=rates(1, SLOW), helo="mail.test"))
    of_all = TransportRule(rule(line=2), Carriage(rates=rates(2, SLOWER), helo="x.test"), for_all=True)
    found = TransportRules((first, of_all)).carriage("a.test", "", ())
    assert found
    assert found.rates == (*rates(1, SLOW), *rates(2, SLOWER))
    assert found.helo == "mail.test"
    assert found.places == ("a.toml:1", "a.toml:2")


def test_the_parts_have_the_settings_that_count():
    rules = transport(
        (Carriage(connections=2), recipient("a.test")),
        (Carriage(connections=9),),
        (Carriage(connections=9, port=2525),),
    )
    assert [(part.rule.where.line, part.given) for part in rules.parts("a.test", "", ())] == [
        (1, ("connections",)),
        (3, ("port",)),
    ]


def test_the_questions_of_the_rules_are_known():
    by_domain, by_host = transport((Carriage(port=1), recipient("a.test"))), transport((Carriage(port=1), host("a")))
    assert (by_domain.asks_for_domains, by_domain.asks_for_hosts) == (True, False)
    assert (by_host.asks_for_domains, by_host.asks_for_hosts) == (False, True)


def test_every_setting_of_a_carriage_can_be_given():
    assert {*SETTINGS, "places", "apart"} == set(Carriage.__dataclass_fields__)


_RULES = st.lists(
    st.builds(
        lambda numbers, condition, unless, for_all: (
            Carriage(
                connections=numbers[0],
                port=numbers[1],
                rates=() if numbers[2] is None else rates(numbers[2], Rate(numbers[2], 1)),
            ),
            condition,
            unless,
            for_all,
        ),
        st.tuples(*[st.none() | st.integers(1, 3)] * 3),
        st.sampled_from(
            [None, recipient("a.test"), recipient("b.test"), host("mx1"), host("mx2"), smarthost("office")]
        ),
        st.booleans(),
        st.booleans(),
    ),
    max_size=6,
)


@given(_RULES, st.sampled_from(["", "office"]), st.sampled_from([("mx1",), ("mx2",), ("mx1", "mx2")]))
def test_destinations_that_no_rule_tells_apart_have_the_same_carriage(
    drawn: list[tuple[Carriage, Condition | None, bool, bool]], name: str, hosts: tuple[str, ...]
):
    made = TransportRules(
        TransportRule(
            rule(
                *([condition] if condition and not unless else []),
                unless=(condition,) if condition and unless else (),
                line=line,
            ),
            settings,
            for_all,
        )
        for line, (settings, condition, unless, for_all) in enumerate(drawn, 1)
    )
    found = [made.carriage(domain, name, hosts) for domain in ("a.test", "b.test", "c.test")]
    by_name = {}
    for each in found:
        assert by_name.setdefault(each.apart if each else (), each) == each
