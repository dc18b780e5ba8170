"""Addresses in header fields: found by Python's `email` parser too, and replaced without a change beside them."""

import random
from email.headerregistry import Address as EmailAddress
from email.parser import BytesParser
from email.policy import SMTP
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.message.address_fields import MAX_VALUE, Mailbox, mailboxes, replace_addresses
from mta.smtp.address import Address

NEW = Address("new", "example.com")
OLD = Address("app", "host1.lan")


def masked(address: Address) -> Address:
    return Address(address.local, "example.com") if address.domain.endswith(".lan") else address


@pytest.mark.parametrize(
    ("value", "replaced"),
    [
        (b" app@host1.lan", b" app@example.com"),
        (b" App <app@host1.lan>", b" App <app@example.com>"),
        (b' "a@b.lan, c" <app@HOST1.lan> (x@y.lan)', b' "a@b.lan, c" <app@example.com> (x@y.lan)'),
        (b" =?utf-8?q?J=C3=BCrgen?= <app@host1.lan>", b" =?utf-8?q?J=C3=BCrgen?= <app@example.com>"),
        (b" J\xfcrgen <app@host1.lan>", b" J\xfcrgen <app@example.com>"),
        (b" a@b.lan,\r\n\tc@d.test,\r\n e@f.lan", b" a@example.com,\r\n\tc@d.test,\r\n e@example.com"),
        (b" team: a@b.lan, <c@d.lan>; , e@f.lan", b" team: a@example.com, <c@example.com>; , e@example.com"),
        (b" undisclosed-recipients:;", b" undisclosed-recipients:;"),
        (b' "quoted @ local"@b.lan', b' "quoted @ local"@example.com'),
        (b' "needless"@b.lan', b" needless@example.com"),
        (b" a (one) @ (two) b.lan (three)", b" a@example.com (one)  (two)  (three)"),
        (b" (a (nested\\) @) comment) a@b.lan", b" (a (nested\\) @) comment) a@example.com"),
        (b" Doe, John <app@host1.lan>", b" Doe, John <app@example.com>"),
        (b" root", b" root"),
        (b" a@b.lan\x00", b" a@b.lan\x00"),
        (b" Cron <root>, a@b.lan", b" Cron <root>, a@example.com"),
        (b"", b""),
    ],
)
def test_only_addresses_are_replaced(value: bytes, replaced: bytes) -> None:
    assert replace_addresses(value, masked) == replaced


@pytest.mark.parametrize(
    "value",
    [
        b' "open <app@host1.lan>',
        b" (open app@host1.lan",
        b" a@b.lan) c@d.lan",
        b" a@b.lan c@d.lan",
        b" <a@b.lan> c",
        b" <a@b.lan",
        b" a b@c.lan",
        b" a@@b.lan",
        b" a@b.lan; c@d.lan",
        b" team: a@b.lan",
        b" team: x: a@b.lan;",
        b" <@route.lan:a@b.lan>",
        b" a@b.lan \\",
        b" =?utf-8?q?a@b.lan?= <c@d.lan>",
        b" a@b.lan" + b" " * MAX_VALUE,
    ],
)
def test_a_value_that_is_no_list_stays(value: bytes) -> None:
    assert mailboxes(value) is None
    assert replace_addresses(value, masked) is value


def test_an_unchanged_value_is_the_same_object() -> None:
    value = b" App <app@host1.lan>"
    assert replace_addresses(value, lambda address: address) is value


def test_the_name_of_a_mailbox_stands_as_it_was_written() -> None:
    assert mailboxes(b' "A, B" C <app@host1.lan>') == (Mailbox(b'"A, B" C', OLD, ((11, 24),)),)
    assert mailboxes(b"root (Cron)") == (Mailbox(b"root", None),)
    assert mailboxes(b"<a@-b->") == (Mailbox(b"", None),)


# 200 generated headers, read by Python's parser too


LOCALS = ("app", "a.b+c", "o'brien", '"a b"', '"at@sign"', '"comma,colon:"', '"back\\\\slash"', "x_y=z")
DOMAINS = ("host1.lan", "a.b.lan", "example.test", "sub.example.test", "HOST.LAN")
NAMES = ("", "App", "J. R. Doe", '"Doe, John"', '"a@b.lan"', "=?utf-8?q?J=C3=BCrgen?= X", '"say \\"hi\\" <x@y.lan>"')
COMMENTS = ("", "(note)", "(a@b.lan)", "(nested (x@y.lan) deep)", "(esc\\) aped)")
FOLDS = ("", " ", "\r\n ", "\r\n\t")


def one_mailbox(choose: random.Random) -> str:
    local, domain, name = choose.choice(LOCALS), choose.choice(DOMAINS), choose.choice(NAMES)
    address = f"{local}@{domain}"
    mailbox = f"{name}{choose.choice(FOLDS) or ' '}<{address}>" if name else choose.choice((address, f"<{address}>"))
    comment = choose.choice(COMMENTS)
    return f"{mailbox} {comment}" if comment else mailbox


def one_list(choose: random.Random) -> str:
    parts = []
    for _ in range(choose.randint(1, 4)):
        members = [one_mailbox(choose) for _ in range(choose.randint(1, 3))]
        joined = f",{choose.choice(FOLDS)}".join(members)
        parts.append(f"team: {joined};" if choose.random() < 0.2 else joined)
    return f",{choose.choice(FOLDS)} ".join(parts)


def read_by_python(value: bytes) -> list[tuple[str, EmailAddress]]:
    """Return the addresses that Python's parser finds, each with the display name before it."""
    message = BytesParser(policy=SMTP).parsebytes(b"To: " + value + b"\r\n\r\n")
    groups = cast("tuple[EmailAddress, ...]", message["To"].addresses)
    return [(each.display_name, each) for each in groups]


@pytest.mark.parametrize("number", range(200))
def test_python_reads_the_same_addresses_before_and_after(number: int) -> None:
    value = one_list(random.Random(number)).encode()
    changed = replace_addresses(value, masked)
    before, after = read_by_python(value), read_by_python(changed)
    assert [name for name, _ in before] == [name for name, _ in after]
    found = [mailbox.address for mailbox in mailboxes(value) or ()]
    assert [(one.local, one.domain) for one in found if one] == [(e.username, e.domain.lower()) for _, e in before]
    assert [(e.username, e.domain.lower()) for _, e in after] == [
        (one.local, masked(one).domain) for one in found if one
    ]
    # Everything beside the addresses is as before.
    assert without_addresses(changed) == without_addresses(value)


def without_addresses(value: bytes) -> bytes:
    position, kept = 0, []
    for mailbox in mailboxes(value) or ():
        for start, end in mailbox.parts:
            kept.append(value[position:start])
            position = end
    return b"|".join((*kept, value[position:]))


@given(st.text(st.sampled_from('ab@.<>,;:()"\\[] \r\n\t'), max_size=40))
def test_any_text_is_read_and_only_addresses_change(text: str) -> None:
    value = text.encode()
    changed = replace_addresses(value, lambda _: NEW)
    found = [mailbox for mailbox in mailboxes(value) or () if mailbox.address]
    assert changed.count(b"new@example.com") == len(found)
    if not found:
        assert changed is value


def test_the_time_is_linear() -> None:
    for hostile in (b"(" * MAX_VALUE, b'"' * MAX_VALUE, b"a@" * (MAX_VALUE // 2), b"<" * MAX_VALUE, b"a," * 40_000):
        replace_addresses(hostile, masked)
