"""The facts that conditions ask for: the texts of header fields."""

from mta.message.headers import MAX_VALUES
from mta.rules.facts import MAX_TEXT
from tests.rules.made_rules import facts


def test_header_texts_are_unfolded_and_decoded():
    block = b"Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n\tan alle\r\nX: 1\r\nsubject: zwei\r\n"
    assert facts(header=block).header_texts("Subject") == ("Gr\u00fc\u00dfe an alle", "zwei")
    assert facts(header=block).header_texts("Y") == ()


def test_there_is_no_header_before_the_data():
    assert facts().header_texts("Subject") == ()


def test_the_texts_are_bounded():
    many = facts(header=b"X: 1\r\n" * (MAX_VALUES + 10))
    assert len(many.header_texts("X")) == MAX_VALUES
    (long,) = facts(header=b"X: " + b"a" * (2 * MAX_TEXT) + b"\r\n").header_texts("X")
    assert long == "a" * MAX_TEXT


def test_a_field_is_decoded_once():
    known = facts(header=b"X: 1\r\n")
    assert known.header_texts("X") is known.header_texts("X")
