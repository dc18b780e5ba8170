"""Rewrite rules in the running relay: envelopes, header fields, signatures and copies as the next host gets them."""

import re

import pytest

from harness.dkim_verifiers import dkimpy_accepts, records
from harness.sink_rules import Rule
from mta.dkim.keys import new_key, to_pem
from tests.endtoend.mails import mail
from tests.endtoend.world import TO, end_of_loop, received, ring_of_two

SENDER = "app@host1.lan"
CONTENT = (
    b"Received: from inner.lan ([10.0.0.9])\r\n\tby host1.lan with ESMTP id 1; Sun, 22 Nov 2026 12:58:42 +0000\r\n"
    b'From: "The App" <app@host1.lan>\r\nSender: cron@host1.lan\r\nSubject: report\r\nX-Mailer: cron 1\r\n\r\nbody\r\n'
)


def with_rules(world, text):
    """Return the setting of a directory with these rules."""
    rules = world.home / "rules.d"
    rules.mkdir(exist_ok=True)
    (rules / "10-rewrite.toml").write_text(text)
    return {"RULES_DIR": str(rules)}


def test_one_sender_for_all_mail_is_signed_for_its_domain(world):
    key = new_key("dkim", "ed25519")
    folder = world.home / "keys"
    folder.mkdir()
    (folder / "example.com.pem").write_bytes(to_pem(key))
    sink = world.sink()
    relay = world.relay(sink, FORCE_SENDER="Our Shop <noreply@example.com>", DKIM_KEY_PATH=str(folder))
    relay.submit(CONTENT, TO, sender=SENDER)
    relay.submit(CONTENT, TO, sender="")
    first, second = sorted(received(sink, 2), key=lambda message: message.sender, reverse=True)
    assert (first.sender, second.sender) == ("noreply@example.com", "")
    for message in (first, second):
        assert message.header("From") == "Our Shop <noreply@example.com>"
        assert message.header("Reply-To") == '"The App" <app@host1.lan>'
        assert message.header("Sender") is None
        assert dkimpy_accepts(message.content, records("example.com", [key]))
    told = {event["from"]: event for event in relay.events("accepted")}
    assert told["<noreply@example.com>"]["was-from"] == f"<{SENDER}>"
    assert told["<noreply@example.com>"]["rules"] == "FORCE_SENDER"
    assert "was-from" not in told["<>"]


def test_a_copy_that_cannot_be_delivered_is_not_reported_to_the_sender(world):
    sink = world.sink(Rule("RCPT", "550 5.1.1 no archive here", match="archive@"))
    relay = world.relay(sink, BCC_TO="archive@example.test")
    relay.submit(mail(), TO, sender="ann@example.test")
    (message,) = received(sink)
    assert message.recipients == (TO,)
    (failed,) = relay.wait_for_events("failed")
    assert failed["to"] == "<archive@example.test>"
    relay.wait_until_empty()
    assert len(sink.messages) == 1
    assert len(relay.events("accepted")) == 1


def test_recipients_are_redirected_except_for_the_allowed_ones(world):
    sink = world.sink()
    relay = world.relay(sink, REDIRECT_TO="dev@example.test", ALLOWED_RECIPIENTS="tester@example.test")
    with relay.client() as client:
        assert client.sendmail("ann@sender.test", ["a@far.test", "tester@example.test", "b@far.test"], mail()) == {}
    relay.wait_until_empty()
    arrived = received(sink)
    assert sorted(to for message in arrived for to in message.recipients) == ["dev@example.test", "tester@example.test"]
    for message in arrived:
        assert re.findall(rb"(?m)^X-Original-To: (.*)\r$", message.content) == [b"a@far.test", b"b@far.test"]


def test_rules_of_a_file_change_envelope_and_header(world):
    rules = with_rules(
        world,
        """\
[[rewrite]]
map = ["*@*.lan -> *@example.com"]
remove = "X-Mailer"
add.X-Tag = "main {client}"
hide = ["client", "trace"]
[[rewrite]]
client = "127.0.0.2"
set.sender = "other@example.com"
""",
    )
    sink = world.sink()
    relay = world.relay(sink, RELAY_NETWORKS="!127.0.0.2; 127.0.0.0/8", RELAY_DOMAINS="example.test", **rules)
    relay.submit(CONTENT, TO, sender=SENDER)
    (message,) = received(sink)
    assert message.sender == "app@example.com"
    assert message.header("From") == '"The App" <app@example.com>'
    assert message.header("Sender") == "cron@example.com"
    assert message.header("X-Tag") == "main 127.0.0.1"
    head = message.content.partition(b"\r\n\r\n")[0]
    assert b"X-Mailer" not in head
    assert head.count(b"Received:") == 2
    assert b"\r\nReceived: (hidden); Sun, 22 Nov 2026 12:58:42 +0000\r\n" in head
    assert b"127.0.0.1" not in head.replace(b"X-Tag: main 127.0.0.1", b"")
    assert b".lan" not in head
    (accepted,) = relay.events("accepted")
    assert (accepted["rules"], accepted["was-from"]) == ("10-rewrite.toml:1", f"<{SENDER}>")


def test_mail_of_strangers_is_changed_only_by_a_rule_that_names_them(world):
    settings = {"RELAY_NETWORKS": "!127.0.0.2", "RELAY_DOMAINS": "example.test", "HIDE_CLIENTS": "true"}
    sink = world.sink()
    rules = with_rules(world, '[[rewrite]]\nclient = "stranger"\nadd.X-Stranger = "{client}"\n')
    relay = world.relay(sink, FORCE_SENDER="noreply@example.com", BCC_TO="archive@example.test", **settings, **rules)
    with relay.client("127.0.0.2") as client:
        client.sendmail(SENDER, TO, CONTENT)
    (message,) = received(sink)
    assert message.sender == SENDER
    assert message.recipients == (TO,)
    assert message.header("X-Stranger") == "127.0.0.2"
    assert CONTENT in message.content


def test_a_loop_ends_although_the_hosts_are_hidden(world):
    rules = with_rules(world, '[[rewrite]]\nhide = ["client", "trace"]\n')
    with ring_of_two(world, **rules) as (first, second):
        assert "554 5.4.6 Too many hops" in end_of_loop(first, second)["reply"]


@pytest.mark.parametrize("workers", ["2"])
def test_workers_rewrite_too(world, workers):
    sink = world.sink()
    relay = world.relay(sink, MASQUERADE_DOMAINS="lan", WORKERS=workers)
    relay.submit(CONTENT, TO, sender=SENDER)
    (message,) = received(sink)
    assert message.sender == "app@lan"
