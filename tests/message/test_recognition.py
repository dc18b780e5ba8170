"""The texts by which an operator recognizes a message."""

import pytest

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
    ],
)
def test_a_message_id_has_no_brackets(field: bytes, text: str) -> None:
    assert recognition.message_id(scan(b"Message-ID: " + field + b"\r\n")) == text


def test_an_author_is_decoded() -> None:
    assert recognition.author(scan(b"From: =?utf-8?q?Zo=C3=AB?= <zoe@a.test>\r\n")) == "Zo\u00eb <zoe@a.test>"
