"""The terms of further attempts: those of the operator's rules in force, and else the general ones."""

from dataclasses import replace

import pytest

from harness.mail import claim
from mta.delivery.retry_policy import RetryPolicy
from mta.message.outcome import ErrorKind, TryLater
from mta.queue.interface import Claim, DueMessage, Pending
from mta.retry_schedule import RetrySchedule, RetryStep, RetryTerms, Shape
from mta.rules.book import CurrentRules, RuleBook
from mta.rules.conditions import Condition
from mta.rules.retries import ErrorCondition, Retries, RetryRule
from tests.rules.made_rules import recipient, rule, sender

HOUR = 3600.0
DAY = 24 * HOUR


def schedule(seconds: float) -> RetrySchedule:
    return RetrySchedule((RetryStep(Shape.FIXED, seconds, 900.0),))


GENERAL = RetryTerms(schedule(4 * DAY))
SHORT = RetryTerms(schedule(HOUR), 1800.0)
CONNECT = ErrorCondition((ErrorKind.CONNECT,))
REFUSED = TryLater("connection refused", "mx.test", "4.4.1", kind=ErrorKind.CONNECT)
BUSY = TryLater("451 busy", "mx.test", "4.3.0")


def short(*conditions: Condition) -> RetryRule:
    return RetryRule(rule(*conditions), SHORT.schedule, SHORT.warn_after)


def book(*rules: RetryRule) -> RuleBook:
    return RuleBook(retry=Retries(rules))


def policy(*rules: RetryRule) -> RetryPolicy:
    return RetryPolicy(GENERAL, CurrentRules(book(*rules)))


def terms(made: RetryPolicy, mail: Claim, error: TryLater = BUSY) -> list[RetryTerms]:
    """Return the terms of each recipient of a message."""
    return [made.terms(mail, pending.recipient, error) for pending in mail.pending]


def due(mail: Claim, *, whole: bool = True) -> DueMessage:
    """Return a message as a deferral filter sees it, with its envelope if `whole`."""
    domains = tuple(dict.fromkeys(pending.recipient.address.domain for pending in mail.pending))
    told = mail.delay_reported or mail.envelope.sender is None
    return DueMessage(mail.created, told, domains, mail.envelope if whole else None)


def owed(made: RetryPolicy, mail: Claim, *, whole: bool = True) -> float:
    """Return the age of the message at which its sender must be told."""
    return made.owed(due(mail, whole=whole)) - mail.created


MAIL = claim("bob@b.test", "eve@c.test")


@pytest.mark.parametrize("rules", [CurrentRules(), CurrentRules(RuleBook())])
def test_without_rules_the_general_terms_count(rules: CurrentRules) -> None:
    made = RetryPolicy(GENERAL, rules)
    assert terms(made, MAIL) == [GENERAL, GENERAL]
    assert owed(made, MAIL) == DAY
    assert owed(made, replace(MAIL, delay_reported=True)) == 4 * DAY
    assert not made.asks_for_envelopes


def test_the_rule_of_a_recipient_counts_for_this_recipient() -> None:
    assert terms(policy(short(recipient("b.test"))), MAIL) == [SHORT, GENERAL]


def test_a_rule_may_ask_for_the_error_of_the_attempt() -> None:
    made = policy(short(CONNECT))
    assert terms(made, MAIL, REFUSED) == [SHORT, SHORT]
    assert terms(made, MAIL, BUSY) == [GENERAL, GENERAL]


def test_a_rule_may_ask_for_the_sender_of_reports() -> None:
    made = policy(short(sender("<>")))
    assert terms(made, claim("bob@b.test", sender=None)) == [SHORT]
    assert terms(made, claim("bob@b.test")) == [GENERAL]


def test_changed_rules_count_at_the_next_question() -> None:
    rules = CurrentRules()
    made = RetryPolicy(GENERAL, rules)
    assert owed(made, MAIL) == DAY
    rules.replace(book(short()))
    assert terms(made, MAIL) == [SHORT, SHORT]
    assert owed(made, MAIL) == 1800.0
    rules.replace(None)
    assert terms(made, MAIL) == [GENERAL, GENERAL]


def test_a_message_is_owed_a_verdict_when_the_sender_is_to_hear_of_one_recipient() -> None:
    made = policy(short(recipient("c.test")))
    assert owed(made, MAIL) == owed(made, MAIL, whole=False) == 1800.0
    assert owed(made, replace(MAIL, delay_reported=True)) == HOUR
    assert owed(made, claim("bob@b.test"), whole=False) == DAY
    assert not made.asks_for_envelopes


def test_a_rule_without_warning_owes_only_the_end() -> None:
    made = policy(RetryRule(rule(), schedule(2 * DAY), warn_after=None))
    assert owed(made, MAIL) == 2 * DAY


def test_the_earliest_time_counts_as_long_as_the_error_is_not_known() -> None:
    made = policy(short(CONNECT))
    assert owed(made, MAIL) == 1800.0
    made = policy(RetryRule(rule(CONNECT), schedule(9 * DAY), 3 * DAY))
    assert owed(made, MAIL) == DAY


def test_rules_by_sender_or_local_part_look_at_the_envelope() -> None:
    made = policy(short(sender("<>"), recipient("bob@*")))
    assert made.asks_for_envelopes
    assert owed(made, MAIL) == DAY
    assert owed(made, claim("bob@b.test", sender=None)) == HOUR
    assert owed(made, claim("eve@b.test", sender=None)) == 4 * DAY


def test_a_message_without_its_envelope_may_come_too_early_but_not_too_late() -> None:
    """A message with very many recipients is not read whole before it is claimed."""
    made = policy(short(sender("<>"), recipient("bob@*")))
    assert owed(made, MAIL, whole=False) == 1800.0


def test_only_recipients_that_wait_count() -> None:
    pending = (Pending(1, MAIL.envelope.recipients[1]),)
    left = replace(MAIL, pending=pending)
    assert owed(policy(short(recipient("b.test"))), left, whole=False) == DAY
