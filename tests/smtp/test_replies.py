"""Replies: their octets, their bounds, and replies of a server."""

import pytest
from hypothesis import given, settings

from mta.smtp.replies import MAX_REPLY_LINE, Reply, read_reply, reply
from tests.strategies import replies


def lines_of(wire: bytes) -> list[str]:
    return wire.decode().removesuffix("\r\n").split("\r\n")


@pytest.mark.parametrize(
    ("made", "wire"),
    [
        (reply(250, "2.1.0", "ok"), b"250 2.1.0 ok\r\n"),
        (reply(354, "", "go on"), b"354 go on\r\n"),
        (reply(250, "", "mx.test", "SIZE 1", "HELP"), b"250-mx.test\r\n250-SIZE 1\r\n250 HELP\r\n"),
        (reply(550, "5.7.1", "a", "b"), b"550-5.7.1 a\r\n550 5.7.1 b\r\n"),
    ],
)
def test_a_reply_has_its_code_and_status_on_every_line(made, wire):
    assert made.wire == wire


@pytest.mark.parametrize("text", ["a\r\n250 ok", "a\nb", "a\0b", "a\x1b[2Jb", "\x85", "\u202eb", "\u2028b", "\ud800"])
def test_no_text_can_end_a_line_or_hide_another(text):
    wire = reply(550, "5.0.0", text).wire
    assert wire.count(b"\r\n") == 1
    assert wire[:-2].decode().isprintable()


def test_a_line_is_cut_at_the_limit():
    assert len(reply(550, "5.7.1", "x" * 1000).wire) == MAX_REPLY_LINE


@pytest.mark.parametrize(("code", "lines"), [(199, ("x",)), (600, ("x",)), (250, ())])
def test_an_invalid_reply_cannot_be_built(code, lines):
    with pytest.raises(ValueError, match="not a reply"):
        Reply(code, "", lines)


@pytest.mark.parametrize(
    ("code", "positive", "temporary"), [(250, True, False), (354, True, False), (451, False, True), (550, False, False)]
)
def test_the_first_digit_tells_the_kind(code, positive, temporary):
    made = reply(code, "", "x")
    assert (made.positive, made.temporary) == (positive, temporary)


def test_a_status_of_another_class_is_text():
    assert read_reply(250, ["5.7.1 odd"]) == reply(250, "", "5.7.1 odd")


def test_a_status_in_the_digits_of_another_script_is_text():
    assert read_reply(550, ["5.१.१ no"]) == reply(550, "", "5.१.१ no")


def test_a_reply_is_quoted_on_one_line():
    assert str(reply(550, "5.7.1", "not", "here")) == "550 5.7.1 not here"
    assert str(reply(354, "", "go on")) == "354 go on"


@given(replies)
@settings(max_examples=200, deadline=None)
def test_a_reply_read_back_equals_itself(made):
    lines = lines_of(made.wire)
    assert [line[3] for line in lines] == ["-"] * (len(lines) - 1) + [" "]
    assert read_reply(int(lines[0][:3]), [line[4:] for line in lines]) == made


def test_an_overlong_line_is_cut_between_characters() -> None:
    wire = reply(550, "5.7.1", "ü" * 600).wire
    assert len(wire) <= MAX_REPLY_LINE
    assert wire.decode().startswith("550 5.7.1 üü")
