"""The conditions of rules, each by its own, and the rule that they make up."""

import pickle
from ipaddress import ip_address

import pytest

from mta.rate import Rate
from mta.rules.conditions import (
    ClientCondition,
    HeloCondition,
    LoginCondition,
    OverCondition,
    Per,
    RulePlace,
    SizeCondition,
    TlsCondition,
)
from mta.rules.facts import Facts, HostNotLookedUp
from mta.smtp.address import parse_address
from tests.rules.made_rules import BOB, EVE, client, facts, header, recipient, rule, sender, texts

HOSTS = {"app.test": frozenset({ip_address("192.0.2.1"), ip_address("2001:db8::1")}), "gone.test": frozenset()}


@pytest.mark.parametrize(
    ("condition", "matching", "other"),
    [
        (client("192.0.2.0/24"), facts(), facts(client="198.51.100.1")),
        (client("198.51.100.1", "192.0.2.1"), facts(), facts(client="192.0.2.2")),
        (client("2001:db8::/32"), facts(client="2001:db8::9"), facts(client="2001:db9::9")),
        (client("192.0.2.1"), facts(client="::ffff:192.0.2.1"), facts(client="")),
        (client("*"), facts(client="2001:db8::9"), facts(client="")),
        (client(trusted=True), facts(trusted=True), facts()),
        (client(stranger=True), facts(), facts(trusted=True)),
        (client("198.51.100.1", trusted=True), facts(trusted=True), facts()),
        (client("app.test"), facts(host_addresses=HOSTS.get), facts(client="192.0.2.9", host_addresses=HOSTS.get)),
        (client("app.test"), facts(client="2001:db8::1", host_addresses=HOSTS.get), facts(host_addresses=lambda _: ())),
        (LoginCondition(texts("alice", "b*")), facts(login="Bob"), facts(login="carol")),
        (LoginCondition(texts("*")), facts(login="carol"), facts()),
        (HeloCondition(texts("*.a.test")), facts(helo="MAIL.A.TEST"), facts(helo="a.test")),
        (TlsCondition(True), facts(tls=True), facts()),
        (TlsCondition(False), facts(), facts(tls=True)),
        (sender("a.test"), facts(), facts(sender=None)),
        (sender("<>"), facts(sender=None), facts()),
        (recipient("b.test"), facts(recipient=EVE), facts(recipient=BOB)),
        (recipient("*", "<>"), facts(recipient=EVE), facts()),
        (header("Subject", "*free*"), facts(header=b"subject: All\r\n free!\r\n"), facts(header=b"X: free\r\n")),
        (header("X-Id", "7"), facts(header=b"X-Id: 6\r\nX-ID: 7\r\n"), facts(header=b"X-Id: 6, 7\r\n")),
        (header("X", "*"), facts(header=b"X:\r\n"), facts()),
        (SizeCondition(100), facts(size=101), facts(size=100)),
    ],
)
def test_a_condition_matches(condition, matching, other):
    assert condition.matches(matching) is True
    assert condition.matches(other) is False


def test_a_host_name_that_is_not_looked_up_yet_leaves_the_answer_open():
    condition = client("unknown.test", "gone.test")
    with pytest.raises(HostNotLookedUp, match=r"^unknown\.test$"):
        condition.matches(facts(host_addresses=HOSTS.get))
    with pytest.raises(HostNotLookedUp):
        condition.matches(facts())


def test_a_host_name_that_is_not_looked_up_yet_does_not_matter_if_the_client_is_known_without_it():
    assert client("unknown.test", "192.0.2.1").matches(facts())
    assert client("unknown.test", stranger=True).matches(facts())
    assert client("unknown.test", "app.test").matches(facts(host_addresses=HOSTS.get))


def test_a_rule_applies_if_all_conditions_hold_and_no_exception_does():
    made = rule(client("192.0.2.0/24"), sender("a.test"), unless=(recipient("eve@*"), LoginCondition(texts("root"))))
    assert made.applies(facts(recipient=BOB))
    assert not made.applies(facts(recipient=BOB, sender=EVE))
    assert not made.applies(facts(recipient=BOB, client="198.51.100.1"))
    assert not made.applies(facts(recipient=EVE))
    assert not made.applies(facts(recipient=BOB, login="root"))


