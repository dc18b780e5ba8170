"""Text of a client in logs, header fields and commands: it cannot leave its line, field or command.

The wire, the log in both forms, the trace field, the commands to the next host, the report, the mailbox, and what the
operator's command shows.
"""

import email
import email.policy
import json
import unicodedata

import pytest

from mta.admin.wire.messages import entry_object
from mta.cli.queue import render
from mta.delivery.local.mailboxes import _as_file
from mta.delivery.local.maildir import Maildirs
from mta.delivery.remote.commands import prepare_transaction
from mta.delivery.remote.interface import DeliveryRequest
from mta.event_log.lines import render_json, render_text
from mta.message import dsn
from mta.message.envelope import Notify
from mta.message.outcome import Failed
from mta.queue.interface import Claim, Query
from mta.smtp.client.handshake import Offer, Terms
from mta.smtp.client.machine import ClientMachine
from mta.smtp.limits import STRICT, Leniency
from mta.smtp.server.canned_replies import RECIPIENT_OK
from tests.drivers.listener import NAME, STRANGER, Listening

OFFER = Offer(pipelining=True, dsn=True, eight_bit=True, smtputf8=True, size=0)
CONTENT = b"Subject: x\r\n\r\nbody\r\n"
EVERY_SPECIAL = r'"a b,(c)<d>[e]:;@\\\"|`$&*!%#/../~\ \@"'

#: Local parts: what breaks lines, headers, paths, shells and arguments, in what forms a client can write it.
LOCALS = [
    *("../../etc/passwd", "..", ".", "/etc/passwd", "~root", "~", "-rf", "--help", "-", "|/bin/sh", "`id`", "$(id)"),
    *("a|b", "a&b", "a;b", "a'b", "%0d%0aX-Evil:1", "+0D+0A", "a%b", "a!b", "=?utf-8?q?=0D=0ABcc:_x?=", "{}", "*", "?"),
    *('"../../x"', '"-rf"', '"| sh"', '"a\\"b"', '"a\\\\"', '" "', '""', '"a@b"', '"<a@evil.test>"', '">"', '"\\>"'),
    *('"a> SIZE=1"', '"a>\\ NOTIFY=NEVER"', '"(comment)"', '"x\\,y"', '"; rm -rf /"', EVERY_SPECIAL),
    *('"=?utf-8?b?DQpCY2M6IHg=?="', '"%0d%0aQUIT"', '"a..b"', '".a"', "a" * 200, '"' + "\\a" * 100 + '"'),
    *(
        "\u0430dmin",
        "\u212aate",
        "\uff41\uff44",
        "a\uff20b",
        "\uff0e\uff0e\uff0fetc",
        "e\u0301",
        "\U0001f600",
        "a\u3002b",
    ),
    *("a\u202eb", "a\u2066b", "a\u200bb", "a\u2028b", "a\x85b", "a\x1b[2Jb", "a\x07b", "a\x7fb", "\u061ca", "\ufeffa"),
    *('"a\x0bb"', '"a\u202eb"', '"\\\u202e"', '"a\tb"', '"a\\\tb"'),
]
DOMAINS = [
    *(
        "b.test",
        "B.TEST",
        "a\uff0eb.test",
        "\uff42.test",
        "xn--pple-43d.test",
        "stra\u00dfe.test",
        "127.0.0.1",
        "0x7f.1",
    ),
    *(
        "b.test\u3002",
        "b\uff20evil.test",
        "b.test/../x",
        "b.test|sh",
        "-b.test",
        "b_.test",
        "b.test\u202e",
        "b\u200b.test",
    ),
    *("[127.0.0.1]", "[IPv6:::1]", "[evil.test]", "b.test>", "b.test\x1b[2J", "b..test", "xn--.test"),
]
#: Parameters and names in which control characters hide.
ENVIDS = ["a+0D+0AX-Evil:+20x", "+00", "+1B[2J", "+7F", "a+0d", "=?utf-8?q?x?=", "../x", "-rf", "a" * 101, "+E2+80+AE"]
ORCPTS = [
    *("rfc822;a+0D+0AX-Evil:+20x@b.test", "rfc822;+00", "rfc822;-rf", "rfc822;../x", "rfc822;|sh", "x400;a+3B+20b"),
    *("utf-8;\\x{0D}\\x{0A}X-Evil:", "utf-8;a\\x{202E}b", "utf-8;a\\x{2028}b", "utf-8;\\x{1B}[2J", "utf-8;\\x{D800}"),
    *("utf-8;\\x{10FFFF}", "utf-8;a\u202eb", "rfc822;<a@b.test>", "a\u202eb;x", "utf-8;\\x{E0041}", "utf-8;\\x{85}"),
]
HELLOS = [
    *(
        "../../etc",
        "-rf",
        "|sh",
        "`id`",
        "$(id)",
        "a'b",
        "[127.0.0.1]",
        "a|b",
        "%0d%0a",
        "=?utf-8?q?x?=",
        "~root",
        "a@b",
    ),
    *(
        "a(b",
        "a)b",
        "a\\b",
        'a"b',
        "a b",
        "a;b",
        "<a>",
        "a\u202eb",
        "\u0430.test",
        "a\x1b[2J",
        "a\x7f",
        "x" * 300,
        "x" * 255,
    ),
    *("", "a\tb", "a, b", "localhost.(none)", "caf\u00e9" * 100, "(" * 255, "\\" * 255, "x)\x07(y", "\u2028", "\x9b"),
]
LENIENT = Leniency(NAME, names=True, line_feeds=True)
SENDERS = [
    *(f"MAIL FROM:<{local}@a.test> SMTPUTF8" for local in LOCALS),
    *(f"MAIL FROM:<a@{domain}> SMTPUTF8" for domain in DOMAINS),
    *(f"MAIL FROM:<a@a.test> SMTPUTF8 RET=FULL ENVID={envid}" for envid in ENVIDS),
    *("MAIL FROM:<a@a.test> X\u202e=1", "MAIL FROM:<a@a.test> X\x1b[2J=1", "MAIL FROM:a\u202e", "MAIL FROM:<\x9b>"),
]
RECIPIENTS = [
    *(f"RCPT TO:<{local}@b.test>" for local in LOCALS),
    *(f"RCPT TO:<{local}@here.test>" for local in LOCALS),
    *(f"RCPT TO:<a@{domain}>" for domain in DOMAINS),
    *(f"RCPT TO:<@evil.test,@[127.0.0.1]:a@{domain}>" for domain in DOMAINS[:3]),
    *(f"RCPT TO:<a@b.test> NOTIFY=SUCCESS,FAILURE ORCPT={original}" for original in ORCPTS),
    *("RCPT TO:<a@b.test> NOTIFY=\u202e", "RCPT TO:<a@b.test> \x1b[2J", "RCPT TO:\u202e<a@b.test>"),
]
MAIL, RCPT = "MAIL FROM:<a@a.test> SMTPUTF8", "RCPT TO:<b@b.test>"
CONVERSATIONS = [
    *(("EHLO c.test", mail, RCPT) for mail in SENDERS),
    *(("EHLO c.test", MAIL, rcpt) for rcpt in RECIPIENTS),
    *((f"{verb} {name}", MAIL, RCPT) for verb in ("EHLO", "HELO") for name in HELLOS),
]


