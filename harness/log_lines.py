"""The lines of a relay's event log in JSON. A relay that was killed may have left the last one cut."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

# Quotes inside of a value have a backslash, so that this is the beginning of a line wherever it stands.
_BEGIN = '{"time": "'
_BEGINNINGS = re.compile(r'(?=\{"time": ")')
_NAME = re.compile(r'"event": "([a-z-]+)"')
_TO = re.compile(r'"to": "([^"\\]*)"')


@dataclass(frozen=True)
class CutLine:
    """The part of a line that a kill left."""

    text: str

    @property
    def event(self) -> dict[str, Any]:
        """The members of the event that are whole, of these two: its name as `event`, and the recipient as `to`."""
        found = {"event": _NAME.search(self.text), "to": _TO.search(self.text)}
        return {name: match.group(1) for name, match in found.items() if match}


def pieces(line: str) -> Iterator[str]:
    """Yield a line, or the cut lines and the line that follow each other on it, because nothing ended the cut ones."""
    return filter(None, _BEGINNINGS.split(line))


def may_be_cut(piece: str) -> bool:
    """Whether text that is no event begins as a line of the event log does."""
    return piece.startswith(_BEGIN) or _BEGIN.startswith(piece)


def read_line(line: str) -> Iterator[dict[str, Any] | CutLine]:
    """Yield the event of a line, and the cut lines before it. Raises ValueError for a line that no cut explains."""
    for piece in pieces(line):
        try:
            event: dict[str, Any] = json.loads(piece)
        except json.JSONDecodeError as error:
            if not (may_be_cut(piece) and _at_the_end(error)):
                raise ValueError(f"not a line of the event log: {piece}") from error
            yield CutLine(piece)
        else:
            yield event


def _at_the_end(error: json.JSONDecodeError) -> bool:
    """Whether text is JSON as far as it goes. The error is said of the beginning of a string, a number or an escape."""
    at_end = error.pos > len(error.doc) - len(r"\u0000") - 1
    return error.msg.startswith("Unterminated string") or (at_end and error.msg != "Extra data")
