"""Rules that change while the relay runs: by SIGHUP, by themselves, with workers, and while messages are under way."""

import os
import signal

import pytest

from harness.waiting import until
from tests.endtoend.mails import mail
from tests.endtoend.test_rules import attempt
from tests.endtoend.world import TO

FIRST = '[[acl]]\nsender = "first@sender.test"\ndeny = "first"\n'
SECOND = '[[acl]]\nsender = "second@sender.test"\ndeny = "second"\n[[acl]]\nheader.Subject = "*"\ndeny = "a subject"\n'
BROKEN = '[[acl]]\nsendr = "x@sender.test"\ndeny = "x"\n[[acl]]\ndeny = 1\n'


@pytest.fixture
def rules(tmp_path):
    """Return a file of rules in a directory of its own."""
    path = tmp_path / "rules.d" / "10-acl.toml"
    path.parent.mkdir()
    path.write_text(FIRST)
    return path


def texts(relay, event):
    return [found["text"] for found in relay.events(event)]


def reload(relay):
    os.kill(relay.child.pid, signal.SIGHUP)


def test_a_message_whose_data_has_begun_is_taken_by_the_old_rules_and_the_next_by_the_new(world, rules):
    relay = world.relay(world.sink(), RULES_DIR=str(rules.parent))
    with relay.client() as client:
        client.ehlo()
        client.mail("second@sender.test")
        client.rcpt(TO)
        assert client.docmd("DATA")[0] == 354
        rules.write_text(SECOND)
        reload(relay)
        (event,) = relay.wait_for_events("rules")
        assert event["text"] == "2 rules in 1 file are in force"
        client.send(mail() + b".\r\n")
        assert client.getreply()[0] == 250
        client.mail("second@sender.test")
        assert client.rcpt(TO) == (550, b"5.7.1 second")
        client.rset()
        client.mail("first@sender.test")
        client.rcpt(TO)
        assert client.data(mail()) == (550, b"5.7.1 a subject")
        assert client.noop()[0] == 250
    assert relay.events("trouble") == []


def test_broken_rules_change_nothing_and_mended_ones_are_taken_up_without_a_signal(world, rules):
    relay = world.relay(world.sink(), RULES_DIR=str(rules.parent))
    rules.write_text(BROKEN)
    reload(relay)
    told = [event["text"] for event in relay.wait_for_events("trouble", 3)]
    assert told[0].startswith("the new rules are not taken up: 2 mistakes; those of ")
    assert told[1:] == [
        f"{rules}:2: sendr is no condition or action of [[acl]]; did you mean sender?",
        f'{rules}:5: deny: 1 is no text; the words stand in quotes, deny = "no"',
    ]
    assert attempt(relay, sender="first@sender.test") == "550 5.7.1 first"
    rules.write_text(SECOND)
    until(lambda: attempt(relay, sender="second@sender.test") == "550 5.7.1 second", what="the mended rules")
    assert len(relay.wait_for_events("rules")) == 1
    assert len(relay.events("trouble")) == 3
