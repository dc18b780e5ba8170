"""Address fields that rules rewrite: only addresses change, and the changed field has the changed addresses."""

from collections.abc import Callable

from hypothesis import strategies as st

from mta.message.address_fields import MAX_VALUE, Mailbox, mailboxes, replace_addresses
from mta.smtp.address import Address
from tests.fuzz.target import Growth, Tape, Target, sentences


def _moved(address: Address) -> Address:
    return Address(address.local, "new.test")


def check(value: bytes) -> None:
    """Read octets as the value of a field, and rewrite it."""
    found = mailboxes(value) or ()
    changed = replace_addresses(value, _moved)
    addresses = [mailbox.address for mailbox in found if mailbox.address is not None]
    if all(address.domain == "new.test" for address in addresses):
        assert changed is value
        return
    again = mailboxes(changed) or ()
    assert [mailbox.address for mailbox in again if mailbox.address is not None] == list(map(_moved, addresses))
    assert [mailbox.phrase for mailbox in again] == [mailbox.phrase for mailbox in found]
    assert _beside(changed, again) == _beside(value, found)
    assert replace_addresses(changed, _moved) is changed


def _beside(value: bytes, found: tuple[Mailbox, ...]) -> list[bytes]:
    """Return the octets of a value that belong to no address."""
    position, kept = 0, []
    for mailbox in found:
        for start, end in mailbox.parts:
            kept.append(value[position:start])
            position = end
    return [b"".join((*kept, value[position:]))]


# The two ways to an input


def read(tape: Tape) -> bytes:
    """Read a field: all octets there are."""
    return tape.rest()


_WORDS = (
    *(b"alice@old.test", b"<bob@old.test>", b"Bob ", b'"A, B" ', b"team: ", b"(a (b) c)", b"=?utf-8?q?J=C3=BCrgen?="),
    *(b'"', b"(", b")", b"<", b">", b",", b";", b":", b"\\", b" ", b"\t", b"\r\n ", b"@", b".", b"[192.0.2.1]", b"["),
    *(
        b'"a b"@old.test',
        b"alice",
        b"old.test",
        b"new.test",
        b"\0",
        b"\xff",
        b"\xc3\xbc",
        b"\xc2\xa0",
        b"x@b\xc3\xbc.test",
    ),
)
fields = sentences(_WORDS, 12) | st.binary(max_size=8).map(lambda drawn: b"alice@old.test, " + drawn)


def _shape(name: str, make: Callable[[int], bytes]) -> Growth[bytes]:
    # The blanks make every value too long to be remembered from an earlier reading.
    return Growth(name, lambda size: make(min(size, MAX_VALUE - 1000)) + b" " * 400, 1 << 12)


GROWTH = (
    _shape("addresses", lambda n: b"alice@old.test," * (n // 15)),
    _shape("words", lambda n: b"a " * (n // 2) + b"<alice@old.test>"),
    _shape("brackets", lambda n: b"<" * n),
    _shape("quotes", lambda n: b'"' * n),
    _shape("escapes", lambda n: b'"' + b"\\" * n),
    _shape("parentheses", lambda n: b"(" * (n // 2) + b")" * (n // 2) + b"alice@old.test"),
    _shape("open parentheses", lambda n: b"(" * n),
    _shape("comments", lambda n: b"(" * 8 + b"()" * (n // 2)),
    _shape("at signs", lambda n: b"a@" * (n // 2)),
    _shape("literals", lambda n: b"a@[" + b"1" * n),
)
TARGET = Target("address-fields", check, read, fields, _WORDS, GROWTH)
