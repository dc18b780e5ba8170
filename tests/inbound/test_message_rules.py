"""The operator's rules in a session: replies, messages that are held, lines of the log, and a change of rules."""

from ipaddress import ip_address
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from mta.inbound.limits import InboundLimits
from mta.inbound.message_rules import Rulings
from mta.queue.interface import Action, Query
from mta.rules.acl import Ruling
from mta.rules.actions import Accept, Hold, read_defer, read_deny
from mta.rules.book import RuleBook
from mta.rules.conditions import Rule, RulePlace
from mta.rules.facts import HOST_UNKNOWN
from mta.rules.rewriting.actions import RemoveFields, RewriteAction, SetSender, read_set_from
from mta.rules.rewriting.address_map import read_replacement
from mta.rules.rewriting.rewriting import RewriteRule, Rewriting
from mta.smtp.server.canned_replies import RECIPIENT_OK
from tests.drivers.listener import STRANGER, Listening, Wire
from tests.drivers.rule_books import Conditions, book, client, header, larger, login, recipient, sender, tls
from tests.inbound.listener_case import MAIL, RCPT, greet, listen

NO, LATER = read_deny("not here"), read_defer("come back")
ACCEPT, HOLD = Accept(), Hold()
HERE = "RCPT TO:<bob@here.test>"


def result(deferred: "Deferred[Any]") -> Any:
    results: list[Any] = []
    deferred.addCallback(results.append)
    return results[0]


def send(wire: Wire, *lines: str, recipients: tuple[str, ...] = (RCPT,), mail: str = MAIL) -> str:
    """Send a message whose recipients are accepted; return the reply to its data."""
    wire.say(mail, *recipients)
    assert wire.say("DATA").startswith("354")
    return wire.say(*lines, ".")


def logged(listening: Listening, event: str) -> list[str]:
    """Return the lines of an event from the sender on, or from its rules on if the message was accepted."""
    lines = [line.rstrip("\n").split(" ", 2) for line in listening.lines]
    start = {"refused": " from=", "accepted": " size="}[event]
    return [rest[rest.index(start) + 1 :] for _, found, rest in lines if found == event and start in rest]


# Refusals


@pytest.mark.parametrize(
    ("action", "reply"),
    [
        (NO, "550 5.7.1 not here"),
        (LATER, "451 4.7.1 come back"),
        (read_deny("554 5.7.0 go away"), "554 5.7.0 go away"),
        (read_defer("450 greylisted"), "450 4.7.1 greylisted"),
    ],
)
@pytest.mark.parametrize("condition", [client("127.0.0.0/8"), client("trusted"), sender("a.test"), recipient("b.test")])
def test_a_recipient_is_refused_with_the_words_of_the_rule(action, reply, condition) -> None:
    listening = listen(book((ACCEPT, [sender("eve@*")]), (action, [condition])))
    wire = greet(listening)
    wire.say(MAIL)
    assert wire.say(RCPT) == f"{reply}\r\n"
    assert wire.say("DATA").startswith("554 5.5.1")
    assert logged(listening, "refused")[0] == f'from=<alice@a.test> to=<bob@b.test> rule=10-acl.toml:2 reply="{reply}"'


def test_only_recipients_that_a_rule_names_are_refused() -> None:
    listening = listen(book((NO, [recipient("eve@b.test")])))
    wire = greet(listening)
    answers = wire.say(MAIL, RCPT, "RCPT TO:<EVE@B.test>").splitlines()
    assert [line[:3] for line in answers] == ["250", "250", "550"]
    assert send(wire, "Subject: x", "").startswith("250")
    (claim,) = listening.delivery.taken
    assert [str(one.address) for one in claim.envelope.recipients] == ["bob@b.test"]


