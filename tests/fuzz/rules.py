"""Patterns of rules, and the header fields and addresses of strangers that they are compared with."""

import re
from collections.abc import Callable
from typing import TypeVar

from hypothesis import strategies as st

from mta.message import headers
from mta.message.encoded_words import decoded_text
from mta.rules.expressions import Expression
from mta.rules.facts import MAX_TEXT
from mta.rules.pattern_lists import AddressPatterns, TextPatterns
from mta.rules.patterns import matches_pieces, read_address_pattern, read_text_pattern
from mta.smtp.address import AddressError, parse_address
from tests.fuzz.target import Growth, Tape, Target, is_line, sentences

T = TypeVar("T")

# Python's matcher may take long beyond these numbers of characters.
_SMALL_TEXT, _SMALL_EXPRESSION = 6, 24

# A pattern, and a value that a stranger chose.
Pair = tuple[str, bytes]


def check(pair: Pair) -> None:
    """Compare a value with a pattern of texts, and one of addresses."""
    pattern, value = pair
    (unfolded,) = headers.values(b"X: " + value.replace(b"\r", b"").replace(b"\n", b"\r\n ") + b"\r\n", "X")
    text = decoded_text(unfolded, MAX_TEXT)
    assert len(text) <= MAX_TEXT
    assert "\t" not in text or b"=?" in unfolded
    _check_text(pattern, text)
    _check_address(pattern, unfolded)


def _read(reader: Callable[[str], T], written: str) -> T | None:
    """Return a pattern, or None if it is refused."""
    try:
        return reader(written)
    except ValueError as error:
        words = str(error)
    assert is_line(words), words
    return None


def _check_text(written: str, text: str) -> None:
    pattern = _read(read_text_pattern, written)
    if pattern is None:
        return
    patterns = TextPatterns([pattern, read_text_pattern("x")])
    found = patterns.matches(text)
    assert patterns.matches(text) is found
    if pattern.expression is None:
        assert found is (matches_pieces(pattern.pieces, text.lower()) or text.lower() == "x")
        assert TextPatterns([pattern]).matches(written.replace("*", "a*"))
    elif len(text) <= _SMALL_TEXT and len(written) <= _SMALL_EXPRESSION and not re.search(r"[$^|]", written[1:]):
        wanted = re.fullmatch(written, text, re.IGNORECASE | re.DOTALL) is not None
        assert pattern.expression.matches(text) is wanted


def _check_address(written: str, value: bytes) -> None:
    pattern = _read(read_address_pattern, written)
    if pattern is None:
        return
    patterns = AddressPatterns([pattern])
    assert patterns.matches(None) is (written == "<>")
    try:
        address = parse_address(value.decode(errors="replace"), loose=True)
    except AddressError:
        return
    patterns.matches(address)
    assert AddressPatterns([read_address_pattern(f"*@{address.domain}")]).matches(address) or not address.domain
    if address.domain and "*" not in address.local and not str(address).startswith(("!", "^")):
        assert AddressPatterns([read_address_pattern(str(address))]).matches(address)


def read(tape: Tape) -> Pair:
    """Read a pattern up to the first line end, and a value."""
    written, _, value = tape.rest().partition(b"\n")
    return written.decode(errors="replace"), value


_WORDS = (
    *(b"*", b"*@", b"@", b".", b"a.test", b"*.a.test", b"bob", b"bob@a.test", b"noreply-*", b"<>", b"!", b"+x"),
    *(b"[192.0.2.1]", b"[IPv6:2001:db8::1]", b"192.0.2.1", b"xn--bcher-kva.test", b"b\xc3\xbccher.test", b"\xff"),
    *(b"^", b"^.*", b"(", b"(?:", b")", b"|", b"[ab]", b"[^a]", b"[", b"]", b"+", b"?", b"{2}", b"{,3}", b"{1,}", b"$"),
    *(rb"\d", rb"\W", rb"\.", rb"\1", rb"\b", rb"\x61", b"(?i)", b"\\", b"a", b"b", b"A", b"1", b" ", b"\t", b"\n"),
    *(b"=?utf-8?q?", b"=?iso-8859-1?B?", b"=?x?q?", b"?=", b"=C3", b"=BC", b"YWJj", b"_", b"=?", b"?", b'"', b"\\*"),
)
_PATTERNS = sentences(_WORDS, 8).map(lambda drawn: drawn.partition(b"\n")[0].decode(errors="replace"))
pairs = st.tuples(_PATTERNS | _PATTERNS.map("^{}".format), sentences(_WORDS, 8))


def _decode(pair: Pair) -> None:
    decoded_text(pair[1], len(pair[1]))


def _match(pair: Pair) -> None:
    Expression(pair[0]).matches(pair[1].decode())


def _match_pieces(pair: Pair) -> None:
    matches_pieces(tuple(pair[0].split("*")), pair[1].decode())


GROWTH = (
    Growth("encoded words", lambda n: ("", b"=?utf-8?q?a?= " * (n // 14)), work=_decode),
    Growth("encoded words in base64", lambda n: ("", b"=?utf-8?b?YWE=?=" * (n // 16)), work=_decode),
    Growth("encoded words of two charsets", lambda n: ("", b"=?utf-8?q?a?==?koi8-r?q?b?=" * (n // 28)), work=_decode),
    Growth("beginnings of encoded words", lambda n: ("", b"=?utf-8?q?" * (n // 10)), work=_decode),
    Growth("marks of encoded words", lambda n: ("", b"=?" * (n // 2)), work=_decode),
    Growth("blanks behind an encoded word", lambda n: ("", b"=?utf-8?q?a?=" + b" " * n), work=_decode),
    Growth("repeated groups", lambda n: ("^(?:a*)*b", b"a" * n), work=_match),
    Growth("many repetitions", lambda n: ("^.*a.*a.*a.*a.*b", b"a" * n), work=_match),
    Growth("options", lambda n: ("^(?:a?a?a?a?a?a?a?a?)*b", b"a" * n), work=_match),
    Growth("wildcards", lambda n: ("*a*a*a*a*a*a*ab*c", b"a" * n), work=_match_pieces),
)
TARGET = Target("rules", check, read, pairs, _WORDS, GROWTH)
