"""Patterns as an operator writes them: against a second, naive implementation, and the words about mistakes."""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mta.rules.facts import MAX_TEXT
from mta.rules.pattern_lists import MAX_SLOW_PATTERNS, AddressPatterns, TextPatterns
from mta.rules.patterns import read_address_pattern, read_text_pattern
from mta.smtp.address import Address, parse_address
from tests.strategies import domains, dot_strings

_LOCALS = st.text("abB.-*", min_size=1, max_size=5).filter(lambda text: "**" not in text)
_LABELS = st.sampled_from(["a", "b", "ab", "A", "x-b"])
_DOMAINS = st.lists(_LABELS, min_size=2, max_size=4).map(".".join)
_DOMAIN_PATTERNS = st.one_of(
    _DOMAINS,
    _DOMAINS.map("*.{}".format),
    _DOMAINS.map("*{}".format),
    _DOMAINS.map("a*.{}".format),
    _DOMAINS.map("a.*.{}".format),
    _DOMAINS.map("{}*".format),
)
_ADDRESS_PATTERNS = st.one_of(
    _DOMAIN_PATTERNS,
    st.builds("{}@{}".format, st.one_of(_LOCALS, st.just("*")), st.one_of(_DOMAIN_PATTERNS, st.just("*"))),
    st.sampled_from(["*", "<>", "^.*@a.*", "^b+@.*", r"^(?:a|b)@(?:.*\.)?b"]),
)
_ADDRESSES = st.one_of(
    st.none(),
    st.builds(Address, st.text("abB.-@", min_size=1, max_size=5), _DOMAINS.map(str.lower)),
    st.just(Address("postmaster", "")),
)
_TEXT_PATTERNS = st.text("abA* ", min_size=1, max_size=8).filter(lambda text: "**" not in text)


def glob(pattern: str, text: str) -> bool:
    """Return whether a text matches a pattern with wildcards, by trying every length of each wildcard."""
    if not pattern or not text:
        return pattern in (text, "*")
    if pattern[0] != "*":
        return pattern[0] == text[0] and glob(pattern[1:], text[1:])
    return glob(pattern[1:], text) or glob(pattern, text[1:])


def naive(pattern: str, address: Address | None) -> bool:
    """Return whether an address matches a pattern without quoted local part."""
    if address is None or pattern == "<>":
        return address is None and pattern == "<>"
    if pattern.startswith("^"):
        return re.fullmatch(pattern, str(address), re.IGNORECASE) is not None
    local, at, domain = pattern.rpartition("@")
    local, domain = (local if at else "*"), ("*" if pattern == "*" else domain)
    return glob(local.lower(), address.local.lower()) and glob(domain.lower(), address.domain)


def addresses(*texts: str) -> AddressPatterns:
    return AddressPatterns(map(read_address_pattern, texts))


def texts(*written: str) -> TextPatterns:
    return TextPatterns(map(read_text_pattern, written))


@given(st.lists(_ADDRESS_PATTERNS, max_size=6), _ADDRESSES)
@example(["*@*.b.b"], Address("a", "b.b"))
@example(["*.b.b"], Address("a", "a.b.b"))
@example(["b*@a.b", "*b@*"], Address("b", "a.b"))
@example(["a.b"], Address("x@y", "a.b"))
def test_a_list_matches_if_one_of_its_patterns_does(patterns, address):
    assert addresses(*patterns).matches(address) is any(naive(pattern, address) for pattern in patterns)


@given(st.lists(_ADDRESS_PATTERNS, min_size=1, max_size=3), _ADDRESSES, st.booleans())
def test_the_case_of_patterns_and_addresses_does_not_matter(patterns, address, upper):
    change = str.upper if upper else str.lower
    changed = None if address is None else Address(change(address.local), address.domain)
    # Escapes such as \d change their meaning in upper case.
    written = [pattern if pattern.startswith("^") else change(pattern) for pattern in patterns]
    assert addresses(*written).matches(changed) is addresses(*patterns).matches(address)