def test_a_header_is_refused_after_the_data() -> None:
    rules = book((NO, [header("subject", "*win*")]))
    listening = listen(rules)
    wire = greet(listening)
    for field in ("Subject: You may WIN", "SUBJECT: =?utf-8?q?w=69n?=", "Subject: a\r\n win"):
        assert send(wire, field, "", "hello") == "550 5.7.1 not here\r\n"
    assert logged(listening, "refused") == ['from=<alice@a.test> rule=10-acl.toml:1 reply="550 5.7.1 not here"'] * 3
    assert listening.delivery.taken == []
    assert send(wire, "Subject: a", "", "win").startswith("250")
    assert send(wire, "hello").startswith("250")


def test_a_header_is_refused_without_a_body_too() -> None:
    wire = greet(listen(book((NO, [header("x-a", "b")]))))
    assert send(wire, "X-A: b").startswith("550")


def test_an_announced_size_is_refused_at_mail() -> None:
    listening = listen(book((read_deny("552 5.3.4 too large"), [larger(1000)])))
    wire = greet(listening)
    assert wire.say(f"{MAIL} SIZE=1001") == "552 5.3.4 too large\r\n"
    assert wire.say(RCPT).startswith("503")
    assert wire.say(f"{MAIL} SIZE=1000").startswith("250")
    assert logged(listening, "refused")[0] == 'from=<alice@a.test> rule=10-acl.toml:1 reply="552 5.3.4 too large"'


@pytest.mark.parametrize("announced", ["", " SIZE=10"])
def test_a_size_that_was_not_announced_is_refused_after_the_data(announced: str) -> None:
    lines = ("Subject: x", "", "y" * 98, "z")
    octets = sum(len(line) + 2 for line in lines)
    for limit, code in ((octets, "250"), (octets - 1, "550")):
        wire = greet(listen(book((NO, [larger(limit)]))))
        assert send(wire, *lines, mail=f"{MAIL}{announced}")[:3] == code
        # Fields that the relay removes or adds do not count.
        wire = greet(listen(book((NO, [larger(limit + len("Bcc: a") + 2)]))))
        assert send(wire, "Bcc: a", *lines)[:3] == code


def test_the_size_is_that_of_a_large_body_in_its_file_too() -> None:
    wire = greet(listen(book((NO, [larger(500_000)]))))
    assert send(wire, "", *["x" * 98] * 5001).startswith("550")
    assert send(wire, "", *["x" * 98] * 4999).startswith("250")


def test_conditions_of_a_session_are_those_of_the_client() -> None:
    rules = book((NO, [client("stranger")], [tls(True)]), (LATER, [login("alice")]))
    assert greet(listen(rules), STRANGER).say(MAIL, HERE).splitlines()[1].startswith("550")
    assert greet(listen(rules)).say(MAIL, HERE).splitlines()[1].startswith("250")


# The order of rules


def test_the_first_rule_decides_and_later_ones_are_not_asked() -> None:
    rules = book((ACCEPT, [recipient("bob@*")]), (HOLD, [recipient("eve@*")]), (NO, []))
    wire = greet(listen(rules))
    answers = wire.say(MAIL, RCPT, "RCPT TO:<eve@b.test>", "RCPT TO:<joe@b.test>").splitlines()
    assert [line[:3] for line in answers] == ["250", "250", "250", "550"]


def test_a_message_of_accepted_recipients_alone_is_not_asked_for_its_header_by_later_rules() -> None:
    rules = book((ACCEPT, [recipient("bob@*")]), (NO, [header("subject", "spam")]))
    wire = greet(listen(rules))
    assert send(wire, "Subject: spam", "").startswith("250")
    assert send(wire, "Subject: spam", "", recipients=(RCPT, "RCPT TO:<eve@b.test>")).startswith("550")


def test_an_exception_has_the_rule_not_apply() -> None:
    wire = greet(listen(book((NO, [recipient("b.test")], [sender("alice@*", "<>")]))))
    assert wire.say(MAIL, RCPT).count("250 ") == 2
    assert wire.say("RSET", "MAIL FROM:<>", RCPT).count("250 ") == 3
    assert wire.say("RSET", "MAIL FROM:<eve@a.test>", RCPT).splitlines()[-1] == "550 5.7.1 not here"


