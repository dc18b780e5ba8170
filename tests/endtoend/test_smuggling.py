"""The real daemon and a lying client, by sockets: smuggled octets become neither mail nor command."""

import sqlite3
import ssl

import pytest

from harness.certificates import authority
from tests.endtoend.mails import mail
from tests.endtoend.wire import Wire
from tests.endtoend.world import TO, received

EVIL = b"MAIL FROM:<evil@sender.test>\r\nRCPT TO:<someone@example.test>\r\nDATA\r\nSubject: smuggled\r\n\r\nx"
ENDINGS = {
    "LF.LF": (b"\n.\n", "bare LF"),
    "LF.CRLF": (b"\n.\r\n", "bare LF"),
    "CRLF.LF": (b"\r\n.\n", "bare LF"),
    "CR.CR": (b"\r.\r", "bare CR"),
    "CR.CRLF": (b"\r.\r\n", "bare CR"),
    "CRLF.CR": (b"\r\n.\r", "bare CR"),
    "CRCRLF.CRCRLF": (b"\r\r\n.\r\r\n", "bare CR"),
    "CRLF NUL.CRLF": (b"\r\n\0.\r\n", "NUL"),
}


def test_no_false_end_of_data_brings_a_second_message_or_a_command(world):
    sink = world.sink()
    relay = world.relay(sink, LINE_ENDINGS="strict")
    for ending, name in ENDINGS.values():
        for cut in (None, 1, len(ending) - 1):
            wire = Wire(relay.port).to_data()
            text = b"Subject: first\r\n\r\nx" + ending
            if cut is not None:
                wire.socket.sendall(text[: -len(ending) + cut])
                text = text[-len(ending) + cut :]
            said = wire.say(text + EVIL + b"\r\n.\r\n")
            assert said == f"550 5.6.11 {name} in the message; lines end in CRLF"
            assert wire.rest() == b""
    wire = Wire(relay.port).to_data()
    text = b"Subject: second\r\n\r\nx\r\n..\r\n" + EVIL
    assert wire.say(text + b"\r\n.\r\n").startswith("250 2.0.0 Ok")
    (message,) = received(sink)
    assert message.sender == "a@sender.test"
    assert message.content.endswith(text.replace(b"\r\n..", b"\r\n.") + b"\r\n")
    assert len(relay.wait_for_events("accepted")) == 1
    assert len(relay.wait_for_events("session-ended", len(ENDINGS) * 3)) == len(ENDINGS) * 3