#: Controls, formats (bidirectional marks are some), line ends, halves of characters. Two joiners are letters' own.
UNTOLD = {"Cc", "Cf", "Zl", "Zp", "Cs"}


def assert_one_line(text):
    assert not {unicodedata.category(char) for char in text.translate({0x200C: "", 0x200D: ""})} & UNTOLD, ascii(text)
    assert len(text.splitlines()) <= 1


def assert_log(lines):
    for line in lines:
        assert line.isascii()
        assert line.endswith("\n")
        assert_one_line(line[:-1])


def assert_trace(content, envelope):
    """The message begins with one Received field of ours, then says what the client said."""
    parsed = email.message_from_bytes(content, policy=email.policy.compat32)
    assert parsed.keys()[0] == "Received"
    assert {"received", "subject"} <= {name.lower() for name in parsed}
    assert not {"x-evil", "bcc"} & {name.lower() for name in parsed}
    assert content.endswith(CONTENT)
    trace = content[: content.index(b"Subject: x")].decode()
    for line in trace.split("\r\n"):
        assert len(line.encode()) <= 998
        assert_one_line(line.replace("\t", " "))


def assert_commands(claim):
    """What is said to the next host is one command a line, about the same addresses."""
    written = prepare_transaction(
        OFFER, DeliveryRequest(claim.id, claim.envelope, claim.body, claim.pending), "mx.test"
    )
    client = ClientMachine(Terms("me.test"))
    client.receive(b"220 hi\r\n")
    client.receive(b"250-mx.test\r\n250-SMTPUTF8\r\n250-DSN\r\n250 PIPELINING\r\n")
    client.to_send()
    client.begin(written.message)
    said = b"".join(client.to_send()).decode().split("\r\n")
    assert [line.split(" ")[0].split(":")[0] for line in said] == ["MAIL", "RCPT", "DATA", ""]
    for line in said:
        assert_one_line(line)
    parts = Listening(leniency=LENIENT)
    wire = parts.connect()
    # What we say is what we would take: an address is not another one at the next host.
    assert [line[:3] for line in wire.say("EHLO c.test", *said[:2]).splitlines()][-2:] == ["250", "250"]
    wire.say("DATA")
    wire.say("Subject: x", "", "body", ".")
    (again,) = parts.delivery.taken
    assert again.envelope.sender == claim.envelope.sender
    assert again.envelope.envid == claim.envelope.envid
    assert [each.address for each in again.envelope.recipients] == [each.address for each in claim.envelope.recipients]


