"""The words of refusals, with a code and status before them or not."""

import pytest

from mta.rules.actions import read_defer, read_deny


@pytest.mark.parametrize(
    ("words", "reply"),
    [
        ("not from here", "550 5.7.1 not from here"),
        ("554 5.7.0 not from here", "554 5.7.0 not from here"),
        ("554 not from here", "554 5.7.1 not from here"),
        ("5.1.1 not here", "550 5.1.1 not here"),
        ("  552   5.3.4  too large ", "552 5.3.4 too large"),
        ("100 mails are enough", "550 5.7.1 100 mails are enough"),
        ("5551 is your number", "550 5.7.1 5551 is your number"),
    ],
)
def test_the_reply_of_a_denial(words, reply):
    assert str(read_deny(words).reply) == reply


def test_the_reply_of_a_deferral():
    assert str(read_defer("try later").reply) == "451 4.7.1 try later"
    assert str(read_defer("450 4.2.0 try later").reply) == "450 4.2.0 try later"


@pytest.mark.parametrize(
    ("read", "words", "problem"),
    [
        (read_deny, "451 later", "451 does not fit: a deny has 5yz, a defer 4yz"),
        (read_defer, "550 no", "550 does not fit: a deny has 5yz, a defer 4yz"),
        (read_deny, "250 ok", "250 does not fit"),
        (read_deny, "550 4.7.1 no", r"4.7.1 does not fit 550: it begins with 5\."),
        (read_defer, "421 4.7.0 bye", "421 does not fit: a rule does not close the connection"),
        (read_deny, "", "the words of the reply are missing"),
        (read_deny, "550 5.7.1", "the words of the reply are missing"),
        (read_deny, "n\u00f6", "printable ASCII"),
        (read_deny, "a\r\n250 ok", "printable ASCII"),
        (read_deny, "a" * 481, "up to 480 printable"),
    ],
)
def test_words_that_cannot_be_a_reply(read, words, problem):
    with pytest.raises(ValueError, match=problem):
        read(words)
