"""Header blocks: their end, their fields, and the fields that the relay adds and removes."""

import re
import time
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mta.message import headers
from mta.message.envelope import Origin, Recipient
from mta.smtp.address import Address

NOW = 1795352322.5
BOB = Recipient(Address("bob", "example.test"))
CAROL = Recipient(Address("carol", "example.test"))
BLOCK = (
    b"Received: from a.test ([192.0.2.1])\r\n\tby b.test with ESMTP id x; Sun, 22 Nov 2026 12:58:42 +0000\r\n"
    b"From: Alice <alice@example.test>\r\nDate: Sun, 22 Nov 2026 12:58:42 +0000\r\nSubject: a\r\n b\r\n"
)

PIECES = st.sampled_from(
    [
        b"From: a\r\n",
        b"Subject : b\r\n",
        b"\tfolded\r\n",
        b" \r\n",
        b"\r\n",
        b"body line\r\n",
        b": x\r\n",
        b"a b: c\r\n",
    ]
)


def reference_end(data: bytes) -> int:
    """Find the end of a header block line by line, as RFC 5322 reads."""
    end = 0
    for line in data.splitlines(keepends=True):
        name = line.partition(b":")[0].rstrip(b" \t")
        field = b":" in line and re.fullmatch(rb"[!-9;-~]+", name)
        folded = end > 0 and line[:1] in (b" ", b"\t")
        if not field and not folded:
            break
        end += len(line)
    return end


def received(origin: Origin, *recipients: Recipient, tls: str = "", name: str = "relay.example.test") -> str:
    return headers.received_field(origin, name, "0123456789abc", recipients, now=NOW, tls=tls).decode()


# The end of a header block


def test_the_block_ends_before_the_blank_line() -> None:
    data = BLOCK + b"\r\nbody\r\n"
    assert headers.header_end(data) == len(BLOCK)
    assert not headers.needs_blank_line(data, len(BLOCK))


def test_a_body_line_ends_the_block_and_needs_a_blank_line() -> None:
    data = BLOCK + b"Hello Bob\r\nmore: text\r\n"
    assert headers.header_end(data) == len(BLOCK)
    assert headers.needs_blank_line(data, len(BLOCK))


@pytest.mark.parametrize("data", [b"Hello Bob\r\n", b" From: a\r\n", b"From bob Sun Nov 22\r\nTo: a\r\n", b": a\r\n"])
def test_a_body_without_a_header_gives_nothing(data: bytes) -> None:
    assert headers.header_end(data) == 0
    assert headers.needs_blank_line(data, 0)


def test_a_message_that_starts_with_the_blank_line_has_an_empty_block() -> None:
    assert headers.header_end(b"\r\nFrom: a\r\n") == 0
    assert not headers.needs_blank_line(b"\r\nFrom: a\r\n", 0)


@pytest.mark.parametrize("data", [b"", b"Fro", b"From: a", b"From: a\r\n", b"From: a\r\n\r", b"From: a\r\nSubj"])
def test_more_octets_are_asked_for_when_the_next_line_is_not_whole(data: bytes) -> None:
    assert headers.header_end(data) is None


@pytest.mark.parametrize(
    ("data", "end"), [(b"", 0), (b"Fro", 0), (b"From: a", 7), (b"From: a\r\n", 9), (b"From: a\r\nSubj", 9)]
)
def test_a_message_that_is_over_has_an_end(data: bytes, end: int) -> None:
    assert headers.header_end(data, ended=True) == end


def test_an_empty_message_needs_no_blank_line() -> None:
    assert not headers.needs_blank_line(b"From: a\r\n", 9)


@given(st.lists(PIECES, max_size=8).map(b"".join), st.lists(st.integers(1, 9), max_size=30))
@settings(max_examples=300)
def test_any_split_of_the_octets_gives_the_same_end(data: bytes, sizes: list[int]) -> None:
    buffer, seen, at, end = bytearray(), 0, 0, None
    for size in [*sizes, len(data)]:
        buffer += data[at : at + size]
        at += size
        end = headers.header_end(buffer, seen)
        if end is not None:
            break
        seen = len(buffer)
    else:
        end = headers.header_end(buffer, seen, ended=True)
    assert end == reference_end(data)


