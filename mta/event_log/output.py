"""Where the journal goes: standard output, gathered for a moment; and Twisted's own log into it."""

import time
import traceback
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import ILogObserver, LogEvent, LogLevel, formatEvent
from twisted.python.failure import Failure
from zope.interface import implementer

from mta.event_log.log import EventLog, Render, text_line
from mta.event_log.sink import Outlet

#: Octets that wait for a reader that has stopped, and seconds that it gets at the end of the program.
MOST_WAITING = 1024 * 1024
PATIENCE = 1.0
# Seconds that a line waits for others, and that a reader is left alone at most before it is tried again.
_MOMENT = 0.02
_LONGEST_PAUSE = 0.5


@dataclass(slots=True)
class _Piece:
    """Octets that wait for the reader, and how many lines are lost if they are."""

    data: memoryview
    lines: int


class Output:
    """Writes lines to a file descriptor. The lines of one moment go out together: under load that is many lines.

    A reader that has stopped holds up nothing: lines wait for it in memory, up to MOST_WAITING octets. A later line is
    dropped and counted, and one line tells the count when the reader is back. A reader that is gone loses lines; it
    must not lose mail.
    """

    def __init__(
        self,
        descriptor: int,
        clock: IReactorTime,
        render: Render = text_line,
        *,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        """`render` and `wall_clock` are for the line that tells of lost ones."""
        self._outlet = Outlet(descriptor)
        self._clock = clock
        self._render = render
        self._wall_clock = wall_clock
        self._lines: list[str] = []
        self._pieces: deque[_Piece] = deque()
        #: Octets that wait for the reader.
        self.waiting = 0
        # Lines that were lost and are not told yet.
        self._lost = 0
        # How long the next wait for a reader that has stopped is, and its end.
        self._pause = _MOMENT
        self._again: IDelayedCall | None = None

    def open(self) -> None:
        """Open the descriptor's pipe or terminal anew: to be done once the program is a daemon, and still its user."""
        self._outlet.open_anew()

    def write(self, line: str) -> None:
        """Take a line with its end."""
        if not self._lines:
            self._clock.callLater(_MOMENT, self.flush)
        self._lines.append(line)

    def pass_on(self, lines: bytes) -> None:
        """Write whole lines that another process has gathered."""
        self.flush()
        self._put(lines)

    def flush(self) -> None:
        """Write the lines that have gathered, or have them wait for the reader."""
        data = "".join(self._lines).encode()
        self._lines.clear()
        self._put(data)

    def close(self, patience: float = PATIENCE) -> None:
        """Write the lines that are left; a reader that has stopped gets some seconds. Blocks."""
        end = self._clock.seconds() + patience
        self.flush()
        while self._pieces and self._outlet.wait(max(0.0, end - self._clock.seconds())):
            self._drain()
        self._stop_waiting()
        self._outlet.close()

    def _put(self, data: bytes) -> None:
        if data and self._has_room(len(data)):
            self._tell_lost()
            self._add(data, data.count(b"\n"))
        else:
            self._lost += data.count(b"\n")
        self._drain()

    def _has_room(self, octets: int) -> bool:
        """Once lines were dropped none is taken before half of the others are out: gaps are few, and long."""
        if not self._pieces:
            return True
        return self.waiting <= MOST_WAITING // 2 if self._lost else self.waiting + octets <= MOST_WAITING

    def _tell_lost(self) -> None:
        if self._lost:
            text = f"{self._lost} lines of the log are lost: standard output was not read, or could not be written"
            self._add(self._render(self._wall_clock(), "trouble", {"text": text}).encode(), self._lost)
            self._lost = 0

    def _add(self, data: bytes, lines: int) -> None:
        self._pieces.append(_Piece(memoryview(data), lines))
        self.waiting += len(data)

    def _drain(self) -> None:
        """Write as many octets as the reader takes."""
        try:
            while self._pieces:
                piece = self._pieces[0]
                taken = self._outlet.write(piece.data)
                if not taken:
                    self._try_again()
                    return
                self.waiting -= taken
                self._pause = _MOMENT
                piece.data = piece.data[taken:]
                if not piece.data:
                    self._pieces.popleft()
                    if self._has_room(0):
                        # The reader is back: it hears of the gap even if no other line comes.
                        self._tell_lost()
        except OSError:
            self._lost += sum(piece.lines for piece in self._pieces)
            self._pieces.clear()
            self.waiting = 0
        self._stop_waiting()

    def _try_again(self) -> None:
        if self._again is None:
            self._again = self._clock.callLater(self._pause, self._go_on)
            self._pause = min(self._pause * 2, _LONGEST_PAUSE)

    def _go_on(self) -> None:
        self._again = None
        self._drain()

    def _stop_waiting(self) -> None:
        if self._again is not None:
            self._again.cancel()
            self._again = None


@implementer(ILogObserver)
class TwistedObserver:
    """Turns what Twisted logs into journal lines: faults with their traceback, warnings, and stray prints."""

    def __init__(self, event_log: EventLog, flush: Callable[[], None]) -> None:
        self._event_log = event_log
        self._flush = flush

    def __call__(self, event: LogEvent) -> None:
        """Take one event; Twisted's chatter about itself is dropped."""
        failure = event.get("log_failure")
        level = event.get("log_level", LogLevel.info)
        if failure is not None:
            self._event_log.fault(formatEvent(event) or str(failure.value), _traceback(failure))
        elif level >= LogLevel.warn or event.get("log_namespace") in {"stdout", "stderr"}:
            self._event_log.notice(formatEvent(event))
        self._flush()


def _traceback(failure: Failure) -> str:
    if failure.value is None or failure.value.__traceback__ is None:
        return failure.getTraceback()
    return "".join(traceback.format_exception(failure.value))
