"""The real daemon and clients of its own networks, which speak SMTP as scripts, scanners and cron jobs do."""

import socket

from harness.waiting import PATIENCE
from tests.endtoend.wire import Wire
from tests.endtoend.world import received

ODD = (
    b"From root@host Mon Nov 29 10:00:01 2026\n"
    b"Subject: cron\nTo: x@example.test\nBcc: boss@example.test,\n spy@example.test\n\n.\nfirst\n.hidden\nlast\n"
)


def said(wire: Wire, *commands: bytes) -> list[str]:
    return [wire.say(command)[:3] for command in commands]


def test_mail_of_a_script_arrives_as_it_was_meant(world):
    sink = world.sink()
    relay = world.relay(sink)
    world.dns.mail_host("relay.example.test")
    wire = Wire(relay.port)
    assert said(wire, b"EHLO my odd host, (none)\n", b"MAIL FROM:< root >\n") == ["250", "250"]
    assert said(wire, b"RCPT TO:Someone <someone@example.test.> (a friend)\n", b"DATA\n") == ["250", "354"]
    assert wire.say(ODD + b"\r\n.\r\n").startswith("250")
    assert said(wire, b"MAIL FROM:<cron@my_host>\n", b"RCPT TO:<root>\n", b"DATA\n") == ["250", "250", "354"]
    assert wire.say(b"hello\n\r\n.\r\n").startswith("250")
    assert said(wire, b"QUIT\n") == ["221"]
    one, two = sorted(received(sink, 2), key=lambda message: message.sender, reverse=True)
    assert (one.sender, list(one.recipients)) == ("root@relay.example.test", ["someone@example.test"])
    assert (two.sender, list(two.recipients)) == ("cron@my_host", ["root@relay.example.test"])
    body = b"\r\n\r\n.\r\nfirst\r\n.hidden\r\nlast\r\n\r\n"
    assert one.content.endswith(body)
    head = one.content.removesuffix(body)
    assert b"Subject: cron\r\nTo: x@example.test" in head
    assert b"Bcc" not in head
    assert b"From root@" not in head
    (event, _) = relay.wait_for_events("accepted", 2)
    assert event["helo"] == "my odd host, (none)"


def test_line_endings_can_be_strict_for_all(world):
    sink = world.sink()
    relay = world.relay(sink, LINE_ENDINGS="strict")
    assert Wire(relay.port).to_data().say(ODD + b"\r\n.\r\n") == "550 5.6.11 bare LF in the message; lines end in CRLF"
    assert Wire(relay.port).say(b"EHLO c\n").startswith("500 5.5.2 bare LF")


def test_strangers_are_judged_to_the_letter(world):
    sink = world.sink()
    relay = world.relay(sink, RELAY_DOMAINS="example.test")
    wire = Wire(relay.port, "127.0.0.2")
    assert said(wire, b"EHLO my odd host\r\n", b"EHLO c\r\n", b"MAIL FROM:<root>\r\n") == ["501", "250", "501"]
    assert said(wire, b"MAIL FROM:<a@my_host>\r\n", b"MAIL FROM:<a@sender.test>\r\n") == ["501", "250"]
    assert said(wire, b"RCPT TO:<x@example.test.>\r\n", b"RCPT TO:<x@[127.0.0.1]>\r\n") == ["501", "501"]
    assert said(wire, b"RCPT TO:<x@example.test>\r\n", b"DATA\r\n") == ["250", "354"]
    blind = b"Bcc: boss@example.test\r\nSubject: x\r\n\r\nhello\r\n"
    assert wire.say(blind + b".\r\n").startswith("250")
    (message,) = received(sink)
    assert message.content.endswith(blind)


def test_a_script_that_waits_for_no_reply_has_its_mail_taken_and_one_of_strangers_does_not(world):
    sink = world.sink()
    relay = world.relay(sink, RELAY_DOMAINS="example.test")
    script = (
        b"HELO c\r\nMAIL FROM:<a@sender.test>\r\nRCPT TO:<x@example.test>\r\nDATA\r\n"
        b"Subject: haste\r\n\r\nhello\r\n.\r\nQUIT\r\n"
    )
    heard = []
    for source in ("127.0.0.1", "127.0.0.2"):
        with socket.create_connection(("127.0.0.1", relay.port), PATIENCE, source_address=(source, 0)) as client:
            client.sendall(script)
            client.shutdown(socket.SHUT_WR)
            with client.makefile("rb") as lines:
                heard.append([line[:3] for line in lines][-3:])
    assert heard[0] == [b"354", b"250", b"221"]
    assert heard[1][-1] == b"554"
    (message,) = received(sink)
    assert message.content.endswith(b"\r\n\r\nhello\r\n")
