"""How a program of ours ends when an operator must mend something first."""

import atexit
import os
import sys
from contextlib import suppress
from typing import NoReturn


def fail(*lines: str, status: int = 1) -> NoReturn:
    """End the program before the reactor runs; each line says what to do."""
    for line in lines:
        print(f"smtprelay: {line}", file=sys.__stderr__)  # noqa: T201  logging has not begun, or would hide it
    raise SystemExit(status)


def say(lines: bytes) -> None:
    """Pass on whole lines that another process of the relay has for whoever started us."""
    with suppress(OSError):
        os.write(2, lines)


def end_with(status: int) -> None:
    """Have the program end with this status when its reactor has stopped: twistd itself knows no other than 0."""
    atexit.register(os._exit, status)