def test_no_bare_lf_of_our_own_networks_ends_a_message_and_strangers_are_refused_theirs(world):
    sink = world.sink()
    relay = world.relay(sink, RELAY_DOMAINS="example.test")
    texts = []
    for ending, name in ENDINGS.values():
        text = b"Subject: first\r\n\r\nx" + ending + EVIL + b"\r\n"
        said = Wire(relay.port, "127.0.0.2").to_data().say(text + b".\r\n")
        assert said == f"550 5.6.11 {name} in the message; lines end in CRLF"
        said = Wire(relay.port).to_data().say(text + b".\r\n")
        if name == "bare LF":
            assert said.startswith("250")
            texts.append(text.replace(b"\r\n.", b"\r\n").replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"))
        else:
            assert said == f"550 5.6.11 {name} in the message; lines end in CRLF"
    messages = received(sink, len(texts))
    assert {message.sender for message in messages} == {"a@sender.test"}
    assert all(any(message.content.endswith(text) for message in messages) for text in texts)
    assert len(messages) == len(texts)


def test_commands_in_clear_behind_starttls_are_never_heard(world, tmp_path):
    certificate, key = authority().leaf(["relay.example.test"]).write(tmp_path)
    sink = world.sink()
    relay = world.relay(sink, CERTIFICATE_PATH=str(certificate), KEY_PATH=str(key))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    wire = Wire(relay.port)
    wire.say(b"EHLO client.test\r\n")
    assert wire.say(b"STARTTLS\r\n" + EVIL) == "554 5.5.1 input came before the TLS handshake"
    assert wire.rest() == b""
    wire = Wire(relay.port)
    wire.say(b"EHLO client.test\r\n")
    assert wire.say(b"STARTTLS\r\n").startswith("220")
    wire.socket.sendall(EVIL)
    with pytest.raises((ssl.SSLError, ConnectionError)):
        context.wrap_socket(wire.socket)
    wire = Wire(relay.port)
    wire.say(b"EHLO client.test\r\n")
    wire.say(b"STARTTLS\r\n")
    wire.socket = context.wrap_socket(wire.socket)
    assert wire.say(b"RCPT TO:<a@sender.test>\r\n").startswith("503 5.5.1 send EHLO")
    assert relay.events("accepted") == []


def test_a_message_spoilt_in_the_queue_stays_there_and_its_log_line_says_why(world):
    sink = world.sink()
    relay = world.stopped_relay(sink, RETRY_SCHEDULE="F,1h,10m")
    world.dns.add({"mx.example.test": {"A": ["127.0.0.9"]}})
    with relay:
        relay.submit(mail(), TO)
        relay.wait_for_events("deferred")
    world.dns.mail_host("example.test")
    with sqlite3.connect(relay.queue_dir / "queue.sqlite") as file:
        spoilt = b"Subject: x\r\n\r\nx\n.\n" + EVIL + b"\r\n"
        assert file.execute("UPDATE body SET data = ?", (spoilt,)).rowcount == 1
    file.close()
    with relay:
        (entry,) = relay.queue()
        relay.tool("queue", "retry", entry["id"])
        event = relay.wait_for_events("deferred", 2)[-1]
        assert "the stored message holds bare LF: the queue was damaged" in event["reply"]
        assert event["status"] == "4.3.0"
        relay.wait_for_messages(1)
        relay.submit(mail(), TO)
        (message,) = received(sink)
    assert b"smuggled" not in message.content


def test_words_made_to_break_out_stay_where_they_are(world):
    sink = world.sink()
    relay = world.relay(
        sink, MAIL_DIR=str(world.home / "mail"), LOCAL_DELIVERY="maildir-create", OTHER_HOSTNAMES="here.test"
    )
    (world.home / "mail").mkdir()
    wire = Wire(relay.port)
    wire.say(b"EHLO =?utf-8?q?=0D=0A?=\r\n")
    senders = ['"a\\" SIZE=1"@sender.test', '"| sh -c x"@sender.test', "-rf@sender.test", "../../x@sender.test"]
    for sender in senders:
        assert wire.say(f"MAIL FROM:<{sender}> ENVID=a+2B../x\r\n".encode()).startswith("250")
        for local in ("../x", "..", ".", "~root", "-rf", "a/b", '"../x"', '"a\\\\b"', "|sh", "a\u202eb"):
            said = wire.say(f"RCPT TO:<{local}@here.test>\r\n".encode())
            assert said[:3] in ("550", "501", "553"), (local, said)
        assert wire.say(b"RCPT TO:<someone@example.test> ORCPT=rfc822;a+2B@b.test\r\n").startswith("250")
        assert wire.say(b"RCPT TO:<x+0D+0A@example.test> ORCPT=rfc822;a+0D+0Ab\r\n").startswith("250")
        assert wire.say(b"DATA\r\n").startswith("354")
        assert wire.say(b"Subject: x\r\n\r\nx\r\n.\r\n").startswith("250")
    messages = received(sink, len(senders))
    assert sorted(message.sender for message in messages) == sorted(senders)
    assert not list((world.home / "mail").iterdir())
    # Every line of the event log is one event without raw octets.
    lines = [line for line in relay.child.text.splitlines() if line]
    assert all(line.startswith("{") and line.isascii() and line.isprintable() for line in lines)
    for words in (
        ["show", "-rf"],
        ["show", "../../etc/passwd"],
        ["show", "a;b"],
        ["remove", "--", "-rf"],
        ["retry", "\u202e"],
    ):
        done = relay.tool("queue", *words)
        assert done.returncode != 0
        assert "Traceback" not in done.stderr
        assert len(done.stderr.strip().splitlines()) <= 4


def test_headers_out_of_all_proportion_get_a_clear_reply(world):
    sink = world.sink()
    relay = world.relay(sink)
    refused = [
        (b"Subject: " + b"x" * 1_000_000 + b"\r\n\r\nx\r\n", "550 5.6.0 maximum allowed line length is 998 octets"),
        (b"Received: from a by b; date\r\n" * 1000 + b"\r\nx\r\n", "554 5.4.6 Too many hops"),
        ((b"X-Field: " + b"x" * 900 + b"\r\n") * 1200, "552 5.3.4 The header of this message is too large"),
    ]
    for text, words in refused:
        wire = Wire(relay.port).to_data()
        assert wire.say(text + b".\r\n").startswith(words)
        # The session is in a defined state: the next message goes through.
        assert wire.say(b"NOOP\r\n").startswith("250")
    many = b"".join(b"X-%d: x\r\n" % number for number in range(20_000)) + b"\r\nx\r\n"
    assert wire.say(b"MAIL FROM:<a@sender.test>\r\n").startswith("250")
    wire.say(b"RCPT TO:<someone@example.test>\r\n")
    wire.say(b"DATA\r\n")
    assert wire.say(many + b".\r\n").startswith("250")
    (message,) = received(sink)
    assert message.content.endswith(many)
