"""Encoded words of header fields (RFC 2047): decoded as readers show them, in linear time."""

from email.header import Header

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.message.encoded_words import decoded_text

_CHARSETS = ["utf-8", "iso-8859-15", "windows-1252", "koi8-r", "gb18030", "iso-2022-jp", "shift_jis", "big5", "euc-kr"]
_PARTS = [b"=?", b"?=", b"?", b"utf-8", b"hz-gb-2312", b"q", b"B", b"=C3", b" ", b"\xff", b"~{"]


def decoded(value: bytes) -> str:
    return decoded_text(value, 2000)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (b"plain", "plain"),
        (b"", ""),
        (b"=?utf-8?q?Gr=C3=BC=C3=9Fe?=", "Gr\u00fc\u00dfe"),
        (b"=?UTF-8?B?R3LDvMOfZQ==?= an alle", "Gr\u00fc\u00dfe an alle"),
        (b"Re: =?iso-8859-1?Q?a_b=20c=5f?=.", "Re: a b c_."),
        # RFC 2047 section 8.
        (b"(=?ISO-8859-1?Q?a?= b)", "(a b)"),
        (b"(=?ISO-8859-1?Q?a?=  =?ISO-8859-1?Q?b?=)", "(ab)"),
        (b"=?utf-8?q?a?=\t=?iso-8859-1?q?=E9?= c", "a\u00e9 c"),
        (b"=?utf-8?q?=C3=A9?= =?iso-8859-1?q?=E9?=", "\u00e9\u00e9"),
        (b"=?utf-8?q?a?= x =?utf-8?q?b?=", "a x b"),
        # A character that is divided between two words, blanks in a word, and a language (RFC 2231 section 5).
        (b"=?utf-8?q?=C3?= =?utf-8?q?=BC?=", "\u00fc"),
        (b"=?utf-8?b?R3LD?= =?utf-8?b?vMOfZQ?=", "Gr\u00fc\u00dfe"),
        (b"=?utf-8?q?two words?=", "two words"),
        (b"=?us-ascii*en?q?a?=", "a"),
        # Words that cannot be decoded, or only in part.
        (b"=?x-unknown?q?a=20b?=", "=?x-unknown?q?a=20b?="),
        (b"=?x-unknown?q?a?=  =?utf-8?q?b?=", "=?x-unknown?q?a?=  b"),
        (b"=?utf-8?x?a?= =?utf-8?q?a", "=?utf-8?x?a?= =?utf-8?q?a"),
        (b"=?utf-8?q?=C3=28=ZZ?=", "\ufffd(=ZZ"),
        (b"=?utf-8?b?YWJj!?=", "abc"),
        (b"=?utf-8?b?YWJjZ?=", "abc"),
        (b"=?utf-8?b??=x", "x"),
        (b"=?punycode?q?a?= =?zlib?b?eJw=?=", "=?punycode?q?a?= =?zlib?b?eJw=?="),
        ("Gr\u00fc\u00dfe".encode(), "Gr\u00fc\u00dfe"),
        (b"caf\xe9", "caf\ufffd"),
        (b"a\tb", "a b"),
    ],
)
def test_the_text_of_a_field(value, text):
    assert decoded(value) == text


@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1, max_size=200))
def test_a_text_that_python_encodes_is_decoded_again(text):
    value = Header(text, "utf-8", maxlinelen=75).encode(linesep="").encode()
    assert decoded(value) == text


@pytest.mark.parametrize("charset", _CHARSETS)
def test_a_charset_is_known(charset):
    word = b"".join(b"=%02X" % octet for octet in "Az".encode(charset))
    assert decoded(b"=?%b?q?%b?=" % (charset.upper().encode(), word)) == "Az"


@given(
    st.lists(st.sampled_from([b"=?", b"?=", b"?", b"utf-8", b"hz-gb-2312", b"q", b"B", b"=C3", b" ", b"\xff", b"~{"]))
)
def test_any_value_is_decoded(parts):
    value = b"".join(parts)
    text = decoded(value)
    assert len(text) <= len(value)
    assert decoded_text(value, 3) == text[:3] or b"=?" in value


def test_a_hostile_value_is_decoded_at_once():
    for part in (b"=?a?q?", b"=?", b"=?utf-8?q?a?= ", b"=?utf-8?b?YQ==?=", b"=?utf-8?q?a?=x", b"=?!!!!"):
        assert len(decoded(part * 100_000)) <= 2000
