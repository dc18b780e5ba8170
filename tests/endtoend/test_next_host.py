"""Hosts in order, end to end: after any fault of the first at any step, the second gets the message at once."""

import pytest

from harness.sink_rules import Rule
from tests.endtoend.mails import mail
from tests.endtoend.world import received

#: By domain: how the first host answers.
RULES = {
    "greeting-4xx": Rule("CONNECT", "450 4.3.2 busy"),
    "greeting-421": Rule("CONNECT", "421 4.3.2 going down", close=True),
    "greeting-close": Rule("CONNECT"),
    "ehlo-421": Rule("EHLO", "421 4.3.2 going down", close=True),
    "ehlo-close": Rule("EHLO"),
    "mail-4xx": Rule("MAIL", "452 4.3.1 full"),
    "mail-421": Rule("MAIL", "421 4.3.2 going down", close=True),
    "mail-close": Rule("MAIL"),
    "rcpt-4xx": Rule("RCPT", "451 4.3.0 later"),
    "rcpt-421": Rule("RCPT", "421 4.3.2 going down", close=True),
    "rcpt-close": Rule("RCPT"),
    "data-4xx": Rule("DATA", "451 4.3.0 later"),
    "data-421": Rule("DATA", "421 4.3.2 going down", close=True),
    "data-close": Rule("DATA"),
    "body-close": Rule("DATA", "354 go", close=True),
    "dot-4xx": Rule(".", "451 4.3.0 later"),
    "dot-421": Rule(".", "421 4.3.2 going down", close=True),
    "dot-close": Rule("."),
}
#: Without CHUNKING, so that DATA is a step of its own.
OFFERS = ("PIPELINING", "SIZE 52428800", "8BITMIME", "ENHANCEDSTATUSCODES")


def two_hosts(world, domain, port, first):
    """Give a domain two MX hosts: `first` answers by this rule, the second is at 127.0.0.1."""
    number = len(world.dns._records) % 250 + 1
    address = f"127.0.3.{number}"
    world.dns.add(
        {
            domain: {"MX": [[10, f"mx1.{domain}"], [20, f"mx2.{domain}"]]},
            f"mx1.{domain}": {"A": [address]},
            f"mx2.{domain}": {"A": ["127.0.0.1"]},
        }
    )
    return world.sink(first, extensions=OFFERS, address=address, port=port)


def test_the_second_host_has_the_message_in_the_same_attempt(world):
    good = world.sink(extensions=OFFERS)
    firsts = [two_hosts(world, f"{name}.test", good.port, rule) for name, rule in RULES.items()]
    # A message that is put off waits longer than this test.
    relay = world.relay(good, RETRY_SCHEDULE="F,1h,10m")
    for name in RULES:
        relay.submit(mail(name), f"bob@{name}.test")
    messages = received(good, len(RULES))
    relay.wait_until_empty()
    assert sorted(message.recipients for message in messages) == sorted((f"bob@{name}.test",) for name in RULES)
    assert relay.events("deferred") == []
    assert all(first.connections >= 1 for first in firsts)
    assert not any(first.messages for first in firsts)
    # A host that closes after the dot may have the message, and one that closed while a small message was on its way.
    doubtful = {event["to"] for event in relay.events("possible-duplicate")}
    assert {"<bob@dot-close.test>"} <= doubtful <= {"<bob@dot-close.test>", "<bob@body-close.test>"}


@pytest.mark.parametrize("verb", ["MAIL", "RCPT", "DATA", "."])
def test_a_permanent_reply_of_the_first_host_is_final(world, verb):
    good = world.sink(extensions=OFFERS)
    two_hosts(world, "final.test", good.port, Rule(verb, "550 5.7.1 no"))
    relay = world.relay(good)
    relay.submit(mail(), "bob@final.test", sender="sender@example.test")
    (failed,) = relay.wait_for_events("failed")
    assert failed["host"].startswith("mx1.final.test[")
    relay.wait_until_empty()
    # The report is all that the second host gets.
    assert [message.sender for message in good.messages] == [""]


def test_the_second_smarthost_takes_mail_that_the_first_does_not(world):
    first = world.sink(Rule("RCPT", "451 4.3.0 later"), address="127.0.0.2")
    second = world.sink(address="127.0.0.3", port=first.port)
    hosts = "127.0.0.2:127.0.0.3"
    relay = world.relay(second, SMARTHOST_ADDRESS=hosts, SMARTHOST_PORT=str(first.port), SMTPPORTOUT="")
    relay.submit(mail(), "bob@anywhere.test")
    received(second)
    relay.wait_until_empty()
    assert relay.events("deferred") == []


def test_recipients_beyond_the_first_hosts_limit_go_to_it_at_once(world):
    sink = world.sink(extensions=OFFERS)
    sink.rules[:] = [
        Rule("RCPT", "452 4.5.3 Too many recipients", match=f"u{number}@", times=1) for number in (3, 4, 5)
    ]
    relay = world.relay(sink, RETRY_SCHEDULE="F,1h,10m")
    relay.submit(mail(), [f"u{number}@example.test" for number in range(1, 6)])
    messages = received(sink, 3)
    relay.wait_until_empty()
    # The last two go over connections of their own, in either order.
    assert sorted(len(message.recipients) for message in messages) == [1, 2, 2]
    assert relay.events("deferred") == []
