"""The marks of copies in flight, in memory and as the text in which a queue stores them.

A mark is durable before the last octet of a copy is sent, and is removed by the settlement. For a mark that another
process finds, a host may have accepted the copy without its reply reaching the relay. The copy is sent again, and the
operator is told. All marks are one text, a JSON object of ranges of recipients by message.
"""

import json
from collections.abc import Collection, Iterator

# Usually a message has one recipient.
_FIRST = frozenset((0,))
_NONE: frozenset[int] = frozenset()


class InFlightMarks:
    """The marks of one queue by row number, and the changes of the running transaction."""

    def __init__(self) -> None:
        self._indexes: dict[int, frozenset[int]] = {}
        self._texts: dict[int, str] = {}
        # Messages with marks of an earlier process, which were reported to the operator at start.
        self._reported: set[int] = set()
        # Row numbers and their earlier marks, in the order of the changes since `begin`, and those since then that
        # count as reported no more.
        self._undo: list[tuple[int, frozenset[int]]] = []
        self._unreported: set[int] = set()

    def load(self, text: str) -> dict[int, frozenset[int]]:
        """Start with the marks that an earlier process left, and return them."""
        found = read_marks(text)
        for number, indexes in found.items():
            self._set(number, indexes)
        self._reported = set(found)
        return found

    def begin(self) -> None:
        """Start to record changes, because a transaction begins."""
        self._undo.clear()
        self._unreported.clear()

    def put(self, number: int, indexes: Collection[int]) -> frozenset[int]:
        """Mark recipients of a message; return those that had a mark already that was not reported at start."""
        before = self._indexes.get(number)
        if before is None:
            self._undo.append((number, _NONE))
            self._set(number, _FIRST if len(indexes) == 1 and 0 in indexes else frozenset(indexes))
            return _NONE
        self._change(number, before.union(indexes))
        if number in self._reported:
            self._reported.discard(number)
            self._unreported.add(number)
            return frozenset()
        return before.intersection(indexes)

    def clear_reported(self) -> None:
        """Remove the marks of the earlier process, which the operator knows by now; newer marks stay."""
        for number in self._reported:
            self.clear(number)
        self._unreported |= self._reported
        self._reported.clear()

    def remove(self, number: int, indexes: Collection[int]) -> None:
        """Remove the marks of these recipients."""
        before = self._indexes.get(number)
        if before is not None:
            self._change(number, before.difference(indexes))

    def clear(self, number: int) -> bool:
        """Remove all marks of a message; return whether there were any."""
        before = self._indexes.pop(number, None)
        if before is None:
            return False
        del self._texts[number]
        self._undo.append((number, before))
        return True

    def changed(self) -> str | None:
        """Return the text of all marks if it was changed since `begin`."""
        return self.text if self._undo else None

    @property
    def text(self) -> str:
        """All marks, as `read_marks` reads them."""
        return f"{{{','.join(self._texts.values())}}}"

    def has(self, number: int) -> bool:
        """Whether a recipient of this message is marked."""
        return number in self._indexes

    def roll_back(self) -> None:
        """Undo the changes since `begin`."""
        for number, indexes in reversed(self._undo):
            self._set(number, indexes)
        self._undo.clear()
        self._reported |= self._unreported
        self._unreported.clear()

    def _change(self, number: int, indexes: frozenset[int]) -> None:
        self._undo.append((number, self._indexes.get(number, _NONE)))
        self._set(number, indexes)

    def _set(self, number: int, indexes: frozenset[int]) -> None:
        if not indexes:
            self._indexes.pop(number, None)
            self._texts.pop(number, None)
            return
        self._indexes[number] = indexes
        ranges = "[0,0]" if indexes is _FIRST else ",".join(f"[{first},{last}]" for first, last in _ranges(indexes))
        self._texts[number] = f'"{number}":[{ranges}]'


def read_marks(text: str) -> dict[int, frozenset[int]]:
    """Return the indexes of marked recipients by row number. Raises ValueError if the text is malformed."""
    return {
        int(number): frozenset(index for first, last in ranges for index in range(first, last + 1))
        for number, ranges in json.loads(text).items()
    }


def _ranges(indexes: frozenset[int]) -> Iterator[tuple[int, int]]:
    """Yield the first and the last index of each consecutive run."""
    first = last = -2
    for index in sorted(indexes):
        if index != last + 1:
            if last >= 0:
                yield first, last
            first = index
        last = index
    yield first, last