def test_the_rules_of_allowed_senders() -> None:
    refusal = read_deny("sender not allowed")
    rules = book((refusal, [client("trusted")], [sender("example.com", "<>")]))
    wire = greet(listen(rules))
    for address, code in (("x@other.test", 550), ("x@example.com", 250), ("", 250), ("x@sub.example.com", 550)):
        assert wire.say(f"MAIL FROM:<{address}>").startswith("250")
        assert wire.say(RCPT).startswith(str(code))
        wire.say("RSET")
    assert greet(listen(rules), STRANGER).say("MAIL FROM:<x@other.test>", HERE).count("250 ") == 2


# Rules never let a client relay


def test_rules_are_asked_after_the_policy_and_accept_nothing_that_it_refuses() -> None:
    listening = listen(book((ACCEPT, [])))
    wire = greet(listening, STRANGER)
    wire.say(MAIL)
    assert wire.say(RCPT).startswith("550 5.7.1 relay not permitted")
    assert wire.say("RCPT TO:<eve@here.test>").startswith("550 5.1.1")
    assert wire.say("RCPT TO:<bob%b.test@here.test>").startswith("550 5.1.3")
    assert wire.say(HERE).startswith("250")
    assert [" rule=" in line for line in logged(listening, "refused")] == [False] * 3


def test_a_refusal_of_the_routing_stands_though_a_rule_accepts() -> None:
    listening = listen(book((ACCEPT, [])))
    pending: list = []
    listening.check_domain = lambda _domain, done, choice=None: pending.append(done)
    wire = greet(listening, STRANGER)
    wire.say(MAIL)
    assert wire.say("RCPT TO:<x@relay.test>") == ""
    pending.pop()(LATER.reply)
    assert wire.heard().startswith("451")


def test_a_rule_refuses_a_recipient_whose_domain_was_looked_up() -> None:
    listening = listen(book((NO, [recipient("relay.test")])))
    pending: list = []
    listening.check_domain = lambda _domain, done, choice=None: pending.append(done)
    wire = greet(listening, STRANGER)
    wire.say(MAIL)
    wire.say("RCPT TO:<x@relay.test>")
    pending.pop()(RECIPIENT_OK)
    assert wire.heard() == "550 5.7.1 not here\r\n"


# Messages that are held


@pytest.mark.parametrize("rule", [(HOLD, [recipient("b.test")]), (HOLD, [header("subject", "look*")])])
def test_a_message_is_held_and_not_delivered_until_it_is_released(rule) -> None:
    listening = listen(book(rule))
    wire = greet(listening)
    assert send(wire, "Subject: look", "", recipients=(RCPT, "RCPT TO:<x@c.test>")).startswith("250 2.0.0 Ok: queued")
    assert (listening.delivery.taken, listening.delivery.woken) == ([], 0)
    (entry,) = result(listening.queue.find(Query()))
    assert (entry.held, entry.claimed, len(entry.recipients)) == (True, False, 2)
    assert logged(listening, "accepted")[0].partition(" ")[2] == "rules=10-acl.toml:1 held=yes"
    assert result(listening.queue.claim(2e9, 10, 60)) == []
    result(listening.queue.apply(Action.RELEASE, None, 2e9))
    assert len(result(listening.queue.claim(2e9, 10, 60))) == 1


def test_the_next_message_of_a_session_is_not_held() -> None:
    listening = listen(book((HOLD, [recipient("b.test")])))
    wire = greet(listening)
    send(wire, "held")
    send(wire, "not", recipients=(HERE,))
    wire.say(MAIL, RCPT, "RSET")
    send(wire, "not", recipients=(HERE,))
    assert [entry.held for entry in result(listening.queue.find(Query()))] == [True, False, False]
    assert [line.partition(" ")[2] for line in logged(listening, "accepted")] == [
        "rules=10-acl.toml:1 held=yes",
        "",
        "",
    ]


