"""Rules that can never apply: those found are never the first that applies, and the usual mistakes are found."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.config.rules.stages.shadowing import EarlierRules
from mta.smtp.address import Address
from tests.rules.made_rules import client, facts, recipient, rule, sender


def shadowing(*rules):
    """Return the lines of the rules by which the last one can never apply."""
    *before, last = (rule(*conditions, line=line) for line, conditions in enumerate(rules, 1))
    earlier = EarlierRules()
    for each in before:
        earlier.add(each)
    return [each.where.line for each in earlier.that_shadow(last)]


@pytest.mark.parametrize(
    ("general", "special"),
    [
        ([], [sender("a.test")]),
        ([], []),
        ([recipient("a.test")], [recipient("a.test")]),
        ([recipient("a.test")], [sender("b.test"), recipient("*@A.test")]),
        ([client(trusted=True), sender("a.test")], [sender("a.test"), recipient("b.test"), client(trusted=True)]),
        ([recipient("a.test", "b.test")], [recipient("b.test")]),
        ([recipient("a.test")], [recipient("bob@a.test", "ann@a.test")]),
        ([recipient("*@*.a.test")], [recipient("bob@x.a.test")]),
        ([recipient("*@*.a.test")], [recipient("*@*.b.a.test")]),
        ([recipient("*@*.test")], [recipient("x*@mail*.a.test")]),
        ([recipient("*")], [recipient("bob@*", "^x.*@a")]),
        ([sender("bob@*")], [sender("bob@a.test")]),
        ([sender("<>", "*")], [sender("<>", "a.test")]),
    ],
)
def test_a_special_case_behind_the_general_one_is_found(general, special):
    assert shadowing(general, special) == [1]


def test_several_rules_together_may_take_all_mail_of_another():
    assert shadowing([recipient("a.test")], [recipient("b.test")], [recipient("x@a.test", "x@b.test")]) == [1, 2]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ([recipient("a.test")], [sender("a.test")]),
        ([recipient("bob@a.test")], [recipient("a.test")]),
        ([recipient("a.test")], [recipient("a.test", "b.test")]),
        ([recipient("*@*.a.test")], [recipient("a.test")]),
        ([sender("*")], [sender("<>")]),
        ([sender("*")], [recipient("a.test")]),
        ([recipient("a.test"), sender("b.test")], [recipient("a.test")]),
        ([recipient("^bob@a.test")], [recipient("bob@a.test")]),
    ],
)
def test_a_rule_that_may_have_mail_of_its_own_is_not_told(first, second):
    assert shadowing(first, second) == []


def test_an_exception_of_the_earlier_rule_leaves_mail():
    earlier = EarlierRules()
    earlier.add(rule(recipient("a.test"), unless=(sender("b.test"),)))
    assert earlier.that_shadow(rule(recipient("a.test"))) == ()
    assert earlier.that_shadow(rule(recipient("a.test"), unless=(sender("b.test"),)))


def test_long_lists_and_many_conditions_are_not_compared():
    many = [sender(f"{number}.test") for number in range(7)]
    assert shadowing(many, many) == []
    assert shadowing([], many) == [1]
    listed = recipient(*(f"{number}.test" for number in range(1001)))
    assert shadowing([listed], [recipient("5.test")]) == []
    assert shadowing([listed], [listed]) == [1]


_PATTERNS = st.sampled_from(
    ["a.test", "b.a.test", "*@*.a.test", "*@*.test", "x@a.test", "x@*", "x*@*.a.test", "*@b*.test", "*", "<>", "^x@.*"]
)
_LISTS = st.lists(_PATTERNS, min_size=1, max_size=2)
_CONDITIONS = st.one_of(
    _LISTS.map(lambda written: sender(*written)),
    _LISTS.map(lambda written: recipient(*written)),
    st.sampled_from([client(trusted=True), client("192.0.2.0/24")]),
)
_RULES = st.builds(
    lambda conditions, unless: rule(*conditions, unless=tuple(unless)),
    st.lists(_CONDITIONS, max_size=2),
    st.lists(_CONDITIONS, max_size=1),
)
_ADDRESSES = st.builds(Address, st.sampled_from(["x", "y", "xy"]), st.sampled_from(["a.test", "b.a.test", "b.test"]))
_FACTS = st.builds(
    facts,
    trusted=st.booleans(),
    client=st.sampled_from(["192.0.2.1", "198.51.100.1"]),
    sender=st.none() | _ADDRESSES,
    recipient=_ADDRESSES,
)


@given(st.lists(_RULES, min_size=1, max_size=4), _RULES, st.lists(_FACTS, min_size=1, max_size=8))
def test_a_rule_that_is_told_is_never_the_first_that_applies(before, last, all_facts):
    earlier = EarlierRules()
    for each in before:
        earlier.add(each)
    found = earlier.that_shadow(last)
    for known in all_facts:
        if found and last.applies(known):
            assert any(each.applies(known) for each in found)
