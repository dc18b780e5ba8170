"""The senders of a user: MAIL FROM, and From fields as receivers may read them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.inbound.sender_rule import MAX_FROM, SenderRule, authors
from mta.smtp.address import Address, AddressError

ALICE, SHOP = Address("alice", "own.test"), Address("shop", "own.test")


class Own:
    """Allows two addresses, and a whole domain."""

    def allows(self, address: Address) -> bool:
        return address in (ALICE, SHOP) or address.domain == "shop.test"


RULE = SenderRule("alice", Own())


def refusal(block: bytes, sender: Address | None = ALICE) -> str:
    found = RULE.refusal_of_header(block, sender)
    return "" if found is None else str(found)


def read(value: bytes) -> list[str]:
    return [str(address) for address in authors(value)]


@pytest.mark.parametrize("sender", [None, ALICE, SHOP, Address("anyone", "shop.test")])
def test_a_user_may_use_the_senders_of_the_list_and_the_null_path(sender: Address | None) -> None:
    assert RULE.refusal_of_sender(sender) is None


def test_the_refusal_names_the_user_and_the_sender_but_not_the_list() -> None:
    refused = RULE.refusal_of_sender(Address("eve", "own.test"))
    assert str(refused) == "550 5.7.1 not permitted by the sender list of user alice: MAIL FROM <eve@own.test>"


@pytest.mark.parametrize(
    "value",
    [
        b"alice@own.test",
        b"ALICE <alice@OWN.test>",
        b'"Alice, or < or @ or (" <alice@own.test>',
        b"Doe, Alice <alice@own.test>",
        b"alice@own.test <alice@own.test>",
        b"alice@own.test, Shop <shop@own.test>, x@shop.test",
        b"Authors: alice@own.test, shop@own.test;",
        b"alice (a (nested) comment) @ own.test (another)",
        b"=?utf-8?q?Al=C3=AFce?= <alice@own.test>",
        "Al\u00efce <alice@own.test>".encode(),
        b'"alice"@own.test',
        b"\r\n <alice@own.test>",
    ],
)
def test_a_from_field_with_senders_of_the_list_passes(value: bytes) -> None:
    assert refusal(b"Subject: x\r\nFrom: " + value + b"\r\nTo: b@b.test\r\n") == ""


@pytest.mark.parametrize(
    "value",
    [
        b"eve@evil.test",
        b"alice@own.test, eve@evil.test",
        b"eve@evil.test <alice@own.test>",
        b"<eve@evil.test> <alice@own.test>",
        b'"alice@own.test" <eve@evil.test>',
        b"(alice@own.test) eve@evil.test",
        b'alice@own.test "x" <eve@evil.test>',
        b'"eve"@evil.test',
        b'"e ve" @ evil.test',
        b"G: alice@own.test, eve@evil.test;",
        # Readers disagree about these.
        b'(" ) <eve@evil.test> (") <alice@own.test>',
        b"(a <alice@own.test>",
        b"a) <alice@own.test>",
        b'"a <alice@own.test>',
        b"a\\(b <alice@own.test>",
        b"<@evil.test:alice@own.test>",
        b"alice@own.test@evil.test",
        b"alice@own.test .evil.test",
        b"alice@own.test\x1f.evil.test",
        "alice@own.test\u00a0.evil.test".encode(),
        b"eve alice@own.test",
        b"=?utf-8?q?eve=40evil.test?= alice@own.test",
        b'<alice@own.test> "eve@evil.test"',
        b"<alice@own.test> .evil.test",
        b"alice@own.test: evil.test",
        b"evil.test> <alice@own.test>",
        b'"eve@evil.test", Alice <alice@own.test>',
        b'alice@own.test, "eve@evil.test"',
        b"alice@own.test <>",
        b"alice@own.test <eve>",
        b"\xe9 <alice@own.test>",
        b"eve",
        b"",
        b"undisclosed:;",
        b"alice@own..test",
        b"=?utf-8?q?eve=40evil.test?==?utf-8?q?=00?=@shop.test",
        b'"=?utf-8?q?eve=40evil.test?="@shop.test',
        b"alice@own.test," * (MAX_FROM // 10),
    ],
)
def test_any_other_from_field_is_refused(value: bytes) -> None:
    assert refusal(b"From: " + value + b"\r\n").startswith("550 5.7.1 not permitted by the sender list of user alice: ")


def test_several_from_fields_are_refused_even_if_each_would_pass() -> None:
    assert "several From fields" in refusal(b"From: alice@own.test\r\nfrom : alice@own.test\r\n")


def test_a_message_without_from_passes_only_with_a_sender_of_the_list_that_becomes_its_from() -> None:
    assert refusal(b"Subject: x\r\n") == ""
    assert "without From" in refusal(b"Subject: x\r\n", None)


def test_the_null_path_needs_a_from_field_of_the_list() -> None:
    assert refusal(b"From: alice@own.test\r\n", None) == ""
    assert refusal(b"From: eve@evil.test\r\n", None) != ""


def test_each_address_is_read_with_its_quoted_local_part() -> None:
    assert read(b'"a b" <x@y.test>, "c d" @ y.test, (e@f.test) g (h) @ y.test') == [
        "x@y.test",
        '"c d"@y.test',
        "g@y.test",
    ]


@given(st.lists(st.sampled_from(['"', "\\", "(", ")", "<", ">", "@", ",", ";", ":", " ", "e@x.test", "a", "\r\n "])))
def test_every_address_that_is_seen_outside_of_quotes_and_comments_is_read(parts: list[str]) -> None:
    text = "".join(parts)
    try:
        found = read(text.encode())
    except AddressError:
        return
    plain = not set('"\\()') & set(text)
    assert not plain or len(found) == text.count("@")
    assert found
