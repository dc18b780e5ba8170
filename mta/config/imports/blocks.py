"""The TOML that an import prints: rules and smarthosts, and comments about the lines that became none."""

import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, field

from mta.rules.rewriting.address_map import read_map_line
from mta.smtp.address import is_deceptive, printable

Value = str | bool | tuple[str, ...]

_WIDTH = 110
_SHOWN = 100
# The keys whose values are arrays even if they have one item.
_ARRAYS = {"hosts", "in", "map"}


class CannotImportError(ValueError):
    """A line has no counterpart in rules. The message is the reason, for the operator."""


@dataclass(frozen=True, slots=True)
class Block:
    """A table with its entries in order. `header` has its brackets, `[[acl]]`; comments stand above it."""

    header: str
    entries: tuple[tuple[str, Value], ...]
    comments: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A line that became no rule, with the reason. `shown` is "" if the line may have a password."""

    number: int
    reason: str
    shown: str = ""


@dataclass(slots=True)
class Section:
    """The result of one file: its tables in order, and the lines that were left out."""

    file: str
    comments: list[str] = field(default_factory=list)
    blocks: list[Block] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)

    def text(self) -> str:
        """Return the section as TOML that ends in a newline."""
        parts = ["\n".join(_comment(f"---- {self.file}") + [line for each in self.comments for line in _comment(each)])]
        parts += ["\n".join(_block_lines(block)) for block in self.blocks]
        if self.left_out:
            ordered = sorted(self.left_out, key=lambda each: each.number)
            parts.append("\n".join(line for each in ordered for line in _left_out_lines(self.file, each)))
        return "\n\n".join(parts) + "\n"


def _left_out_lines(file: str, line: LeftOut) -> list[str]:
    words = f"{file}:{line.number} is left out: {line.reason}"
    return _comment(f"{words}; the line is: {shown(line.shown)}" if line.shown else words)


def shown(text: str) -> str:
    """Return a part of a file that is safe on one line, shortened."""
    return printable(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}...")


def _comment(words: str) -> list[str]:
    lines = textwrap.wrap(printable(words), _WIDTH - 2, break_long_words=False, break_on_hyphens=False)
    return [f"# {line}" for line in lines]


def _block_lines(block: Block) -> Iterator[str]:
    for comment in block.comments:
        yield from _comment(comment)
    yield block.header
    for key, value in block.entries:
        yield from f"{key} = {_toml(key, value)}".split("\n")


def _toml(key: str, value: Value) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return _quoted(value)
    items = [_quoted(item) for item in value]
    if len(items) == 1 and key not in _ARRAYS:
        return items[0]
    line = f"[{', '.join(items)}]"
    return line if len(key) + 3 + len(line) <= _WIDTH else "".join(["[\n", *(f"    {item},\n" for item in items), "]"])


def _quoted(text: str) -> str:
    """Return a text in quotes. Raises CannotImportError for one that could deceive a reader."""
    if is_deceptive(text):
        raise CannotImportError("the line has a control character, or one that cannot be seen")
    if "\\" in text and "'" not in text:
        return f"'{text}'"
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def map_item(pattern: str, address: str) -> str:
    """Return a line of a map in a [[rewrite]] rule. Raises CannotImportError if a rule could not have it."""
    if pattern.startswith("+"):
        raise CannotImportError("a rule would take the + of this name for a list")
    item = f"{pattern} -> {address}"
    try:
        read_map_line(item)
    except ValueError as error:
        raise CannotImportError(str(error)) from None
    return item
