"""Addresses: parsing, quoting, international domains, literals, and deceptive characters."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mta.smtp.address import (
    MAX_ADDRESS_OCTETS,
    Address,
    AddressError,
    bracketed,
    is_ip,
    literal_ip,
    parse_address,
    parse_domain,
)
from tests.strategies import domains, literals, local_parts

#: What makes a line lie, or shows as a blank, or not at all: bidirectional controls, zero-width characters, tags.
UNSEEN = (
    *"\t\x0b\x1b\x7f\x85\x9b\xa0\xad\u061c\u1680\u180e\u2003\u200b\u200e\u200f\u2028\u2029\u202a\u202e\u202f",
    *"\u2060\u2066\u2069\u206f\u2800\u3000\u3164\ufeff\uffa0\ufff9\ufffd\U000e0001\U000e0041\ud800",
)
#: Domains that are not what they look like, and the one that is looked up for them; None: refused.
LOOKALIKES = {
    "a\u3002test": "a.test",
    "a\uff0etest": "a.test",
    "a\uff61test": "a.test",
    "\uff41.test": "a.test",
    "\u212aelvin.test": "kelvin.test",
    "\u2460.test": "1.test",
    "stra\u00dfe.test": "xn--strae-oqa.test",
    "STRA\u1e9eE.test": "xn--strae-oqa.test",
    "\u0430pple.test": "xn--pple-43d.test",
    "XN--PPLE-43D.test": "xn--pple-43d.test",
    "127\uff0e0\uff0e0\uff0e1": "127.0.0.1",
    "a\uff20b.test": None,
    "a\u3002\u3002test": None,
    "\u3002test": None,
    "test\u3002": None,
    "a\u2024test": None,
    "\u2488com": None,
    "a\u2100b.test": None,
    "a\uff0fb.test": None,
    "a\uff1a25.test": None,
    "a\uff05b.test": None,
    "\uff3b127.0.0.1\uff3d": None,
    "xn--\u3002test": None,
    "xn--.test": None,
    "xn--a\u3002test": None,
    "xn--a-.test": None,
    "a\u200db.test": None,
    "\u00df" * 60 + ".test": None,
}


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
        *(f"a{char}b@x.test" for char in UNSEEN),
        *(f'"a{char}b"@x.test' for char in UNSEEN),
        *(f"a@x{char}.test" for char in UNSEEN),
    ],
)
def test_text_that_is_not_an_address_is_refused(text):
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


@pytest.mark.parametrize(("text", "domain"), LOOKALIKES.items(), ids=map(ascii, LOOKALIKES))
def test_a_domain_in_disguise_is_the_one_that_is_looked_up_or_none(text, domain):
    if domain is None:
        with pytest.raises(AddressError):
            parse_address(f"a@{text}")
        return
    assert parse_address(f"a@{text}").domain == domain
    assert parse_domain(domain) == domain, "the form that is compared is read as itself"


@given(
    st.one_of(
        st.text(max_size=30), st.lists(st.sampled_from([*LOOKALIKES, *UNSEEN, "a", ".", "-", "xn--"])).map("".join)
    )
)
@settings(max_examples=300, deadline=None)
def test_a_domain_is_letters_digits_dots_and_hyphens_and_reads_back_as_itself(text):
    try:
        domain = parse_domain(text)
    except AddressError:
        return
    assert set(domain) <= set("abcdefghijklmnopqrstuvwxyz0123456789.-") or domain.startswith("[")
    assert parse_domain(domain) == domain


@given(st.text(max_size=40), st.sampled_from(["x.test", "[192.0.2.1]"]))
@settings(max_examples=300, deadline=None)
def test_no_address_contains_a_character_that_breaks_a_command_a_field_or_a_log_line(local, domain):
    for text in (f"{local}@{domain}", f'"{local}"@{domain}'):
        try:
            address = parse_address(text)
        except AddressError:
            continue
        assert not set(str(address)) & set(UNSEEN)
        assert len(str(address).splitlines()) == 1
        outside = str(address) if not str(address).startswith('"') else ""
        assert not set(outside) & set('<>()[],;:\\" ') or address.is_literal


@pytest.mark.parametrize("host", ["192.0.2.1", "2001:db8::1", "::ffff:192.0.2.1", "::"])
def test_an_ip_address_is_distinguished_from_a_name(host):
    assert is_ip(host)


@pytest.mark.parametrize("host", ["mx.example.org", "", "192.0.2", "192.0.2.256", "[2001:db8::1]", "192.0.2.1:25"])
def test_text_that_only_resembles_an_ip_address_is_a_name(host):
    assert not is_ip(host)


@pytest.mark.parametrize(
    ("host", "shown"),
    [("2001:db8::1", "[2001:db8::1]"), ("192.0.2.1", "192.0.2.1"), ("mx.example.org", "mx.example.org")],
)
def test_only_an_ipv6_address_takes_brackets_before_a_port(host, shown):
    assert bracketed(host) == shown
