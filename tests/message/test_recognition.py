"""The texts by which an operator recognizes a message."""

from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mta.message import recognition
from mta.message.headers import scan


@pytest.mark.parametrize(
    ("field", "text"),
    [
        (b"Subject: Gr\xc3\xbc\xc3\x9fe", "Gr\u00fc\u00dfe"),
        (b"Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?= =?utf-8?b?IQ==?=", "Gr\u00fc\u00dfe!"),
        (b"Subject: =?utf-8?q?a=0D=0Ab=00=1B[2J=E2=80=AE?=", "a??b??[2J?"),
        (b"Subject: a\xffb", "a\ufffdb"),
        (b"Subject: " + b"x" * 300, "x" * 200),
        (b"Subject: a\r\n b", "a b"),
        (b"Subject: a\tb", "a b"),
        (b"Subject: a\x1bb", "a?b"),
        (b"Subject: " + b"x" * 199 + b"\xc3\xbc", "x" * 199 + "\u00fc"),
        (b"Subject: " + b"x" * 195 + b"=?utf-8?q?yz?=", "x" * 195 + "yz"),
        (b"To: x", ""),
    ],
)
def test_a_subject_is_decoded_shortened_and_safe_to_show(field: bytes, text: str) -> None:
    assert recognition.subject(scan(field + b"\r\n")) == text


@pytest.mark.parametrize(
    ("field", "text"),
    [
        (b"<m1@a.test>", "m1@a.test"),
        (b" m1@a.test ", "m1@a.test"),
        (b"<" + b"x" * 400 + b">", "x" * 250),
        (b"<a\x1b@\xff>", "a?@\ufffd"),
        (b"<>", ""),
        (b"<" + b"x" * 250 + b">", "x" * 250),
        (b"<" + b"x" * 249 + b">", "x" * 249),
        (b"<a\tb>", "a?b"),
    ],
)
def test_a_message_id_has_no_brackets(field: bytes, text: str) -> None:
    assert recognition.message_id(scan(b"Message-ID: " + field + b"\r\n")) == text


def test_an_author_is_decoded() -> None:
    assert recognition.author(scan(b"From: =?utf-8?q?Zo=C3=AB?= <zoe@a.test>\r\n")) == "Zo\u00eb <zoe@a.test>"


VALUES = st.binary(max_size=300) | st.text(max_size=250).map(lambda text: text.encode(errors="replace"))
PLAIN = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=260).map(str.encode)


@given(VALUES | PLAIN, VALUES | PLAIN, VALUES | PLAIN)
@example(b"<" + b"x" * 250 + b">", b"y" * 200, b"z" * 200)
@example(b"<" * 100 + b"x" * 200, b"", b"")
@example(b"<>a<>", b"=", b"?utf-8?q?a?=")
@example(b"<a>", b"\t", b"b")
def test_the_texts_together_are_those_one_by_one(message_id: bytes, subject: bytes, author: bytes) -> None:
    found = replace(scan(b""), message_id=message_id, subject=subject, author=author)
    one_by_one = recognition.message_id(found), recognition.subject(found), recognition.author(found)
    assert recognition.texts(found) == one_by_one
