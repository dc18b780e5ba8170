"""`over` in a session: what is counted, and when, and that sessions together do not pass a rate."""

import pytest
from twisted.internet.error import ConnectionDone
from twisted.python.failure import Failure

from mta.rules.actions import Accept, Hold, read_defer, read_deny
from mta.smtp.server.canned_replies import RECIPIENT_OK
from tests.drivers.listener import STRANGER, SlowQueue, Wire
from tests.drivers.rule_books import book, header, over, recipient, sender
from tests.inbound.listener_case import MAIL, RCPT, greet, listen

NO, LATER = read_deny("no"), read_defer("too fast")
GONE = Failure(ConnectionDone())
TOO_FAST = "451 4.7.1 too fast\r\n"
OK = f"{RECIPIENT_OK}\r\n"
ROB = "RCPT TO:<rob@b.test>"


def send(wire: Wire, *recipients: str, mail: str = MAIL) -> str:
    """Send a message whose recipients are accepted; return the reply to its data."""
    wire.say(mail, *(recipients or (RCPT,)))
    assert wire.say("DATA").startswith("354")
    return wire.say("Subject: x", "", "text", ".")


def reply_to(wire: Wire, command: str = RCPT, mail: str = MAIL) -> str:
    """Return the reply to a recipient of a message that is given up then."""
    wire.say("RSET", mail)
    answer = wire.say(command)
    wire.say("RSET")
    return answer


def test_messages_beyond_the_rate_are_refused_and_the_log_names_the_rule() -> None:
    listening = listen(book((LATER, [over("2 messages/hour")])))
    assert send(greet(listening)).startswith("250")
    listening.clock.advance(1800)
    assert send(greet(listening), RCPT, ROB).startswith("250")
    assert reply_to(greet(listening)) == TOO_FAST
    assert ' rule=10-acl.toml:1 reply="451 4.7.1 too fast"' in listening.lines[-1]
    listening.clock.advance(1799)
    wire = greet(listening)
    assert reply_to(wire) == TOO_FAST
    listening.clock.advance(1)
    assert send(wire).startswith("250")
    assert reply_to(wire) == TOO_FAST


def test_a_message_is_counted_when_it_is_stored() -> None:
    listening = listen(book((LATER, [over("1 message/hour")]), (NO, [header("Subject", "bad")])))
    wire = greet(listening)
    for _ in range(3):
        assert reply_to(wire) == OK
    wire.say(MAIL, RCPT)
    wire.say("DATA")
    assert wire.say("Subject: bad", "", ".").startswith("550")
    assert reply_to(wire, ROB, mail="MAIL FROM:<alice@a.test> SIZE=999999999") != OK
    wire.say(MAIL, RCPT)
    wire.say("DATA")
    wire.say("Subject: unfinished", "")
    wire.protocol.connectionLost(GONE)
    wire = greet(listening)
    assert send(wire).startswith("250")
    assert reply_to(wire) == TOO_FAST


def test_sessions_together_do_not_pass_the_rate() -> None:
    listening = listen(book((LATER, [over("2 messages/hour")])))
    wires = [greet(listening) for _ in range(4)]
    for wire in wires:
        wire.say(MAIL)
    assert [wire.say(RCPT) for wire in wires] == [OK, OK, TOO_FAST, TOO_FAST]
    # The room of a message that is given up is free again; one that was accepted keeps it.
    wires[0].say("RSET")
    assert wires[2].say(RCPT) == TOO_FAST, "a message has one answer"
    assert reply_to(wires[3]) == OK
    assert wires[1].say(ROB) == OK


def test_a_client_that_goes_while_its_message_is_stored_is_counted() -> None:
    queue = SlowQueue()
    listening = listen(book((LATER, [over("1 message/hour")])), queue=queue)
    wire = greet(listening)
    wire.say(MAIL, RCPT)
    wire.say("DATA")
    wire.say("Subject: x", "", ".")
    assert reply_to(greet(listening)) == TOO_FAST
    wire.protocol.connectionLost(GONE)
    assert reply_to(greet(listening)) == TOO_FAST
    queue.syncs[0].callback(None)
    assert reply_to(greet(listening)) == TOO_FAST
    listening.clock.advance(3600)
    assert reply_to(greet(listening)) == OK


def test_a_recipient_is_counted_when_it_is_accepted() -> None:
    listening = listen(book((NO, [recipient("no@b.test")]), (LATER, [over("3 recipients/hour")])))
    wire = greet(listening)
    wire.say(MAIL)
    assert wire.say("RCPT TO:<no@b.test>").startswith("550")
    assert [wire.say(command) for command in (RCPT, RCPT, ROB)] == [OK, OK, OK]
    wire.say("RSET")
    wire.say(MAIL)
    assert wire.say("RCPT TO:<eve@b.test>") == OK
    assert wire.say("RCPT TO:<joe@b.test>") == TOO_FAST
    assert wire.say("RCPT TO:<eve@b.test>") == OK, "it is a recipient already"


