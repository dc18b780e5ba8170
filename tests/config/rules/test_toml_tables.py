"""Tables with lines: the values are those of tomllib, every mistake has a line, and no text takes long."""

import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.config.rules.toml_tables import KeyParts, TomlTable, read_tables


def tables(text: str) -> list[TomlTable]:
    found, mistakes = read_tables(text)
    assert mistakes == []
    return found


def mistakes(text: str) -> list[str]:
    return [f"{each.line}: {each.words}" for each in read_tables(text)[1]]


def values(table: TomlTable) -> dict[KeyParts, Any]:
    return {key: entry.value for key, entry in table.entries.items()}


def test_tables_and_keys_know_their_lines() -> None:
    top, first, second = tables('a = 1\n\n[[acl]] # one\n# two\n  sender = "x"\n\tdeny="no"\r\n[lists]\n"b c" = []\n')
    assert (top.name, first.name, second.name) == ((), ("acl",), ("lists",))
    assert (first.line, first.is_array, second.line, second.is_array) == (3, True, 7, False)
    assert [(entry.name, entry.line) for entry in first.entries.values()] == [("sender", 5), ("deny", 6)]
    assert values(second) == {("b c",): []}


def test_arrays_and_texts_may_have_several_lines() -> None:
    text = (
        '[[acl]]\nsender = [ # not ]\n  "a]",\n  \'b#\',\n]\nname = """\n[[acl]]\nx = 1 \\"""\n"""\n'
        "end = '''\n[y]'''\n"
    )
    (_, table) = tables(text)
    assert values(table) == {
        ("sender",): ["a]", "b#"],
        ("name",): '[[acl]]\nx = 1 """\n',
        ("end",): "[y]",
    }
    sender = table.entries["sender",]
    assert (sender.line, sender.item_lines()) == (2, {"a]": 3, "b#": 4})


def test_dotted_keys_and_inline_tables_are_flat() -> None:
    (_, table) = tables('[[acl]]\nunless.header.Subject = "a"\nunless.sender = "b"\nx = { y = 1, z = { w = [2] } }\n')
    assert values(table) == {
        ("unless", "header", "Subject"): "a",
        ("unless", "sender"): "b",
        ("x", "y"): 1,
        ("x", "z", "w"): [2],
    }


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("deny = no", 'deny = no: text stands in quotes, deny = "no"'),
        ("larger = 10M", 'larger = 10M: text stands in quotes, larger = "10M"'),
        ("accept = True", "accept = True: true is written in small letters and stands alone, accept = true"),
        ("deny = \u201cno\u201d", 'deny = \u201cno\u201d: text stands in straight quotes, deny = "..."'),
        ('deny = "no', 'deny = "no: a closing quote is missing; text of one line stands in quotes'),
        (
            r'sender = "^\d+@a"',
            r'sender = "^\d+@a": in double quotes \ begins an escape; use single quotes, sender = ' + "'...'",
        ),
        ('deny: "no"', 'deny: "no": a key is followed by =, not by a colon; deny = ...'),
        ("deny", "deny has no value; deny = ..."),
        ("deny =", 'deny has no value; deny = "..."'),
        ("= 1", "= 1 is no line of a rule; the form is key = value"),
        (
            'client = ["a" "b"]',
            'client = ["a" "b"]: the items of an array are texts in quotes with commas between them, client = ["..."]',
        ),
        ('client = ["a",', 'client = ["a",: the array is not closed; client = ["..."]'),
        ('name = """x', 'the text is not closed; """ is missing at its end'),
        ('sender = "y"', "sender is there twice in this table; several values are an array, [..., ...]"),
        ('sender.x = "y"', "sender.x is there twice in this table; several values are an array, [..., ...]"),
        ("a = [[[[[[[[[1]]]]]]]]]", "the value is nested too deeply or is too long; write a flat array of texts"),
        ("[[acl]", "[[acl] begins no table; the line must be [[acl]] alone"),
        ("[acl]]", "[acl]] begins no table; the line must be [[acl]] alone"),
        ("[lists]]", "[lists]] begins no table; the line must be [lists] alone"),
        ("[[acl rules]]", "[[acl rules]] begins no table; the line must be [[acl]] alone"),
        ("[]", "[] begins no table; the line must be [[acl]] alone"),
        ("[[acl]] x = 1", "[[acl]] x = 1 begins no table; the line must be [[acl]] alone"),
    ],
)
def test_usual_mistakes_are_told_in_words_of_their_own(line: str, words: str) -> None:
    assert mistakes(f'[[acl]]\nsender = "x"\n{line}\n') == [f"3: {words}"]


def test_a_key_and_a_part_of_it_cannot_both_have_a_value() -> None:
    assert mistakes('[[acl]]\nunless.sender = "x"\nunless = "y"\n') == [
        "3: unless is there twice in this table; several values are an array, [..., ...]"
    ]


