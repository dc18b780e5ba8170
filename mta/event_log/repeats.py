"""Limits log lines that may repeat without end, such as one for each message that a full disk refuses.

The first lines of a kind in a minute are written at once; when the minute ends, one line says how many more there were.
"""

import re
from collections.abc import Hashable, Mapping
from dataclasses import dataclass

Field = str | int | float | None

#: Seconds in which lines are counted together.
WINDOW = 60.0
#: Lines of one kind that are written in that time; fewer of those that are about the relay itself.
MAX_LINES = 50
MAX_OWN_LINES = 10
#: Kinds that are counted separately.
MAX_KINDS = 1000

_NUMBER = re.compile(r"[0-9]+")
# Characters at the beginning of a text that determine its kind.
_KIND_LENGTH = 80


def kind_of(text: str) -> str:
    """Return the kind of a text: texts that differ only in numbers, or after their beginning, are of one kind."""
    return _NUMBER.sub("#", text[:_KIND_LENGTH])


@dataclass(slots=True)
class _Kind:
    """Lines of one kind: the event and the common fields of the latest line, and the number of lines so far."""

    event: str
    fields: Mapping[str, Field]
    limit: int
    count: int = 0


class Repeats:
    """Counts lines by their kind. `now` is wall-clock seconds."""

    def __init__(self) -> None:
        self._kinds: dict[Hashable, _Kind] = {}
        self._began = 0.0

    def is_over(self, now: float) -> bool:
        """Whether lines were counted and their minute is over."""
        return bool(self._kinds) and not self._began <= now < self._began + WINDOW

    def passes(
        self, kind: Hashable, now: float, event: str, fields: Mapping[str, Field], limit: int = MAX_LINES
    ) -> bool:
        """Count a line and return whether to write it. `fields` are for the line that stands for those left out."""
        if not self._kinds:
            self._began = now
        key = (event, kind)
        known = self._kinds.get(key)
        if known is None:
            # Above MAX_KINDS, all other lines of an event count as one kind.
            key = key if len(self._kinds) < MAX_KINDS else (event, None)
            known = self._kinds.setdefault(key, _Kind(event, fields, limit))
        known.fields = fields
        known.count += 1
        return known.count <= known.limit

    def end(self) -> list[tuple[str, Mapping[str, Field]]]:
        """End the minute; return the lines that say, in their field `more`, how many lines were not written."""
        kinds, self._kinds = self._kinds, {}
        return [
            (kind.event, {**kind.fields, "more": kind.count - kind.limit})
            for kind in kinds.values()
            if kind.count > kind.limit
        ]
