"""D6 and D14 to D18: changes to a message, and limits on its size."""

import re
import resource
import socket
from contextlib import ExitStack

import dkim
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from harness.sink_rules import Rule
from harness.waiting import PATIENCE
from tests.acceptance.stage import STRANGER, arrived, settled, smarthost, verdicts
from tests.endtoend.mails import HARD, mail

BARE = b"Subject: no more than this\r\n\r\nHello\r\n"
CLIENTS = 6000
PUBLISHED = b"v=DKIM1; k=rsa; p="


@pytest.fixture
def key_file(tmp_path):
    """Return the path of a private key for DKIM, PEM, and the record that belongs to it."""
    key = rsa.generate_private_key(65537, 2048)
    path = tmp_path / "dkim.key"
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    path.write_bytes(pem)
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return path, PUBLISHED + b"".join(public.splitlines()[1:-1])


def verifies(message, names):
    """Whether the DKIM signature of a message holds, when these records are all there is in the DNS."""
    return dkim.verify(message.content, dnsfunc=lambda name, timeout=0: names.get(name.decode()))


def test_d6_mail_is_signed_behind_a_smarthost_too(stage, key_file):
    path, record = key_file
    sink = stage.sink()
    relay = stage.relay(**smarthost(sink), DKIM_KEY_PATH=str(path))
    relay.submit(HARD, "d6@any.test")
    message = arrived(sink, "d6@any.test")
    assert verifies(message, {"dkim._domainkey.sender.test.": record})
    assert not verifies(message, {})


def test_d6_the_selector_can_be_chosen_and_reports_are_signed(stage, key_file):
    path, record = key_file
    sink = stage.sink(Rule("RCPT", "550 5.1.1 no such user", match="gone@"))
    relay = stage.relay(**smarthost(sink), DKIM_KEY_PATH=str(path), DKIM_SELECTOR="mail2026")
    relay.submit(mail(), ["gone@any.test", "d6@any.test"])
    assert verifies(arrived(sink, "d6@any.test"), {"mail2026._domainkey.sender.test.": record})
    report = arrived(sink, "sender@sender.test")
    assert verifies(report, {"mail2026._domainkey.relay.example.test.": record})


def test_d14_missing_fields_of_own_mail_are_added(through):
    through.relay.submit(BARE, "d14@any.test", sender="who@sender.test")
    message = arrived(through.sink, "d14@any.test")
    assert message.header("Date")
    assert re.fullmatch(r"<.+@mta\.x\.test>", message.header("Message-ID") or "")
    assert "who@sender.test" in (message.header("From") or "")
    assert message.content.endswith(BARE)


def test_d14_present_fields_stay_unchanged_except_return_path_and_bcc(through):
    through.relay.submit(b"Return-Path: <old@any.test>\r\nBcc: hidden@any.test\r\n" + mail(), "d14@any.test")
    assert arrived(through.sink, "d14@any.test").without_trace == mail()


def test_d15_mailname_is_our_name_everywhere(through):
    through.sink.rules.append(Rule("RCPT", "550 5.1.1 no such user", match="gone@"))
    with through.relay.client() as client:
        assert client.ehlo()[1].startswith(b"mta.x.test")
        client.sendmail("d15@sender.test", ["gone@any.test", "d15@any.test"], BARE)
    message = arrived(through.sink, "d15@any.test")
    assert message.helo == "mta.x.test"
    assert "by mta.x.test" in (message.header("Received") or "")
    assert (message.header("Message-ID") or "").endswith("@mta.x.test>")
    assert "@mta.x.test" in (arrived(through.sink, "d15@sender.test").header("From") or "")


def test_d15_the_greeting_begins_with_mailname(through):
    with through.relay.client() as client:
        client.close()
        assert client.connect("127.0.0.1", through.relay.port)[1].startswith(b"mta.x.test ")


def connect(relay, source):
    """Return a connection from this address, and the greeting it met."""
    connection = socket.create_connection(("127.0.0.1", relay.port), timeout=PATIENCE, source_address=(source, 0))
    return connection, connection.recv(512)


@pytest.fixture
def many_files():
    """Let this process and its children open twice as many files as there may be clients."""
    before = soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 2 * CLIENTS:
        pytest.skip(f"no more than {hard} files may be open here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2 * CLIENTS), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.usefixtures("many_files")
def test_d16_a_stranger_has_50_connections_and_all_together_6000(stage):
    relay = stage.relay()
    with ExitStack() as stack:
        for number in range(CLIENTS):
            connection, greeting = connect(relay, STRANGER if number < 50 else "127.0.0.1")
            stack.callback(connection.close)
            assert greeting.startswith(b"220")
            if number in {49, CLIENTS - 1}:
                extra, greeting = connect(relay, STRANGER if number == 49 else "127.0.0.1")
                extra.close()
                assert greeting.startswith(b"421")


def test_d17_a_recipient_named_twice_gets_one_copy(through):
    with through.relay.client() as client:
        client.ehlo()
        assert verdicts(client, "twice@any.test", "twice@any.test") == [250, 250]
        assert client.data(mail())[0] == 250
    settled(through.relay)
    assert arrived(through.sink, "twice@any.test").recipients == ("twice@any.test",)
    assert len(through.sink.messages) == 1


def test_d18_more_than_50_received_fields_are_a_loop(through):
    hop = b"Received: from here by there; Sun, 22 Nov 2026 12:00:00 +0000\r\n"
    with through.relay.client() as client:
        client.ehlo()
        assert verdicts(client, "loop@any.test") == [250]
        code, words = client.data(hop * 51 + mail())
        assert 500 <= code < 600
        assert b"loop" in words
        assert verdicts(client, "far@any.test") == [250]
        assert client.data(hop * 50 + mail())[0] == 250
    arrived(through.sink, "far@any.test")
    settled(through.relay)
    assert len(through.sink.messages) == 1
