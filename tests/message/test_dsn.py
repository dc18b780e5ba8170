"""Reports to the sender: when they are sent, and their format, compared with golden files."""

import email
import email.policy
import os
import pathlib
from collections.abc import Iterator
from dataclasses import replace
from email.message import EmailMessage
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mta.message import dsn
from mta.message.body import MemoryBody
from mta.message.envelope import BodyType, Envelope, Notify, Origin, Recipient, Ret, TlsDemand
from mta.message.outcome import Delivered, Failed, Outcome, TryLater
from mta.smtp.address import Address, parse_address

GOLDEN = pathlib.Path(__file__).parent.parent / "golden"
CREATED, NOW, UNTIL = 1795352322.0, 1795352922.0, 1795697922.0
STAMP = dsn.ReportIdentity("relay.test", "0000000000002", "token0123456789", NOW)
ALICE = parse_address("alice@example.test")
BOB = Recipient(parse_address("bob@example.com"))
MESSAGE = b"From: alice@example.test\r\nMessage-ID: <1@example.test>\r\nSubject: a\r\n\r\nbody\r\n"
REFUSED = Failed("550 5.1.1 no such user", "mx.example.com[192.0.2.1]:25", "5.1.1")
BUSY = TryLater("451 4.3.0 later", "mx.example.com[192.0.2.1]:25", "4.3.0")


def original(content: bytes = MESSAGE, sender: Address | None = ALICE, **asked: Any) -> dsn.OriginalMessage:
    envelope = Envelope(sender, (BOB,), Origin("192.0.2.7", "client.test", "ESMTP"), **asked)
    return dsn.OriginalMessage("0000000000001", envelope, MemoryBody(content), CREATED)


def made(
    event: Notify = Notify.FAILURE,
    about: dsn.OriginalMessage | None = None,
    outcome: Outcome = REFUSED,
    recipient: Recipient = BOB,
) -> tuple[Envelope, bytes] | None:
    return dsn.make_report(event, about or original(), [dsn.ReportedRecipient(recipient, outcome)], STAMP, UNTIL)


def written(*args: Any, **kwargs: Any) -> bytes:
    report = made(*args, **kwargs)
    assert report is not None
    return report[1]


def parse(message: bytes) -> tuple[EmailMessage, EmailMessage, EmailMessage, EmailMessage]:
    """Read a report back: itself and its three parts."""
    parsed = email.message_from_bytes(message, policy=email.policy.default)
    parts = list(parsed.iter_parts())
    assert not parsed.defects
    assert parsed.get_content_type() == "multipart/report"
    assert len(parts) == 3
    return (parsed, *parts)  # type: ignore[return-value]


def groups(status: EmailMessage) -> list[EmailMessage]:
    return status.get_payload()  # type: ignore[return-value]


# Golden cases


def read_case(text: str) -> tuple[Notify, dsn.OriginalMessage, list[dsn.ReportedRecipient]]:
    head, _, content = text.partition("---\n")
    lines = [line.split(": ", 1) for line in head.splitlines()]
    one = {key: value for key, value in lines if key != "rcpt"}
    results = [read_result(value) for key, value in lines if key == "rcpt"]
    about = original(
        content.replace("\n", "\r\n").encode(),
        parse_address(one["sender"]),
        ret=Ret(one["ret"]) if "ret" in one else None,
        envid=one.get("envid"),
        smtputf8="smtputf8" in one,
    )
    return Notify[one["event"]], about, results


def read_result(text: str) -> dsn.ReportedRecipient:
    address, notify, orcpt, outcome, host, words = text.split(" | ", 5)
    kind, status = outcome.split()
    asked = Notify.NEVER
    for name in notify.split(","):
        asked |= Notify[name] if name != "-" else Notify.NEVER
    recipient = Recipient(parse_address(address), None if notify == "-" else asked, None if orcpt == "-" else orcpt)
    made = {"Failed": Failed, "TryLater": TryLater, "Delivered": Delivered}[kind]
    return dsn.ReportedRecipient(recipient, made(words, "" if host == "-" else host, status))