@pytest.mark.parametrize("line", [b"Subject: ", b""])
def test_a_line_that_comes_octet_by_octet_is_not_read_each_time(line: bytes) -> None:
    # Reading it each time would take minutes.
    data = bytearray(line)
    for _ in range(300_000):
        seen = len(data)
        data += b"x"
        assert headers.header_end(data, seen) is None
    assert headers.header_end(data + b"\r\n\r\n", len(data)) == (len(data) + 2 if line else 0)


@pytest.mark.parametrize(
    "hostile",
    [
        b"a:\r\n" * 250_000,
        b"x" * 1_000_000,
        b"a" * 500_000 + b" " * 500_000 + b"\r\n",
        b"a:" + b"\r\n " * 300_000,
        b"Return-Path: x\r\n " * 60_000,
        b"Precedence:" + b"\r\n " * 300_000,
        b"Auto-Submitted: no\r\n" * 50_000,
    ],
)
def test_a_hostile_megabyte_takes_a_moment(hostile: bytes) -> None:
    started = time.process_time()
    headers.header_end(hostile, ended=True)
    headers.strip(hostile, headers.scan(hostile))
    # Work that grows with the square of the size would take minutes on any machine.
    assert time.process_time() - started < 30.0


# What a block says


def test_a_scan_finds_the_properties_that_the_relay_needs() -> None:
    found = replace(headers.scan(BLOCK), subject=b"", author=b"")
    assert found == headers.HeaderScan(
        hops=1, has_date=True, has_message_id=False, has_from=True, unwanted=False, private=False, automatic=False
    )


def test_an_empty_block_has_nothing() -> None:
    assert headers.scan(b"") == headers.HeaderScan(0, False, False, False, False, False, False)


def test_field_names_are_found_in_any_case_and_with_blanks_before_the_colon() -> None:
    found = headers.scan(b"RECEIVED: a\r\nreceived \t: b\r\nMESSAGE-id: <x@y>\r\nFrom:\r\ndAtE: x\r\n")
    assert found == headers.HeaderScan(2, True, True, True, False, False, False, message_id=b"<x@y>")


@pytest.mark.parametrize(
    ("fields", "optional"),
    [
        (b"TLS-Required: No\r\n", True),
        (b"Subject: x\r\ntls-required:no\r\nTo: a@b.test\r\n", True),
        (b"TLS-Required\t: \r\n no (it is a report)\r\n", True),
        (b"TLS-Required: No\r\nTLS-Required: NO\r\n", True),
        (b"TLS-Required: Yes\r\n", False),
        (b"TLS-Required: No\r\nTLS-Required: Yes\r\n", False),
        (b"TLS-Required:\r\n", False),
        (b"TLS-Required: No, never\r\n", False),
        (b"X-TLS-Required: No\r\n", False),
        (b"Subject: x\r\n TLS-Required: No\r\n", False),
    ],
)
def test_a_sender_may_do_without_tls(fields: bytes, *, optional: bool) -> None:
    assert headers.scan(fields).tls_optional is optional


def test_only_whole_names_at_the_start_of_a_line_count() -> None:
    found = headers.scan(
        b"X-From: a\r\nFrom-X: b\r\nSubject: c\r\n Date: d\r\n\tReceived: e\r\nResent-Message-ID: f\r\n"
    )
    assert found == headers.HeaderScan(0, False, False, False, False, False, False, subject=b"c Date: d\tReceived: e")


