"""The rules about accepted mail: the first that applies decides, on each recipient or on the whole message."""

from dataclasses import replace
from ipaddress import ip_address

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mta.rules.acl import Acl, AclRule
from mta.rules.actions import Accept, Defer, Deny, Hold, read_defer, read_deny
from mta.rules.conditions import SizeCondition
from mta.rules.facts import HOST_UNKNOWN
from tests.rules.made_rules import BOB, EVE, acl, client, facts, header, recipient, rule, sender

ACCEPT, DENY, DEFER, HOLD = Accept(), read_deny("no"), read_defer("later"), Hold()

_CONDITIONS = st.sampled_from(
    [
        client(trusted=True),
        client("app.test"),
        sender("a.test"),
        recipient("bob@*"),
        recipient("eve@*"),
        header("X", "a"),
        SizeCondition(10),
    ]
)
_HOSTS = [{}.get, {"app.test": frozenset()}.get, {"app.test": frozenset({ip_address("192.0.2.1")})}.get]


def _is_possible(made):
    try:
        AclRule(made, ACCEPT)
    except ValueError:
        return False
    return True


_RULES = st.builds(
    lambda conditions, unless: rule(*conditions, unless=tuple(unless)),
    st.lists(_CONDITIONS, max_size=3),
    st.lists(_CONDITIONS, max_size=1),
).filter(_is_possible)
_ACLS = st.lists(st.builds(AclRule, _RULES, st.sampled_from([ACCEPT, DENY, DEFER, HOLD])), max_size=6)
_FACTS = st.builds(
    facts,
    trusted=st.booleans(),
    sender=st.sampled_from([BOB, EVE, None]),
    size=st.sampled_from([5, 50]),
    header=st.sampled_from([b"X: a\r\n", b""]),
    host_addresses=st.sampled_from(_HOSTS),
)


def in_lines(rules):
    """Return rules with their numbers as their lines."""
    made = [rule(*one.rule.conditions, unless=one.rule.unless, line=number) for number, one in enumerate(rules)]
    return [AclRule(placed, one.action) for placed, one in zip(made, rules, strict=True)]


def line(ruling):
    return 0 if ruling is None else ruling.rule.where.line


def at_recipient(rules, address, **known):
    return line(rules.at_recipient(facts(recipient=address, **known)))


def at_data(rules, *recipients, **known):
    return line(rules.at_data(facts(**known), recipients))


def at_mail(rules, **known):
    return line(rules.at_mail(facts(**known)))


def test_the_first_rule_that_applies_decides_on_a_recipient():
    rules = acl((ACCEPT, recipient("bob@*")), (DENY, recipient("a.test", "b.test")), (HOLD,))
    assert at_recipient(rules, BOB) == 1
    assert at_recipient(rules, EVE) == 2
    assert at_recipient(rules, replace(EVE, domain="c.test")) == 3
    assert at_recipient(acl((DENY, recipient("c.test"))), BOB) == 0


def test_a_ruling_has_its_reply_and_tells_whether_the_message_is_held():
    found = acl((DENY,)).at_recipient(facts(recipient=BOB))
    assert str(found.refusal) == "550 5.7.1 no"
    assert not found.held
    found = acl((HOLD,)).at_recipient(facts(recipient=BOB))
    assert found.held
    assert found.refusal is None


def test_a_rule_about_the_header_decides_on_the_whole_message():
    rules = acl((DENY, header("Subject", "*free*")), (DENY, recipient("c.test")))
    assert rules.asks_at_data
    assert at_recipient(rules, BOB) == 0
    assert at_data(rules, BOB, header=b"Subject: Free\r\n") == 1
    assert at_data(rules, BOB, header=b"Subject: x\r\n") == 0


def test_a_rule_about_the_size_decides_after_the_data_and_at_mail_by_the_announced_size():
    rules = acl((DENY, SizeCondition(1000)))
    assert rules.asks_at_mail
    assert at_mail(rules, size=1001) == at_data(rules, BOB, size=1001) == 1
    assert at_mail(rules, size=1000) == at_data(rules, BOB, size=1000) == 0


def test_only_an_announced_size_is_answered_at_mail():
    rules = Acl([AclRule(rule(unless=(SizeCondition(500),)), DENY)])
    assert [at_mail(rules, size=size) for size in (0, 500, 501)] == [0, 1, 0]


def test_an_acl_without_such_rules_is_asked_at_rcpt_only():
    rules = acl((DENY, sender("a.test")), (ACCEPT, recipient("a.test")))
    assert not rules.asks_at_mail
    assert not rules.asks_at_data
    assert not acl((DENY, header("X", "a"))).asks_at_mail


@pytest.mark.parametrize("action", [ACCEPT, HOLD])
def test_a_recipient_that_a_rule_accepted_or_held_is_beyond_the_rules_behind_it(action):
    rules = acl((action, recipient("bob@*")), (DENY, SizeCondition(1000)), (action, sender("a.test")))
    assert at_data(rules, BOB, size=2000) == 0
    assert at_data(rules, BOB, EVE, size=2000) == 2
    assert at_data(acl((action, sender("a.test")), (DENY, SizeCondition(1000))), BOB, EVE, size=2000) == 0
    assert at_data(acl((DENY, SizeCondition(1000)), (action,)), BOB, size=2000) == 1


def test_recipients_that_different_rules_accepted_are_beyond_the_rules_behind_both():
    rules = acl((ACCEPT, recipient("bob@*")), (ACCEPT, recipient("eve@*")), (DENY, header("X", "*")))
    assert at_data(rules, BOB, EVE, header=b"X: 1\r\n") == 0


