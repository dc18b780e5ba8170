"""Lines of the log that could come without end, such as one for each message that a full disk refuses: some are told.

The first ones of a kind in a minute are told at once, and at its end one line says how many more there were.
"""

import re
from collections.abc import Hashable, Mapping
from dataclasses import dataclass

Field = str | int | float | None

#: Seconds that are told of together, lines of one kind that are told in that time, fewer of those that are about the
#: relay itself, and kinds that are told apart.
WINDOW = 60.0
MOST = 50
MOST_OF_OURS = 10
MOST_KINDS = 1000

_NUMBER = re.compile(r"[0-9]+")
# Characters of a text that tell its kind.
_TELLING = 80


def kind_of(text: str) -> str:
    """Return the kind of a text: two that differ in numbers, or behind their beginning, are of one kind."""
    return _NUMBER.sub("#", text[:_TELLING])


@dataclass(slots=True)
class _Kind:
    """Lines of one kind: the event and the fields that their last line has, told or not, and how many there were."""

    event: str
    fields: Mapping[str, Field]
    most: int
    count: int = 0


class Repeats:
    """Counts lines by their kind. `now` is wall-clock seconds."""

    def __init__(self) -> None:
        self._kinds: dict[Hashable, _Kind] = {}
        self._began = 0.0

    def is_over(self, now: float) -> bool:
        """Whether the minute is over in which something was counted."""
        return bool(self._kinds) and not self._began <= now < self._began + WINDOW

    def passes(self, kind: Hashable, now: float, event: str, fields: Mapping[str, Field], most: int = MOST) -> bool:
        """Count a line; return whether it is to be told. `fields` are those that stand in the line of the others."""
        if not self._kinds:
            self._began = now
        key = (event, kind)
        known = self._kinds.get(key)
        if known is None:
            # Beyond so many kinds all lines of an event are one.
            key = key if len(self._kinds) < MOST_KINDS else (event, None)
            known = self._kinds.setdefault(key, _Kind(event, fields, most))
        known.fields = fields
        known.count += 1
        return known.count <= known.most

    def end(self) -> list[tuple[str, Mapping[str, Field]]]:
        """End the minute; return the lines that tell how many were not told, in their field `more`."""
        kinds, self._kinds = self._kinds, {}
        return [
            (kind.event, {**kind.fields, "more": kind.count - kind.most})
            for kind in kinds.values()
            if kind.count > kind.most
        ]
