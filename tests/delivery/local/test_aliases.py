"""Tests the syntax and the expansion of aliases."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mta.delivery.local.aliases import MAX_DEPTH, MAX_RECIPIENTS, Aliases, Expansion, parse_aliases
from mta.smtp.address import Address, parse_address

HERE = "here.test"


def expand(text: str, who: str) -> Expansion | None:
    local, _, domain = who.partition("@")
    return parse_aliases(text).expand(local, domain or HERE, {HERE, "other.test"}.__contains__)


def recipients(text: str, who: str) -> list[str]:
    expansion = expand(text, who)
    assert expansion is not None, who
    assert not expansion.error
    return [str(address) for address in (*expansion.users, *expansion.outside)]


@pytest.mark.parametrize(
    "text",
    [
        "list: bob, eve@out.test",
        "list:bob,eve@out.test",
        "List : bob ,\n\teve@out.test",
        "list: bob,\n# a remark\n\n  eve@out.test",
        "list:\n bob\n eve@out.test",
        "list: bob, eve@out.test,\r\n",
        'list: "bob", Eve <eve@out.test>',
        '"list": bob, "Eve, of Out" <eve@out.test>',
        "# list: carol\nlist: bob, bob, eve@OUT.test",
        "list: Bob@here.test, bob, \\bob, eve@out.test",
    ],
)
def test_every_syntax_of_an_alias_means_the_same(text: str) -> None:
    assert [one.lower() for one in recipients(text, "list")] == ["bob@here.test", "eve@out.test"]
    assert parse_aliases(text).notices == ()


@pytest.mark.parametrize("who", ["root", "Root", "ROOT+cron"])
def test_names_are_found_whatever_their_case_and_detail(who: str) -> None:
    assert recipients("root: bob", who) == ["bob@here.test"]


def test_a_name_with_its_detail_goes_before_the_plain_one() -> None:
    assert recipients("root: bob\nroot+cron: eve", "root+cron") == ["eve@here.test"]


def test_a_recipient_that_is_not_an_alias_has_no_expansion() -> None:
    assert expand("root: bob", "bob") is None


def test_a_key_with_a_domain_is_for_that_domain_and_goes_first() -> None:
    text = "info: bob\ninfo@OTHER.test: eve\nonly@other.test: eve"
    assert recipients(text, "info@here.test") == ["bob@here.test"]
    assert recipients(text, "info@other.test") == ["eve@other.test"]
    assert expand(text, "only@here.test") is None


def test_a_quoted_local_part_is_one_name() -> None:
    text = '"ann smith": bob\nlist: "ann lee"@out.test, "jo@out.test"'
    assert recipients(text, "ann smith") == ["bob@here.test"]
    assert recipients(text, "list") == ['"ann lee"@out.test', "jo@out.test"]


def test_aliases_of_aliases_are_expanded_and_each_recipient_counts_once() -> None:
    text = "all: staff, bob, eve@out.test\nstaff: bob, carol, boss@here.test\nboss: eve@out.test, dan"
    assert recipients(text, "all") == ["bob@here.test", "carol@here.test", "dan@here.test", "eve@out.test"]


def test_a_name_among_its_own_targets_is_the_mailbox() -> None:
    assert recipients("bob: bob, bob@out.test", "bob") == ["bob@here.test", "bob@out.test"]


def test_a_circle_ends_at_the_mailbox_where_it_began() -> None:
    assert recipients("a: b\nb: c\nc: a", "a") == ["a@here.test"]


def test_a_backslash_ends_the_search() -> None:
    assert recipients("root: \\admin\nadmin: eve", "root") == ["admin@here.test"]


@pytest.mark.parametrize("value", ["/dev/null", ":blackhole:", '"/dev/null"', "/dev/null, :BLACKHOLE:"])
def test_a_black_hole_is_an_alias_without_recipients(value: str) -> None:
    assert expand(f"null: {value}", "null") == Expansion()


def test_a_black_hole_beside_others_changes_nothing() -> None:
    assert recipients("null: /dev/null, bob", "null") == ["bob@here.test"]


@pytest.mark.parametrize("text", ["gone: :fail: moved, sorry", "gone: left\nleft: :fail:"])
def test_an_alias_may_refuse(text: str) -> None:
    assert expand(text, "gone") == Expansion(refused=True)


def test_a_refusal_beside_others_is_no_recipient() -> None:
    assert recipients("all: left, bob\nleft: :fail:", "all") == ["bob@here.test"]


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ('"|/usr/bin/procmail -a, b"', "programs are not run"),
        ("|cat, bob", "programs are not run"),
        ("bob, /var/mail/file", "files are not written"),
        (":include:/etc/list", "lists in other files are not read"),
        ('":include:/etc/list"', "lists in other files are not read"),
        (":defer: later", "':defer: later' is not known"),
    ],
)
def test_an_alias_for_a_program_or_file_is_ignored_with_a_notice(value: str, words: str) -> None:
    aliases = parse_aliases(f"root: bob\ncmd: {value}")
    assert list(aliases.entries) == ["root"]
    (notice,) = aliases.notices
    assert notice.startswith("line 2: cmd is ignored: ")
    assert words in notice


@pytest.mark.parametrize(
    ("text", "notice"),
    [
        ("just words", "line 1: 'just words' is not of the form `name: value, value`"),
        ("@here.test: bob", "line 1: '@here.test: bob' is not of the form `name: value, value`"),
        ("\n\nempty:", "line 3: empty has no value"),
        ("a: b\nA: c", "line 2: a is there already; the first one counts"),
        ("a: b, c@no_domain!", "line 1: a: 'c@no_domain!' is left out: malformed domain 'no_domain!'"),
        ("a: b, two words", "line 1: a: 'two words' is left out: unexpected ' ' in the local part"),
        ("a: b, " + "x" * 300, "line 1: a: '" + "x" * 57 + "...' is left out: address longer than 254 octets"),
    ],
)
def test_an_error_is_reported_with_its_line(text: str, notice: str) -> None:
    assert parse_aliases(text).notices == (notice,)


def test_an_error_drops_only_the_value_it_is_in() -> None:
    assert recipients("nonsense\na: b c, bob\n: x\n", "a") == ["bob@here.test"]


def test_more_recipients_than_allowed_is_an_error() -> None:
    text = "all: " + ", ".join(f"u{number}@out.test" for number in range(MAX_RECIPIENTS))
    assert len(recipients(text, "all")) == MAX_RECIPIENTS
    expansion = expand(text + ", one@more.test", "all")
    assert expansion is not None
    assert expansion.error == "the alias all stands for more than 1000 recipients"


def test_more_aliases_in_a_row_than_allowed_is_an_error() -> None:
    def row(length: int) -> str:
        return "\n".join(f"a{number}: a{number + 1}" for number in range(length))

    assert recipients(row(MAX_DEPTH), "a0") == [f"a{MAX_DEPTH}@here.test"]
    expansion = expand(row(MAX_DEPTH + 1), "a0")
    assert expansion is not None
    assert expansion.error == "the alias a0 leads through more than 20 others"


def test_each_alias_is_expanded_once_however_often_it_is_named() -> None:
    text = "\n".join(f"a{number}: a{number + 1}, a{number + 1}@here.test" for number in range(16))
    looks: list[str] = []

    def is_local(domain: str) -> bool:
        looks.append(domain)
        return True

    assert parse_aliases(text).expand("a0", HERE, is_local) == Expansion((parse_address("a16@here.test"),))
    assert len(looks) == 16


def test_an_empty_file_has_no_aliases() -> None:
    assert parse_aliases("") == parse_aliases("\n# nothing\n   \n") == Aliases()


NAMES = st.sampled_from(["a", "b", "c", "d@here.test", "e@out.test", "\\a", "/dev/null", ":fail:", "|x", '"'])
ENTRIES = st.lists(st.tuples(st.sampled_from("abcd"), st.lists(NAMES, max_size=4)), max_size=8)


@given(ENTRIES)
@settings(max_examples=200, deadline=None)
def test_an_expansion_ends_and_holds_mailboxes_and_outside_addresses(entries: list[tuple[str, list[str]]]) -> None:
    text = "\n".join(f"{name}: {', '.join(values)}" for name, values in entries)
    expansion = expand(text, "a")
    if expansion is not None:
        assert {address.domain for address in expansion.users} <= {HERE}
        assert set(expansion.outside) <= {parse_address("e@out.test")}
        assert not (expansion.refused and (expansion.users or expansion.outside))


@given(st.text(alphabet=': ,"\\\n\t#@|/<>ab.', max_size=40) | st.text(max_size=40))
@settings(max_examples=400, deadline=None)
def test_no_text_makes_the_parser_raise_or_name_an_impossible_address(text: str) -> None:
    for alias in parse_aliases(text).entries.values():
        for target in alias.targets:
            address = target.address
            assert parse_address(str(Address(address.local, address.domain or HERE))).local == address.local
