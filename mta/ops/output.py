"""Where the journal goes: standard output, gathered for a moment; and Twisted's own log into it."""

import os
import traceback
from collections.abc import Callable

from twisted.internet.interfaces import IReactorTime
from twisted.logger import ILogObserver, LogEvent, LogLevel, formatEvent
from twisted.python.failure import Failure
from zope.interface import implementer

from mta.ops.journal import Journal

# Seconds that a line waits for others.
_MOMENT = 0.02


class Output:
    """Writes lines to a file descriptor. What a moment brings goes out together: under load that is many lines."""

    def __init__(self, descriptor: int, clock: IReactorTime) -> None:
        self._descriptor = descriptor
        self._clock = clock
        self._lines: list[str] = []

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
        """Write what has gathered. A reader that is gone loses lines; it must not lose mail."""
        data = "".join(self._lines).encode()
        self._lines.clear()
        self._put(data)

    def _put(self, data: bytes) -> None:
        try:
            while data:
                data = data[os.write(self._descriptor, data) :]
        except OSError:
            return


@implementer(ILogObserver)
class TwistedObserver:
    """Turns what Twisted logs into journal lines: faults with their traceback, warnings, and stray prints."""

    def __init__(self, journal: Journal, flush: Callable[[], None]) -> None:
        self._journal = journal
        self._flush = flush

    def __call__(self, event: LogEvent) -> None:
        """Take one event; Twisted's chatter about itself is dropped."""
        failure = event.get("log_failure")
        level = event.get("log_level", LogLevel.info)
        if failure is not None:
            self._journal.fault(formatEvent(event) or str(failure.value), _traceback(failure))
        elif level >= LogLevel.warn or event.get("log_namespace") in {"stdout", "stderr"}:
            self._journal.notice(formatEvent(event))
        self._flush()


def _traceback(failure: Failure) -> str:
    if failure.value is None or failure.value.__traceback__ is None:
        return failure.getTraceback()
    return "".join(traceback.format_exception(failure.value))