def test_a_rule_that_accepts_the_whole_message_ends_the_questions():
    rules = acl((ACCEPT, header("X", "*")), (DENY, SizeCondition(1000)))
    assert at_data(rules, BOB, header=b"X: 1\r\n", size=2000) == 1
    assert at_data(rules, BOB, header=b"", size=2000) == 2


@pytest.mark.parametrize(
    ("rules", "known", "decides"),
    [
        # Other rules that refuse in the same way do not matter.
        (acl((DENY, recipient("c.test")), (DENY, SizeCondition(10))), {}, 2),
        (acl((DENY, header("X", "a")), (DENY, SizeCondition(10))), {}, 2),
        # A rule that may still take the message, or defer it, does.
        (acl((ACCEPT, recipient("bob@*")), (DENY, SizeCondition(10))), {}, 0),
        (acl((HOLD, header("X", "a")), (DENY, SizeCondition(10))), {}, 0),
        (acl((DEFER, recipient("bob@*")), (DENY, SizeCondition(10))), {}, 0),
        (acl((DENY, recipient("bob@*")), (DEFER, SizeCondition(10))), {}, 0),
        # A rule that cannot apply does not.
        (acl((ACCEPT, recipient("bob@*"), sender("b.test")), (DENY, SizeCondition(10))), {}, 2),
        (acl((ACCEPT, sender("b.test")), (DENY, SizeCondition(10))), {}, 2),
        # A rule that decides otherwise.
        (acl((ACCEPT, sender("a.test")), (DENY, SizeCondition(10))), {}, 0),
        (acl((DENY, sender("a.test")), (DENY, SizeCondition(10))), {}, 0),
        (acl((ACCEPT, SizeCondition(10)), (DENY, SizeCondition(5))), {}, 0),
        (acl((DEFER, SizeCondition(20)), (DENY, SizeCondition(10))), {}, 2),
        (acl((ACCEPT, client("unknown.test")), (DENY, SizeCondition(10))), {}, 0),
    ],
)
def test_the_announced_size_decides_only_if_no_other_rule_could_answer_otherwise(rules, known, decides):
    assert at_mail(rules, size=15, **known) == decides


def test_a_host_name_that_is_not_looked_up_defers():
    rules = acl((ACCEPT, client("unknown.test")), (DENY,), (DENY, header("X", "*"), client("unknown.test")))
    found = rules.at_recipient(facts(recipient=BOB))
    assert line(found) == 1
    assert found.action == Defer(HOST_UNKNOWN)
    assert rules.at_data(facts(header=b"X: 1\r\n"), [BOB]).refusal == HOST_UNKNOWN
    assert rules.host_names == ("unknown.test",)


def test_a_rule_cannot_ask_for_a_recipient_and_for_the_data():
    for data in (header("X", "*"), SizeCondition(1)):
        with pytest.raises(ValueError, match="because a message has one answer"):
            AclRule(rule(recipient("*"), data), DENY)
        with pytest.raises(ValueError, match="because a message has one answer"):
            AclRule(rule(data, unless=(recipient("*"),)), DENY)


def naive(rules, known, recipients):
    """Return the answers to a message: of MAIL and RCPT the kind of each recipient's, and that after the data.

    Each rule is asked by itself, and for each recipient the numbers of the rules are compared.
    """

    def decision(address, *, data):
        for number, one in enumerate(rules):
            if one.after_data is data and one.rule.applies(replace(known, recipient=address)):
                return number
        return len(rules)

    taken = [one for one in recipients if (n := decision(one, data=False)) == len(rules) or not is_refusal(rules[n])]
    number = decision(None, data=True)
    asked = any(decision(one, data=False) > number for one in taken)
    return taken, rules[number] if asked and number < len(rules) else None


def is_refusal(one):
    return isinstance(one.action, Deny | Defer)


def flow(made, known, recipients):
    """Return the recipients that are taken at RCPT and the ruling after the data."""
    taken = []
    for one in recipients:
        ruling = made.at_recipient(replace(known, recipient=one))
        if ruling is None or ruling.refusal is None:
            taken.append(one)
    return taken, made.at_data(known, taken) if taken else None


@given(_ACLS, _FACTS, st.sampled_from([[BOB], [EVE], [BOB, EVE]]))
def test_the_decisions_are_those_of_asking_each_rule_by_itself(rules, known, recipients):
    known = replace(known, host_addresses=_HOSTS[2])
    rules = in_lines(rules)
    taken, decision = naive(rules, known, recipients)
    found_taken, ruling = flow(Acl(rules), known, recipients)
    assert found_taken == taken
    assert (None if ruling is None else ruling.rule) == (None if decision is None else decision.rule)


@given(_ACLS, st.lists(_FACTS, min_size=2, max_size=4))
def test_a_decision_does_not_depend_on_the_mail_before(rules, mail):
    shared = Acl(in_lines(rules))
    for known in [replace(each, host_addresses=_HOSTS[2]) for each in (*mail, *mail)]:
        assert flow(shared, known, [BOB, EVE]) == flow(Acl(in_lines(rules)), known, [BOB, EVE])


@given(_ACLS, _FACTS, st.sampled_from([BOB, EVE]))
@example([AclRule(rule(recipient("bob@*")), DEFER), AclRule(rule(SizeCondition(10)), DENY)], facts(size=50), BOB)
def test_a_refusal_at_mail_is_of_the_kind_of_the_first_rule_that_would_apply_if_all_were_known(rules, known, address):
    rules = in_lines(rules)
    early = Acl(rules).at_mail(replace(known, header=None))
    if early is not None:
        first = next(one for one in rules if one.rule.applies(replace(known, recipient=address)))
        assert type(first.action) is type(early.action)
        assert early.refusal is not None
