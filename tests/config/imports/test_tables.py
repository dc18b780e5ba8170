"""Reads tables and lists as Postfix and Exim do."""

import pytest

from mta.config.imports.tables import TableLine, exim_list, lsearch_table, postfix_table


def test_a_postfix_table_has_keys_in_lower_case_and_values() -> None:
    text = "# comment\n\nApp@Host1.lan\t Noreply@example.com  \n  # a comment inside\n\n@b.test\n   @c.test\nalone\n"
    assert list(postfix_table(text)) == [
        TableLine(3, "app@host1.lan", "Noreply@example.com"),
        TableLine(6, "@b.test", "@c.test"),
        TableLine(8, "alone", ""),
    ]


def test_a_postfix_line_is_continued_behind_a_comment() -> None:
    assert list(postfix_table("a@b.test one\n# between\n  two\n")) == [TableLine(1, "a@b.test", "one  two")]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("root: ops@example.com", TableLine(1, "root", "ops@example.com")),
        ("root : ops@example.com  ", TableLine(1, "root", "ops@example.com")),
        ("Root ops@example.com", TableLine(1, "root", "ops@example.com")),
        ('"a b\\"c": x@y.test', TableLine(1, 'a b"c', "x@y.test")),
        ("a:b:c d", TableLine(1, "a", "b:c d")),
        ("alone", TableLine(1, "alone", "")),
        ("\n# comment\na: one\n   two", TableLine(3, "a", "one two")),
        ("a: one\n  # no comment", TableLine(1, "a", "one # no comment")),
        ("a: one\n# comment\n two", TableLine(1, "a", "one")),
        ("a: one\n\n two", TableLine(1, "a", "one")),
    ],
)
def test_a_line_of_lsearch(text: str, line: TableLine) -> None:
    assert list(lsearch_table(text)) == [line]


def test_an_indented_line_at_the_top_of_lsearch_has_no_meaning() -> None:
    assert list(lsearch_table("  x: y\nz: w\n")) == [TableLine(2, "z", "w")]


def test_comments_of_lists_differ() -> None:
    text = "a#b@c.test # comment\n\n# only\n 10.0.0.0/8#x\n"
    assert [(line.number, line.key) for line in exim_list(text, of_addresses=True)] == [
        (1, "a#b@c.test"),
        (4, "10.0.0.0/8#x"),
    ]
    assert [(line.number, line.key) for line in exim_list(text, of_addresses=False)] == [(1, "a"), (4, "10.0.0.0/8")]


def test_a_value_stays_out_of_repr() -> None:
    assert "secret" not in repr(next(postfix_table("[a.test] user:secret")))
