"""Maps from patterns to addresses: the first line that matches decides, however it is looked up."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.rules.pattern_lists import MAX_SLOW_PATTERNS, AddressPatterns
from mta.rules.rewriting.address_map import AddressMap, MapLine, Replacement, read_map_line, read_replacement
from mta.smtp.address import Address, parse_address


def mapped(address: str, *lines: str) -> str:
    return str(AddressMap(map(read_map_line, lines)).replace(parse_address(address)))


@pytest.mark.parametrize(
    ("line", "address", "result"),
    [
        ("root@*.lan -> ops@example.com", "Root@nas.lan", "ops@example.com"),
        ("root@*.lan ops@example.com", "root@nas.lan", "ops@example.com"),
        ("root@*.lan -> ops@example.com", "root@lan", "root@lan"),
        ("*@*.lan -> *@example.com", "App@a.b.lan", "App@example.com"),
        ("host.lan -> *@example.com", "app@host.lan", "app@example.com"),
        ("* -> *@example.com", '"a b"@x.test', '"a b"@example.com'),
        ("root@* -> ops@example.com", "root@x.test", "ops@example.com"),
        ("bob@a.test -> carol@b.test", "bob@a.test", "carol@b.test"),
        ("app-*@a.test -> app@a.test", "app-7@a.test", "app@a.test"),
        ("^(dev|ops)@.* -> team@a.test", "ops@x.test", "team@a.test"),
    ],
)
def test_a_line_replaces_the_addresses_that_match(line: str, address: str, result: str) -> None:
    assert mapped(address, line) == result


def test_the_first_line_that_matches_decides() -> None:
    lines = ["root@a.lan -> one@x.test", "*@*.lan -> two@x.test", "root@* -> three@x.test", "a*@a.lan -> four@x.test"]
    assert mapped("root@a.lan", *lines) == "one@x.test"
    assert mapped("root@a.lan", *reversed(lines)) == "three@x.test"
    assert mapped("app@a.lan", *lines) == "two@x.test"
    assert mapped("app@a.lan", *reversed(lines)) == "four@x.test"


LINES = st.tuples(
    st.sampled_from(
        ["*", "a@*", "b@*", "x.lan", "*@y.lan", "*@*.lan", "*@*.x.lan", "a@x.lan", "a*@x.lan", "b@*.lan", "^.*b@.*"]
    ),
    st.integers(0, 9),
)


@given(st.lists(LINES, max_size=8), st.sampled_from(["a", "b", "ab"]), st.sampled_from(["x.lan", "y.lan", "z.x.lan"]))
def test_looking_up_agrees_with_trying_line_by_line(lines: list[tuple[str, int]], local: str, domain: str) -> None:
    read = [read_map_line(f"{pattern} -> r{number}@example.com") for pattern, number in lines]
    address = Address(local, domain)
    first = next((one for one in read if AddressPatterns([one.pattern]).matches(address)), None)
    expected = address if first is None else first.replacement.of(address)
    assert AddressMap(read).replace(address) == expected


def test_an_address_that_would_be_too_long_stays() -> None:
    address = Address("a" * 240, "x.lan")
    assert Replacement(None, "much-longer.example.com").of(address) is address


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("root@a.lan", "a line of a map is a pattern and an address"),
        ("a b c", "a line of a map is a pattern and an address"),
        ("<> -> a@b.test", "the null sender"),
        ("root -> a@b.test", "is not an address pattern"),
        ("a.test -> b.test", "cannot take the place of an address"),
        ("a.test -> x*@b.test", "is neither one address nor"),
        ("a.test -> postmaster", "is neither one address nor"),
        ("a.test -> jürgen@b.test", "is not ASCII"),
        ("a@a.test -> *@b.test", "keeps a local part"),
        ("^.*@x.lan -> *@b.test", "keeps a local part"),
    ],
)
def test_a_wrong_line_is_told(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words.replace("*", r"\*")):
        read_map_line(text)


def test_a_replacement_never_has_octets_that_end_a_line() -> None:
    for text in ("a\r\nb@x.test", "a@x.test\n", '"a\x00"@x.test'):
        with pytest.raises(ValueError, match="cannot take the place"):
            read_replacement(text)


def test_slow_patterns_are_bounded_and_others_are_not() -> None:
    slow = [read_map_line(f"a{number}-*@x.test -> b@x.test") for number in range(MAX_SLOW_PATTERNS + 1)]
    AddressMap(slow[1:])
    with pytest.raises(ValueError, match="a map has at most"):
        AddressMap(slow)
    many = AddressMap(read_map_line(f"u{number}@x.test v{number}@y.test") for number in range(20_000))
    begin = time.process_time()
    for number in range(20_000):
        assert many.replace(Address(f"u{number}", "x.test")).local == f"v{number}"
    assert time.process_time() - begin < 20


def test_maps_with_the_same_lines_are_equal() -> None:
    line = MapLine(read_map_line("a.test -> *@b.test").pattern, Replacement(None, "b.test"))
    assert AddressMap([line]) == AddressMap([line])
    assert len({AddressMap([line]), AddressMap([line]), AddressMap([])}) == 2
    assert repr(AddressMap([line])) == "AddressMap(a.test -> *@b.test)"
