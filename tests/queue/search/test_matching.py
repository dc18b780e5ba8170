"""The meaning of conditions, checked on a message."""

import pytest

from mta.queue.ids import IdSource
from mta.queue.interface import Entry, RecipientState, Status
from mta.queue.search.conditions import ANY, Conditions, State
from mta.queue.search.matching import fits, matches, unquoted

NOW = 1_700_000_000.0
ID = IdSource(3).new(NOW)


def recipient(address: str, status: Status = Status.WAITING, reply: str = "", host: str = "") -> RecipientState:
    return RecipientState(address, status, 1, None, reply, host, None)


ENTRY = Entry(
    ID,
    "alice@a.test",
    1000,
    NOW,
    "192.0.2.7",
    False,
    False,
    (
        recipient("bob@b.test", Status.DELIVERED, "250 Ok", "mx.b.test[192.0.2.1]:25"),
        recipient('"c d"@c.test', Status.WAITING, "451 Greylisted", "mx.c.test[192.0.2.2]:25"),
    ),
    message_id="M1.x@a.test",
    subject="Your Invoice 100%",
    author='"Shop" <shop@a.test>',
    login="Alice",
)


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        (ANY, True),
        (Conditions(words=("b.test",)), True),
        (Conditions(words=("BOB@b", "m1.x")), True),
        (Conditions(words=("bob@b", "z.test")), False),
        (Conditions(words=("shop",)), True),
        (Conditions(words=("invoice",)), False),
        (Conditions(words=(ID[:9].upper(),)), True),
        (Conditions(ids=("zzz", ID)), True),
        (Conditions(ids=(ID[:5],)), True),
        (Conditions(ids=(ID[1:],)), False),
        (Conditions(sender="Alice@A.test"), True),
        (Conditions(sender="alice"), False),
        (Conditions(sender="shop@a.test"), True),
        (Conditions(sender="*@a.*"), True),
        (Conditions(sender="<>"), False),
        (Conditions(recipient="*@b.test"), True),
        (Conditions(recipient="c d@c.test"), True),
        (Conditions(recipient="*@b.test", states=(State.WAITING,)), False),
        (Conditions(recipient="*@b.test", states=(State.WAITING, State.DELIVERED)), True),
        (Conditions(domain="b.test", reply="grey"), False),
        (Conditions(domain="c.*", reply="grey"), True),
        (Conditions(domain="test"), False),
        (Conditions(host="mx.b.test"), True),
        (Conditions(subject="invoice 100%"), True),
        (Conditions(subject="your*100"), True),
        (Conditions(subject="100*your"), False),
        (Conditions(subject="invoice_"), False),
        (Conditions(message_id="m1.X@a.test"), True),
        (Conditions(message_id="m1"), False),
        (Conditions(client="192.0.2.*"), True),
        (Conditions(login="alice"), True),
        (Conditions(states=(State.HELD,)), False),
        (Conditions(states=(State.FAILED, State.REMOVED)), False),
        (Conditions(since=NOW), True),
        (Conditions(since=NOW + 0.01), False),
        (Conditions(until=NOW), False),
        (Conditions(until=NOW + 0.01), True),
        (Conditions(larger=1000), False),
        (Conditions(larger=999), True),
    ],
)
def test_a_message_meets_its_conditions_and_no_others(conditions, expected):
    assert matches(conditions, ENTRY) is expected


def test_a_held_message_is_held_and_no_longer_waiting():
    held = Entry(ID, "", 1, NOW, "", True, False, (recipient("b@b.test"), recipient("c@b.test", Status.FAILED)))
    found = {state for state in State if matches(Conditions(states=(state,)), held)}
    assert found == {State.HELD, State.FAILED}
    assert matches(Conditions(sender="<>"), held)


@pytest.mark.parametrize(
    ("pattern", "text", "whole", "part"),
    [
        ("", "", True, True),
        ("", "a", False, True),
        ("*", "", True, True),
        ("a*a", "a", False, False),
        ("a*a", "aba", True, True),
        ("*ab*b", "abb", True, True),
        ("*ab*b", "ab", False, False),
        ("A.b", "xa.Bx", False, True),
        ("é", "É", False, False),
        ("**", "x", True, True),
    ],
)
def test_a_star_stands_for_any_characters(pattern, text, whole, part):
    assert (fits(pattern, text), fits(pattern, text, part=True)) == (whole, part)


@pytest.mark.parametrize(
    ("address", "plain"), [("a@b.test", "a@b.test"), ('"a\\"@ b"@b.test', 'a"@ b@b.test'), ("postmaster", "postmaster")]
)
def test_an_address_is_compared_without_its_quotes(address, plain):
    assert unquoted(address) == plain