def test_a_mistake_in_an_array_of_several_lines_is_told_at_its_item() -> None:
    words = 'the items of an array are texts in quotes with commas between them, sender = ["..."]'
    assert mistakes('sender = [\n  "a.test",\n  example.com,\n]\nx = no\n') == [
        f"3: sender: example.com,: {words}",
        '5: x = no: text stands in quotes, x = "no"',
    ]
    assert mistakes('sender = [\n  "a.test"\n  "b.test",\n]\n')[0].startswith(("2: sender: ", "3: sender: "))


def test_one_mistake_does_not_hide_the_next() -> None:
    text = '[[acl]]\na = no\nb = ["x",\nc = "y\n\n[[acl]\nd: 1\n[[acl]]\ne = "z"\n'
    found, told = read_tables(text)
    assert [each.line for each in told] == [2, 3, 4, 6, 7]
    assert [table.damaged for table in found] == [False, True, True, False]
    assert values(found[-1]) == {("e",): "z"}


@pytest.mark.parametrize(
    "line",
    ["password = hunter2", 'password: "hunter2"', 'password = "hunter2', 'smtp_passwd = ["hunter2"', "token hunter2"],
)
def test_no_mistake_shows_a_password(line: str) -> None:
    (told,) = mistakes(f"[x]\n{line}")
    assert "hunter2" not in told


def test_a_file_of_mistakes_is_not_read_to_its_end() -> None:
    told = mistakes("x y\n" * 1000)
    assert len(told) == 51
    assert told[-1] == "51: the file is not read further; correct the lines above first"


SCALARS = st.one_of(st.text(max_size=8), st.booleans(), st.integers(-99, 99))
KEYS = st.sampled_from(["a", "b", "c-d", "e.f", "e.g", '"h i"', "'.'"])


@st.composite
def documents(draw: st.DrawFn) -> str:
    """Draw a valid text with tables, comments, and values in one line or several."""
    lines: list[str] = []
    for _ in range(draw(st.integers(0, 3))):
        lines.append(draw(st.sampled_from(["[[acl]]", " [[ 'acl' ]] # x", "[[x.y]]"])))
        for key in draw(st.lists(KEYS, unique=True, max_size=4)):
            value = draw(SCALARS | st.lists(SCALARS, max_size=3))
            lines.append(f"{key} = {written(draw, value)}{draw(st.sampled_from(['', ' # [', '  ']))}")
    return draw(st.sampled_from(["\n", "\r\n"])).join(lines)


def written(draw: st.DrawFn, value: object) -> str:
    if isinstance(value, list):
        space = draw(st.sampled_from([" ", "\n", '\n# ] "\n']))
        return f"[{space}{f',{space}'.join(written(draw, each) for each in value)}{space}]"
    if isinstance(value, str):
        escaped = "".join(each if each.isalnum() and each.isascii() else f"\\U{ord(each):08x}" for each in value)
        plain = value.isprintable() and "'" not in value
        forms = [f'"{escaped}"', f'"""{escaped}"""', *([f"'{value}'", f"'''{value}'''"] if plain else [])]
        return draw(st.sampled_from(forms))
    return str(value).lower()


@given(documents())
def test_the_values_are_those_of_tomllib(text: str) -> None:
    found = tables(text)
    expected = tomllib.loads(text)
    arrays = [*expected.get("acl", []), *expected.get("x", {}).get("y", [])]
    in_order = sorted((table for table in found if table.name), key=lambda table: table.name)
    assert [unflat(table) for table in in_order] == arrays


def unflat(table: TomlTable) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, entry in table.entries.items():
        inner = result
        for part in key[:-1]:
            inner = inner.setdefault(part, {})
        inner[key[-1]] = entry.value
    return result


PIECES = st.sampled_from(
    [
        "[[acl]]",
        "[",
        "]",
        "{",
        "}",
        '"',
        "'",
        '"""',
        "'''",
        "=",
        ".",
        ",",
        "#",
        "\\",
        "\n",
        "\r",
        " ",
        "a",
        "1",
        "\0",
        "\xe9",
    ]
)


@given(st.text(max_size=60) | st.lists(PIECES, max_size=40).map("".join))
def test_any_text_gives_tables_and_mistakes_with_lines(text: str) -> None:
    found, told = read_tables(text)
    last = text.count("\n") + 1
    assert all(1 <= each.line <= last and each.words for each in told)
    assert all(1 <= entry.line <= last for table in found for entry in table.entries.values())


@pytest.mark.parametrize(
    "piece",
    [
        "[[acl]]\n",
        "[",
        "a=[",
        'a="',
        'a="""\n',
        '"\\',
        "a.",
        "a = { a.",
        "a = 1\n",
        "[1]\n",
        " ",
        "'''",
        "a=[[[\n",
        "#",
        "\\",
    ],
)
@pytest.mark.parametrize("before", ["", "a=", "a=[\n", '[[x]]\na="""', "[["])
def test_the_time_is_linear(before: str, piece: str) -> None:
    """A quadratic step would take minutes here."""
    read_tables(before + piece * (200_000 // len(piece)))
