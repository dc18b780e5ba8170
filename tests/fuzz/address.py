"""Addresses, and the commands and parameters they come in: any octets as a line, any text as an address."""

from collections.abc import Callable
from contextlib import suppress

from hypothesis import strategies as st

from mta.smtp.address import MAX_DOMAIN_OCTETS, AddressError, parse_address, parse_domain
from mta.smtp.domains import domain_list, parse_pattern
from mta.smtp.errors import ProtocolRefusal
from mta.smtp.parameters import (
    MAX_ORCPT,
    Recipient,
    decode_envid,
    decode_original,
    decode_xtext,
    encode_original,
    encode_xtext,
    without_utf8,
)
from mta.smtp.replies import MAX_REPLY_LINE, Reply
from mta.smtp.server.commands import parse_bdat, parse_hello, parse_mail, parse_nothing, parse_rcpt, split_command
from mta.smtp.server.events import MailFrom, RcptTo
from tests.fuzz.target import Growth, Tape, Target, is_line, sentences
from tests.strategies import domains, literals, local_parts

_PARSERS: tuple[Callable[[bytes], object], ...] = (
    parse_nothing,
    parse_hello,
    parse_bdat,
    parse_mail,
    lambda argument: parse_rcpt(argument, smtputf8=False),
    lambda argument: parse_rcpt(argument, smtputf8=True),
)
# Bidirectional controls, which `isprintable` recognizes, and separators at which some programs end lines.
_DECEPTIVE = frozenset("\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff\u2028\u2029\x85")


def check(line: bytes) -> None:
    """Read octets as each thing they might be."""
    _, argument = split_command(line)
    for given in (argument, line):
        for parse in _PARSERS:
            _check_command(parse, given)
    text = line.decode("utf-8", "surrogateescape")
    _check_address(text)
    _check_domain(text)
    _check_parameters(text)


def _check_command(parse: Callable[[bytes], object], argument: bytes) -> None:
    try:
        value = parse(argument)
    except ProtocolRefusal as refusal:
        _check_refusal(refusal.reply)
        return
    if isinstance(value, RcptTo):
        _check_recipient(value.recipient, utf8=not argument.isascii())
    elif isinstance(value, MailFrom):
        assert value.sender is None or value.sender.domain
        assert value.smtputf8 or value.sender is None or not value.sender.needs_utf8
        assert is_line(value.envid or "")
        assert decode_xtext(encode_xtext(value.envid or "")) == (value.envid or "")
    elif isinstance(value, str):
        assert is_line(value)
        assert value.isascii()
        assert not set(value) & set('()<>\\", ')


def _check_refusal(reply: Reply) -> None:
    assert 500 <= reply.code < 600
    assert reply.wire.count(b"\r\n") == 1
    assert reply.wire.endswith(b"\r\n")
    assert is_line(reply.wire[:-2].decode())
    assert len(reply.wire) <= MAX_REPLY_LINE


def _check_recipient(recipient: Recipient, *, utf8: bool) -> None:
    """Write a recipient, parse the result, and find the same recipient."""
    written = f"TO:<{recipient.address}>"
    original = recipient.original
    if original is not None:
        _check_no_control(original)
        encoded = encode_original(original, utf8=utf8)
        written += f" ORCPT={encoded}"
        original = original if len(encoded) <= MAX_ORCPT else None
    again = parse_rcpt(written.encode(), smtputf8=True).recipient
    assert (again.address, again.original) == (recipient.address, original)


def _check_address(text: str) -> None:
    try:
        address = parse_address(text)
    except AddressError:
        return
    printed = str(address)
    assert parse_address(printed) == address
    assert str(parse_address(printed)) == printed
    assert not _DECEPTIVE & set(printed)
    _check_no_control(printed)
    assert address.needs_utf8 == (not printed.isascii())
    assert address.domain.isascii()
    # The address can be taken out of its path again: no bracket, blank or quote is loose.
    assert parse_rcpt(f"TO:<{printed}>".encode(), smtputf8=True).recipient.address == address


def _check_no_control(text: str) -> None:
    """Demand that a text has no control of C0 or C1, and no half of a character."""
    assert not any(ord(char) < 32 or 127 <= ord(char) < 160 for char in text)
    assert text.encode().decode() == text


def _check_domain(text: str) -> None:
    with suppress(AddressError):
        domain = parse_domain(text)
        assert parse_domain(domain) == domain
        assert domain == domain.lower() or domain.startswith("[IPv6:")
        assert len(domain) <= MAX_DOMAIN_OCTETS
        assert not set(domain) - set("abcdefghijklmnopqrstuvwxyz0123456789-.[]:IPv")
    with suppress(AddressError):
        pattern = parse_pattern(text)
        assert parse_pattern(pattern) == pattern
        listed = domain_list([text])
        assert listed.patterns == (pattern,)
        assert pattern.startswith("*") or listed.matches(pattern)


def _check_parameters(text: str) -> None:
    envid = decode_envid(text)
    if envid is not None:
        assert is_line(envid)
        assert decode_xtext(encode_xtext(envid)) == envid
    with suppress(UnicodeEncodeError):
        text.encode()
        _check_original(decode_original(text))