@pytest.mark.parametrize(
    ("block", "value"),
    [
        (b"Subject: a b \r\n", b"a b"),
        (b"X-Subject: x\r\nsubject:a\r\nSubject: b\r\n", b"a"),
        (b"To: x\r\n Subject: y\r\nSUBJECT \t: a\r\n\tb\r\n c\r\nTo: y\r\n", b"a\tb c"),
        (b"Subject : only\r\nTo: x\r\n", b"only"),
        (b"Subject-X: a\r\nSubject: b\r\n", b"b"),
        (b"Subject: a\r\n b\r\n", b"a b"),
        (b"Subject:", b""),
        (b"Subject: a", b"a"),
        (b"Subject: a\n", b"a"),
        (b"To: x\r\n", b""),
    ],
)
def test_a_scan_reads_the_topmost_subject_unfolded(block: bytes, value: bytes) -> None:
    assert headers.scan(block).subject == value


@pytest.mark.parametrize(
    "line",
    [
        b"Auto-Submitted: auto-replied\r\n",
        b"auto-submitted:\r\n auto-generated; x=y\r\n",
        b"Precedence: bulk\r\n",
        b"PRECEDENCE : List\r\n",
        b"Precedence: junk (really)\r\n",
        b"List-Id: <a.example.test>\r\n",
        b"List-Post: NO\r\n",
    ],
)
def test_mail_from_programs_and_lists_is_automatic(line: bytes) -> None:
    assert headers.scan(b"From: a\r\n" + line).automatic


@pytest.mark.parametrize(
    "line",
    [
        b"Auto-Submitted: no\r\n",
        b"Auto-Submitted: No; x=y\r\n",
        b"Precedence: first-class\r\n",
        b"List-Unsubscribe: <mailto:a@b>\r\n",
        b"Subject: list\r\n",
    ],
)
def test_mail_from_people_is_not_automatic(line: bytes) -> None:
    assert not headers.scan(b"From: a\r\n" + line).automatic


def test_values_are_unfolded_and_found_in_any_case() -> None:
    block = b"To: a\r\nDelivered-to : x@y\r\nDELIVERED-TO:\r\n\tz@y\r\n \r\nX-Delivered-To: no\r\n"
    assert headers.values(block, "Delivered-To") == [b"x@y", b"z@y"]


def test_the_topmost_marks_of_deliveries_count_and_not_their_case() -> None:
    block = b"delivered-TO:\r\n A@x.test\r\nSubject: a\r\nDelivered-To: b@x.test \r\n"
    assert headers.delivered_to(block) == (b"a@x.test", b"b@x.test")
    assert len(headers.delivered_to(block * 30)) == headers.MAX_VALUES
    assert headers.delivered_to(b"Subject: a\r\n") == ()


def test_a_field_that_is_not_there_has_no_values() -> None:
    assert headers.values(BLOCK, "Message-ID") == []


# What is taken out


def test_leftovers_of_an_earlier_delivery_are_taken_out_with_their_folds() -> None:
    block = b"Return-Path: <a@b>\r\nTo: x\r\nEnvelope-TO : y\r\n z\r\n\tw\r\nDelivery-date: now\r\nFrom: q\r\n"
    assert headers.strip(block, headers.scan(block)) == b"To: x\r\nFrom: q\r\n"


def test_a_block_without_leftovers_is_not_copied() -> None:
    assert headers.strip(BLOCK, headers.scan(BLOCK)) is BLOCK


@given(st.lists(PIECES | st.just(b"Return-Path: <x>\r\n"), max_size=8).map(b"".join))
@settings(max_examples=200)
def test_only_leftover_trace_fields_are_removed(data: bytes) -> None:
    block = data[: reference_end(data)]
    stripped = headers.strip(block, headers.scan(block))
    fields = re.split(rb"(?<=\n)(?![ \t])", block)
    assert stripped == b"".join(field for field in fields if not field.startswith(b"Return-Path"))


# What is put on top


def test_a_trace_field_names_client_protocol_and_recipient() -> None:
    assert received(Origin("192.0.2.1", "client.test", "ESMTP"), BOB) == (
        "Received: from client.test ([192.0.2.1])\r\n"
        "\tby relay.example.test with ESMTP id 0123456789abc\r\n"
        "\tfor <bob@example.test>; Sun, 22 Nov 2026 12:58:42 +0000\r\n"
    )