@pytest.mark.parametrize("case", sorted(GOLDEN.glob("report-*.in")), ids=lambda path: path.stem)
def test_reports_are_as_in_the_golden_files(case: pathlib.Path) -> None:
    event, about, results = read_case(case.read_text("utf-8"))
    report = dsn.make_report(event, about, results, STAMP, UNTIL)
    assert report is not None
    assert b"\n" not in report[1].replace(b"\r\n", b"")
    text = report[1].decode().replace("\r\n", "\n")
    expected = case.with_suffix(".out")
    if os.environ.get("UPDATE_GOLDEN"):
        expected.write_text(text, "utf-8")
    assert text == expected.read_text("utf-8")


# Who is told


def test_a_message_with_the_null_sender_gets_no_report() -> None:
    assert made(about=original(sender=None)) is None


@pytest.mark.parametrize(
    ("notify", "reported"),
    [
        (None, {Notify.FAILURE, Notify.DELAY}),
        (Notify.NEVER, set()),
        (Notify.SUCCESS, {Notify.SUCCESS}),
        (Notify.FAILURE, {Notify.FAILURE}),
        (Notify.SUCCESS | Notify.DELAY, {Notify.SUCCESS, Notify.DELAY}),
    ],
)
def test_notify_decides_which_events_are_reported(notify: Notify | None, reported: set[Notify]) -> None:
    outcomes: dict[Notify, Outcome] = {
        Notify.FAILURE: REFUSED,
        Notify.DELAY: BUSY,
        Notify.SUCCESS: Delivered("250 ok", "mx.test[192.0.2.1]:25"),
    }
    recipient = Recipient(BOB.address, notify)
    assert {
        event for event, outcome in outcomes.items() if made(event, outcome=outcome, recipient=recipient)
    } == reported


def test_only_recipients_that_asked_are_in_the_report() -> None:
    quiet = Recipient(parse_address("quiet@example.com"), Notify.NEVER)
    report = dsn.make_report(
        Notify.FAILURE, original(), [dsn.ReportedRecipient(quiet, REFUSED), dsn.ReportedRecipient(BOB, REFUSED)], STAMP
    )
    assert report is not None
    assert b"quiet@" not in report[1]
    assert parse(report[1])[0]["X-Failed-Recipients"] == "bob@example.com"


def test_a_success_that_the_next_host_reports_is_left_to_it() -> None:
    asked = Recipient(BOB.address, Notify.SUCCESS)
    passed_on = Delivered("250 ok", "mx.test[192.0.2.1]:25", reports_success=True)
    assert made(Notify.SUCCESS, outcome=passed_on, recipient=asked) is None


@pytest.mark.parametrize("field", [b"Auto-Submitted: auto-generated", b"Precedence: bulk", b"List-Id: <a.b>"])
def test_programs_and_lists_get_reports_of_failure_but_not_of_delay(field: bytes) -> None:
    about = original(field + b"\r\n" + MESSAGE)
    assert made(Notify.DELAY, about, BUSY) is None
    assert made(Notify.FAILURE, about) is not None


# The envelope and the fields of the report


def test_a_report_goes_from_the_null_sender_to_the_sender_and_asks_for_none() -> None:
    report = made()
    assert report is not None
    assert report[0] == Envelope(None, (Recipient(ALICE, Notify.NEVER),), Origin.of_relay("relay.test"))


def test_eight_bit_content_is_declared_where_it_is() -> None:
    report = made(about=original("Subject: é\r\n\r\né\r\n".encode()))
    assert report is not None
    assert report[0].body_type is BodyType.EIGHT_BIT
    assert not report[0].smtputf8
    whole, words, status, returned = parse(report[1])
    encodings = [part["Content-Transfer-Encoding"] for part in (whole, words, status, returned)]
    assert encodings == ["8bit", None, None, "8bit"]
    assert returned.get_content_type() == "message/rfc822"


def test_a_report_says_that_it_is_one() -> None:
    whole = parse(written())[0]
    assert whole["Auto-Submitted"] == "auto-replied"
    assert whole["Subject"] == "Mail delivery failed: returning message to sender"
    assert whole["From"] == "Mail Delivery System <Mailer-Daemon@relay.test>"
    assert whole["Message-ID"] == "<0000000000002@relay.test>"
    assert whole.get_param("report-type") == "delivery-status"


def test_a_report_is_threaded_under_the_message() -> None:
    whole = parse(written())[0]
    assert whole["In-Reply-To"] == whole["References"] == "<1@example.test>"