def assert_report(claim):
    """The report has its three parts, the fields it ought to have, and no others."""
    result = dsn.ReportedRecipient(
        claim.envelope.recipients[0], Failed("550 5.1.1 no", "mx.test[192.0.2.1]:25", "5.1.1")
    )
    original = dsn.OriginalMessage(claim.id, claim.envelope, claim.body, claim.created)
    stamp = dsn.ReportIdentity(NAME, "0000000000002", "token", 1_000_000.0)
    envelope, message = dsn.make_report(Notify.FAILURE, original, [result], stamp, None)
    assert [each.address for each in envelope.recipients] == [claim.envelope.sender]
    assert not any(octet in line for line in message.split(b"\r\n") for octet in (b"\r", b"\n", b"\0"))
    for line in message.decode().split("\r\n"):
        assert len(line.encode()) <= 998
        assert_one_line(line.replace("\t", " "))
    parsed = email.message_from_bytes(message, policy=email.policy.compat32)
    _, status, _ = parsed.get_payload()
    fields = {name for group in status.get_payload() for name in group} if status.is_multipart() else set()
    assert "X-Evil" not in fields
    assert not {"X-Evil", "Bcc"} & set(parsed)


def assert_shown(parts):
    (entry,) = parts.queue_entries
    for line in (*render.list_lines(entry, finished=True), *render.show_lines(entry)):
        assert_one_line(line)
    json.loads(json.dumps(entry_object(entry)))


def assert_saved(claim, tmp_path):
    """In a Maildir the message has one Return-Path and one Delivered-To, and the name leads nowhere else."""
    recipient = claim.envelope.recipients[0].address
    assert b"".join(_as_file(claim.envelope, claim.body, (recipient,))).split(b"\n")[2].startswith(b"Received: ")
    name = Maildirs(tmp_path).name(recipient.local)
    assert name is None or (name.isascii() and name[0] not in "-.~" and "/" not in name and ".." not in name)


def converse(commands, leniency=STRICT):
    """Return the parts, what was said, and the claim of the message if it was taken."""
    parts = Listening(leniency=leniency)
    wire = parts.connect()
    said = "".join(wire.say(command) for command in (*commands, "DATA"))
    if said.splitlines()[-1].startswith("354"):
        said += wire.say("Subject: x", "", "body", ".")
    wire.say("NOOP")
    parts.queue_entries = parts.queue.find(Query()).result
    claim: Claim | None = next(iter(parts.delivery.taken), None)
    return parts, said, claim


@pytest.mark.parametrize("leniency", [STRICT, LENIENT], ids=["strict", "lenient"])
@pytest.mark.parametrize("commands", CONVERSATIONS, ids=lambda commands: ascii("|".join(commands))[:120])
def test_no_word_of_a_client_leaves_its_line_its_field_or_its_command(commands, leniency, tmp_path):
    parts, said, claim = converse(commands, leniency)
    for line in said.split("\r\n"):
        assert_one_line(line)
        assert len(line.encode()) <= 510
    assert_log(parts.lines)
    assert_log([render_line(1e6, "event", {"text": " ".join(commands)}) for render_line in (render_text, render_json)])
    if claim is not None:
        assert len(claim.envelope.recipients) == 1
        assert_trace(b"".join(claim.body.chunks()), claim.envelope)
        assert_commands(claim)
        assert_report(claim)
        assert_shown(parts)
        assert_saved(claim, tmp_path)


def test_half_of_the_texts_are_accepted_so_that_both_ways_are_tested():
    taken = sum(converse(commands)[2] is not None for commands in CONVERSATIONS)
    assert len(CONVERSATIONS) * 0.3 < taken < len(CONVERSATIONS) * 0.8


@pytest.mark.parametrize(
    ("written", "domain"),
    [
        ("a@relay.test", "relay.test"),
        ("a@RELAY.Test", "relay.test"),
        ("a@relay\uff0etest", "relay.test"),
        ("a@relay\u3002test", "relay.test"),
        ("a@\uff52elay.test", "relay.test"),
        ('"a@evil"@relay.test', None),
        ("@evil.test:a@relay.test", "relay.test"),
        ("@relay.test:a@evil.test", None),
        ("a@evil.test@relay.test", None),
        ("a@r\u0435lay.test", None),
        ("a@xn--rlay-43d.test", None),
        ("a@relay.test\u3002", None),
        ("a@relay.test.evil.test", None),
        ("a@evil.test\uff0frelay.test", None),
        ("a\uff20evil.test", None),
        ("a@relay\u2024test", None),
        ("a@rel\u200bay.test", None),
        ("a@evil.test\x00.relay.test", None),
    ],
)
def test_the_domain_that_is_judged_is_the_one_that_is_kept_and_looked_up(written, domain):
    parts, asked = Listening(), []

    def exists(name, done, choice=None):
        asked.append(name)
        done(RECIPIENT_OK)

    parts.check_domain = exists
    wire = parts.connect(STRANGER)
    said = wire.say("EHLO c.test", "MAIL FROM:<> SMTPUTF8", f"RCPT TO:<{written}>").splitlines()[-1]
    assert said.startswith("250") == (domain is not None)
    assert asked == ([domain] if domain else [])
    if domain is not None:
        wire.say("DATA")
        wire.say("Subject: x", "", "body", ".")
        (claim,) = parts.delivery.taken
        assert [each.address.domain for each in claim.envelope.recipients] == [domain]
