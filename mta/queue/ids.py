"""Queue ids: thirteen letters and digits that sort by time and are unique."""

import re
import secrets
from collections.abc import Callable, Iterable
from functools import lru_cache

from mta.queue.interface import QueueId

# Crockford's base 32, in lower case: without letters that look like digits, and safe in a file name.
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_PAIRS = [high + low for high in _ALPHABET for low in _ALPHABET]
# The digits that `int` takes in base 32.
_DIGITS = str.maketrans(_ALPHABET, "0123456789abcdefghijklmnopqrstuv")
# Thirteen characters have 65 bits; the first two of them are never set.
_ID = re.compile(f"[0-7][{_ALPHABET}]{{12}}")
_TAG_BITS = 10
_LAST = (1 << 63) - 1
_LAST_SECOND = (_LAST >> _TAG_BITS) // 1_000_000
#: Seconds between the id of a message and its release, if a client asked for one. Shorter times do not count, because
#: some time passes for every message until the end of its data, which may be a whole second by chance.
LEAST_RELEASE, MOST_RELEASE = 60.0, 31 * 86_400.0


class IdSource:
    """Makes ids that grow even if the clock is set back; sources with different tags (0 to 1023) make different ids."""

    def __init__(self, tag: int | None = None) -> None:
        self._tag = secrets.randbelow(1 << _TAG_BITS) if tag is None else tag
        self._last = 0

    def new(self, now: float) -> QueueId:
        """Return a new id; `now` is wall-clock seconds."""
        self._last = max(self._last + 1, int(now * 1_000_000))
        return to_id(self._last << _TAG_BITS | self._tag)


class ChangingIdSource(IdSource):
    """An IdSource whose tag can change."""

    def __init__(self, tag: Callable[[], int]) -> None:
        """`tag` returns the present tag."""
        super().__init__(tag())
        self._present_tag = tag

    def new(self, now: float) -> QueueId:
        """Return a new id with the present tag; `now` is wall-clock seconds."""
        self._tag = self._present_tag()
        return super().new(now)


class Tags:
    """Assigns tags to the id sources of a relay's processes; processes that run at the same time have different tags.

    The next process of a worker gets a new tag, because the ids of the one before may lie ahead of a clock set back.
    """

    def __init__(self) -> None:
        self._last = secrets.randbelow(1 << _TAG_BITS)
        # By worker.
        self._assigned: dict[int, int] = {}

    def new(self, worker: int) -> int:
        """Return the tag for a new process of this worker; its earlier process has ended."""
        taken = set(self._assigned.values())
        while (tag := self._next()) in taken:
            pass
        self._assigned[worker] = tag
        return tag

    def _next(self) -> int:
        self._last = (self._last + 1) % (1 << _TAG_BITS)
        return self._last


def to_id(number: int) -> QueueId:
    """Return the id of a 63-bit row number."""
    pairs = _PAIRS
    return QueueId(
        f"{_ALPHABET[number >> 60]}{pairs[number >> 50 & 1023]}{pairs[number >> 40 & 1023]}{pairs[number >> 30 & 1023]}"
        f"{pairs[number >> 20 & 1023]}{pairs[number >> 10 & 1023]}{pairs[number & 1023]}"
    )


@lru_cache(maxsize=4096)
def to_number(id: QueueId) -> int:
    """Return the row number of an id. Raises ValueError, with the text quoted, if it is not an id."""
    if _ID.fullmatch(id) is None:
        raise ValueError(f"not a queue id: {id!r}")
    return int(id.translate(_DIGITS), 32)


def known_numbers(ids: Iterable[QueueId]) -> list[int]:
    """Return the row numbers of ids. Text that is not an id is left out."""
    numbers = []
    for id in ids:
        try:
            numbers.append(to_number(id))
        except ValueError:
            continue
    return numbers


def prefix_range(prefix: str) -> tuple[int, int] | None:
    """Return the first and the last row number whose ids begin so, in lower case; None if no id does."""
    if not prefix:
        return 0, _LAST
    missing = 13 - len(prefix)
    try:
        return to_number(QueueId(prefix + missing * "0")), to_number(QueueId(prefix + missing * _ALPHABET[-1]))
    except ValueError:
        return None


def first_number(when: float) -> int:
    """Return the smallest row number whose id was made at this wall-clock time or later, or the last of all."""
    if when >= _LAST_SECOND:
        return _LAST
    microseconds = max(0, int(when * 1_000_000))
    # The product may be rounded either way.
    while microseconds > 0 and (microseconds - 1) / 1_000_000 >= when:
        microseconds -= 1
    while microseconds / 1_000_000 < when:
        microseconds += 1
    return microseconds << _TAG_BITS


def created(id: QueueId) -> float:
    """Return the wall-clock time at which an id was made."""
    return (to_number(id) >> _TAG_BITS) / 1_000_000


def release_of(id: QueueId, age_from: float) -> float | None:
    """Return the time of its release if a client had a message wait before its delivery (RFC 4865), else None.

    The age of such a message counts from its release, so that `age_from`, which queues keep as `created`, is a whole
    second that lies behind the time at which its id was made by LEAST_RELEASE to MOST_RELEASE seconds. The age of any
    other message counts from the end of its data. `mta/queue/sql/conditions.py` and the statement `make_due` of the
    SQLite queue have the same rule.
    """
    try:
        ahead = age_from - created(id)
    except ValueError:
        return None
    return age_from if LEAST_RELEASE <= ahead <= MOST_RELEASE and age_from % 1 == 0 else None


def arrival_of(id: QueueId, age_from: float) -> float:
    """Return when the relay accepted a message: when its id was made if a client had it wait, else `age_from`."""
    return age_from if release_of(id, age_from) is None else created(id)