@pytest.mark.parametrize("id", [b"not an id", b"<a\r\n b@c>", b"<a b>", "<é@b>".encode(), b"<" + b"a" * 1000 + b"@b>"])
def test_a_message_id_that_could_break_a_field_is_not_copied(id: bytes) -> None:
    whole = parse(written(about=original(b"Message-ID: " + id + b"\r\n\r\nx\r\n")))[0]
    assert whole["In-Reply-To"] is None
    assert whole["References"] is None


def test_an_international_recipient_stays_out_of_fields_that_must_be_ascii() -> None:
    report = written(recipient=Recipient(parse_address("žofie@example.com")))
    whole, _, status, _ = parse(report)
    assert whole["X-Failed-Recipients"] is None
    assert status.get_content_type() == "message/global-delivery-status"
    assert "Final-Recipient: utf-8; žofie@example.com\r\n".encode() in report


# The fields for programs


def test_the_status_part_has_a_group_for_the_message_and_one_for_each_recipient() -> None:
    recipient = Recipient(BOB.address, None, "rfc822;Bob@Example.com")
    message, bob = groups(parse(written(about=original(envid="e+1"), recipient=recipient))[2])
    assert dict(message.items()) == {
        "Original-Envelope-Id": "e+1",
        "Reporting-MTA": "dns; relay.test",
        "Arrival-Date": "Sun, 22 Nov 2026 12:58:42 +0000",
        "X-Smtprelay-Queue-Id": "0000000000001",
    }
    assert dict(bob.items()) == {
        "Original-Recipient": "rfc822;Bob@Example.com",
        "Final-Recipient": "rfc822; bob@example.com",
        "Action": "failed",
        "Status": "5.1.1",
        "Remote-MTA": "dns; mx.example.com",
        "Diagnostic-Code": "smtp; 550 5.1.1 no such user",
        "Last-Attempt-Date": "Sun, 22 Nov 2026 13:08:42 +0000",
    }


@pytest.mark.parametrize(
    ("event", "outcome", "action"),
    [
        (Notify.FAILURE, REFUSED, "failed"),
        (Notify.DELAY, BUSY, "delayed"),
        (Notify.SUCCESS, Delivered("250 ok", "mx.test[192.0.2.1]:25"), "relayed"),
        (Notify.SUCCESS, Delivered("saved", ""), "delivered"),
    ],
)
def test_the_action_names_the_event(event: Notify, outcome: Outcome, action: str) -> None:
    everything = Recipient(BOB.address, Notify.SUCCESS | Notify.FAILURE | Notify.DELAY)
    assert groups(parse(written(event, None, outcome, everything))[2])[1]["Action"] == action


def test_the_subject_names_the_event() -> None:
    everything = Recipient(BOB.address, Notify.SUCCESS | Notify.DELAY)
    success = written(Notify.SUCCESS, None, Delivered("saved", ""), everything)
    assert parse(success)[0]["Subject"] == "Message 0000000000001 delivered"
    assert (
        parse(written(Notify.DELAY, None, BUSY, everything))[0]["Subject"] == "Warning: message 0000000000001 delayed"
    )


def test_only_a_delay_says_until_when() -> None:
    assert groups(parse(written(Notify.DELAY, None, BUSY))[2])[1]["Will-Retry-Until"] is not None
    assert groups(parse(written())[2])[1]["Will-Retry-Until"] is None


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("mx.test[192.0.2.1]:25", "dns; mx.test"),
        ("192.0.2.1[192.0.2.1]:25", "dns; [192.0.2.1]"),
        ("2001:db8::1[2001:db8::1]:25", "dns; [IPv6:2001:db8::1]"),
        ("", None),
    ],
)
def test_the_remote_is_named_without_its_port(host: str, name: str | None) -> None:
    assert groups(parse(written(outcome=Failed("no", host, "5.0.0")))[2])[1]["Remote-MTA"] == name


@pytest.mark.parametrize(
    ("host", "words", "code"),
    [
        ("mx.test[192.0.2.1]:25", "550 no", "smtp; 550 no"),
        ("mx.test[192.0.2.1]:25", "connection refused", "x-smtprelay; connection refused"),
        ("", "550 of our own", "x-smtprelay; 550 of our own"),
        ("", "", None),
    ],
)
def test_only_a_reply_of_the_remote_is_an_smtp_diagnostic(host: str, words: str, code: str | None) -> None:
    assert groups(parse(written(outcome=Failed(words, host, "5.0.0")))[2])[1]["Diagnostic-Code"] == code


