"""Text of a peer on one line."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.smtp.address import printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("", ""),
        ("Grüße, 世界", "Grüße, 世界"),
        ("a\r\nb\tc\0d\x7fe", "a??b?c?d?e"),
        # A C1 control, a line separator, what turns a line around, half a character.
        ("\x9b\u2028\u202e\ud800", "????"),
    ],
)
def test_only_visible_characters_are_kept(text, shown):
    assert printable(text) == shown


@given(st.text())
def test_it_is_one_line_of_the_same_length(text):
    shown = printable(text)
    assert shown.isprintable()
    assert len(shown) == len(text)
