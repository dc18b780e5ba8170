"""Header blocks as lists of fields."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.message.header_fields import HeaderFields, SelectedFields, joined, unfolded
from mta.message.headers import scan, scan_changed

BLOCK = b"From: a@b.test\r\nX-Mailer : x\r\n\tfolded\r\nsubject: hi\r\nX-MAILER:y\r\nTo:\r\n c@d.test\r\n"


def test_a_block_that_is_not_changed_keeps_its_octets() -> None:
    assert HeaderFields(BLOCK).block == BLOCK
    assert HeaderFields(b"").block == b""


def test_values_have_their_folds() -> None:
    assert HeaderFields(BLOCK).values(b"x-mailer") == [b"x\r\n\tfolded", b"y"]
    assert HeaderFields(BLOCK).values(b"absent") == []
    assert unfolded(b"x\r\n\tfolded\r\n  twice") == b"x\tfolded  twice"


def test_a_changed_value_stands_in_its_place() -> None:
    fields = HeaderFields(BLOCK)
    assert fields.change(b"x-mailer", lambda value: value.replace(b"x", b"other")) == b" other\r\n\tfolded"
    assert fields.block == BLOCK.replace(b": x\r\n", b": other\r\n")
    assert fields.change(b"x-mailer", lambda value: value) is None
    assert fields.change(b"absent", lambda _: b"x") is None


def test_a_field_that_is_put_replaces_all_of_its_name() -> None:
    fields = HeaderFields(BLOCK)
    fields.put(b"x-mailer", b"one")
    assert fields.values(b"x-mailer") == [b"one"]
    assert fields.block.startswith(b"From: a@b.test\r\nX-Mailer: one\r\nsubject: hi\r\nTo:")


def test_a_field_that_was_not_there_stands_on_top() -> None:
    fields = HeaderFields(BLOCK)
    fields.put(b"Reply-To", b"x@y.test")
    fields.add(b"X-Tag", b"main")
    assert fields.block == b"X-Tag: main\r\nReply-To: x@y.test\r\n" + BLOCK


def test_all_fields_of_a_name_are_removed() -> None:
    fields = HeaderFields(BLOCK)
    assert fields.remove(b"x-mailer")
    assert not fields.remove(b"x-mailer")
    assert fields.block == b"From: a@b.test\r\nsubject: hi\r\nTo:\r\n c@d.test\r\n"


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n"])
def test_the_end_of_the_last_line_stays_as_it_is(end: bytes) -> None:
    fields = HeaderFields(b"A: b\r\n c" + end)
    assert fields.block == b"A: b\r\n c" + end
    fields.change(b"a", lambda _: b"x")
    assert fields.block == b"A:x" + end


@given(st.lists(st.sampled_from([b"a: x\r\n", b"b:\r\n", b" y\r\n", b"\t\r\n", b"c :z\r\n"])))
def test_no_octet_of_a_block_is_lost(lines: list[bytes]) -> None:
    while lines and lines[0][:1] in b" \t":
        del lines[0]
    assert HeaderFields(b"".join(lines)).block == b"".join(lines)


def test_a_block_is_cut_at_the_selected_fields() -> None:
    selected = SelectedFields({b"x-mailer", b"to"})
    pieces = selected.cut(BLOCK)
    assert pieces[1::2] == [b"\nX-Mailer : x\r\n\tfolded\r", b"\nX-MAILER:y\r", b"\nTo:\r\n c@d.test\r"]
    assert joined(pieces) == BLOCK
    assert SelectedFields(()).cut(BLOCK) == [b"\n" + BLOCK]
    assert SelectedFields({b"x"}).cut(b"X-A: b\r\nAX: x\r\n x: y\r\n")[1::2] == []
    assert joined(SelectedFields({b"x"}).cut(b"X: b")) == b"X: b\r\n"
    assert joined(SelectedFields({b"x"}).cut(b"")) == b""


@given(
    st.lists(st.sampled_from([b"a: x\r\n", b"A :\n", b" y\r\n", b"b: z\r\n", b"ab: z\n"])),
    st.sampled_from([b"a", b"b"]),
)
def test_the_fields_of_a_cut_block_are_those_of_the_whole_one(lines: list[bytes], name: bytes) -> None:
    while lines and lines[0][:1] == b" ":
        del lines[0]
    pieces = SelectedFields({name}).cut(b"".join(lines))
    assert joined(pieces) == b"".join(lines)
    cut = HeaderFields(b"".join(pieces[1::2])[1:] + b"\n" if pieces[1:] else b"")
    assert cut.values(name) == HeaderFields(b"".join(lines)).values(name)
    assert cut.pieces(len(pieces[1::2])) == (b"", pieces[1::2])


@given(
    st.lists(st.sampled_from((b"From", b"FROM", b"Date", b"Subject", b"Message-ID", b"List-Id", b"X-Tag")), max_size=6),
    st.lists(
        st.tuples(
            st.sampled_from(("put", "add", "remove", "change")),
            st.sampled_from((b"from", b"date", b"subject", b"message-id", b"list-id", b"precedence", b"x-tag")),
            st.sampled_from((b"a@b.test", b"bulk", b"two\r\n lines")),
        ),
        max_size=5,
    ),
)
def test_a_changed_header_has_the_properties_that_a_scan_finds(
    names: list[bytes], changes: list[tuple[str, bytes, bytes]]
) -> None:
    block = b"".join(b"%b: value %d\r\n" % (name, number) for number, name in enumerate(names))
    fields = HeaderFields(block)
    for change, name, value in changes:
        if change == "put":
            fields.put(name, value)
        elif change == "add":
            fields.add(name, value)
        elif change == "remove":
            fields.remove(name)
        else:
            fields.change(name, lambda _, value=value: b" " + value)
    author = next(map(unfolded, fields.values(b"from")), None)
    assert scan_changed(scan(block), fields.block, fields.changed_names, author) == scan(fields.block)