def test_an_invalid_status_is_replaced() -> None:
    for status in ("5.1.1\r\nAction: delivered", "5.१.१"):
        assert groups(parse(written(outcome=Failed("no", "", status)))[2])[1]["Status"] == "5.0.0"


def test_a_status_part_that_must_be_ascii_is() -> None:
    status = parse(written(outcome=Failed("550 neznámý", "mx.test[192.0.2.1]:25", "5.1.1")))[2]
    assert status.get_content_type() == "message/delivery-status"
    assert groups(status)[1]["Diagnostic-Code"] == "smtp; 550 nezn?m?"


# How much of the message comes back


def returned(size: int, ret: Ret | None, event: Notify = Notify.FAILURE) -> str:
    line = b"x" * 70 + b"\r\n"
    content = MESSAGE + line * ((size - len(MESSAGE)) // len(line))
    return parse(written(event, original(content, ret=ret), REFUSED))[3].get_content_type()


@pytest.mark.parametrize(
    ("size", "ret", "kind"),
    [
        (1000, None, "message/rfc822"),
        (1000, Ret.FULL, "message/rfc822"),
        (1000, Ret.HEADERS, "text/rfc822-headers"),
        (dsn.MAX_WHOLE_BY_DEFAULT, None, "message/rfc822"),
        (dsn.MAX_WHOLE_BY_DEFAULT + 100, None, "text/rfc822-headers"),
        (dsn.MAX_WHOLE_BY_DEFAULT + 100, Ret.FULL, "message/rfc822"),
        (dsn.MAX_WHOLE_IF_ASKED + 100, Ret.FULL, "text/rfc822-headers"),
    ],
)
def test_how_much_is_returned(size: int, ret: Ret | None, kind: str) -> None:
    assert returned(size, ret) == kind


@pytest.mark.parametrize("event", [Notify.FAILURE, Notify.DELAY, Notify.SUCCESS])
def test_a_report_is_protected_as_its_message_was(event: Notify) -> None:
    outcome = Delivered("250 ok", "") if event is Notify.SUCCESS else REFUSED
    for demand, passed_on in ((TlsDemand.REQUIRED, TlsDemand.REQUIRED), (TlsDemand.OPTIONAL, None), (None, None)):
        report = made(event, original(tls_demand=demand), outcome, replace(BOB, notify=event))
        assert report is not None
        assert report[0].tls_demand is passed_on


def test_a_message_with_requiretls_comes_back_as_its_header_whatever_was_asked() -> None:
    for ret in (None, Ret.FULL):
        message = written(Notify.FAILURE, original(ret=ret, tls_demand=TlsDemand.REQUIRED), REFUSED)
        assert parse(message)[3].get_content_type() == "text/rfc822-headers"


def test_only_a_failure_returns_the_body() -> None:
    assert returned(1000, Ret.FULL, Notify.DELAY) == "text/rfc822-headers"


def test_the_message_comes_back_as_it_was_with_its_sender() -> None:
    assert b"\r\n\r\nReturn-Path: <alice@example.test>\r\n" + MESSAGE + b"\r\n--=_" in written()


def test_the_long_replies_of_many_recipients_are_quoted_in_part() -> None:
    recipients = [Recipient(parse_address(f"bob{number}@example.com")) for number in range(1000)]
    results = [dsn.ReportedRecipient(one, replace(REFUSED, text=f"550 {'a ' * 4000}")) for one in recipients]
    report = dsn.make_report(Notify.FAILURE, original(), results, STAMP)
    assert report is not None
    assert report[1].count(b"a a a") > 1000
    assert len(report[1]) < 8 * dsn.MAX_QUOTED_CHARACTERS


def test_a_few_long_replies_are_quoted_whole() -> None:
    results = [dsn.ReportedRecipient(BOB, replace(REFUSED, text=f"550 {'a' * 4000}")) for _ in range(10)]
    report = dsn.make_report(Notify.FAILURE, original(), results, STAMP)
    assert report is not None
    assert sum(line.count(b"a") for line in lines_of(report[1])) > 10 * 2 * 4000


@pytest.mark.parametrize(("length", "whole"), [(998, True), (999, False)])
def test_a_message_is_returned_whole_up_to_the_longest_line_of_the_standard(length: int, whole: bool) -> None:
    content = MESSAGE + (b"x" * length + b"\r\n") * 3
    assert (b"x" * length in written(about=original(content, ret=Ret.FULL))) == whole


def test_a_body_with_an_overlong_line_is_not_returned() -> None:
    report = written(about=original(MESSAGE + b"x" * 999 + b"\r\n"))
    assert parse(report)[3].get_content_type() == "text/rfc822-headers"


def test_a_huge_header_is_cut_after_a_whole_line() -> None:
    many = b"X-Many: " + b"y" * 90 + b"\r\n"
    content = MESSAGE.replace(b"Subject: a\r\n", b"X-Long: " + b"y" * 2000 + b"\r\n" + many * 20_000)
    report = written(about=original(content))
    lines = report.split(b"\r\n")
    assert max(map(len, lines)) == 998
    assert lines[-5:] == [many[:-2], many[:-2], b"", b"--=_token0123456789--", b""]
    assert len(report) < dsn.MAX_RETURNED_HEADER + 3000


def test_a_message_without_a_header_comes_back_too() -> None:
    assert parse(written(about=original(b"")))[3].get_content_type() == "message/rfc822"


# Hostile words

HOSTILE = st.one_of(
    st.text(max_size=300),
    st.sampled_from(
        [
            "550 no\r\n--=_token0123456789--\r\n",
            "550 no\r\n\r\nAction: delivered\r\n",
            "550 \x00\x1b[2J\u202e\u2028evil\x85line",
            "550 " + "x" * 20_000,
            "550 " + "é" * 5000,
            "550" + " " * 5000 + "x",
        ]
    ),
)


def lines_of(message: bytes) -> Iterator[bytes]:
    assert b"\r" not in message.replace(b"\r\n", b"")
    assert b"\n" not in message.replace(b"\r\n", b"")
    yield from message.split(b"\r\n")


@given(HOSTILE, HOSTILE, HOSTILE, HOSTILE, st.sampled_from([Notify.FAILURE, Notify.DELAY]))
@settings(max_examples=200, deadline=None)
def test_untrusted_text_cannot_break_a_report(words: str, host: str, orcpt: str, envid: str, event: Notify) -> None:
    recipient = Recipient(BOB.address, None, orcpt)
    report = written(event, original(envid=envid), Failed(words, host, "5.1.1"), recipient)
    assert all(len(line) <= 998 and b"\0" not in line for line in lines_of(report))
    assert report.count(b"\r\n--=_token0123456789") == 4
    whole, text, status, _ = parse(report)
    assert whole["Subject"] == (
        "Mail delivery failed: returning message to sender"
        if event is Notify.FAILURE
        else "Warning: message 0000000000001 delayed"
    )
    assert text.get_content_type() == "text/plain"
    if status.get_content_type() == "message/delivery-status":
        assert [group["Action"] for group in groups(status)] == [
            None,
            "failed" if event is Notify.FAILURE else "delayed",
        ]


@given(st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=2000))
@settings(max_examples=50)
def test_the_remotes_reply_is_quoted_in_full(words: str) -> None:
    report = written(outcome=Failed(f"550 {words}", "mx.test[192.0.2.1]:25", "5.0.0"))
    text = parse(report)[1].get_content()
    assert words in text.replace("\n", "").replace(" ", "")


