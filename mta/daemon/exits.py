"""How a program of ours ends when an operator must mend something first."""

import atexit
import os
from typing import NoReturn

from mta.event_log.sink import write_out

# Seconds for a reader of standard error that has stopped.
_PATIENCE = 1.0


def fail(*lines: str, status: int = 1) -> NoReturn:
    """End the program before the reactor runs; each line says what to do."""
    say("".join(f"smtprelay: {line}\n" for line in lines).encode())
    raise SystemExit(status)


def say(lines: bytes) -> None:
    """Write whole lines to standard error: before logging begins, or where the log would hide them."""
    write_out(2, lines, _PATIENCE)


def end_with(status: int) -> None:
    """Have the program end with this status when its reactor has stopped: twistd itself knows no other than 0."""
    atexit.register(os._exit, status)
