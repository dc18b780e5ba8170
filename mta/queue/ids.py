"""Queue ids: thirteen letters and digits that sort by time and are never given twice."""

import secrets

from mta.queue.interface import QueueId

# Crockford's base 32: no letter that reads like a digit, one case only, safe in a file name.
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_VALUES = {letter: value for value, letter in enumerate(_ALPHABET)}
_LETTERS = 13
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


def to_id(number: int) -> QueueId:
    """Return the id of a 63-bit row number."""
    letters = []
    for _ in range(_LETTERS):
        letters.append(_ALPHABET[number & 31])
        number >>= 5
    return QueueId("".join(reversed(letters)))


def to_number(id: QueueId) -> int:
    """Return the row number of an id. Raises ValueError with the offending text when it is none."""
    if len(id) != _LETTERS:
        raise ValueError(f"not a queue id: {id!r}")
    number = 0
    for letter in id:
        if letter not in _VALUES:
            raise ValueError(f"not a queue id: {id!r}")
        number = number << 5 | _VALUES[letter]
    if number >= 1 << 63:
        raise ValueError(f"not a queue id: {id!r}")
    return number


def created(id: QueueId) -> float:
    """Return the wall-clock second in which an id was made."""
    return (to_number(id) >> _TAG_BITS) / 1_000_000
