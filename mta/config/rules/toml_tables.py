"""Reads TOML 1.0 into tables that know the line of each key, and goes on after a syntax error.

`tomllib` ends at the first error of a text and gives its values no lines. Therefore the text is cut into statements, a
key with its value each, and every statement is parsed by itself. One mistake hides no other, except behind a multi-line
string that is not closed, because all lines that follow it are part of it.
"""

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from mta.config.rules import syntax_words
from mta.config.rules.syntax_words import StatementError

#: A key in parts: `("unless", "sender")`.
KeyParts = tuple[str, ...]

# A statement with deeper brackets, or with an inline table and more characters than this, is not given to tomllib:
# its parser calls itself for each bracket, and its time grows with the square of the parts of a key.
_MAX_DEPTH = 8
_MAX_PARTS = 5
_MAX_INLINE_TABLE = 2000
# A file with more mistakes is not read to its end.
_MAX_MISTAKES = 50
_ONE_KEY = r"""(?:[A-Za-z0-9_\-]++|"[^"\\]*+"|'[^']*+')"""
_PATH = rf"{_ONE_KEY}(?:[ \t]*+\.[ \t]*+{_ONE_KEY}){{0,{_MAX_PARTS - 1}}}"
# Without control characters.
_COMMENT_TEXT = r"[^\x00-\x08\x0a-\x1f\x7f]*+"
_KEY_PART = re.compile(_ONE_KEY)
_ASSIGNMENT = re.compile(rf"[ \t]*+{_PATH}[ \t]*+=")
_HEADER = re.compile(rf"[ \t]*+(\[\[?)[ \t]*+({_PATH})[ \t]*+(\]\]?)[ \t]*+(?:\#{_COMMENT_TEXT})?")
# In an array that is not closed, such a line is the next table or key. No item of an array looks like it.
_NEXT_STATEMENT = re.compile(r"[ \t]*+(?:\[\[?[ \t]*+(?!(?:true|false|inf|nan)\b)[A-Za-z_]|[A-Za-z_][\w.\-]*+[ \t]*+=)")
_BLANK = re.compile(rf"[ \t]*+(?:#{_COMMENT_TEXT})?")
_TOKEN = re.compile(r""" \"{3} | '{3} | "(?>(?:[^"\\]|\\.)*)" | '[^']*+' | [\[{] | [\]}] | ["'\#] """, re.VERBOSE)
_STRING_ENDS = {'"""': re.compile(r'\\.|("{3,5})'), "'''": re.compile(r"('{3,5})")}
# The usual values, a text, a truth value and an array of texts in one line, which need no parser: a third of its time.
_TEXT = r"""(?:"[^"\\\x00-\x1f\x7f]*+"|'[^'\x00-\x1f\x7f]*+')"""
_PLAIN = re.compile(
    rf"""[ \t]*+([A-Za-z0-9_\-.]++)[ \t]*+=[ \t]*+
        (?:({_TEXT})|(true|false)|\[([ \t]*+{_TEXT}[ \t]*+(?>(?:,[ \t]*+{_TEXT}[ \t]*+)*)),?[ \t]*+\])
        (?=[ \t]*+(?:\#{_COMMENT_TEXT})?$)""",
    re.VERBOSE,
)
_ONE_TEXT = re.compile(_TEXT)


@dataclass(frozen=True, slots=True)
class FileMistake:
    """A mistake in a line of a file: its number from 1, and words about the mistake and the correction."""

    line: int
    words: str


@dataclass(frozen=True, slots=True)
class TableEntry:
    """A key with its value; the keys of an inline table are entries of their own."""

    key: KeyParts
    value: Any
    line: int
    #: The text of the statement.
    source: str = field(repr=False)

    @property
    def name(self) -> str:
        """The key as it is written, `unless.sender`."""
        return ".".join(self.key)

    def item_lines(self) -> dict[str, int]:
        """Return the line of each text in an array of several lines; texts with an escape have none."""
        if "\n" not in self.source:
            return {}
        found: dict[str, int] = {}
        for number, line in enumerate(self.source.split("\n"), self.line):
            for text in _ONE_TEXT.findall(line):
                found.setdefault(text[1:-1], number)
        return found


@dataclass(slots=True)
class TomlTable:
    """A table with its entries in order. The one before the first header has the name `()`."""

    name: KeyParts
    #: Whether it has double brackets, `[[acl]]`.
    is_array: bool
    line: int
    entries: dict[KeyParts, TableEntry] = field(default_factory=dict)
    #: Whether a part of it could not be read.
    damaged: bool = False
    # The beginnings of keys: `("unless",)`.
    _beginnings: set[KeyParts] = field(default_factory=set, repr=False, compare=False)

    def add(self, entry: TableEntry) -> None:
        """Add an entry. Raises ValueError with words for the operator if its key, or a part of it, has a value."""
        beginnings = [entry.key[:count] for count in range(1, len(entry.key))] if len(entry.key) > 1 else ()
        if (
            entry.key in self.entries
            or entry.key in self._beginnings
            or any(map(self.entries.__contains__, beginnings))
        ):
            raise ValueError(f"{entry.name} is there twice in this table; several values are an array, [..., ...]")
        self.entries[entry.key] = entry
        self._beginnings.update(beginnings)


