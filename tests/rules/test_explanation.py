"""Explanations: the same decisions as those of the rules, and the rules that were passed over, with the reason."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from mta.rules.acl import Acl
from mta.rules.actions import Accept, Hold, read_deny
from mta.rules.book import CurrentRules, RuleBook
from mta.rules.conditions import SizeCondition
from mta.rules.explanation import explain_acl
from tests.rules.made_rules import BOB, EVE, acl, client, facts, header, recipient, sender
from tests.rules.test_acl import _ACLS, _FACTS, flow, in_lines

DENY = read_deny("no")


def explain(rules, *recipients, **known):
    return explain_acl(RuleBook(acl=rules), facts(**known), recipients)


def passed_over(decision):
    return [(one.rule.where.line, one.key) for one in decision.passed_over]


def test_without_rules_every_recipient_is_accepted_and_has_no_decision():
    for book in (None, RuleBook()):
        found = explain_acl(book, facts(), [BOB, EVE])
        assert found.accepted == (BOB, EVE)
        assert [decision.ruling for _, decision in found.recipients] == [None, None]


def test_the_rules_that_were_asked_before_are_named_with_the_condition_that_failed():
    rules = acl((DENY, sender("b.test")), (DENY, client("unknown.test")), (Accept(), recipient("bob@*")), (DENY,))
    rules = Acl([rules.rules[0], rules.rules[2], rules.rules[3]])
    found = explain(rules, BOB, EVE)
    (_, bob), (_, eve) = found.recipients
    assert (bob.ruling.rule.where.line, passed_over(bob)) == (3, [(1, "sender")])
    assert (eve.ruling.rule.where.line, passed_over(eve)) == (4, [(1, "sender"), (3, "recipient")])
    assert found.accepted == (BOB,)


def test_a_message_that_is_refused_after_the_data_has_no_recipients():
    rules = acl((DENY, header("X", "a")), (Hold(), header("X", "b")))
    refused = explain(rules, BOB, header=b"X: a\r\n")
    assert refused.data.ruling.refusal is DENY.reply
    assert (refused.accepted_at_rcpt, refused.accepted, refused.held) == ((BOB,), (), False)
    held = explain(rules, BOB, header=b"X: b\r\n")
    assert (held.accepted, held.held) == ((BOB,), True)
    assert passed_over(held.data) == [(1, "header.X")]


def test_a_message_is_held_for_one_recipient_unless_it_is_refused_in_the_end():
    rules = acl((Hold(), recipient("bob@*")), (DENY, header("X", "a")))
    assert explain(rules, BOB, EVE).held
    assert not explain(rules, EVE).held
    assert not explain(rules, BOB, EVE, header=b"X: a\r\n").held


def test_a_message_that_is_refused_at_mail_does_not_reach_the_other_stages():
    found = explain(
        acl(
            (DENY, SizeCondition(10)),
        ),
        BOB,
        size=11,
    )
    assert found.mail.ruling.refusal is DENY.reply
    assert (found.recipients, found.accepted) == ((), ())


def test_a_message_without_an_accepted_recipient_does_not_reach_the_data():
    found = explain(acl((DENY, recipient("*")), (Hold(), header("X", "*"))), BOB, header=b"X: 1\r\n")
    assert found.data.ruling is None
    assert found.accepted == ()


def test_a_host_name_that_is_not_looked_up_is_the_reason():
    found = explain(acl((DENY, client("unknown.test"))), BOB)
    assert found.recipients[0][1].ruling.refusal.code == 451


@given(_ACLS, _FACTS, st.sampled_from([[BOB], [EVE], [BOB, EVE]]))
def test_an_explanation_agrees_with_the_decisions(rules, known, recipients):
    made = Acl(in_lines(rules))
    found = explain_acl(RuleBook(acl=made), known, recipients)
    early = made.at_mail(replace(known, header=None))
    assert found.mail.ruling == early
    if early is None:
        taken, ruling = flow(made, known, recipients)
        assert list(found.accepted_at_rcpt) == taken
        assert found.data.ruling == ruling


def test_the_rules_in_force_can_be_replaced():
    current = CurrentRules()
    assert current.book is None
    current.book = RuleBook(acl=acl((DENY, client("app.test"))), digest="1a")
    assert current.book.host_names == ("app.test",)
    assert RuleBook().host_names == ()
