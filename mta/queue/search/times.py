"""Reads times and durations in an operator's words: `10:00`, `yesterday`, `2h`, ISO 8601."""

import re
from datetime import UTC, datetime, time, timedelta, tzinfo

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_DURATION = re.compile(r"([0-9]{1,9})([smhdw])", re.IGNORECASE)
_CLOCK = re.compile(r"([0-9]{1,2}):([0-9]{2})(?::([0-9]{2}))?")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAYS_AGO = {"today": 0, "yesterday": 1}


def read_duration(text: str) -> float:
    """Return the seconds of a duration such as `90s`, `30m`, `2h`, `1d` or `1w`. Raises ValueError with the reason."""
    found = _DURATION.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is not a duration such as 30m, 2h or 1d")
    return float(int(found[1]) * _UNITS[found[2].lower()])


def read_time(text: str, now: float, zone: tzinfo) -> float:
    """Return the wall-clock seconds of a time. Raises ValueError with the reason.

    A duration is that long before `now`. `10:00` is the last time that clocks in `zone` showed it. A day is the
    midnight at which it began there. An ISO 8601 time without an offset is in `zone` too.
    """
    word = text.strip()
    if _DURATION.fullmatch(word):
        return max(0.0, now - read_duration(word))
    try:
        return _read_clock_or_date(word, (_EPOCH + timedelta(seconds=now)).astimezone(zone))
    except (ValueError, OverflowError):
        raise ValueError(
            f"{text!r} is not a time: write 10:00, today, yesterday, 2h (ago), 2026-11-22 or 2026-11-22T10:00"
        ) from None


def _read_clock_or_date(word: str, today: datetime) -> float:
    if word.lower() in _DAYS_AGO:
        day = today.date() - timedelta(days=_DAYS_AGO[word.lower()])
        return _seconds(datetime.combine(day, time(), today.tzinfo))
    clock = _CLOCK.fullmatch(word)
    if clock is None:
        when = datetime.fromisoformat(word)
        return _seconds(when if when.tzinfo else when.replace(tzinfo=today.tzinfo))
    at = time(int(clock[1]), int(clock[2]), int(clock[3] or 0))
    when = datetime.combine(today.date(), at, today.tzinfo)
    if _seconds(when) > _seconds(today):
        when = datetime.combine(today.date() - timedelta(days=1), at, today.tzinfo)
    return _seconds(when)


def _seconds(when: datetime) -> float:
    # The difference of two times in one zone would ignore its changes of the clock.
    return (when.astimezone(UTC) - _EPOCH).total_seconds()
