"""The grammars of Exim's and Postfix's files: tables with a key and a value a line, and lists with an item a line."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

_QUOTED_KEY = re.compile(r'"((?:[^"\\]|\\.)*)"')
_ESCAPED = re.compile(r"\\(.)")
# A key of lsearch ends at white space or a colon; one colon may stand behind the white space.
_LSEARCH_KEY = re.compile(r"[^\s:]*")
_LSEARCH_SEPARATOR = re.compile(r"\s*:?\s*")


@dataclass(frozen=True, slots=True)
class TableLine:
    """A line of a table: the number of its first line from 1, key and value; `text` is the line without its end."""

    number: int
    key: str
    # It may be a password.
    value: str = field(repr=False)

    @property
    def text(self) -> str:
        """The line with one blank between key and value."""
        return f"{self.key} {self.value}"


def postfix_table(text: str) -> Iterator[TableLine]:
    """Yield the lines of a Postfix table (postmap(1)), the keys in lower case. A line without a value has "" as one.

    Empty lines and comments count nowhere, and a line that begins with white space continues the one before.
    """
    for number, line in _postfix_lines(text):
        key, *rest = line.split(None, 1)
        yield TableLine(number, key.lower(), rest[0].rstrip() if rest else "")


def _postfix_lines(text: str) -> Iterator[tuple[int, str]]:
    first, parts = 0, list[str]()
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if line[0].isspace() and parts:
            parts.append(line)
            continue
        if parts:
            yield first, "".join(parts)
        first, parts = number, [line]
    if parts:
        yield first, "".join(parts)


def lsearch_table(text: str) -> Iterator[TableLine]:
    """Yield the lines of a file that Exim searches with `lsearch` (Exim's specification, section 9.3).

    A key may stand in quotes. A line that begins with white space continues the one before; behind an empty line or a
    comment it has no meaning.
    """
    for number, line in _lsearch_lines(text):
        quoted = _QUOTED_KEY.match(line)
        found = quoted or _LSEARCH_KEY.match(line)
        assert found is not None
        key = _ESCAPED.sub(r"\1", quoted[1]) if quoted else found[0]
        separator = _LSEARCH_SEPARATOR.match(line, found.end())
        yield TableLine(number, key.lower(), line[separator.end() :] if separator else "")


def _lsearch_lines(text: str) -> Iterator[tuple[int, str]]:
    first, parts = 0, list[str]()
    for number, line in enumerate(text.split("\n"), 1):
        stripped = line.rstrip()
        if stripped and stripped[0].isspace():
            parts += [stripped.lstrip()] if parts else []
            continue
        if parts:
            yield first, " ".join(parts)
        is_entry = stripped and not stripped.startswith("#")
        first, parts = number, [stripped] if is_entry else []
    if parts:
        yield first, " ".join(parts)


def exim_list(text: str, *, of_addresses: bool) -> Iterator[TableLine]:
    """Yield the items of a file that stands in a list of Exim's (section 10.3), with `!` before a negated one.

    In a list of addresses a comment begins at the start of a line or behind white space, in others anywhere. The item
    is the key, and the value is "".
    """
    comment = re.compile(r"(?:^|(?<=\s))#.*" if of_addresses else "#.*")
    for number, line in enumerate(text.split("\n"), 1):
        if item := comment.sub("", line).strip():
            yield TableLine(number, item, "")
