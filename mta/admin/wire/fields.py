"""Reads the members of a JSON object with their types. Times are ISO 8601 in UTC."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

from mta.message.dates import short_timestamp, timestamp

JsonObject = dict[str, object]
T = TypeVar("T")

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class WireError(ValueError):
    """A JSON object or a parameter is not as the API describes it; the text names the member."""


def time_text(seconds: float | None) -> str | None:
    """Return a time as `2026-11-22T12:00:00Z`."""
    return None if seconds is None else short_timestamp(seconds)


def exact_time_text(seconds: float) -> str:
    """Return a time as `2026-11-22T12:00:00.123Z`."""
    return timestamp(seconds)


def seconds_of(text: str) -> float:
    """Return the wall-clock seconds of an ISO 8601 time; one without an offset is in UTC. Raises ValueError."""
    when = datetime.fromisoformat(text)
    return ((when if when.tzinfo else when.replace(tzinfo=UTC)) - _EPOCH).total_seconds()


class Fields:
    """The members of a JSON object. Each method raises WireError if a member is missing or has another type.

    Members that are not asked for are ignored, because a later version may add some.
    """

    def __init__(self, value: object, title: str) -> None:
        """`title` names the object in errors. Raises WireError if `value` is no object."""
        if not isinstance(value, Mapping):
            raise WireError(f"{title} is not a JSON object")
        self._members: Mapping[str, Any] = value
        self._title = title

    def text(self, name: str) -> str:
        """Return a text; null and a missing member are ""."""
        value = self._members.get(name)
        if value is None:
            return ""
        if not isinstance(value, str):
            raise self._wrong(name, "a text")
        return value

    def word(self, name: str) -> str:
        """Return a text that is not empty."""
        return self.text(name) or self._fail(name, "a text")

    def number(self, name: str) -> float:
        """Return a number."""
        value = self._members.get(name)
        # True is an int of Python, but no number of JSON.
        return value if isinstance(value, int | float) and not isinstance(value, bool) else self._fail(name, "a number")

    def whole(self, name: str, default: int | None = None) -> int:
        """Return a whole number; `default` stands for a missing member."""
        value = self._members.get(name, default)
        return value if type(value) is int else self._fail(name, "a whole number")

    def flag(self, name: str) -> bool:
        """Return a truth value."""
        value = self._members.get(name)
        return value if isinstance(value, bool) else self._fail(name, "true or false")

    def time(self, name: str) -> float:
        """Return the wall-clock seconds of a time."""
        try:
            return seconds_of(self.text(name))
        except ValueError:
            raise self._wrong(name, "a time such as 2026-11-22T12:00:00Z") from None

    def optional(self, name: str, read: Callable[[str], T]) -> T | None:
        """Return the result of another method of this object, or None for null and for a missing member."""
        return None if self._members.get(name) is None else read(name)

    def items(self, name: str, read: Callable[[Any], T]) -> tuple[T, ...]:
        """Return the items of a list, each read by `read`."""
        value = self._members.get(name)
        if not isinstance(value, Sequence) or isinstance(value, str):
            raise self._wrong(name, "a list")
        return tuple(read(item) for item in value)

    def texts(self, name: str) -> tuple[str, ...]:
        """Return a list of texts."""
        return self.items(name, lambda item: item if isinstance(item, str) else self._fail(name, "a list of texts"))

    def inner(self, name: str) -> "Fields":
        """Return the members of an object in this object."""
        return Fields(self._members.get(name), f"{name} of {self._title}")

    def others(self, *known: str) -> dict[str, object]:
        """Return the members beside those with these names."""
        return {name: value for name, value in self._members.items() if name not in known}

    def _wrong(self, name: str, kind: str) -> WireError:
        return WireError(f"{name} of {self._title} is not {kind}")

    def _fail(self, name: str, kind: str) -> Any:
        raise self._wrong(name, kind)