def _check_original(original: str | None) -> None:
    if original is None:
        return
    _check_no_control(original)
    for utf8 in (False, True):
        encoded = encode_original(original, utf8=utf8)
        assert len(encoded) > MAX_ORCPT or decode_original(encoded) == original
        assert utf8 or encoded.isascii()
    assert "\n" not in without_utf8(original)


# The two ways to an input


def read(tape: Tape) -> bytes:
    """Read a line: all octets there are."""
    return tape.rest()


_VOCABULARY = (
    *(b"MAIL FROM:", b"RCPT TO:", b"FROM:", b"TO:", b"<", b">", b"<>", b"@", b"a", b"bob", b"postmaster", b"x.test"),
    *(
        b"a@x.test",
        b'"a b"',
        b'"',
        b"\\",
        b'\\"',
        b".",
        b"..",
        b"[192.0.2.1]",
        b"[IPv6:::1]",
        b"[",
        b"]",
        b"xn--",
        b"-",
    ),
    *(
        b"@a.test,@b.test:",
        b":",
        b" ",
        b"\t",
        b" SIZE=1",
        b" BODY=8BITMIME",
        b" SMTPUTF8",
        b" RET=FULL",
        b" ENVID=a+2B",
    ),
    *(
        b" NOTIFY=NEVER",
        b" NOTIFY=SUCCESS,DELAY",
        b" ORCPT=rfc822;a@x",
        b" ORCPT=utf-8;\\x{FC}",
        b" AUTH=<>",
        b"+0D",
        b"=",
        b"+",
    ),
    *(
        b"\xc3\xbc",
        b"\xe2\x80\xae",
        b"\xe3\x80\x82",
        b"\xc2\xad",
        b"\xef\xbc\xa0",
        b"\xed\xa0\x80",
        b"\xff",
        b"\0",
        b"\r",
        b"\n",
    ),
    *(
        b"%",
        b"!",
        b"|",
        b"*",
        b"*.",
        b"../",
        b"a" * 63,
        b"BDAT 3 LAST",
        b"EHLO ",
        b"\xc2\x85",
        b"\xe2\x80\xa8",
        b"\xf0\x9f\x98\x80",
    ),
)
_ADDRESSES = st.builds(
    lambda local, domain, form: form % (local.encode("utf-8", "ignore"), domain.encode()),
    local_parts,
    domains | literals,
    st.sampled_from((b"%b@%b", b'"%b"@%b', b"TO:<%b@%b>", b'TO:<"%b"@%b> NOTIFY=DELAY', b"FROM:<%b@%b> SMTPUTF8")),
)
lines = st.one_of(sentences(_VOCABULARY, 16), sentences(_VOCABULARY, 16), _ADDRESSES)


def _shape(name: str, make: Callable[[int], bytes]) -> Growth[bytes]:
    return Growth(name, make)


GROWTH = (
    _shape("a local part", lambda n: b"TO:<" + b"a" * n + b"@x.test>"),
    _shape("dots", lambda n: b"." * n),
    _shape("at signs", lambda n: b"TO:<" + b"@" * n),
    _shape("quotes", lambda n: b"TO:<" + b'"' * n),
    _shape("escaped quotes", lambda n: b'TO:<"' + b'\\"' * (n // 2)),
    _shape("quoted strings", lambda n: b"TO:<" + b'"a"' * (n // 3) + b"\t"),
    _shape("a source route", lambda n: b"TO:<@" + b"a," * (n // 2)),
    _shape("blanks", lambda n: b"TO:" + b" " * n + b"<"),
    _shape("blanks behind a path", lambda n: b"TO:<a@b>" + b" " * n + b"x"),
    _shape("parameters", lambda n: b"TO:<a@b>" + b" X=1" * (n // 4)),
    _shape("notices", lambda n: b"TO:<a@b> NOTIFY=" + b"DELAY," * (n // 6)),
    _shape("xtext", lambda n: b"+41" * (n // 3) + b"+"),
    _shape("utf-8 text", lambda n: b"utf-8;" + b"\\x{41}" * (n // 6)),
    _shape("letters abroad", lambda n: "ü".encode() * (n // 2)),
    _shape("marks that combine", lambda n: b"a" + "\u0301\u0316".encode() * (n // 4)),
    _shape("letters from right to left", lambda n: "א1".encode() * (n // 3)),
    _shape("labels abroad", lambda n: "ü.".encode() * (n // 3)),
    _shape("joiners", lambda n: "\u0915\u094d\u200d".encode() * (n // 9)),
    _shape("middle dots", lambda n: "l·".encode() * (n // 3)),
    _shape("kana", lambda n: "・".encode() * (n // 3)),
    _shape("arabic digits", lambda n: "\u0660".encode() * (n // 2)),
    _shape("stars", lambda n: b"*" * n),
    _shape("a literal", lambda n: b"[IPv6:" + b"1:" * (n // 2) + b"]"),
    _shape("a number", lambda n: b"9" * n),
)
TARGET = Target("address", check, read, lines, _VOCABULARY, GROWTH)
