"""Servers under valgrind's callgrind, which counts the instructions of all their threads."""

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

from bench.relay import Relay
from bench.server import LeftOut, Place
from harness.daemon import PYTHON_PATH, ROOT, Daemon
from harness.processes import find_program
from harness.waiting import until

_TOTALS = re.compile(r"^totals: (\d+)", re.MULTILINE)
# The order of sets, and with it the number of instructions, is the same in each run. Python finds the hook on its path.
_ENVIRONMENT = {
    "PYTHONHASHSEED": "0",
    "BENCH_VALGRIND": "yes",
    "PYTHONPATH": os.pathsep.join([str(ROOT / "bench" / "hooks"), PYTHON_PATH]),
}


def why_not() -> str | None:
    """Return the reason why instructions cannot be counted on this machine, or None."""
    missing = [name for name in ("valgrind", "vgdb") if find_program(name) is None]
    return f"{' and '.join(missing)} not found: install Debian's valgrind package" if missing else None


class CountedRelay(Relay):
    """A relay, or a program of `python -m` in its place, whose instructions are counted."""

    def __init__(self, place: Place, program: Sequence[str] = ()) -> None:
        super().__init__(place, _ENVIRONMENT)
        self._program = program
        self._dumps = 0

    @cached_property
    def daemon(self) -> Daemon:
        """The daemon's environment, with valgrind before its command."""
        daemon = super().daemon
        # The path has the modules that are to be counted, and the working directory would come before it.
        rest = ["-P", "-m", *self._program] if self._program else daemon.child.command
        daemon.child.command = [
            find_program("valgrind") or "valgrind",
            "--tool=callgrind",
            # The start would take a minute if it were counted.
            "--instr-atstart=no",
            f"--callgrind-out-file={self._counts}",
            f"--log-file={self.home / 'valgrind.log'}",
            sys.executable,
            *rest,
        ]
        return daemon

    @property
    def _counts(self) -> Path:
        return self.home / "counts"

    def begin(self) -> None:
        """Count from now on."""
        self._order("instrumentation", "on")
        self._order("zero")

    def instructions(self) -> int:
        """Return the number of instructions since `begin`, and count no more."""
        self._dumps += 1
        file = self._counts.with_name(f"counts.{self._dumps}")
        self._order("dump")
        until(lambda: _total(file) is not None, what=f"the counts in {file}")
        self._order("instrumentation", "off")
        total = _total(file)
        assert total is not None
        return total

    def _order(self, *words: str) -> None:
        """Have valgrind follow an order. Raises LeftOut."""
        command = [find_program("vgdb") or "vgdb", f"--pid={self.pid}", *words]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        if done.returncode:
            raise LeftOut(f"valgrind does not answer: {done.stderr.strip()}")


def _total(file: Path) -> int | None:
    """Return the total of a file of callgrind's, or None as long as it is not complete."""
    found = _TOTALS.search(file.read_text()) if file.exists() else None
    return int(found[1]) if found else None
