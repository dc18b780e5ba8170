"""Text of reports: cleaning of untrusted text, wrapping, and advice by status."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mta.message.outcome import Failed
from mta.message.report_text import MAX_REPLY, is_reply, one_line, wrapped


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("550 no", "550 no"),
        ("a\r\nb\tc", "a b c"),
        ("  a  b  ", "a  b"),
        ("a\x00b\x1b[2Jc", "a?b?[2Jc"),
        ("right\u202eleft", "right?left"),
        ("one\u2028two\x85three", "one two three"),
        ("žluť", "žluť"),
        ("\ud800", "?"),
    ],
)
def test_untrusted_text_becomes_one_printable_line(text: str, shown: str) -> None:
    assert one_line(text) == shown


def test_without_utf8_only_ascii_is_left() -> None:
    assert one_line("žluť", utf8=False) == "?lu?"


def test_a_reply_is_quoted_up_to_a_bound() -> None:
    assert len(one_line("x" * 100_000)) == MAX_REPLY


def test_short_text_stays_on_the_line_as_it_is() -> None:
    assert wrapped('rfc822; "a  b"@example.test', "To:", " ") == ['To: rfc822; "a  b"@example.test']


@given(
    st.text(max_size=600).map(one_line) | st.integers(1, 2000).map(lambda length: "long " + "é" * length),
    st.sampled_from([("Diagnostic-Code:", " "), ("   ", "    ")]),
)
@settings(max_examples=200)
def test_lines_keep_their_length_and_lose_no_word(text: str, margins: tuple[str, str]) -> None:
    start, indent = margins
    lines = wrapped(text, start, indent)
    assert all(len(line.encode()) <= 998 for line in lines)
    assert all(len(line) <= 76 or len(line.removeprefix(start).split()) == 1 for line in lines)
    assert all(line.startswith(indent) and line.strip() for line in lines[1:])
    assert "".join(lines).replace(" ", "") == (start + text).replace(" ", "")


@pytest.mark.parametrize(
    ("text", "host", "verdict"),
    [
        ("550 no", "mx.test", True),
        ("421-closing", "mx.test", True),
        ("550", "mx.test", True),
        ("550 no", "", False),
        ("5501 no", "mx.test", False),
        ("timed out", "mx.test", False),
    ],
)
def test_only_text_with_a_code_from_a_host_is_a_reply(text: str, host: str, verdict: bool) -> None:
    assert is_reply(Failed(text, host)) is verdict
