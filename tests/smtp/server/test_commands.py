"""Command lines and the values that are parsed from them."""

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mta.smtp.address import Address
from mta.smtp.errors import ProtocolRefusal
from mta.smtp.parameters import BodyType, Notify, Recipient, Ret
from mta.smtp.server.commands import (
    parse_bdat,
    parse_hello,
    parse_mail,
    parse_nothing,
    parse_rcpt,
    shown,
    split_command,
)
from mta.smtp.server.events import MailFrom, RcptTo
from tests.strategies import wild_bytes

A = Address("a", "x.test")


def refusal(parse, *arguments, **keywords):
    with pytest.raises(ProtocolRefusal) as caught:
        parse(*arguments, **keywords)
    return f"{caught.value.reply.code} {caught.value.reply.status}"


@pytest.mark.parametrize(
    ("line", "verb", "argument"),
    [
        (b"NOOP", b"NOOP", b""),
        (b"noop", b"NOOP", b""),
        (b"Mail FROM:<>", b"MAIL", b"FROM:<>"),
        (b"EHLO   x\t ", b"EHLO", b"x"),
        (b"QUIT ", b"QUIT", b""),
        (b"", b"", b""),
        (b" NOOP", b"", b"NOOP"),
    ],
)
def test_a_line_is_a_verb_and_its_argument(line, verb, argument):
    assert split_command(line) == (verb, argument)


@pytest.mark.parametrize(
    ("argument", "command"),
    [
        (b"FROM:<a@x.test>", MailFrom(A)),
        (b"from:<a@x.test>", MailFrom(A)),
        (b"FROM:<>", MailFrom(None)),
        (b"FROM: <>", MailFrom(None)),
        (b"FROM:  <a@x.test>", MailFrom(A)),
        (b"FROM:a@x.test", MailFrom(A)),
        (b"FROM:<@r.test,@s.test:a@x.test>", MailFrom(A)),
        (b'FROM:<"a > b"@x.test> SIZE=7', MailFrom(Address("a > b", "x.test"), size=7)),
        (b'FROM:<"a\\"b"@x.test>', MailFrom(Address('a"b', "x.test"))),
        (b"FROM:<a@x.test> SIZE=10", MailFrom(A, size=10)),
        (b"FROM:a@x.test SIZE=10", MailFrom(A, size=10)),
        (b"FROM:<a@x.test>\tBODY=8BITMIME", MailFrom(A, body_type=BodyType.EIGHT_BIT)),
        (b"FROM:<a@x.test> body=7bit", MailFrom(A)),
        (b"FROM:<a@x.test> SMTPUTF8", MailFrom(A, smtputf8=True)),
        (b"FROM:<a@x.test> RET=hdrs ENVID=a+2Bb", MailFrom(A, ret=Ret.HEADERS, envid="a+b")),
        (b"FROM:<a@x.test> ENVID=QQ==", MailFrom(A, envid="QQ==")),
        (b"FROM:<a@x.test> ENVID=" + b"x" * 101, MailFrom(A)),
        (b"FROM:<a@x.test> AUTH=<>", MailFrom(A)),
        ("FROM:<ü@x.test> SMTPUTF8".encode(), MailFrom(Address("ü", "x.test"), smtputf8=True)),
    ],
)
def test_mail_is_read(argument, command):
    assert parse_mail(argument) == command


@pytest.mark.parametrize(
    ("argument", "said"),
    [
        (b"", "501 5.5.4"),
        (b"FROM", "501 5.5.4"),
        (b"FROM:", "501 5.5.4"),
        (b"TO:<a@x.test>", "501 5.5.4"),
        (b"FROM:<a@x.test", "501 5.5.4"),
        (b"FROM:<a@x.test>SIZE=1", "501 5.5.4"),
        (b"FROM:<<a@x.test>", "501 5.5.4"),
        (b"FROM:<a>", "501 5.1.7"),
        (b"FROM:<postmaster>", "501 5.1.7"),
        (b"FROM:<a@x..test>", "501 5.1.7"),
        (b"FROM:<a\x07@x.test>", "501 5.1.7"),
        (b"FROM:<a@x.test> SIZE", "501 5.5.4"),
        (b"FROM:<a@x.test> SIZE=-1", "501 5.5.4"),
        (b"FROM:<a@x.test> SIZE=" + b"9" * 21, "501 5.5.4"),
        (b"FROM:<a@x.test> SIZE=1 size=1", "501 5.5.4"),
        (b"FROM:<a@x.test> BODY=BINARYMIME", "555 5.5.4"),
        (b"FROM:<a@x.test> BODY", "501 5.5.4"),
        (b"FROM:<a@x.test> RET=FULL RET=HDRS", "501 5.5.4"),
        (b"FROM:<a@x.test> X=1", "555 5.5.4"),
        (b"FROM:<a@x.test> =", "555 5.5.4"),
        (b"FROM:<a@x.test> SIZE=1\x0bBODY=7BIT", "501 5.5.4"),
        ("FROM:<a@x.test> SMTPUTF8 SIZE=1\u00a0BODY=7BIT".encode(), "501 5.5.4"),
        ("FROM:<a@x.test>\u3000SIZE=1 SMTPUTF8".encode(), "501 5.5.4"),
        ("FROM:<ü@x.test>".encode(), "553 5.6.7"),
        ("FROM:<a@ü.test>".encode(), "553 5.6.7"),
        (b"FROM:<\xfc@x.test> SMTPUTF8", "501 5.5.2"),
    ],
)
def test_mail_is_refused(argument, said):
    assert refusal(parse_mail, argument) == said