@given(dot_strings.filter(lambda text: "*" not in text and not text.startswith(("!", "^"))), domains)
def test_every_address_matches_itself_and_its_domain(local, domain):
    address = Address(local, domain)
    assert addresses(str(address)).matches(address)
    assert addresses(f"*@{domain}").matches(address)
    assert not addresses(f"*@*.{domain}").matches(address)
    assert addresses(f"*@*.{domain}").matches(Address(local, f"x.{domain}"))


@given(
    st.lists(st.text("abA* ", max_size=8).filter(lambda text: text and "**" not in text), max_size=4),
    st.text("abA ", max_size=8),
)
@example(["a*b*a"], "aba")
@example(["a*a"], "a")
@example(["*ab*b"], "ab")
@example(["*ab*ab*"], "abb ab")
def test_a_text_matches_a_list_if_it_matches_one_of_its_patterns(patterns, text):
    assert texts(*patterns).matches(text) is any(glob(pattern.lower(), text.lower()) for pattern in patterns)


@pytest.mark.parametrize(
    ("pattern", "matching", "other"),
    [
        ("bob@a.test", "BOB@A.TEST", "bob@b.a.test"),
        ("noreply-*@a.test", "noreply-7@a.test", "noreply@a.test"),
        ("*-bounces@a.test", "x-bounces@a.test", "x-bounces@b.test"),
        ("a.test", "x@a.test", "x@b.a.test"),
        ("*@a.test", "x@a.test", "x@b.a.test"),
        ("*@*.a.test", "x@c.b.a.test", "x@a.test"),
        ("*.a.test", "x@b.a.test", "x@ba.test"),
        ("bob@*", "bob@x.test", "bobby@x.test"),
        ("bob*@*", "bobby@x.test", "rob@x.test"),
        ("*", "anyone@x.test", ""),
        ("*@mail*.a.test", "x@mail3.a.test", "x@a.test"),
        ("*@[192.0.2.1]", "x@[192.0.2.1]", "x@a.test"),
        ("*@app_1", "x@app_1", "x@a.test"),
        ("x@a.test.", "x@a.test", "x@b.test"),
        ("*@b\u00fccher.test", "x@b\u00fccher.test", "x@bucher.test"),
        ("*@*.b\u00fccher.test", "x@a.b\u00fccher.test", "x@bcher.test"),
        ("\u00fcb*@a.test", "\u00dcBER@a.test", "uber@a.test"),
        ('"a b"@a.test', '"A B"@a.test', "ab@a.test"),
        ('"*"@a.test', "*@a.test", "x@a.test"),
        ("postmaster@*", "postmaster", "x@a.test"),
        (r"^[a-z]+\.[a-z]+@a\.test", "Bob.Smith@a.test", "bob.smith@a.test.b"),
        (r"^bob@a\.test", "bob@a.test", "xbob@a.test"),
    ],
)
def test_address_patterns(pattern, matching, other):
    patterns = addresses(pattern)
    assert patterns.matches(parse_address(matching, loose=True))
    assert not patterns.matches(parse_address(other) if other else None)


def test_the_null_sender_matches_its_own_pattern_only():
    assert addresses("<>").matches(None)
    assert not addresses("*", "*@*", "^.*").matches(None)
    assert not addresses("<>").matches(parse_address("bob@a.test"))