@pytest.mark.parametrize("unit", ["recipient", "message"])
def test_a_recipient_that_another_rule_refuses_is_not_counted(unit: str) -> None:
    listening = listen(book((LATER, [over(f"1 {unit}/hour")]), (NO, [recipient("no@b.test")])))
    wire = greet(listening)
    wire.say(MAIL)
    for _ in range(3):
        assert wire.say("RCPT TO:<no@b.test>").startswith("550")
    # Nor is room kept for its message.
    assert reply_to(greet(listening)) == OK


def test_a_rule_counts_the_mail_that_meets_its_other_conditions() -> None:
    rules = book((Accept(), [sender("boss@a.test")]), (LATER, [recipient("b.test"), over("1 message/hour")]))
    wire = greet(listen(rules))
    assert send(wire, mail="MAIL FROM:<boss@a.test>").startswith("250")
    assert send(wire, "RCPT TO:<x@c.test>").startswith("250")
    assert send(wire).startswith("250")
    assert send(wire, mail="MAIL FROM:<boss@a.test>").startswith("250")
    assert send(wire, "RCPT TO:<x@c.test>").startswith("250")
    assert reply_to(wire) == TOO_FAST


@pytest.mark.parametrize(
    ("per", "same", "other"),
    [
        ("client", ("127.0.0.1", "MAIL FROM:<x@c.test>"), ("192.0.2.1", MAIL)),
        ("sender", ("192.0.2.1", "MAIL FROM:<ALICE@a.test>"), ("127.0.0.1", "MAIL FROM:<x@c.test>")),
    ],
)
def test_mail_is_counted_by_client_or_sender(per: str, same: tuple[str, str], other: tuple[str, str]) -> None:
    listening = listen(book((LATER, [over("1 message/hour", per=per)])))
    to = "RCPT TO:<bob@here.test>"
    assert send(greet(listening), to).startswith("250")
    assert reply_to(greet(listening, same[0]), to, same[1]) == TOO_FAST
    assert reply_to(greet(listening, other[0]), to, other[1]) == OK


def test_a_client_without_a_login_has_no_rate_by_login() -> None:
    wire = greet(listen(book((LATER, [over("1 message/hour", per="login")]))))
    for _ in range(3):
        assert send(wire).startswith("250")


def test_several_rates_count_together() -> None:
    listening = listen(book((LATER, [over("1 message/minute", "2 messages/hour", "5 recipients/hour")])))
    wire = greet(listening)
    assert send(wire).startswith("250")
    assert reply_to(wire) == TOO_FAST
    listening.clock.advance(60)
    assert send(wire).startswith("250")
    listening.clock.advance(60)
    assert reply_to(wire) == TOO_FAST
    listening.clock.advance(3480)
    assert send(greet(listening)).startswith("250")


def test_mail_beyond_the_rate_can_be_held() -> None:
    rules = book((Hold(), [over("1 message/minute", "2 messages/hour")]), (NO, [header("Subject", "bad")]))
    listening = listen(rules)
    wire = greet(listening)
    for _ in range(3):
        assert send(wire).startswith("250")
    listening.clock.advance(60)
    # The mail that was held is not counted.
    assert send(wire).startswith("250")
    accepted = [line for line in listening.lines if " accepted id=" in line]
    assert ["held=yes" in line for line in accepted] == [False, True, True, False]


def test_a_rule_about_the_header_counts_the_messages_that_it_is_about() -> None:
    listening = listen(book((LATER, [header("Subject", "x"), over("1 message/hour")])))
    wire = greet(listening)
    assert send(wire).startswith("250")
    wire.say(MAIL, RCPT)
    wire.say("DATA")
    assert wire.say("Subject: other", "", ".").startswith("250")
    wire.say(MAIL, RCPT)
    wire.say("DATA")
    assert wire.say("Subject: x", "", ".") == TOO_FAST


def test_messages_about_whose_header_a_rule_asks_do_not_pass_the_rate_together() -> None:
    queue = SlowQueue()
    listening = listen(book((LATER, [header("Subject", "x"), over("1 message/hour")])), queue=queue)
    first, second = greet(listening), greet(listening)
    for wire in (first, second):
        wire.say(MAIL, RCPT)
        wire.say("DATA")
    assert first.say("Subject: x", "", ".") == ""
    assert second.say("Subject: x", "", ".") == TOO_FAST
    queue.syncs[0].callback(None)
    assert first.heard().startswith("250")


def test_the_counts_of_a_rule_outlive_a_change_of_others() -> None:
    limit = over("1 message/hour", rule="text of the rule")
    listening = listen(book((LATER, [limit])))
    assert send(greet(listening)).startswith("250")
    listening.rules.book = book((NO, [recipient("no@b.test")]), (LATER, [limit]))
    assert reply_to(greet(listening)) == TOO_FAST
    listening.rules.book = book((LATER, [over("1 message/hour", rule="another text")]))
    assert reply_to(greet(listening)) == OK


def test_a_stranger_is_counted_only_for_mail_that_the_policy_accepts() -> None:
    listening = listen(book((LATER, [over("1 message/hour")])))
    wire = greet(listening, STRANGER)
    for _ in range(3):
        assert reply_to(wire, "RCPT TO:<bob@elsewhere.test>").startswith("550")
    assert send(wire, "RCPT TO:<bob@here.test>").startswith("250")
    assert reply_to(wire, "RCPT TO:<bob@here.test>") == TOO_FAST
