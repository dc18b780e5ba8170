"""The message that sendmail makes of its standard input."""

import io

import pytest

from mta.cli.exim.sendmail_message import (
    BadAddresses,
    MessageText,
    addresses,
    full_name_of,
    header_recipients,
    read_message,
    with_author,
    without_private_fields,
)

MESSAGE = (
    b"To: Bob <bob@b.test>, eve@b.test\nCc: zoe@c.test\nBcc: max@d.test,\n  ida@d.test\nSubject: x\n\nhello\nBcc: y\n"
)


def read(octets: bytes, *, dots: bool = True) -> MessageText:
    return read_message(io.BytesIO(octets), dots=dots)


@pytest.mark.parametrize(
    ("octets", "dots", "message"),
    [
        (b"a\nb", True, b"a\r\nb\r\n"),
        (b"a\r\nb\r\n", True, b"a\r\nb\r\n"),
        (b"a\rb\n", True, b"a\r\nb\r\n"),
        (b"a\n.\nb\n", True, b"a\r\n.\r\nb\r\n"),
        (b"a\n.\nb\n", False, b"a\r\n"),
        (b"a\r\n.\r\nb\r\n", False, b"a\r\n"),
        (b"a\n.", False, b"a\r\n"),
        (b"a\n.b\n..\n", False, b"a\r\n.b\r\n..\r\n"),
        (b".\n", False, b"\r\n"),
        (b"", True, b"\r\n"),
        (b"\xff\n", False, b"\xff\r\n"),
        (b"From me Thu Jan  1 00:00:00 1970\nA: b\n\nc\n", True, b"A: b\r\n\r\nc\r\n"),
    ],
)
def test_a_message_gets_line_ends_of_smtp_and_may_end_at_a_dot(octets: bytes, dots: bool, message: bytes) -> None:
    assert read(octets, dots=dots).octets == message


def test_a_dot_ends_the_message_before_the_input_ends() -> None:
    def typed():
        yield b"hello\n"
        yield b".\n"
        raise AssertionError("the reader waits for more")

    assert read_message(typed(), dots=False).octets == b"hello\r\n"


def test_a_dot_ends_the_message_only_on_a_line_of_its_own() -> None:
    assert read_message([b"long", b".\n", b"more\n", b".\n", b"no"], dots=False).octets == b"long.\r\nmore\r\n"


def test_recipients_are_taken_from_the_header() -> None:
    message = read(MESSAGE)
    assert header_recipients(message) == ["bob@b.test", "eve@b.test", "zoe@c.test", "max@d.test", "ida@d.test"]
    assert header_recipients(read(b"Resent-To: a@b.test\n" + MESSAGE)) == ["a@b.test"]
    # The recipients of the first sending are not those of this one.
    assert header_recipients(read(b"Resent-Bcc:\n" + MESSAGE)) == []
    assert header_recipients(read(b"Subject: x\n\nTo: a@b.test\n")) == []
    assert header_recipients(read("To: Jörg <jörg@b.test>\n\nhello\n".encode())) == ["jörg@b.test"]
    # RFC 5322 section 4.5: blanks before a colon do not end the header.
    assert header_recipients(read(b"X-Mailer : y\nTo :a@b.test\nCC\t: c@d.test\n\n")) == ["a@b.test", "c@d.test"]
    # The body may follow the header without a blank line.
    assert header_recipients(read(b"To: a@b.test\nno field\nCc: c@d.test\n")) == ["a@b.test"]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("undisclosed-recipients:;", []),
        ('list: a@b.test, "B, b" <b@b.test>;, root', ["a@b.test", "b@b.test", "root"]),
        ("a@b.test,, c@b.test,", ["a@b.test", "c@b.test"]),
        ("a@b.test (a comment, with a comma)", ["a@b.test"]),
        ("<>", []),
    ],
)
def test_lists_of_addresses_are_read(text: str, found: list[str]) -> None:
    assert addresses([text]) == found
    assert addresses([text, "x@y.test"]) == [*found, "x@y.test"]


def test_fields_that_would_be_left_out_are_refused() -> None:
    assert len(header_recipients(read(b"".join(b"To: a%d@b.test\n" % number for number in range(49))))) == 49
    with pytest.raises(BadAddresses, match="50 fields To or more"):
        header_recipients(read(b"To: a@b.test\n" * 50))


def test_addresses_that_cannot_be_in_a_command_are_refused() -> None:
    with pytest.raises(BadAddresses, match="comments"):
        addresses(["(" * 10_000])
    for text in ("a\x01@b.test", "\udcff@b.test"):
        with pytest.raises(BadAddresses, match="no address"):
            addresses([text])


def test_hidden_recipients_leave_the_header() -> None:
    kept = without_private_fields(read(MESSAGE)).octets
    assert b"max@d.test" not in kept
    assert b"ida@d.test" not in kept
    assert kept.endswith(b"Cc: zoe@c.test\r\nSubject: x\r\n\r\nhello\r\nBcc: y\r\n")
    assert without_private_fields(read(b"bcc: x\n\nbody\n")).octets == b"\r\nbody\r\n"


@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("", b"From: <me@a.test>\r\n"),
        ("CronDaemon", b"From: CronDaemon <me@a.test>\r\n"),
        ("Me, Myself", b'From: "Me, Myself" <me@a.test>\r\n'),
        ("J\u00f6rg", b"From: =?utf-8?b?SsO2cmc=?= <me@a.test>\r\n"),
        ("a\r\nBcc: b\udcff", b'From: "aBcc: b" <me@a.test>\r\n'),
    ],
)
def test_a_missing_author_is_added_behind_the_header(name: str, field: bytes) -> None:
    assert with_author(read(b"A: b\n\nc\n"), "me@a.test", name).octets == b"A: b\r\n" + field + b"\r\nc\r\n"


def test_an_author_stays() -> None:
    message = read(b"from: you@a.test\n\nc\n")
    assert with_author(message, "me@a.test", "Me") is message
    assert b"From: <j\xc3\xb6rg@a.test>\r\n" in with_author(read(b"\nc\n"), "jörg@a.test", "").octets


def test_the_full_name_is_the_first_part_of_gecos() -> None:
    assert full_name_of("Ann Other,,,", "ann") == "Ann Other"
    assert full_name_of("& Other", "ann") == "Ann Other"
    assert full_name_of("", "ann") == ""
