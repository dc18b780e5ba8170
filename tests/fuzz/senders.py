"""The From field of a user whose senders are listed: no other reader finds an address that was not checked."""

from collections.abc import Callable
from email.utils import getaddresses

from hypothesis import strategies as st

from mta.inbound.sender_rule import MAX_FROM, SenderRule, authors
from mta.message import headers
from mta.smtp.address import Address, AddressError
from mta.smtp.replies import MAX_REPLY_LINE
from tests.fuzz.target import Growth, Tape, Target, is_line, sentences


class _Own:
    """Allows the addresses of one domain, whose name must not be told."""

    def allows(self, address: Address) -> bool:
        return address.domain == "canary.test"


_RULE = SenderRule("alice", _Own())


def check(value: bytes) -> None:
    """Read octets as the value of a From field, folded or not."""
    block = b"From: " + value.replace(b"\r", b"").replace(b"\n", b"\r\n ") + b"\r\n"
    (unfolded,) = headers.values(block, "From")
    found = _found(unfolded)
    refusal = _RULE.refusal_of_header(block, None)
    if refusal is not None:
        wire = refusal.wire.removesuffix(b"\r\n").decode()
        assert is_line(wire)
        assert len(refusal.wire) <= MAX_REPLY_LINE
        assert "canary" not in wire or b"canary" in value.lower()
        return
    assert found
    assert all(map(_Own().allows, found))
    for _, address in getaddresses([unfolded.decode()]):
        domain = address.rpartition("@")[2].lower()
        assert "@" not in address or domain in {"", "canary.test"}, address


def _found(value: bytes) -> list[Address]:
    try:
        return list(authors(value))
    except AddressError as error:
        reason = str(error)
    assert is_line(reason)
    return []


# The two ways to an input


def read(tape: Tape) -> bytes:
    """Read a field: all octets there are."""
    return tape.rest()


_WORDS = (
    *(
        b"alice@canary.test",
        b"alice@canary.test",
        b"<alice@canary.test>",
        b"<alice@canary.test>",
        b"Alice ",
        b'"Alice" ',
    ),
    *(
        b"eve@evil.test",
        b"<eve@evil.test>",
        b'"eve@evil.test"',
        b"(eve@evil.test)",
        b"evil.test",
        b".evil.test",
        b"eve",
    ),
    *(b'"', b"(", b")", b"<", b">", b",", b";", b":", b"\\", b" ", b"\t", b"\n", b"@", b".", b"..", b"%", b"!"),
    *(b"=?utf-8?q?eve=40evil.test?=", b"@evil.test:", b"[192.0.2.1]", b"\x0b", b"\x1f", b"\0", b"\xff", b"\xc2\xa0"),
    *(
        b"\xc2\x85",
        b"\xef\xbc\xa0",
        b"\xe3\x80\x80",
        b"\xe2\x80\xae",
        b"\xe2\x80\xa8",
        b"xn--",
        b"canary.test",
        b"alice",
    ),
)
fields = sentences(_WORDS, 10) | st.binary(max_size=8).map(lambda drawn: b"alice@canary.test" + drawn)


def _shape(name: str, make: Callable[[int], bytes]) -> Growth[bytes]:
    # Without Python's own reader, which recurses for each parenthesis.
    return Growth(name, lambda size: make(min(size, MAX_FROM - 100)), 1 << 10, work=_found)


GROWTH = (
    _shape("addresses", lambda n: b"alice@canary.test," * (n // 18) + b"alice@canary.test"),
    _shape("words", lambda n: b"a " * (n // 2) + b"<alice@canary.test>"),
    _shape("blanks", lambda n: b"a" + b" " * n + b"<alice@canary.test>"),
    _shape("blanks behind an at sign", lambda n: b"alice@" + b" " * n),
    _shape("brackets", lambda n: b"<" * n + b"alice@canary.test"),
    _shape("quotes", lambda n: b'"' * n),
    _shape("escapes", lambda n: b'"' + b"\\" * n),
    _shape("parentheses", lambda n: b"(" * (n // 2) + b")" * (n // 2) + b"alice@canary.test"),
    _shape("open parentheses", lambda n: b"(" * n),
    _shape("at signs", lambda n: b"a@" * (n // 2)),
)
TARGET = Target("senders", check, read, fields, _WORDS, GROWTH)