def test_several_recipients_are_not_disclosed_to_each_other() -> None:
    assert received(Origin("192.0.2.1", "client.test", "ESMTP"), BOB, CAROL) == (
        "Received: from client.test ([192.0.2.1])\r\n"
        "\tby relay.example.test with ESMTP id 0123456789abc;\r\n"
        "\tSun, 22 Nov 2026 12:58:42 +0000\r\n"
    )


def test_a_long_trace_field_is_folded() -> None:
    recipient = Recipient(Address("a" * 60, "example.test"))
    text = received(Origin("192.0.2.1", "client.test", "ESMTPS"), recipient, tls="TLSv1.3 TLS_AES_256_GCM_SHA384")
    assert text.splitlines()[1:] == [
        "\tby relay.example.test with ESMTPS (TLSv1.3 TLS_AES_256_GCM_SHA384)",
        "\tid 0123456789abc",
        f"\tfor <{'a' * 60}@example.test>;",
        "\tSun, 22 Nov 2026 12:58:42 +0000",
    ]


def test_an_ipv6_client_is_written_as_a_literal() -> None:
    assert "from client.test ([IPv6:2001:db8::1])\r\n" in received(Origin("2001:db8::1", "client.test", "SMTP"), BOB)


@pytest.mark.parametrize("helo", ["[192.0.2.1]", "[IPv6:2001:db8::1]", "my_container", "localhost"])
def test_a_plain_name_stands_first(helo: str) -> None:
    assert received(Origin("192.0.2.1", helo, "SMTP"), BOB).startswith(f"Received: from {helo} ([192.0.2.1])\r\n")


def test_a_name_that_could_lie_is_kept_in_a_comment() -> None:
    text = received(Origin("192.0.2.1", "x) by (evil\r\nBcc: é\\", "SMTP"), BOB)
    assert text.startswith("Received: from [192.0.2.1] (helo=x? by ?evil??Bcc: ??)\r\n\tby relay")


def test_a_client_without_a_name_is_written_as_its_address() -> None:
    assert received(Origin("192.0.2.1", "", "SMTP"), BOB).startswith("Received: from [192.0.2.1]\r\n\tby relay")


def test_a_report_of_the_relay_itself_has_no_client() -> None:
    assert received(Origin.of_relay("relay.example.test"), BOB).startswith(
        "Received: from relay.example.test\r\n\tby relay.example.test with local id"
    )


def test_an_international_recipient_is_written_in_utf8() -> None:
    recipient = Recipient(Address("jörg", "example.test"))
    assert "for <jörg@example.test>;" in received(Origin("192.0.2.1", "client.test", "UTF8SMTP"), recipient)


@given(st.text(max_size=400), st.text(max_size=60), st.sampled_from(["192.0.2.1", "2001:db8::1", ""]))
@settings(max_examples=200)
def test_no_client_can_break_a_trace_field(helo: str, tls: str, client: str) -> None:
    text = received(Origin(client, helo if client else "relay", "ESMTPS"), BOB, tls=tls)
    lines = text.split("\r\n")
    assert lines.pop() == ""
    assert lines[0].startswith("Received: from ")
    assert all(line.startswith("\t") and line.strip() for line in lines[1:])
    assert all(line.isascii() and line[1:].isprintable() and len(line) < 998 for line in lines)
    assert text.count("(") == text.count(")")


@pytest.mark.parametrize(
    ("flags", "keyword"),
    [
        ({"esmtp": False}, "SMTP"),
        ({"esmtp": True}, "ESMTP"),
        ({"esmtp": True, "tls": True}, "ESMTPS"),
        ({"esmtp": True, "smtputf8": True}, "UTF8SMTP"),
        ({"esmtp": True, "smtputf8": True, "tls": True}, "UTF8SMTPS"),
        ({"esmtp": True, "login": True}, "ESMTPA"),
        ({"esmtp": True, "tls": True, "login": True}, "ESMTPSA"),
        ({"esmtp": True, "smtputf8": True, "tls": True, "login": True}, "UTF8SMTPSA"),
        ({"esmtp": False, "tls": True, "login": True}, "ESMTPSA"),
    ],
)
def test_the_protocol_is_a_registered_keyword(flags: dict[str, bool], keyword: str) -> None:
    assert headers.protocol_keyword(**flags) == keyword


