"""The reference in docs/rules.md is the one that the table of keys gives."""

import tomllib

import pytest

from mta.config.rules.keys.key import KeyRole, RuleKey
from mta.config.rules.keys.table import KEYS
from tools.rules_page import PAGE, keys_table, page_with


def test_the_table_on_the_page_is_the_one_that_the_keys_give() -> None:
    text = PAGE.read_text()
    assert text == page_with(text, keys_table()), "run: python -m tools.rules_page write"


def test_the_table_has_a_row_for_every_key() -> None:
    rows = keys_table().splitlines()[2:]
    assert [row.split("`")[1] for row in rows] == [key.name for key in KEYS]
    assert all(row.replace("\\|", "").count("|") == 6 for row in rows)


@pytest.mark.parametrize("key", KEYS, ids=lambda key: key.name)
def test_the_example_of_a_key_is_toml(key: RuleKey) -> None:
    assert tomllib.loads(f"{key.name} = {key.example}")
    assert key.role in KeyRole


def test_a_page_without_marks_is_an_error() -> None:
    with pytest.raises(ValueError, match="lacks the marks"):
        page_with("# Rules\n", "")
