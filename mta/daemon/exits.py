"""Ends a process of the relay with lines on standard error and an exit status, before and after the reactor runs."""

import atexit
import os
from typing import NoReturn

from mta.event_log.sink import write_out

# Seconds to wait for a reader of standard error that has stopped reading.
_PATIENCE = 1.0


def fail(*lines: str, status: int = 1) -> NoReturn:
    """End the process before the reactor runs. Each line says what the operator must do."""
    write_stderr("".join(f"smtprelay: {line}\n" for line in lines).encode())
    raise SystemExit(status)


def write_stderr(lines: bytes) -> None:
    """Write whole lines to standard error, before logging begins or where the log would hide them."""
    write_out(2, lines, _PATIENCE)


def exit_with(status: int) -> None:
    """Set the exit status for the end of the process, because twistd itself always exits with 0."""
    atexit.register(os._exit, status)
