"""Reads and writes RETRY_SCHEDULE, in the form of Exim's retry rules: `F,2h,15m; G,16h,1h,1.5; F,4d,6h`."""

import re

from mta.retry_schedule import RetryRule, RetrySchedule, Shape

_SECONDS = {"w": 604800, "d": 86400, "h": 3600, "m": 60, "s": 1}
_TIME = re.compile(r"(?:[0-9]{1,6}[wdhms])+")
_PART = re.compile(r"([0-9]+)([wdhms])")
_FACTOR = re.compile(r"[0-9]{1,3}(?:\.[0-9]{1,6})?")


def read_schedule(text: str) -> RetrySchedule:
    """Read rules separated by `;`. Raises ValueError with words for the operator."""
    return RetrySchedule(tuple(_rule(part.strip()) for part in text.split(";") if part.strip()))


def _rule(text: str) -> RetryRule:
    letter, *fields = re.split(r"\s*,\s*|\s+", text)
    match letter.upper(), fields:
        case "F", [until, interval]:
            return RetryRule(Shape.FIXED, read_time(until), read_time(interval))
        case "G", [until, interval, factor] if _FACTOR.fullmatch(factor):
            return RetryRule(Shape.GROWING, read_time(until), read_time(interval), float(factor))
    raise ValueError(f"{text!r} is neither F,until,interval nor G,until,interval,factor")


def read_time(text: str) -> float:
    """Read `1d12h` as seconds; the units are w, d, h, m and s."""
    if not _TIME.fullmatch(text):
        raise ValueError(f"{text!r} is not a time such as 15m or 1d12h")
    return float(sum(int(number) * _SECONDS[unit] for number, unit in _PART.findall(text)))


def write_schedule(schedule: RetrySchedule) -> str:
    """Return the text of a schedule."""
    return "; ".join(map(_write_rule, schedule.rules))


def _write_rule(rule: RetryRule) -> str:
    factor = f",{rule.factor:.10g}" if rule.shape is Shape.GROWING else ""
    return f"{rule.shape.value},{write_time(rule.until)},{write_time(rule.interval)}{factor}"


def write_time(seconds: float) -> str:
    """Return the text of whole seconds in the fewest units: 129600 is `1d12h`."""
    left = int(seconds)
    parts = []
    for unit, size in _SECONDS.items():
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"
