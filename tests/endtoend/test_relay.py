"""Foreign clients on one side, foreign servers on the other, and every way through the relay in between."""

import os
import smtplib
import subprocess

import pytest

from harness.certificates import authority
from harness.postfix import Postfix, why_not
from harness.processes import find_program
from harness.sink import EXTENSIONS
from harness.sink_rules import Rule
from harness.waiting import until
from tests.acceptance.stage import RESERVED
from tests.endtoend.mails import HARD, mail
from tests.endtoend.world import TO, received
from tests.length import choose


def test_a_message_from_smtplib_arrives_at_the_mx_byte_for_byte(world):
    sink = world.sink()
    relay = world.relay(sink)
    relay.submit(HARD, TO)
    (message,) = received(sink)
    relay.wait_until_empty()
    assert message.without_trace == HARD
    assert message.content[: -len(HARD)].count(b"Received:") == 1
    assert (message.sender, message.recipients) == ("sender@sender.test", (TO,))
    assert message.helo == "relay.example.test"


@pytest.mark.skipif(find_program("swaks") is None, reason="swaks is not installed")
def test_a_message_from_swaks_arrives_at_the_mx_byte_for_byte(world):
    file = world.home / "message"
    # swaks makes CRLF of line ends and doubles a leading dot by itself.
    file.write_bytes(HARD.replace(b"\r\n", b"\n"))
    sink = world.sink()
    relay = world.relay(sink)
    swaks = ["swaks", "--server", f"127.0.0.1:{relay.port}", "--to", TO, "--from", "a@sender.test"]
    done = subprocess.run(
        [*swaks, "--data", f"@{file}"], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
    (message,) = received(sink)
    # swaks ends every message with one more line end.
    assert message.without_trace in {HARD, HARD + b"\r\n"}


@pytest.mark.parametrize("left_out", choose(["CHUNKING", "all"], ["CHUNKING", "PIPELINING", "SIZE 52428800", "all"]))
def test_a_message_arrives_at_a_server_that_can_do_less(world, left_out):
    offers = () if left_out == "all" else tuple(one for one in EXTENSIONS if one != left_out)
    content = mail(body=b".\r\n.plain\r\n" * 3000)
    sink = world.sink(extensions=offers)
    relay = world.relay(sink)
    relay.submit(content, TO)
    (message,) = received(sink)
    assert message.without_trace == content


def test_a_server_without_esmtp_gets_the_message_too(world):
    sink = world.sink(Rule("EHLO", "502 5.5.1 no such command"))
    relay = world.relay(sink)
    relay.submit(mail(), TO)
    (message,) = received(sink)
    assert message.without_trace == mail()


def test_large_messages_arrive_unharmed(world):
    line = b"." * 70 + b"\r\n..\r\n"
    sink = world.sink()
    relay = world.relay(sink)
    for number, size in enumerate((200_000, 300_000, 5_000_000), 1):
        content = mail(body=line * (size // len(line)))
        relay.submit(content, TO)
        relay.wait_until_empty()
        assert received(sink, number)[-1].without_trace == content


def test_recipients_of_one_domain_share_a_transaction_and_other_domains_have_their_own(world):
    world.dns.mail_host("other.test", "127.0.0.2")
    sink = world.sink()
    other = world.sink(address="127.0.0.2", port=sink.port)
    relay = world.relay(sink)
    relay.submit(mail(), ["a@example.test", "b@example.test", "c@other.test"])
    (here,) = received(sink)
    (there,) = received(other)
    assert sorted(here.recipients) == ["a@example.test", "b@example.test"]
    assert there.recipients == ("c@other.test",)


def test_many_messages_share_a_few_connections(world):
    sink = world.sink()
    relay = world.relay(sink)
    with relay.client() as client:
        for number in range(200):
            client.sendmail("a@sender.test", [TO], mail(str(number)))
    messages = received(sink, 200)
    relay.wait_until_empty()
    assert len({message.header("Message-ID") for message in messages}) == len(messages) == 200
    assert sink.connections < 60


def test_offered_tls_is_used_with_any_certificate(world):
    files = tuple(map(str, authority().leaf(["else.test"]).write(world.home)))
    sink = world.sink(tls=files)
    relay = world.relay(sink)
    relay.submit(HARD, TO)
    (message,) = received(sink)
    assert message.tls
    assert message.without_trace == HARD


def test_a_stranger_may_send_to_our_relay_domains_only_and_the_primary_gets_it(world):
    world.dns.add(
        {
            "second.test": {"MX": [[10, "primary.test"], [20, "relay.example.test"], [30, "worse.test"]]},
            "primary.test": {"A": ["127.0.0.3"]},
            "relay.example.test": {"A": ["127.0.0.1"]},
            "worse.test": {"A": ["127.0.0.4"]},
        }
    )
    primary = world.sink(Rule("RCPT", "450 4.7.1 greylisted", times=1), address="127.0.0.3")
    worse = world.sink(address="127.0.0.4", port=primary.port)
    relay = world.relay(primary, RELAY_DOMAINS="second.test", PRIVATE_DESTINATIONS="")
    with relay.client("127.0.0.2") as stranger:
        refused = stranger.sendmail("a@sender.test", ["one@second.test", TO], HARD)
    (message,) = received(primary)
    assert worse.connections == 0
    assert message.without_trace == HARD
    assert message.recipients == ("one@second.test",)
    code, words = refused[TO]
    assert code == 550
    assert b"5.7.1" in words
    assert b"127.0.0.2" in words
    assert b"RELAY_NETWORKS" in words


@pytest.mark.parametrize(
    ("mechanism", "implicit"),
    [
        ("PLAIN", False),
        ("LOGIN", False),
        ("CRAM-MD5", True),
        *choose([], [("CRAM-MD5", False), ("PLAIN", True), ("LOGIN", True)]),
    ],
)
def test_the_smarthost_gets_everything_behind_a_verified_login(world, mechanism, implicit):
    if implicit and os.geteuid() != 0:
        pytest.skip("TLS from the first byte belongs to port 465, which only root may open")
    root = authority()
    files = tuple(map(str, root.leaf(["smart.example.test"]).write(world.home)))
    world.dns.add({"smart.example.test": {"A": [RESERVED]}})
    password = world.home / "password"
    password.write_text("s3cret wörd\n")
    smarthost = world.sink(
        address=RESERVED,
        port=465 if implicit else 0,
        tls=files,
        implicit=implicit,
        users={"me": "s3cret wörd"},
        mechanisms=(mechanism,),
    )
    relay = world.relay(
        smarthost,
        SMARTHOST_ADDRESS="smart.example.test",
        SMARTHOST_PORT=str(smarthost.port),
        SMARTHOST_USER="me",
        SMARTHOST_PASSWORD_FILE=str(password),
        SSL_CERT_FILE=str(root.write(world.home)),
        PRIVATE_DESTINATIONS="",
    )
    relay.submit(HARD, [TO, "other@anything.test"])
    (message,) = received(smarthost)
    assert message.without_trace == HARD
    assert message.recipients == (TO, "other@anything.test")
    (login,) = smarthost.logins
    assert (login.mechanism, login.user, login.password, login.tls) == (mechanism, "me", "s3cret wörd", True)
    assert "s3cret" not in relay.child.text


@pytest.mark.skipif(why_not() is not None, reason=str(why_not()))
def test_postfix_receives_the_message_octet_for_octet(world):
    settings = {
        "virtual_mailbox_domains": "example.test",
        "virtual_mailbox_base": "$queue_directory/../mail",
        "virtual_mailbox_maps": "static:box/",
        "virtual_uid_maps": "static:65534",
        "virtual_gid_maps": "static:65534",
        "virtual_minimum_uid": "100",
    }
    with Postfix(settings=settings) as postfix:
        mailboxes = postfix.home / "mail"
        mailboxes.mkdir()
        os.chown(mailboxes, 65534, 65534)
        new = mailboxes / "box" / "new"
        relay = world.relay(postfix)
        relay.submit(HARD, TO)
        until(lambda: new.is_dir() and list(new.iterdir()), what="a message in Postfix's Maildir")
        relay.stop()
        (file,) = new.iterdir()
        content = file.read_bytes()
    # Its own trace fields stand above; a Maildir has bare LFs.
    assert content.replace(b"\n", b"\r\n").endswith(b"\r\n" + HARD)


@pytest.mark.skipif(why_not() is not None, reason=str(why_not()))
def test_postfix_sends_mail_for_an_international_recipient_through_the_relay(world):
    sink = world.sink()
    world.dns.mail_host("xn--bcher-kva.test")
    relay = world.relay(sink)
    with Postfix(settings={"relayhost": f"[127.0.0.1]:{relay.port}", "smtputf8_enable": "yes"}) as postfix:
        with smtplib.SMTP("127.0.0.1", postfix.port) as client:
            client.ehlo()
            client.sendmail("a@sender.test", ["jörg@bücher.test"], mail(), ["SMTPUTF8"], ["NOTIFY=FAILURE"])
        (message,) = received(sink)
        until(lambda: postfix.waiting() == 0, what="an empty queue of Postfix")
    # Postfix gives the address a second time in ORCPT, as octets of UTF-8 in xtext of type rfc822.
    assert message.recipients == ("jörg@xn--bcher-kva.test",)
    assert "ORCPT=utf-8;jörg@bücher.test" in message.rcpt_parameters[0]