def test_a_rule_after_the_data_may_refuse_a_message_of_which_a_recipient_was_held() -> None:
    listening = listen(book((NO, [larger(10)]), (HOLD, [])))
    assert send(greet(listening), "more than ten").startswith("550")
    assert result(listening.queue.find(Query())) == []


def test_a_message_that_is_not_held_is_delivered_at_once() -> None:
    listening = listen(book((ACCEPT, [sender("a.test")]), (HOLD, [])))
    assert send(greet(listening), "hello").startswith("250")
    assert len(listening.delivery.taken) == 1
    assert logged(listening, "accepted")[0].partition(" ")[2] == "rules=10-acl.toml:1"


def test_the_log_names_each_rule_once_and_not_without_end() -> None:
    rulings = Rulings()
    assert rulings.places is None
    for line in (*range(1, 31), 1):
        rulings.add(Ruling(Rule(RulePlace("a.toml", line)), ACCEPT))
    assert rulings.places == ",".join([*(f"a.toml:{line}" for line in range(1, 21)), "..."])
    assert not rulings.held


# Changes of the rules


def test_new_rules_decide_from_the_next_command_on_and_a_message_keeps_those_of_its_beginning() -> None:
    listening = listen(book((ACCEPT, [])))
    wire = greet(listening)
    wire.say(MAIL, RCPT, "DATA")
    listening.rules.replace(book((NO, [header("subject", "*")]), (LATER, [])))
    assert wire.say("Subject: x", "", "hello", ".").startswith("250")
    assert wire.say(MAIL, RCPT).splitlines()[1] == "451 4.7.1 come back"
    listening.rules.replace(None)
    assert wire.say(RCPT).startswith("250")


def test_the_rules_that_accepted_the_first_recipient_decide_on_the_whole_message() -> None:
    first = book((NO, [recipient("eve@*")]), (HOLD, [header("subject", "look")]))
    second = book((LATER, [recipient("bob@*")]), (LATER, [header("subject", "*")]))
    listening = listen(first)
    wire = greet(listening)
    wire.say(MAIL, RCPT)
    listening.rules.replace(second)
    assert wire.say("RCPT TO:<eve@b.test>") == "550 5.7.1 not here\r\n"
    wire.say("DATA")
    assert wire.say("Subject: look", "", ".").startswith("250")
    assert logged(listening, "accepted")[0].partition(" ")[2] == "rules=10-acl.toml:2 held=yes"
    assert wire.say(MAIL, RCPT).splitlines()[1] == "451 4.7.1 come back"


@pytest.mark.parametrize("end", ["RSET", MAIL.replace("MAIL", "EHLO x\r\nMAIL")])
def test_a_message_that_is_given_up_keeps_no_rules_for_the_next(end: str) -> None:
    listening = listen(book((ACCEPT, [])))
    wire = greet(listening)
    wire.say(MAIL, RCPT)
    listening.rules.replace(book((LATER, [])))
    assert wire.say(end, MAIL, RCPT).splitlines()[-1] == "451 4.7.1 come back"


def test_a_message_that_began_without_rules_is_accepted_without_them() -> None:
    listening = Listening()
    wire = greet(listening)
    wire.say(MAIL, RCPT)
    listening.rules.replace(book((NO, [header("subject", "*")]), (LATER, [])))
    assert wire.say("RCPT TO:<eve@b.test>", "DATA").splitlines()[0].startswith("250")
    assert wire.say("Subject: x", "", ".").startswith("250")
    assert wire.say(MAIL, RCPT).splitlines()[1] == "451 4.7.1 come back"


def test_a_held_recipient_stays_held_though_the_rules_go() -> None:
    listening = listen(book((HOLD, [])))
    wire = greet(listening)
    wire.say(MAIL, RCPT)
    listening.rules.replace(None)
    wire.say("DATA")
    wire.say("hello", ".")
    (entry,) = result(listening.queue.find(Query()))
    assert entry.held


# Host names


