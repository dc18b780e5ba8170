"""The lines of pages about messages and destinations: a column of names, and texts beside it."""

from collections.abc import Iterable, Iterator

from mta.retry_schedule import WARN_AFTER

_WIDTH = 11
_UNITS = ((WARN_AFTER, "d"), (3600.0, "h"), (60.0, "m"))


def said(host: str, reply: str) -> str:
    """Return the host and its reply in one text."""
    return ": ".join(filter(None, (host, reply)))


def block(name: str, texts: Iterable[str]) -> Iterator[str]:
    """Yield lines of which the first has the name."""
    for text in texts:
        yield line(name, text)
        name = ""


def line(name: str, text: str) -> str:
    """Return a line with its name in the first column."""
    return f"{name:{_WIDTH}}{text}"


def span(seconds: float) -> str:
    """Return a span as `2d3h`, `3h5m` or `40s`."""
    left = max(0.0, seconds)
    parts: list[str] = []
    for size, unit in _UNITS:
        count, left = divmod(left, size)
        if count or parts:
            parts.append(f"{int(count)}{unit}" if count else "")
    return "".join(parts[:2]) or f"{int(left)}s"


def ahead(seconds: float) -> str:
    """Return the time to come in words that follow a time; "" if it is past."""
    return f", in {span(seconds)}" if seconds > 0 else ""
