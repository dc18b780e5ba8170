"""The rules about the way of mail: the first that applies decides on a recipient, and the words of `fail`."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.routing.choice import Discard, Fail, MxOf
from mta.rules.conditions import LoginCondition
from mta.rules.facts import HostNotLookedUp
from mta.rules.routes import MAX_FAIL_WORDS, RouteRule, Routes, read_fail
from tests.rules.made_rules import BOB, EVE, client, facts, recipient, rule, sender, texts

MX, DISCARD = MxOf(), Discard()


def routes(*rules):
    """Return rules, each the conditions of one, in the lines 1, 2, 3 and so on."""
    return Routes(RouteRule(rule(*conditions, line=line), MX) for line, conditions in enumerate(rules, 1))


def chosen(made, **known):
    found = made.choose(facts(**{"recipient": EVE, **known}))
    return 0 if found is None else found.rule.where.line


def test_the_first_rule_that_applies_decides():
    made = routes([recipient("a.test")], [sender("a.test")], [])
    assert chosen(made, recipient=BOB) == 1
    assert chosen(made, recipient=EVE) == 2
    assert chosen(made, recipient=EVE, sender=None) == 3


def test_without_a_rule_that_applies_there_is_no_choice():
    assert chosen(routes([recipient("c.test")], [sender("<>")])) == 0
    assert chosen(Routes(())) == 0


def test_the_choice_is_that_of_the_rule():
    made = Routes([RouteRule(rule(sender("c.test")), MX), RouteRule(rule(line=2), DISCARD)])
    found = made.choose(facts(recipient=EVE))
    assert found is not None
    assert found.choice is DISCARD


_CONDITIONS = st.sampled_from(
    [client(trusted=True), client("192.0.2.0/24"), sender("a.test"), sender("<>"), recipient("bob@*"), recipient("*")]
)
_RULES = st.builds(
    lambda conditions, unless: rule(*conditions, unless=tuple(unless)),
    st.lists(_CONDITIONS, max_size=3),
    st.lists(_CONDITIONS, max_size=1),
)
_FACTS = st.builds(
    facts,
    trusted=st.booleans(),
    client=st.sampled_from(["192.0.2.1", "198.51.100.1"]),
    sender=st.sampled_from([BOB, EVE, None]),
    recipient=st.sampled_from([BOB, EVE]),
)


@given(st.lists(_RULES, max_size=6), _FACTS)
def test_the_choice_is_that_of_asking_each_rule_by_itself(rules, known):
    made = [RouteRule(each, MX) for each in rules]
    expected = next((each for each in made if each.rule.applies(known)), None)
    assert Routes(made).choose(known) is expected


def test_an_unknown_address_of_a_host_name_leaves_the_choice_open_only_if_it_decides():
    made = routes([client("app.test"), recipient("b.test")], [])
    with pytest.raises(HostNotLookedUp):
        made.choose(facts(recipient=EVE))
    assert chosen(made, recipient=BOB) == 2
    assert made.host_names == ("app.test",)


@pytest.mark.parametrize(
    ("condition", "asks"),
    [
        (recipient("a.test", "*@*.b.test", "*", "*@mail*.test"), False),
        (recipient("a.test", "bob@b.test"), True),
        (recipient("bob@*"), True),
        (recipient("^.*@a"), True),
        (sender("a.test"), True),
        (client(trusted=True), True),
        (LoginCondition(texts("app")), True),
    ],
)
def test_rules_ask_for_the_message_unless_they_ask_for_the_domain_of_the_recipient_alone(condition, asks):
    assert routes([], [condition]).asks_for_message is asks
    assert Routes([RouteRule(rule(unless=(condition,)), MX)]).asks_for_message is asks


def test_domains_are_enough_for_rules_without_conditions():
    assert not routes([]).asks_for_message


@pytest.mark.parametrize(
    ("words", "choice"),
    [
        ("no mail for this domain", Fail("no mail for this domain")),
        ("5.1.2 this domain has moved", Fail("this domain has moved", "5.1.2")),
        ("  3 strikes ", Fail("3 strikes")),
    ],
)
def test_a_status_may_stand_before_the_words_of_a_failure(words, choice):
    assert read_fail(words) == choice


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        ("", "are missing"),
        ("5.1.2", "are missing"),
        ("550 no", "only a status of a failure"),
        ("4.1.2 no", "only a status of a failure"),
        ("no\r\nX: y", "printable ASCII"),
        ("n\u00e9in", "printable ASCII"),
        ("x" * (MAX_FAIL_WORDS + 1), "up to 500"),
    ],
)
def test_words_of_a_failure_that_cannot_be_used(words, problem):
    with pytest.raises(ValueError, match=problem):
        read_fail(words)