@dataclass(slots=True)
class _Statement:
    """The lines of a key and its value, or of a header, and the state at their end."""

    line: int
    lines: list[str]
    depth: int = 0
    deepest: int = 0
    has_inline_table: bool = False
    #: The quotes that close the multi-line string at the end, or "".
    open_string: str = ""
    #: The match of _PLAIN if the statement is a key with a usual value.
    plain: re.Match[str] | None = None

    def add(self, line: str) -> None:
        """Add a line, and follow its strings and brackets. Time is linear in the line."""
        self.lines.append(line)
        position = self._string_end(line, 0) if self.open_string else 0
        while position >= 0 and (token := _TOKEN.search(line, position)):
            position = self._after(token, line)

    def _after(self, token: re.Match[str], line: str) -> int:
        """Return the position behind a token, or -1 if the rest of the line has no brackets that count."""
        text = token[0]
        if text in _STRING_ENDS:
            self.open_string = text
            return self._string_end(line, token.end())
        if text in {'"', "'", "#"}:
            return -1
        if text in {"[", "{"}:
            self.depth += 1
            self.deepest = max(self.deepest, self.depth)
            self.has_inline_table |= text == "{"
        elif text in {"]", "}"}:
            self.depth -= 1
        return token.end()

    def _string_end(self, line: str, position: int) -> int:
        """Return the position behind the open multi-line string, or -1 if it goes on in the next line."""
        for found in _STRING_ENDS[self.open_string].finditer(line, position):
            if found.lastindex:
                self.open_string = ""
                return found.end()
        return -1

    @property
    def is_open(self) -> bool:
        """Whether the next line belongs to the statement."""
        return bool(self.open_string) or self.depth > 0


def read_tables(text: str) -> tuple[list[TomlTable], list[FileMistake]]:
    """Return the tables of a text and its mistakes of syntax, both in the order of lines. Time is linear in the text.

    A table stays in the result without the entries that cannot be read. A header that cannot be read begins a table
    with the name that it seems to have, or with the name `("",)`.
    """
    tables = [TomlTable((), is_array=False, line=1)]
    mistakes: list[FileMistake] = []
    for statement in _statements(text):
        if len(mistakes) == _MAX_MISTAKES:
            mistakes.append(FileMistake(statement.line, "the file is not read further; correct the lines above first"))
            break
        source = "\n".join(statement.lines)
        try:
            if statement.plain is None and source.lstrip(" \t").startswith("["):
                tables.append(_header(source, statement.line))
                _check_header(source)
            else:
                for key, value in _parse(statement, source):
                    tables[-1].add(TableEntry(key, value, statement.line, source))
        except ValueError as error:
            tables[-1].damaged = True
            line = statement.line + (error.lines_below if isinstance(error, StatementError) else 0)
            mistakes.append(FileMistake(line, str(error)))
    return tables, mistakes


def _statements(text: str) -> Iterator[_Statement]:
    statement: _Statement | None = None
    for number, line in enumerate(text.replace("\r\n", "\n").split("\n"), 1):
        if statement and not statement.open_string and _NEXT_STATEMENT.match(line):
            yield statement
            statement = None
        if statement is None:
            if not line or _BLANK.fullmatch(line):
                continue
            plain = _PLAIN.match(line)
            if plain or line.lstrip(" \t").startswith("["):
                yield _Statement(number, [line], plain=plain)
                continue
            statement = _Statement(number, [])
        statement.add(line)
        if not statement.is_open:
            yield statement
            statement = None
    if statement:
        yield statement


def _check_header(source: str) -> None:
    match = _HEADER.fullmatch(source)
    if match is None or len(match[1]) != len(match[3]):
        raise ValueError(syntax_words.no_header(source))


def _header(source: str, line: int) -> TomlTable:
    """Return the table of a header; one whose brackets do not match, too."""
    match = _HEADER.match(source)
    if match is None:
        return TomlTable(("",), is_array=True, line=line)
    name = tuple(part.strip("\"'") for part in _KEY_PART.findall(match[2]))
    return TomlTable(name, is_array=len(match[1]) == 2, line=line)


def _parse(statement: _Statement, source: str) -> list[tuple[KeyParts, Any]]:
    if statement.plain is not None:
        key, text, truth, array = statement.plain.groups()
        parts = tuple(key.split("."))
        if all(parts) and len(parts) <= _MAX_PARTS:
            if text:
                return [(parts, text[1:-1])]
            return [(parts, truth == "true" if truth else [each[1:-1] for each in _ONE_TEXT.findall(array)])]
    if not _ASSIGNMENT.match(source):
        raise ValueError(syntax_words.no_assignment(source))
    if statement.open_string:
        raise ValueError(f"the text is not closed; {statement.open_string} is missing at its end")
    if statement.deepest > _MAX_DEPTH or (statement.has_inline_table and len(source) > _MAX_INLINE_TABLE):
        raise ValueError("the value is nested too deeply or is too long; write a flat array of texts")
    try:
        return list(_flat((), tomllib.loads(source)))
    except ValueError as error:
        raise syntax_words.of_statement(source, str(error), is_open=statement.depth > 0) from None


def _flat(before: KeyParts, values: dict[str, Any]) -> Iterator[tuple[KeyParts, Any]]:
    """Yield the entries of a dictionary and of those in it. Their depth was bounded before."""
    for key, value in values.items():
        if isinstance(value, dict) and value:
            yield from _flat((*before, key), value)
        else:
            yield (*before, key), value