def test_no_quoting_of_a_local_part_avoids_a_pattern():
    quoted = parse_address('"x@y"@a.test')
    assert addresses("a.test").matches(quoted)
    assert addresses("x*@a.test").matches(quoted)
    assert addresses("bob@a.test").matches(parse_address('"bob"@a.test'))
    assert not addresses("*@y").matches(quoted)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "'' is not an address pattern: it is empty"),
        ("@a.test", "'@a.test' is not an address pattern: there is nothing before the @; write"),
        ("bob", r"write bob@\* if it is a local part, \*@bob if it is a domain"),
        ('\t"', r"write \?\"@\* if it is a local part"),
        ("fe80::1%\x07", r"the addresses of a host are \*@\[IPv6:fe80::1%\?\]"),
        ("!bob@a.test", "an exception stands in a key of its own, unless.sender"),
        ("a.test, b.test", "several patterns are an array of texts"),
        ("a.test b.test", "several patterns are an array of texts"),
        ("192.0.2.1", r"the addresses of a host are \*@\[192.0.2.1\]"),
        ("2001:db8::1", r"the addresses of a host are \*@\[IPv6:2001:db8::1\]"),
        ("bob@", "malformed domain"),
        ("**@a.test", r"one \* is enough in '\*\*'"),
        ("*@**.a.test", r"one \* is enough"),
        ("*@*b\u00fccher.test", "is not a part of a domain, in which"),
        ("*@a..test", "malformed domain"),
        ("*@*..test", "malformed domain"),
        ("*@" + "a*." * 100, "domain longer than 253 octets"),
        ("bob@[192.0.2]", "malformed address literal"),
        ("a\tb@a.test", "several patterns"),
        ("a\x07b@a.test", "control character"),
        ("x" * 300 + "@a.test", "longer than 254"),
        ("^(", "is not a regular expression"),
    ],
)
def test_words_about_an_address_pattern_that_cannot_be_read(text, words):
    with pytest.raises(ValueError, match=words):
        read_address_pattern(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "has 1 to 200 characters"),
        ("a" * 201, "has 1 to 200 characters"),
        ("a\nb", "control character"),
        ("a\u202eb", "cannot be seen"),
        ("a**b", r"one \* is enough in 'a\*\*b'"),
        ("^(", "is not a regular expression"),
    ],
)
def test_words_about_a_text_pattern_that_cannot_be_read(text, words):
    with pytest.raises(ValueError, match=words):
        read_text_pattern(text)


def test_a_text_pattern_means_the_whole_text():
    assert texts("invoice").matches("Invoice")
    assert not texts("invoice").matches("your invoice")
    assert texts("*invoice*").matches("Your INVOICE of May")
    assert texts("*").matches("")
    assert texts("^.*(?:free|cheap).*").matches("A CHEAP offer")
    assert not texts("^free").matches("free offer")


def test_a_hostile_text_is_matched_at_once():
    assert not texts("*a*a*a*a*a*a*a*a*b*c", "^(?:a*)*b").matches("a" * MAX_TEXT)


def test_a_list_has_a_bounded_number_of_patterns_that_are_tried_one_by_one():
    addresses(*(f"d{number}.test" for number in range(MAX_SLOW_PATTERNS + 1)))
    addresses(*(f"x{number}*@d{number}.test" for number in range(MAX_SLOW_PATTERNS + 1)))
    for many in (addresses, texts):
        with pytest.raises(ValueError, match="a list has at most 1000 regular expressions"):
            many(*(f"^{number}" for number in range(MAX_SLOW_PATTERNS + 1)))
    with pytest.raises(ValueError, match="a list has at most 1000 regular expressions"):
        addresses(*(f"x{number}*@a.test" for number in range(MAX_SLOW_PATTERNS + 1)))


def test_a_pattern_and_a_list_show_their_texts():
    assert str(read_address_pattern("Bob@a.test")) == "Bob@a.test"
    assert str(read_text_pattern("A*")) == "A*"
    assert repr(addresses("a.test", "<>")) == "AddressPatterns(a.test, <>)"
    assert repr(texts("a", "b*")) == "TextPatterns(a, b*)"


def test_lists_with_the_same_patterns_are_equal():
    assert addresses("a.test", "^b") == addresses("a.test", "^b", "a.test")
    assert addresses("a.test") != addresses("b.test")
    assert texts("a") == texts("a")
    assert texts("a") != texts("b")
    assert len({addresses("a.test"), addresses("a.test"), texts("a"), texts("a")}) == 2
