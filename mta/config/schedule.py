"""Reads and writes RETRY_SCHEDULE, in the form of Exim's retry rules: `F,2h,15m; G,16h,1h,1.5; F,4d,6h`."""

import re

from mta.retry_schedule import RetrySchedule, RetryStep, Shape

_SECONDS = {"w": 604800, "d": 86400, "h": 3600, "m": 60, "s": 1}
_TIME = re.compile(r"(?:[0-9]{1,6}[wdhms])+")
_PART = re.compile(r"([0-9]+)([wdhms])")
_FACTOR = re.compile(r"[0-9]{1,3}(?:\.[0-9]{1,6})?")


def read_schedule(text: str) -> RetrySchedule:
    """Read steps separated by `;`. Raises ValueError with words for the operator."""
    return RetrySchedule(tuple(_step(part.strip()) for part in text.split(";") if part.strip()))


def _step(text: str) -> RetryStep:
    letter, *fields = re.split(r"\s*,\s*|\s+", text)
    match letter.upper(), fields:
        case "F", [until, interval]:
            return RetryStep(Shape.FIXED, read_time(until), read_time(interval))
        case "G", [until, interval, factor] if _FACTOR.fullmatch(factor):
            return RetryStep(Shape.GROWING, read_time(until), read_time(interval), float(factor))
    raise ValueError(f"{text!r} is neither F,until,interval nor G,until,interval,factor")


def read_time(text: str) -> float:
    """Read `1d12h` as seconds; the units are w, d, h, m and s."""
    if not _TIME.fullmatch(text):
        raise ValueError(f"{text!r} is not a time such as 15m or 1d12h")
    return float(sum(int(number) * _SECONDS[unit] for number, unit in _PART.findall(text)))


def write_schedule(schedule: RetrySchedule) -> str:
    """Return the text of a schedule."""
    return "; ".join(map(_write_step, schedule.steps))


def _write_step(step: RetryStep) -> str:
    factor = f",{step.factor:.10g}" if step.shape is Shape.GROWING else ""
    return f"{step.shape.value},{write_time(step.until)},{write_time(step.interval)}{factor}"


def write_time(seconds: float) -> str:
    """Return the text of whole seconds in the fewest units: 129600 is `1d12h`."""
    left = int(seconds)
    parts = []
    for unit, size in _SECONDS.items():
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"
