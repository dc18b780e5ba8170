"""The records in memory that are sent next, so that they need not be read back from disk."""

from collections import deque

#: Events and octets of one batch.
MAX_EVENTS, MAX_BATCH = 1000, 512 * 1024


class FreshRecords:
    """Records in their order, as they were written: each piece has whole lines, whose number is known.

    To count lines costs as much as to sign them (measured).
    """

    def __init__(self) -> None:
        self._pieces: deque[tuple[bytes, int]] = deque()
        #: The octets of all pieces.
        self.octets = 0

    def add(self, data: bytes, number: int) -> None:
        """Add a piece of so many records."""
        self._pieces.append((data, number))
        self.octets += len(data)

    def first(self) -> tuple[bytes, int]:
        """Return the first records, as many as a batch may have, and their number."""
        if not self._pieces:
            return b"", 0
        fitting = self._fitting()
        if not fitting:
            self._split()
        elif fitting > 1:
            joined = [self._pieces.popleft() for _ in range(fitting)]
            self._pieces.appendleft((b"".join(data for data, _ in joined), sum(number for _, number in joined)))
        return self._pieces[0]

    def drop(self, octets: int) -> None:
        """Remove the first records, of so many octets, or all that there are."""
        while octets > 0 and self._pieces:
            data, number = self._pieces.popleft()
            if len(data) > octets:
                self._pieces.appendleft((data[octets:], number - data.count(b"\n", 0, octets)))
            self.octets -= min(len(data), octets)
            octets -= len(data)

    def clear(self) -> None:
        """Remove all records."""
        self._pieces.clear()
        self.octets = 0

    def _fitting(self) -> int:
        """Return the number of pieces that fit into a batch together."""
        octets = events = 0
        for place, (data, number) in enumerate(self._pieces):
            octets += len(data)
            events += number
            if octets > MAX_BATCH or events > MAX_EVENTS:
                return place
        return len(self._pieces)

    def _split(self) -> None:
        """Make two pieces of the first one, of which the first fits into a batch."""
        data, number = self._pieces.popleft()
        head = first_records(data)
        fitting = head.count(b"\n")
        self._pieces.appendleft((data[len(head) :], number - fitting))
        self._pieces.appendleft((head, fitting))


def first_records(data: bytes) -> bytes:
    """Return the first records, with their line ends, that fit into a batch."""
    whole = data[: data.rfind(b"\n", 0, MAX_BATCH) + 1]
    if whole.count(b"\n") <= MAX_EVENTS:
        return whole
    return b"\n".join(whole.split(b"\n", MAX_EVENTS)[:MAX_EVENTS]) + b"\n"
