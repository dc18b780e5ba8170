"""Prints the table of the keys of rules in docs/rules.md, generated from the one that the relay itself reads.

`python -m tools.rules_page` prints the table; `python -m tools.rules_page write` puts it into the page.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

from mta.config.rules.keys.key import STAGES, RuleKey
from mta.config.rules.keys.table import KEYS

PAGE = Path(__file__).parents[1] / "docs" / "rules.md"
_BEGIN, _END = "<!-- keys -->\n", "<!-- /keys -->"


def keys_table() -> str:
    """Return the table of all keys of rules and of smarthosts."""
    lines = ("| key | rules | kind | value | meaning |", "|---|---|---|---|---|", *map(_row, KEYS))
    return "".join(f"{line}\n" for line in lines)


def page_with(text: str, table: str) -> str:
    """Return the page with a table between its marks. Raises ValueError if the marks are missing."""
    before, begin, rest = text.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not begin or not end:
        raise ValueError(f"{PAGE} lacks the marks {_BEGIN.strip()} and {_END}")
    return f"{before}{begin}{table}{end}{after}"


def _row(key: RuleKey) -> str:
    return f"| {' | '.join(map(_in_cell, _cells(key)))} |"


def _cells(key: RuleKey) -> Iterator[str]:
    yield f"`{key.name}`"
    yield ", ".join(stage if stage in STAGES else f"{stage}.NAME" for stage in key.stages)
    yield key.role.value
    yield f"{key.form.value}: `{key.name} = {key.example}`"
    yield key.help


def _in_cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    if sys.argv[1:] == ["write"]:
        PAGE.write_text(page_with(PAGE.read_text(), keys_table()))
    else:
        sys.stdout.write(keys_table())
