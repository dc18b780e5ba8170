"""Rules of the operator in the running relay: the replies, the lines of the log, and messages that are held."""

import json
import smtplib

import pytest
from click.testing import CliRunner

from harness.waiting import until
from mta.cli.main import main
from tests.endtoend.mails import mail
from tests.endtoend.world import TO, received

STRANGER = "127.0.0.2"
#: Each rule has a line of its own.
RULES = """\
[lists]
blocked = ["eve@sender.test", "*@*.bad.test"]
[[acl]]
recipient = "accepted@example.test"
accept = true
[[acl]]
client = "127.0.0.2"
unless.sender = ["known@sender.test", "<>"]
deny = "551 5.7.0 strangers are not served"
[[acl]]
sender = "+blocked"
deny = "not from you"
[[acl]]
recipient = '^no[0-9]+@example\\.test'
defer = "try later"
[[acl]]
header.Subject = ["*lottery*", "win"]
deny = "554 no lottery"
[[acl]]
larger = "100K"
deny = "552 5.3.4 at most 100 KiB here"
[[acl]]
header.X-Look = "*"
hold = true
"""


@pytest.fixture
def directory(tmp_path):
    """Return a directory of rules."""
    rules = tmp_path / "rules.d"
    rules.mkdir()
    (rules / "10-acl.toml").write_text(RULES)
    return rules


def attempt(relay, content=None, *, source="127.0.0.1", sender="ann@sender.test", to=TO):
    """Send a message and return the reply that decides on it."""
    with relay.client(source) as client:
        try:
            client.sendmail(sender, to, content or mail())
        except smtplib.SMTPRecipientsRefused as refused:
            ((code, words),) = refused.recipients.values()
            return f"{code} {words.decode()}"
        except (smtplib.SMTPSenderRefused, smtplib.SMTPDataError) as refused:
            return f"{refused.smtp_code} {refused.smtp_error.decode()}"
    return "250"


def with_subject(subject):
    return b"Subject: " + subject + b"\r\n\r\nHello\r\n"


LARGE = mail(body=(b"x" * 98 + b"\r\n") * 1100)
# Changes of a plain message, the reply, and the line of the rule that decides.
CASES = (
    ({"source": STRANGER}, "551 5.7.0 strangers are not served", 6),
    ({"source": STRANGER, "sender": "known@sender.test"}, "250", None),
    ({"source": STRANGER, "to": "accepted@example.test"}, "250", 3),
    ({"sender": "eve@sender.test"}, "550 5.7.1 not from you", 10),
    ({"sender": "EVE@x.bad.test"}, "550 5.7.1 not from you", 10),
    ({"sender": "eve@sender.test", "to": "accepted@example.test"}, "250", 3),
    ({"sender": "eve@bad.test"}, "250", None),
    ({"to": "no1@example.test"}, "451 4.7.1 try later", 13),
    ({"to": "no@example.test"}, "250", None),
    ({"content": with_subject(b"The LOTTERY")}, "554 5.7.1 no lottery", 16),
    ({"content": with_subject(b"=?utf-8?q?w=69n?=")}, "554 5.7.1 no lottery", 16),
    ({"content": with_subject(b"winter")}, "250", None),
    ({"content": with_subject(b"win"), "to": "accepted@example.test"}, "250", 3),
    ({"content": LARGE}, "552 5.3.4 at most 100 KiB here", 19),
)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_each_kind_of_rule_decides_with_its_words_and_the_log_names_it(world, directory, workers):
    relay = world.relay(
        world.sink(), RULES_DIR=str(directory), RELAY_DOMAINS="example.test", WORKERS=workers, LOG_FORMAT="json"
    )
    for changes, reply, line in CASES:
        before = {name: len(relay.events(name)) for name in ("accepted", "refused")}
        assert attempt(relay, **changes) == reply, changes
        name, field = ("accepted", "rules") if reply == "250" else ("refused", "rule")
        event = relay.wait_for_events(name, before[name] + 1)[-1]
        assert event.get(field) == (None if line is None else f"10-acl.toml:{line}"), changes