def test_fields_that_a_client_left_out_are_whole_lines() -> None:
    assert headers.date_field(NOW) == b"Date: Sun, 22 Nov 2026 12:58:42 +0000\r\n"
    assert headers.message_id_field("0123456789abc", "relay.test") == b"Message-ID: <0123456789abc@relay.test>\r\n"
    assert headers.from_field(Address("a b", "example.test")) == b'From: <"a b"@example.test>\r\n'


PRIVATE = (
    b"To: a\r\nBcc: b@x.test,\r\n\tc@x.test\r\nbCC : d\r\nSubject: bcc: e\r\n bcc: folded\r\n"
    b"Resent-Bcc:\r\n f\r\nContent-Length: 7\r\nX-Bcc: g\r\nContent-Type: text/plain\r\nReturn-Path: h\r\n"
)


def test_private_fields_are_taken_out_of_trusted_clients_mail_with_their_folded_lines() -> None:
    found = headers.scan(PRIVATE)
    assert headers.strip(PRIVATE, found, trusted=True) == (
        b"To: a\r\nSubject: bcc: e\r\n bcc: folded\r\nX-Bcc: g\r\nContent-Type: text/plain\r\n"
    )
    assert headers.strip(PRIVATE, found) == PRIVATE.replace(b"Return-Path: h\r\n", b"")
    plain = b"Subject: bcc\r\n"
    assert headers.strip(plain, headers.scan(plain), trusted=True) is plain


@pytest.mark.parametrize(
    "line",
    [
        b"From root@host Mon Nov 29 10:00:01 2026\r\n",
        b">From root@host Mon Nov 29 10:00:01 2026\r\n",
        b">>From root  Mon Nov 29 9:00 CET 2026 remote from uucp\r\n",
        b"From root@host\r\n",
        b">From MAILER-DAEMON Mon Nov 29\r\n",
        b"From root@host Mon Nov 29 10:00:01 2026\r\n>From a Mon Nov 29 09:00 2026\r\n>>From b\r\n",
    ],
)
def test_the_first_line_of_a_mailbox_file_ends_where_the_header_begins(line: bytes) -> None:
    whole = line + b"Subject: a\r\n\r\nbody\r\n"
    assert headers.mailbox_line_end(whole) == len(line)
    ends = {line.rfind(b"\n", 0, size) + 1 for size in range(len(line) + 1)}
    for size in range(len(whole)):
        assert headers.mailbox_line_end(whole[:size]) in {None, len(line), *ends}
    assert headers.mailbox_line_end(line + b"Subject: a\r\n", ended=True) == len(line)


@pytest.mark.parametrize(
    "text",
    [b"From here on we walk.\r\nNo field.\r\n", b"From: a\r\n\r\n", b"From\r\n", b"", b"Fromage\r\n", b"X From a\r\n"],
)
def test_ordinary_text_is_no_first_line_of_a_mailbox_file(text: bytes) -> None:
    assert headers.mailbox_line_end(text, ended=True) == 0


def test_a_received_field_may_hide_the_client() -> None:
    origin = Origin("192.0.2.1", "host1.lan", "ESMTPS")
    field = headers.received_field(
        origin, "relay.test", "0123456789abc", (BOB,), now=NOW, tls="TLSv1.3", hide_client=True
    )
    assert field.startswith(b"Received:\r\n\tby relay.test with ESMTPS (TLSv1.3) id 0123456789abc\r\n\tfor <bob@")
    assert b"192.0.2.1" not in field
    assert b"host1.lan" not in field
    assert headers.scan(field).hops == 1
