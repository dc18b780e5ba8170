"""The rules about further attempts: the first that applies decides, by sender, recipient and error."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.message.outcome import ErrorKind, TryLater
from mta.retry_schedule import WARN_AFTER, RetrySchedule, RetryStep, RetryTerms, Shape
from mta.rules.retries import ErrorCondition, Retries, RetryRule, read_error
from tests.rules.made_rules import BOB, EVE, facts, recipient, rule, sender

HOUR = RetrySchedule((RetryStep(Shape.FIXED, 3600.0, 900.0),))
GENERAL = RetryTerms(RetrySchedule((RetryStep(Shape.FIXED, 4 * 86400.0, 900.0),)), 7200.0)


def error(*items):
    return ErrorCondition(tuple(map(read_error, items)))


def later(status="4.4.1", kind=None):
    return TryLater("no", "mx.test", status, kind=kind)


def retries(*rules):
    """Return rules, each the conditions of one, in the lines 1, 2, 3 and so on."""
    return Retries(RetryRule(rule(*conditions, line=line), HOUR) for line, conditions in enumerate(rules, 1))


def line(found):
    return 0 if found is None else found.rule.where.line


def found(made, **known):
    return line(made.find(facts(**{"recipient": BOB, "error": later(), **known})))


def test_the_first_rule_that_applies_decides():
    made = retries([recipient("a.test")], [sender("<>")], [error("connect")])
    assert found(made) == 1
    assert found(made, recipient=EVE, sender=None) == 2
    assert found(made, recipient=EVE, error=later(kind=ErrorKind.CONNECT)) == 3
    assert found(made, recipient=EVE) == 0


@pytest.mark.parametrize("kind", list(ErrorKind))
def test_an_error_is_named_by_its_kind(kind):
    made = retries([error(kind.value.upper())])
    assert found(made, error=later(kind=kind)) == 1
    assert found(made, error=later()) == 0
    assert found(made, error=None) == 0


@pytest.mark.parametrize(
    ("pattern", "statuses", "others"),
    [
        ("4.2.2", ["4.2.2"], ["4.2.1", "4.7.2", "4.2.22"]),
        ("4.7.*", ["4.7.0", "4.7.650"], ["4.2.7", "4.17.0"]),
        ("4.*.1", ["4.2.1", "4.4.1"], ["4.4.2"]),
        ("4.*.*", ["4.0.0", "4.3.2"], []),
    ],
)
def test_an_error_is_named_by_its_status(pattern, statuses, others):
    made = retries([error("dns", pattern)])
    assert [found(made, error=later(status)) for status in statuses] == [1] * len(statuses)
    assert [found(made, error=later(status)) for status in others] == [0] * len(others)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("conect", "errors are connect, tls, login, dns, and a status such as 4.7.* or 4.2.2"),
        ("4.7", "'4.7' is no error"),
        ("4.7.x", "'4.7.x' is no error"),
        ("4.7.1234", "is no error"),
        ("5.7.1", "'5.7.1' is final, and mail with it is returned at once; a status here begins with 4."),
        ("450", "is no error"),
        ("", "is no error"),
    ],
)
def test_other_errors_are_refused_in_words(text, words):
    with pytest.raises(ValueError, match=r"error|status") as refused:
        read_error(text)
    assert words in str(refused.value)


def test_the_terms_are_those_of_the_rule_with_the_general_schedule_if_it_has_none():
    assert RetryRule(rule(), HOUR, None).terms(GENERAL) == RetryTerms(HOUR, None)
    assert RetryRule(rule(), None, 60.0).terms(GENERAL) == RetryTerms(GENERAL.schedule, 60.0)
    assert RetryRule(rule(), HOUR).terms(GENERAL) == RetryTerms(HOUR, WARN_AFTER)


def test_before_an_attempt_each_rule_that_its_error_could_choose_is_possible():
    made = retries(
        [recipient("c.test")], [error("dns")], [sender("a.test"), error("4.7.*")], [sender("a.test")], [error("tls")]
    )
    assert list(map(line, made.possible(facts(recipient=BOB)))) == [2, 3, 4]
    assert list(map(line, made.possible(facts(recipient=BOB, sender=None)))) == [2, 5, 0]


@given(st.sampled_from([BOB, EVE]), st.sampled_from([BOB, None]), st.sampled_from(["4.2.2", "4.4.1"]))
def test_the_rule_that_decides_was_possible(address, sent_by, status):
    made = retries([error("4.2.*"), recipient("a.test")], [sender("<>")], [error("4.4.1")], [recipient("bob@*")])
    possible = list(made.possible(facts(recipient=address, sender=sent_by)))
    assert made.find(facts(recipient=address, sender=sent_by, error=later(status))) in possible


def test_an_exception_by_error_may_or_may_not_apply():
    made = Retries([RetryRule(rule(unless=(error("dns"),), line=1)), RetryRule(rule(line=2))])
    assert list(map(line, made.possible(facts(recipient=BOB)))) == [1, 2]
    assert found(made, error=later(kind=ErrorKind.DNS)) == 2
    assert found(made) == 1


@pytest.mark.parametrize(
    ("condition", "asks"),
    [
        (recipient("a.test"), False),
        (recipient("*@*.a.test"), False),
        (error("dns"), False),
        (recipient("bob@a.test"), True),
        (sender("a.test"), True),
    ],
)
def test_rules_that_name_only_domains_and_errors_ask_for_nothing_else(condition, asks):
    assert retries([condition]).asks_for_message is asks
