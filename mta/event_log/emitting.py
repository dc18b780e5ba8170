"""The way of an event to the log: its line, the limit of lines that repeat, and copies of the event for others."""

from collections.abc import Callable, Hashable, Mapping
from typing import Any

from mta.event_log.lines import Render, render_text
from mta.event_log.repeats import MAX_LINES, Field, Repeats

#: Takes an event: its time in wall-clock seconds, its name, and its fields, of which some may be None.
Receive = Callable[[float, str, Mapping[str, Field]], object]
#: Returns the line of an event, made of its time and its values.
MakeLine = Callable[..., str]
#: Has lines made and written in their order, soon, each of these arguments: its maker, its time, its values.
Later = Callable[[MakeLine, float, tuple[Any, ...]], object]


def _no_flush() -> None:
    """Do nothing: `write` has written each line already."""


class Emitter:
    """Writes events as lines, and gives copies of them to other receivers.

    `write` takes a finished line, `flush` writes out all lines that wait, `wall_clock` gives seconds since 1970. With
    `later` the lines of all events are made when they are written, because many lines together cost half as much as
    each by itself: the code that makes them has left the caches of the processor after each message (measured).
    """

    def __init__(
        self,
        write: Callable[[str], object],
        wall_clock: Callable[[], float],
        render: Render = render_text,
        *,
        flush: Callable[[], object] = _no_flush,
        later: Later | None = None,
    ) -> None:
        self._write = write
        self._wall_clock = wall_clock
        # In place of this renderer, `_copy_and_render` is called while there are receivers of copies, so that a log
        # without any has no call more.
        self._render = self._plain_render = render
        self._flush = flush
        self._later = later or self._at_once
        self._repeats = Repeats()
        self._receivers: dict[object, Receive] = {}
        # Their values, for each event.
        self._copies: tuple[Receive, ...] = ()
        self._error_receivers: tuple[Receive, ...] = ()

    def copy_to(self, receive: Receive) -> Callable[[], None]:
        """Give each later event to another receiver, too, until the result is called."""
        key = object()
        self._flush()
        self._receivers[key] = receive
        self._count_receivers()

        def end() -> None:
            self._flush()
            self._receivers.pop(key, None)
            self._count_receivers()

        return end

    def render_by(self, wrap: Callable[[Render], Render]) -> None:
        """Render each later line by the result of `wrap` for the present renderer; it may take the events, too."""
        self._plain_render = wrap(self._plain_render)
        self._count_receivers()

    def copy_errors_to(self, receive: Receive) -> None:
        """Give each later alarm, trouble and fault to another receiver, too."""
        self._error_receivers += (receive,)

    def flush(self) -> None:
        """Write out all lines that wait; their events have then been counted, and given to all receivers."""
        self._flush()

    def write_repeats(self) -> None:
        """Write how many lines of each kind were left out in the last minute, if it is over."""
        if self._repeats.is_over(self._wall_clock()):
            self._end_minute()

    def _count_receivers(self) -> None:
        self._copies = tuple(self._receivers.values())
        self._render = self._copy_and_render if self._copies else self._plain_render

    def _at_once(self, line: MakeLine, now: float, values: tuple[Any, ...]) -> None:
        self._write(line(now, *values))

    def _line(self, now: float, event: str, fields: Mapping[str, Field]) -> str:
        # Not the renderer of now, because another one may be set before the line is made.
        return self._render(now, event, fields)

    def _copy_and_render(self, now: float, event: str, fields: Mapping[str, Field]) -> str:
        for receive in self._copies:
            receive(now, event, fields)
        return self._plain_render(now, event, fields)

    def _end_minute(self) -> None:
        for event, fields in self._repeats.end():
            self._emit_fields(event, fields)

    def _passes(self, event: str, kind: Hashable, others: Mapping[str, Field], limit: int) -> bool:
        """Whether to write an event, because it is one of the first of its kind in a minute.

        `others` are the fields of the line that stands for the events left out.
        """
        self.write_repeats()
        return self._repeats.passes(kind, self._wall_clock(), event, others, limit)

    def _emit_limited(
        self,
        event: str,
        kind: Hashable,
        fields: Mapping[str, Field],
        others: Mapping[str, Field],
        limit: int = MAX_LINES,
    ) -> None:
        """Write an event if it is one of the first of its kind in a minute."""
        if self._passes(event, kind, others, limit):
            self._emit_fields(event, fields)

    def _emit_error(self, event: str, fields: Mapping[str, Field]) -> None:
        self._emit_fields(event, fields)
        for receive in self._error_receivers:
            receive(self._wall_clock(), event, fields)

    def _emit(self, event: str, **fields: Field) -> None:
        self._emit_fields(event, fields)

    def _emit_fields(self, event: str, fields: Mapping[str, Field]) -> None:
        # One mapping, because `from` cannot be a keyword.
        self._later(self._line, self._wall_clock(), (event, fields))
