"""Makes rules of Postfix's maps of addresses and of copies."""

from mta.config.imports.postfix_maps import (
    GENERIC,
    RECIPIENT_BCC,
    SENDER_BCC,
    SENDER_CANONICAL,
    import_address_map,
    import_copies,
)

TEXT = "@host2.lan @example.com\nBob bob.smith\napp@host1.lan noreply@example.com\nann@host2.lan @example.org\n"


def test_a_map_has_addresses_then_local_parts_then_domains() -> None:
    (block,) = import_address_map(SENDER_CANONICAL, TEXT, ["mail.test"]).blocks
    assert dict(block.entries)["map"] == (
        "app@host1.lan -> noreply@example.com",
        "ann@host2.lan -> ann@example.org",
        "bob@mail.test -> bob.smith@mail.test",
        "*@host2.lan -> *@example.com",
    )
    assert "in" not in dict(block.entries)


def test_generic_changes_recipients_in_the_header_only() -> None:
    (block,) = import_address_map(GENERIC, TEXT, ["mail.test"]).blocks
    assert dict(block.entries)["in"] == ("sender", "from", "reply_to", "to", "cc")
    assert "recipients" in block.comments[0]


def test_lines_of_a_map_that_no_rule_can_have() -> None:
    text = "bob x@y.test\na@b.test carl\n/^x/ y@z.test\na: b@c.test\nalone@x.test\nb@x.test a b\na*@x.test c@d.test\n"
    section = import_address_map(SENDER_CANONICAL, text, [])
    assert not section.blocks
    reasons = {line.number: line.reason for line in section.left_out}
    assert list(reasons) == [1, 2, 3, 4, 5, 6, 7]
    for number, words in ((1, "--domain"), (2, "no domain"), (3, "regular"), (4, "colon"), (5, "no address"), (7, "*")):
        assert words in reasons[number]


def test_the_first_line_for_a_key_counts() -> None:
    section = import_address_map(SENDER_CANONICAL, "a@b.test x@y.test\nA@B.test z@y.test\n", [])
    assert dict(section.blocks[0].entries)["map"] == ("a@b.test -> x@y.test",)
    assert [line.number for line in section.left_out] == [2]


def test_copies_go_by_the_most_specific_line() -> None:
    text = "@a.test all@x.test\nbob@a.test bob@x.test\nann@b.test all@x.test\n"
    first, second = import_copies(RECIPIENT_BCC, text, []).blocks
    assert first.entries == (
        ("name", RECIPIENT_BCC),
        ("client", ("trusted", "stranger")),
        ("recipient", ("*@a.test", "ann@b.test")),
        ("unless.recipient", ("bob@a.test",)),
        ("bcc", "all@x.test"),
    )
    assert second.entries[2:] == (("recipient", ("bob@a.test",)), ("bcc", "bob@x.test"))
    assert first.comments == ("recipient_bcc:1, 3",)


def test_copies_by_sender() -> None:
    section = import_copies(SENDER_BCC, "a@b.test x@y.test\nc@b.test local\n", [])
    assert dict(section.blocks[0].entries)["sender"] == ("a@b.test",)
    assert [line.number for line in section.left_out] == [2]
