"""Prints rules as TOML that is read back as it was."""

import tomllib

import pytest

from mta.config.imports.blocks import Block, CannotImportError, LeftOut, Section


def test_a_section_is_toml_with_comments() -> None:
    section = Section("transport", ["about\nit"], [Block("[[router]]", (("mx", True),), ("transport:1",))])
    section.left_out += [LeftOut(9, "a reason", "x\x00y\u202e"), LeftOut(2, "another")]
    assert section.text() == (
        "# ---- transport\n# about?it\n\n# transport:1\n[[router]]\nmx = true\n\n"
        "# transport:2 is left out: another\n# transport:9 is left out: a reason; the line is: x?y?\n"
    )


def test_values_are_read_back_as_they_were() -> None:
    many = tuple(f"long-item-{number}" for number in range(20))
    values: dict[str, str | tuple[str, ...]] = {"a": 'q"uo\\te', "b": "back\\slash", "c": ("one", "it's \\"), "d": many}
    text = Section("f", blocks=[Block("[t]", tuple(values.items()))]).text()
    read = {
        name: tuple(value) if isinstance(value, list) else value for name, value in tomllib.loads(text)["t"].items()
    }
    assert read == values
    assert max(map(len, text.splitlines())) <= 110


def test_one_item_needs_no_array_except_in_some_keys() -> None:
    text = Section("f", blocks=[Block("[t]", (("sender", ("a",)), ("hosts", ("b",))))]).text()
    assert 'sender = "a"\nhosts = ["b"]\n' in text


def test_a_long_comment_is_several_lines() -> None:
    text = Section("f", ["word " * 60]).text()
    assert all(line.startswith("# ") and len(line) <= 110 for line in text.splitlines())


def test_text_that_could_deceive_is_refused() -> None:
    with pytest.raises(CannotImportError):
        Section("f", blocks=[Block("[t]", (("a", "x\u202ey"),))]).text()
