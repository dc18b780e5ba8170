"""Formats times: dates of header fields (RFC 5322) and timestamps of the log (ISO 8601), all in UTC.

The conversions use arithmetic on `datetime`, because the C library of a 32-bit system has no time after 2038-01-19, and
a retry or a certificate may end after that day.
"""

from datetime import UTC, datetime, timedelta
from functools import lru_cache

from mta.remembered import Remembered

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# The last second of the year 9999.
_LAST = 253402300799


def utc(seconds: float) -> datetime:
    """Return seconds since 1970 as a datetime; a time before 1970 or after 9999 becomes the nearest one in between."""
    return _EPOCH + timedelta(seconds=min(max(seconds, 0), _LAST))


def mail_date(now: float) -> str:
    """Return wall-clock seconds as a date-time of RFC 5322 section 3.3."""
    return _mail_date(int(now))


@lru_cache(maxsize=16)
def _mail_date(second: int) -> str:
    # strftime depends on the locale, and email.utils costs more than all other parts of a trace field.
    at = utc(second)
    day = f"{_DAYS[at.weekday()]}, {at.day:02} {_MONTHS[at.month - 1]} {at.year:04}"
    return f"{day} {at.hour:02}:{at.minute:02}:{at.second:02} +0000"


def timestamp(now: float) -> str:
    """Return wall-clock seconds as `2026-11-22T12:00:00.123Z`."""
    return _MILLISECONDS[int(now * 1000)]


def short_timestamp(seconds: float) -> str:
    """Return wall-clock seconds as `2026-11-22T12:00:00Z`."""
    return f"{_second(int(seconds))}Z"


def _millisecond(number: int) -> str:
    return f"{_second(number // 1000)}.{number % 1000:03}Z"


@lru_cache(maxsize=64)
def _second(second: int) -> str:
    return utc(second).isoformat(timespec="seconds").removesuffix("+00:00")


# A busy relay has several events in a millisecond.
_MILLISECONDS = Remembered(_millisecond, 64)
