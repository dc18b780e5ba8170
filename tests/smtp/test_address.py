import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mta.smtp.address import MAX_ADDRESS_OCTETS, Address, AddressError, literal_ip, parse_address, parse_domain
from tests.strategies import domains, literals, local_parts


@pytest.mark.parametrize(
    ("text", "local", "domain"),
    [
        ("a@example.test", "a", "example.test"),
        ("a@EXAMPLE.Test", "a", "example.test"),
        ("A.b+c@x", "A.b+c", "x"),
        ("a..b.@x.test", "a..b.", "x.test"),
        ('"a b"@x.test', "a b", "x.test"),
        ('"a\\"b\\\\c"@x.test', 'a"b\\c', "x.test"),
        ('"plain"@x.test', "plain", "x.test"),
        ('""@x.test', "", "x.test"),
        ("用户@例え.test", "用户", "xn--r8jz45g.test"),
        ("a@BÜCHER.test", "a", "xn--bcher-kva.test"),
        ("a@[192.0.2.1]", "a", "[192.0.2.1]"),
        ("a@[ipv6:2001:DB8:0::1]", "a", "[IPv6:2001:db8::1]"),
        ("postmaster", "postmaster", ""),
        ("PostMaster", "PostMaster", ""),
    ],
)
def test_an_address_is_read_into_its_comparable_form(text, local, domain):
    assert parse_address(text) == Address(local, domain)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "bob",
        "@x.test",
        "a@",
        "a@@x.test",
        "a@x..test",
        "a@x.test.",
        "a@.test",
        "a@-x.test",
        "a@x_y.test",
        "a@x.test b",
        "a b@x.test",
        '"a@x.test',
        '"a"b@x.test',
        "a@[192.0.2.256]",
        "a@[192.0.2.1",
        "a@[IPv6:2001:db8::1::]",
        "a@[2001:db8::1]",
        "a\r\n@x.test",
        "a\u202e@x.test",
        "a@x.test\x00",
        "a@" + "b" * 64 + ".test",
        "a@" + ".".join(["b" * 60] * 5),
        "a@xn--\u00fc.test",
    ],
)
def test_what_is_no_address_is_refused(text):
    with pytest.raises(AddressError):
        parse_address(text)


def test_the_length_limit_counts_octets():
    fitting = "ü" * 99 + "@" + "a" * 50 + ".test"
    assert parse_address(fitting).local == "ü" * 99
    with pytest.raises(AddressError, match=str(MAX_ADDRESS_OCTETS)):
        parse_address("x" * (MAX_ADDRESS_OCTETS - 6) + "@x.test")


def test_only_a_local_part_in_other_letters_needs_an_smtputf8_peer():
    assert parse_address("ü@x.test").needs_utf8
    assert not parse_address("a@ü.test").needs_utf8


def test_a_literal_gives_its_ip_address():
    assert literal_ip(parse_domain("[IPv6:2001:db8::1]")) == "2001:db8::1"
    assert literal_ip(parse_domain("[192.0.2.1]")) == "192.0.2.1"
    assert parse_address("a@[192.0.2.1]").is_literal
    assert not parse_address("a@x.test").is_literal


@given(local_parts, st.one_of(domains, literals))
@settings(max_examples=300, deadline=None)
def test_rendering_undoes_parsing_or_the_text_is_refused(local, domain):
    try:
        address = Address(local, parse_domain(domain))
        parsed = parse_address(str(address))
    except AddressError:
        return
    assert parsed == address
    assert str(parsed) == str(address)


@given(st.text(max_size=40))
@settings(max_examples=300, deadline=None)
def test_any_text_is_an_address_or_is_refused(text):
    try:
        address = parse_address(text)
    except AddressError:
        return
    assert parse_address(str(address)) == address