def explained(relay, content=None, *, source="127.0.0.1", sender="ann@sender.test", to=TO):
    """Return the reply and the place of the rule that `smtprelay explain` tells for the same message."""
    message = content or mail()
    fields = message.partition(b"\r\n\r\n")[0].decode().split("\r\n")
    words = ["--from", sender, "--to", to, "--client", source, "--size", str(len(message)), "--json"]
    words += [word for field in fields for word in ("--header", field)]
    told = CliRunner().invoke(main, ["explain", *words], env=relay.environment)
    decision = json.loads(told.stdout)["acl"][-1]
    assert told.exit_code == (decision["reply"] is not None), told.output
    return decision["reply"] or "250", decision["rule"]


def test_explain_tells_the_decisions_of_the_running_relay(world, directory):
    relay = world.relay(world.sink(), RULES_DIR=str(directory), RELAY_DOMAINS="example.test")
    for changes, reply, line in CASES:
        assert attempt(relay, **changes) == reply, changes
        assert explained(relay, **changes) == (reply, None if line is None else f"10-acl.toml:{line}"), changes


def test_explain_looks_names_up_in_the_dns_of_the_relay(world, directory):
    relay = world.relay(world.sink(), RULES_DIR=str(directory), RELAY_DOMAINS="example.test : gone.test")
    asked = ("explain", "--from", "known@sender.test", "--client", STRANGER, "--dns", "--to")
    known = relay.tool(*asked, TO)
    assert known.returncode == 0, known.stderr
    assert f"router     the MX hosts of example.test, port {relay.environment['SMTPPORTOUT']}: " in known.stdout
    missing = relay.tool(*asked, "x@gone.test")
    assert missing.returncode == 1, missing.stderr
    assert "refused at RCPT: 550 5.1.2 Unrouteable address: domain gone.test does not exist" in missing.stdout


def test_a_message_that_a_rule_holds_waits_for_its_release_across_a_restart(world, directory):
    sink = world.sink()
    relay = world.relay(sink, RULES_DIR=str(directory))
    assert attempt(relay, b"X-Look: at this\r\n" + mail("held")) == "250"
    assert attempt(relay, mail("free")) == "250"
    (event, _) = relay.wait_for_events("accepted", 2)
    assert (event["rules"], event["held"]) == ("10-acl.toml:22", "yes")
    received(sink)
    relay.wait_for_messages(1)
    assert "held: yes, since" in relay.tool("queue", "show", event["id"]).stdout
    relay.stop()
    relay.start()
    assert attempt(relay, mail("after")) == "250"
    received(sink, 2)
    relay.wait_for_messages(1)
    (entry,) = relay.queue()
    assert entry["held"]
    done = relay.tool("queue", "release", event["id"])
    assert done.returncode == 0, done.stderr
    assert b"X-Look: at this" in received(sink, 3)[-1].content
    relay.wait_until_empty()


def test_allowed_senders_are_those_of_the_list_and_the_null_sender(world):
    relay = world.relay(world.sink(), ALLOWED_SENDERS="sender.test : list@other.test", RELAY_DOMAINS="example.test")
    for sender, code in (
        ("x@sender.test", "250"),
        ("", "250"),
        ("list@other.test", "250"),
        ("x@other.test", "550"),
        ("x@sub.sender.test", "550"),
    ):
        assert attempt(relay, sender=sender)[:3] == code, sender
    assert {event["rule"] for event in relay.wait_for_events("refused", 2)} == {"ALLOWED_SENDERS"}
    assert attempt(relay, source=STRANGER, sender="x@other.test") == "250"


def test_other_recipients_than_the_allowed_ones_are_refused(world):
    relay = world.relay(world.sink(), ALLOWED_RECIPIENTS="example.test")
    assert attempt(relay) == "250"
    assert attempt(relay, to="x@other.test").startswith("550 5.7.1")
    assert [event["rule"] for event in relay.wait_for_events("refused")] == ["ALLOWED_RECIPIENTS"]


def test_a_client_that_a_rule_names_by_its_host_name_is_found_by_the_dns(world, directory):
    (directory / "10-acl.toml").write_text('[[acl]]\nclient = ["mx.sender.test"]\ndeny = "not this host"\n')
    relay = world.relay(world.sink(), RULES_DIR=str(directory), RELAY_DOMAINS="example.test")
    # Until the name is looked up, the reply is a 451.
    until(lambda: attempt(relay) == "550 5.7.1 not this host", what="the refusal of the host")
    assert attempt(relay, source=STRANGER) == "250"