@pytest.mark.parametrize(
    ("status", "advice"),
    [
        ("5.1.1", "spelling"),
        ("5.2.2", "mailbox is full"),
        ("5.3.4", "too large"),
        ("5.4.7", "could not be reached"),
        ("5.7.1", "its own rules"),
        ("5.0.0", "mail administrator"),
    ],
)
def test_the_text_for_people_gives_advice(status: str, advice: str) -> None:
    assert advice in parse(written(outcome=Failed("no", "", status)))[1].get_content()


class Unreadable:
    """A body that the disk no longer gives."""

    size = 9

    def chunks(self) -> Iterator[bytes]:
        raise OSError("gone")


@pytest.mark.parametrize("event", [Notify.FAILURE, Notify.DELAY])
def test_the_sender_hears_of_a_message_that_can_no_longer_be_read(event: Notify) -> None:
    lost = replace(original(), body=Unreadable())
    parsed, words, status, header = parse(written(event, lost, REFUSED if event is Notify.FAILURE else BUSY))
    assert parsed["To"] == "alice@example.test"
    assert "The message itself cannot be read any more" in words.get_content()
    assert groups(status)[1]["Final-Recipient"] == "rfc822; bob@example.com"
    assert header.get_content().strip() == "Return-Path: <alice@example.test>"
