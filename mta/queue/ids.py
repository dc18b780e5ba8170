"""Queue ids: thirteen letters and digits that sort by time and are never given twice."""

import re
import secrets

from mta.queue.interface import QueueId

# Crockford's base 32: no letter that reads like a digit, one case only, safe in a file name.
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_PAIRS = [high + low for high in _ALPHABET for low in _ALPHABET]
# Python's own base 32 has the letters up to v.
_DIGITS = str.maketrans(_ALPHABET, "0123456789abcdefghijklmnopqrstuv")
# Thirteen letters have 65 bits; the first two of them are never set.
_ID = re.compile(f"[0-7][{_ALPHABET}]{{12}}")
_TAG_BITS = 10


class IdSource:
    """Gives ids that grow, whatever the clock does; `tag` (0 to 1023) keeps two sources apart."""

    def __init__(self, tag: int | None = None) -> None:
        self._tag = secrets.randbelow(1 << _TAG_BITS) if tag is None else tag
        self._last = 0

    def new(self, now: float) -> QueueId:
        """Return an id that no other call gave; `now` is wall-clock seconds."""
        self._last = max(self._last + 1, int(now * 1_000_000))
        return to_id(self._last << _TAG_BITS | self._tag)


class Tags:
    """Gives the processes of one relay the tags of their id sources: no two that run at a time have the same.

    A process gets another tag than its worker's process before it had, whose ids may lie ahead of a clock set back.
    """

    def __init__(self) -> None:
        self._last = secrets.randbelow(1 << _TAG_BITS)
        self._given: dict[int, int] = {}

    def new(self, worker: int) -> int:
        """Return the tag of a new process of this worker, whose process before has ended."""
        taken = set(self._given.values())
        while (tag := self._next()) in taken:
            pass
        self._given[worker] = tag
        return tag

    def _next(self) -> int:
        self._last = (self._last + 1) % (1 << _TAG_BITS)
        return self._last


def to_id(number: int) -> QueueId:
    """Return the id of a 63-bit row number."""
    pairs = [_PAIRS[number >> shift & 1023] for shift in (50, 40, 30, 20, 10, 0)]
    return QueueId(_ALPHABET[number >> 60] + "".join(pairs))


def to_number(id: QueueId) -> int:
    """Return the row number of an id. Raises ValueError with the offending text when it is none."""
    if _ID.fullmatch(id) is None:
        raise ValueError(f"not a queue id: {id!r}")
    return int(id.translate(_DIGITS), 32)


def created(id: QueueId) -> float:
    """Return the wall-clock second in which an id was made."""
    return (to_number(id) >> _TAG_BITS) / 1_000_000
