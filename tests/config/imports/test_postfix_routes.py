"""Makes routes of Postfix's transport and sender_relay."""

import pytest

from mta.config.imports.blocks import Section
from mta.config.imports.logins import ImportedSmarthosts, SaslPasswords
from mta.config.imports.postfix_routes import import_sender_relay, import_transport
from mta.config.imports.routes import ANY, taken_by


def logins(text: str = "") -> SaslPasswords:
    return SaslPasswords(text, ImportedSmarthosts())


def rules(section: Section) -> list[dict[str, object]]:
    return [dict(block.entries[1:]) for block in section.blocks]


@pytest.mark.parametrize(
    ("value", "action"),
    [
        ("smtp:[mail.b.test]:587", {"hosts": ("mail.b.test:587",)}),
        (":[mail.b.test]", {"hosts": ("mail.b.test:25",)}),
        ("relay:[a.test], [b.test]", {"hosts": ("a.test:25", "b.test:25")}),
        ("smtp:b.test", {"mx": "b.test"}),
        ("smtp:", {"mx": True}),
        ("discard:", {"discard": True}),
        ("discard:silently", {"discard": True}),
        ("error:5.1.1 no such company", {"fail": "5.1.1 no such company"}),
        ("error:", {"fail": "mail to this address is not deliverable"}),
    ],
)
def test_an_action_of_transport(value: str, action: dict[str, object]) -> None:
    assert rules(import_transport(f"a.test {value}\n", logins())) == [{"recipient": ("a.test",)} | action]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("a.test slow:", "'slow'"),
        ("a.test lmtp:unix:/x", "LOCAL_DELIVERY"),
        ("a.test retry:later", "has no counterpart"),
        ("a.test [mail.b.test]", "no transport:nexthop"),
        ("a.test", "no transport:nexthop"),
        ("a.test smtp:b.test:2525", "MX hosts needs"),
        ("a.test smtp:b.test, c.test", "several next hops"),
        ("a.test error:4.1.1 wait", "begins with 5"),
        ("/x/ smtp:", "regular expressions"),
        ("a.test: smtp:", "colon"),
        ("a..b smtp:", "malformed domain"),
    ],
)
def test_a_line_of_transport_that_no_rule_can_have(line: str, reason: str) -> None:
    section = import_transport(f"{line}\n", logins())
    assert not section.blocks
    (left_out,) = section.left_out
    assert reason in left_out.reason


def test_the_order_of_transport_is_that_of_postfixs_search() -> None:
    text = (
        "* smtp:[out.test]\n.a.test smtp:[sub.test]\nbob@a.test smtp:[bob.test]\n.deep.a.test smtp:[deep.test]\n"
        "a.test smtp:[dom.test]\n"
    )
    section = import_transport(text, logins())
    assert rules(section) == [
        {"recipient": ("bob@a.test",), "hosts": ("bob.test:25",)},
        {"recipient": ("a.test",), "hosts": ("dom.test:25",)},
        {"recipient": ("*@*.deep.a.test",), "hosts": ("deep.test:25",)},
        {"recipient": ("*@*.a.test",), "hosts": ("sub.test:25",)},
        {"hosts": ("out.test:25",)},
    ]
    assert list(taken_by(section.blocks)) == ["bob@a.test", "a.test", "*@*.deep.a.test", "*@*.a.test", ANY]


def test_a_line_without_a_change_keeps_its_mail_from_less_specific_lines() -> None:
    text = "my.test :\n.my.test :\nbob@x.test slow:\nx.test smtp:[x1.test]\n* smtp:[out.test]\n"
    section = import_transport(text, logins())
    assert rules(section) == [
        {"recipient": ("x.test",), "unless.recipient": ("bob@x.test",), "hosts": ("x1.test:25",)},
        {"unless.recipient": ("bob@x.test", "my.test", "*@*.my.test"), "hosts": ("out.test:25",)},
    ]
    assert list(taken_by(section.blocks)) == []


def test_a_next_hop_with_a_login_is_a_smarthost() -> None:
    found = logins("[mail.b.test]:587 u:p\n")
    assert rules(import_transport("a.test smtp:[mail.b.test]:587\n", found)) == [
        {"recipient": ("a.test",), "smarthost": "mail-b-test"}
    ]


def test_senders_go_by_address_then_by_domain() -> None:
    text = "@a.test [one.test]:587\nbob@a.test [two.test]\n<> [three.test]\nann@a.test DUNNO\na.test [x.test]\n"
    section = import_sender_relay(text, logins(), is_reached=True)
    assert rules(section) == [
        {"sender": ("bob@a.test",), "hosts": ("two.test:25",)},
        {"sender": ("<>",), "hosts": ("three.test:25",)},
        {"sender": ("a.test",), "unless.sender": ("ann@a.test",), "hosts": ("one.test:587",)},
    ]
    assert [(line.number, "never finds" in line.reason) for line in section.left_out] == [(5, True)]


def test_a_sender_with_a_login_of_its_own_has_a_rule_of_its_own() -> None:
    found = logins("bob@a.test b:1\nann@a.test a:2\n[one.test]:587 o:3\n")
    text = "@a.test [one.test]:587\nann@a.test [two.test]\n"
    section = import_sender_relay(text, found, is_reached=True)
    assert rules(section) == [
        {"sender": ("bob@a.test",), "smarthost": "bob-a-test"},
        {"sender": ("ann@a.test",), "smarthost": "ann-a-test"},
        {"sender": ("a.test",), "smarthost": "one-test"},
    ]
    assert [dict(block.entries)["hosts"] for block in found.finish().blocks] == [
        ("one.test:587",),
        ("two.test:25",),
        ("one.test:587",),
    ]


def test_senders_are_not_asked_behind_a_route_of_all_mail() -> None:
    section = import_sender_relay("@a.test [one.test]\n", logins(), is_reached=False)
    assert not section.blocks
    assert "*" in section.left_out[0].reason


def test_a_route_whose_mail_earlier_rules_take_is_left_out() -> None:
    text = "".join(f"{key} smtp:[x.test]\n" for key in ("a.test", "q@a.test", "b.test", "q@c.b.test", ".d.test"))
    section = import_transport(text, logins(), ["a.test", "*@*.b.test", "e.d.test"])
    assert [rule["recipient"] for rule in rules(section)] == [("b.test",), ("*@*.d.test",)]
    assert [(line.number, "another file" in line.reason) for line in section.left_out] == [
        (1, True),
        (2, True),
        (4, True),
    ]


def test_two_spellings_of_a_domain_are_one_route() -> None:
    section = import_transport("a.test smtp:[x.test]\na.test. smtp:[y.test]\n", logins())
    assert rules(section) == [{"recipient": ("a.test",), "hosts": ("x.test:25",)}]
    assert "line 1 is about the same mail" in section.left_out[0].reason