@pytest.mark.parametrize(
    ("argument", "recipient"),
    [
        (b"TO:<a@x.test>", Recipient(A)),
        (b"To: a@x.test", Recipient(A)),
        (b"TO:<Postmaster>", Recipient(Address("Postmaster", ""))),
        (b"TO:<@r.test:a@x.test>", Recipient(A)),
        (b"TO:<a@x.test> NOTIFY=never", Recipient(A, Notify.NEVER)),
        (b"TO:<a@x.test> NOTIFY=DELAY,FAILURE", Recipient(A, Notify.DELAY | Notify.FAILURE)),
        (b"TO:<a@x.test> ORCPT=rfc822;b+2Bc@x.test", Recipient(A, original="rfc822;b+c@x.test")),
        (b"TO:<a@x.test> ORCPT=utf-8;\\x{FC}@x.test", Recipient(A, original="utf-8;ü@x.test")),
        (b"TO:<a@x.test> ORCPT=rfc822;+C3+BC@x.test", Recipient(A, original="utf-8;ü@x.test")),
        (b"TO:<a@x.test> ORCPT=a@x.test", Recipient(A, original="rfc822;a@x.test")),
        ("TO:<a@x.test> ORCPT=utf-8;ü@x.test".encode(), Recipient(A, original="utf-8;ü@x.test")),
        (b"TO:<a@x.test> ORCPT=", Recipient(A)),
    ],
)
def test_rcpt_is_read(argument, recipient):
    assert parse_rcpt(argument, smtputf8=False) == RcptTo(recipient)


@pytest.mark.parametrize(
    ("argument", "said"),
    [
        (b"TO:<>", "501 5.1.3"),
        (b"TO:<bob>", "501 5.1.3"),
        (b"TO:<a@x_y.test>", "501 5.1.3"),
        (b"FROM:<a@x.test>", "501 5.5.4"),
        (b"TO:<a@x.test> NOTIFY=NEVER,DELAY", "501 5.5.4"),
        (b"TO:<a@x.test> NOTIFY=ALWAYS", "501 5.5.4"),
        (b"TO:<a@x.test> ORCPT=a ORCPT=b", "501 5.5.4"),
        (b"TO:<a@x.test> SIZE=1", "555 5.5.4"),
        ("TO:<ü@x.test>".encode(), "553 5.6.7"),
    ],
)
def test_rcpt_is_refused(argument, said):
    assert refusal(parse_rcpt, argument, smtputf8=False) == said


def test_rcpt_takes_other_letters_after_smtputf8():
    assert parse_rcpt("TO:<ü@ü.test>".encode(), smtputf8=True).recipient.address == Address("ü", "xn--tda.test")


@pytest.mark.parametrize("name", [b"a", b"my_container", b"[192.0.2.1]", b"[IPv6:::1]", b"::1", b"a.b-c.test"])
def test_a_harmless_name_is_accepted(name):
    assert parse_hello(name).encode() == name


@pytest.mark.parametrize("name", [b"", b"a b", b"a\x01", b"a)", b"<a>", b'"', b"\xc3\xbc", b"a" * 256])
def test_a_name_that_could_lie_in_a_header_is_refused(name):
    assert refusal(parse_hello, name) == "501 5.5.4"


@pytest.mark.parametrize(
    ("argument", "chunk"),
    [(b"10", (10, False)), (b"0 LAST", (0, True)), (b"007 last", (7, True)), (b"9" * 19, (int("9" * 19), False))],
)
def test_bdat_is_read(argument, chunk):
    assert parse_bdat(argument) == chunk


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (b"MAIL FROM:<a b>", "MAIL FROM:<a b>"),
        (b"rcpt to:<\xc3\xbc\xff\x1b\xe2\x80\xae>", "rcpt to:<ü\ufffd??>"),
        (b"EHLO " + b"x" * 999, "EHLO " + "x" * 295),
        (b"auth PLAIN AGEAYg==", "AUTH"),
        (b"STARTTLS now", "STARTTLS"),
        (b"czNjcmV0", "?"),
        (b"", "?"),
    ],
)
def test_a_log_shows_no_more_of_a_command_than_it_may(line, text):
    assert shown(line) == text


@given(wild_bytes)
def test_a_logged_command_is_one_bounded_printable_line(line):
    for text in (shown(line), shown(b"MAIL " + line)):
        assert text.isprintable()
        assert 0 < len(text) <= 300


@pytest.mark.parametrize("argument", [b"", b"LAST", b"ten", b"-1", b"1 FIRST", b"1 LAST LAST", b"9" * 20, b"\xd9\xa1"])
def test_a_malformed_bdat_is_fatal(argument):
    with pytest.raises(ProtocolRefusal) as caught:
        parse_bdat(argument)
    assert caught.value.fatal
    assert caught.value.reply.code == 501


def test_an_unexpected_argument_is_refused():
    parse_nothing(b"")
    assert refusal(parse_nothing, b"x") == "501 5.5.4"


@given(st.sampled_from([b"FROM:", b"FROM:<a@x.test> ", b"FROM:<", b""]), wild_bytes)
@settings(max_examples=300, deadline=None)
def test_any_argument_is_read_or_refused(prefix, rest):
    for parse in (
        parse_mail,
        lambda argument: parse_rcpt(argument.replace(b"FROM", b"TO"), smtputf8=True),
        parse_bdat,
        parse_hello,
    ):
        with contextlib.suppress(ProtocolRefusal):
            parse(prefix + rest)