def test_a_rule_without_conditions_always_applies():
    assert rule().always_applies
    assert rule().applies(facts())
    assert not rule(sender("*")).always_applies
    assert not rule(unless=(sender("*"),)).always_applies


def test_the_obstacle_is_the_key_of_a_condition_that_fails():
    made = rule(header("X", "a"), unless=(sender("a.test"),))
    assert made.obstacle(facts()) == "header.X"
    assert made.obstacle(facts(header=b"X: a\r\n")) == "unless.sender"
    assert made.obstacle(facts(header=b"X: a\r\n", sender=EVE)) == ""


@pytest.mark.parametrize("unless", [False, True])
def test_a_host_name_that_is_not_looked_up_does_not_matter_if_another_condition_fails(unless):
    open_answer, others = client("unknown.test"), (sender("b.test"), recipient("*"))
    made = rule(*others, unless=(open_answer,)) if unless else rule(open_answer, *others)
    assert not made.applies(facts(recipient=BOB))
    assert made.obstacle(facts(recipient=BOB)) == "sender"
    with pytest.raises(HostNotLookedUp):
        made.applies(facts(recipient=BOB, sender=EVE))
    assert made.host_names == ("unknown.test",)


def test_a_rule_is_named_by_its_place_and_name():
    assert str(rule(line=7)) == "a.toml:7"
    assert str(rule(line=7, name="one sender")) == 'a.toml:7 "one sender"'
    assert str(RulePlace("ALLOWED_SENDERS")) == "ALLOWED_SENDERS"


def test_a_part_of_a_rule_keeps_its_place():
    made = rule(client("*"), sender("b.test"), unless=(recipient("*"),))
    part = made.only(lambda condition: isinstance(condition, ClientCondition))
    assert part.applies(facts(recipient=BOB))
    assert part.where == made.where
    assert len(made.all_conditions) == 3


def test_a_rule_reaches_another_process():
    made = rule(
        client("192.0.2.0/24", "app.test"), sender("^.*@a.test"), header("X", "a*"), unless=(recipient("*.b.test"),)
    )
    copy = pickle.loads(pickle.dumps(made))
    assert copy == made
    assert copy.applies(facts(recipient=parse_address("x@c.test"), header=b"X: ab\r\n"))


@pytest.mark.parametrize(
    ("address", "same", "other"),
    [
        ("192.0.2.1", "192.0.2.1", "192.0.2.2"),
        ("2001:db8::1", "2001:db8::ffff:1", "2001:db8:0:1::1"),
        ("::ffff:192.0.2.1", "192.0.2.1", "::ffff:192.0.2.2"),
    ],
)
def test_a_client_is_counted_with_its_network(address: str, same: str, other: str):
    def subject(client_address: str) -> str:
        return OverCondition((Rate(1, 60),)).subject(facts(client=client_address))

    assert subject(address) == subject(same) != subject(other)


def test_mail_is_counted_by_login_and_by_sender():
    by_login, by_sender = (OverCondition((Rate(1, 60),), per) for per in (Per.LOGIN, Per.SENDER))
    assert by_login.subject(facts(login="app")) == "app"
    assert by_login.subject(facts()) == ""
    assert by_sender.subject(facts(sender=parse_address("Bob@a.test"))) == "bob@a.test"
    assert by_sender.subject(facts(sender=None)) == "<>"


def test_a_rate_is_asked_about_last():
    asked: list[OverCondition] = []

    def over(condition: OverCondition, _facts: Facts) -> bool:
        asked.append(condition)
        return True

    limited = rule(OverCondition((Rate(1, 60),)), client("host.test"), sender("b.test"))
    known = {"over": over, "host_addresses": lambda _name: frozenset({ip_address("192.0.2.1")})}
    assert not limited.applies(facts(**known))
    assert asked == []
    assert limited.applies(facts(sender=EVE, **known))
    with pytest.raises(HostNotLookedUp):
        limited.applies(facts(sender=EVE, over=over))
    assert len(asked) == 1
    assert limited.obstacle(facts(sender=EVE, host_addresses=known["host_addresses"])) == "over"