def test_a_host_name_without_known_addresses_defers_what_depends_on_it() -> None:
    known = {}
    listening = listen(book((ACCEPT, [sender("eve@*")]), (NO, [client("app.test")])))
    listening.host_addresses = known.get
    wire = greet(listening)
    wire.say(MAIL)
    assert wire.say(RCPT) == HOST_UNKNOWN.wire.decode()
    assert "rule=10-acl.toml:2" in listening.lines[-1]
    known["app.test"] = frozenset({ip_address("192.0.2.1")})
    assert wire.say(RCPT).startswith("250")
    known["app.test"] = frozenset({ip_address("127.0.0.1")})
    assert wire.say(RCPT).startswith("550")


# Memory


def test_header_blocks_that_rules_keep_are_counted_and_released() -> None:
    for rules, kept in ((book((NO, [header("subject", "a")])), True), (book((NO, [sender("eve@*")])), False)):
        listening = listen(rules)
        wire = greet(listening)
        wire.say(MAIL, RCPT, "DATA")
        wire.say("Subject: " + "b" * 700, "", "x")
        assert (listening.intake.in_memory > 1400) is kept
        assert wire.say(".").startswith("250")
        assert listening.intake.in_memory == 0
        wire.say(MAIL, RCPT, "DATA")
        wire.say("Subject: a", "", "x", ".")
        assert listening.intake.in_memory == 0
        wire.say(MAIL, RCPT, "DATA")
        wire.say("Subject: a", "", "x")
        wire.protocol.connectionLost()
        assert listening.intake.in_memory == 0


def test_a_message_whose_large_header_rules_need_is_refused_if_memory_is_short() -> None:
    for size, code in ((20_000, "452"), (10_000, "250")):
        listening = listen(book((NO, [header("subject", "a")])), limits=InboundLimits(octets_in_memory=5_000))
        wire = greet(listening)
        wire.say(MAIL, RCPT, "DATA")
        wire.say("X-A: b", *["\t" + "c" * 98] * (size // 100), "", "hello")
        assert wire.say(".")[:3] == code
        assert listening.intake.in_memory == 0


# Rewrite rules


def rewriting(*actions: RewriteAction, conditions: Conditions = ()) -> RuleBook:
    return RuleBook(
        acl=book((NO, [header("Subject", "*lottery*")])).acl,
        rewrite=Rewriting([RewriteRule(Rule(RulePlace("20-x.toml", 3), "", tuple(conditions)), actions)]),
    )


def test_a_message_is_stored_as_the_rules_have_changed_it() -> None:
    listening = listen(rewriting(read_set_from("new@example.com"), SetSender(read_replacement("new@example.com"))))
    assert send(greet(listening), "From: old@x.lan", "Subject: x", "", "body").startswith("250")
    (line,) = logged(listening, "accepted")
    assert line.endswith("rules=20-x.toml:3 was-from=<alice@a.test>")
    (claim,) = result(listening.queue.claim(2e9, 1, 60))
    assert str(claim.envelope.sender) == "new@example.com"
    assert b"From: new@example.com\r\nSubject: x\r\n\r\nbody\r\n" in b"".join(claim.body.chunks())


def test_a_client_without_from_gets_that_of_the_new_sender() -> None:
    listening = listen(rewriting(SetSender(read_replacement("new@example.com"))))
    assert send(greet(listening), "Subject: x", "", "body").startswith("250")
    (claim,) = result(listening.queue.claim(2e9, 1, 60))
    assert b"\r\nFrom: <new@example.com>\r\n" in b"".join(claim.body.chunks())


def test_acl_rules_see_the_message_as_it_was_sent() -> None:
    listening = listen(rewriting(RemoveFields(("subject",))))
    assert send(greet(listening), "Subject: lottery", "", "body").startswith("550")


def test_an_unknown_host_name_in_a_rewrite_rule_defers_the_message() -> None:
    listening = listen(rewriting(SetSender(read_replacement("new@example.com")), conditions=[client("app.test")]))
    assert send(greet(listening), "Subject: x", "", "body") == HOST_UNKNOWN.wire.decode()
